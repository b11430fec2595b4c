//! Connections of HTTP/1 that wait for their next request, newest first.
//! Opens none; closes what can not be used.
//! Start at [`Idle::take`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::habits::Habits;
use super::http1::Http1;
use super::key::Key;

/// The idle connections of one worker.
#[derive(Debug)]
pub(super) struct Idle {
    by_key: RefCell<HashMap<Key, Vec<Http1>>>,
    count: Cell<usize>,
    /// Whom a connection wakes on which something happens.
    watch: RefCell<Waker>,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            by_key: RefCell::default(),
            count: Cell::new(0),
            watch: RefCell::new(Waker::noop().clone()),
        }
    }
}

impl Idle {
    /// Takes the newest connection that goes to one of the permitted addresses, was idle for no longer than `fresh` nor than
    /// its origin bears, and is quiet.
    pub(super) fn take(
        &self,
        key: &Key,
        permitted: &[SocketAddr],
        fresh: Duration,
        habits: &Habits,
    ) -> Option<Http1> {
        let mut by_key = self.by_key.borrow_mut();
        let shelf = by_key.get_mut(key)?;
        let before = shelf.len();
        let found = self.take_from(shelf, permitted, fresh, habits);
        self.count
            .set(self.count.get() - before.saturating_sub(shelf.len()));
        // An empty shelf is likely to be filled again at once; sweeping takes it away.
        if shelf.is_empty() && by_key.len() > EMPTY {
            by_key.remove(key);
        }
        found
    }

    /// From the newest; what turns out dead on the way is thrown away.
    fn take_from(
        &self,
        shelf: &mut Vec<Http1>,
        permitted: &[SocketAddr],
        fresh: Duration,
        habits: &Habits,
    ) -> Option<Http1> {
        let now = Instant::now();
        let mut at = shelf.len();
        while at > 0 {
            at -= 1;
            let connection = shelf.get_mut(at)?;
            let idle = now.saturating_duration_since(connection.idle_since());
            // Those before it are older.
            if idle > fresh {
                return None;
            }
            if !permitted.contains(&connection.peer()) || !self.is_quiet(connection, habits) {
                shelf.remove(at);
            } else if bears(connection, idle, habits) {
                return Some(shelf.remove(at));
            }
            // Else it stays: when its origin closes it shows how long others may be used.
        }
        None
    }

    /// Keeps a connection, unless the shelves are full: of so many in all, and of so many with this key.
    pub(super) fn put(
        &self,
        key: Key,
        mut connection: Http1,
        (total, each): (usize, usize),
        habits: &Habits,
    ) {
        if self.count.get() >= total || !self.is_quiet(&mut connection, habits) {
            return;
        }
        let mut by_key = self.by_key.borrow_mut();
        let shelf = by_key.entry(key).or_default();
        if shelf.len() >= each {
            // What is not used any more makes room.
            let idle = |old: &Http1| old.idle_since().elapsed();
            if each == 0
                || shelf
                    .first()
                    .is_none_or(|old| bears(old, idle(old), habits))
            {
                return;
            }
            shelf.remove(0);
            self.count.set(self.count.get() - 1);
        }
        connection.was_put();
        shelf.push(connection);
        self.count.set(self.count.get() + 1);
    }

    /// Closes the oldest connection of this key. Gives whether there was one.
    pub(super) fn evict(&self, key: &Key) -> bool {
        let mut by_key = self.by_key.borrow_mut();
        let Some(shelf) = by_key.get_mut(key).filter(|shelf| !shelf.is_empty()) else {
            return false;
        };
        let evicted = shelf.remove(0);
        self.count.set(self.count.get() - 1);
        drop(by_key);
        drop(evicted);
        true
    }

    /// Looks after every connection, with whom it is to wake when something happens, and drops what was closed.
    pub(super) fn look(&self, cx: &mut Context<'_>, habits: &Habits) {
        self.watch.borrow_mut().clone_from(cx.waker());
        self.retain(|_, connection| self.is_quiet(connection, habits));
    }

    /// Drops what is too old or was closed by its origin. `limit` says how long connections with a key are kept.
    pub(super) fn sweep(&self, limit: impl Fn(&Key) -> Duration, habits: &Habits) {
        self.retain(|key, connection| {
            let idle = connection.idle_since().elapsed();
            idle <= limit(key)
                && connection
                    .patience()
                    .is_none_or(|patience| idle <= patience)
                && self.is_quiet(connection, habits)
        });
    }

    /// Drops everything but what has terms of its own, as when the trust of all others changes.
    pub(super) fn clear(&self) {
        self.retain(|key, _| key.terms.is_some());
    }

    /// Drops what goes to this address.
    pub(super) fn forget(&self, address: SocketAddr) {
        self.retain(|_, connection| connection.peer() != address);
    }

    /// How many connections are idle.
    pub(super) fn len(&self) -> usize {
        self.count.get()
    }

    fn retain(&self, mut keep: impl FnMut(&Key, &mut Http1) -> bool) {
        let mut count = 0;
        self.by_key.borrow_mut().retain(|key, shelf| {
            shelf.retain_mut(|connection| keep(key, connection));
            count += shelf.len();
            !shelf.is_empty()
        });
        self.count.set(count);
    }

    /// An idle connection on which anything happened is not used: a close, an error, or bytes that nobody asked for.
    fn is_quiet(&self, connection: &mut Http1, habits: &Habits) -> bool {
        let quiet = connection.is_quiet(&mut Context::from_waker(&self.watch.borrow()));
        if !quiet {
            habits.closed(connection.peer(), connection.idle_since().elapsed());
        }
        quiet
    }
}

/// Whether its origin still keeps a connection that was idle for so long.
fn bears(connection: &Http1, idle: Duration, habits: &Habits) -> bool {
    connection
        .patience()
        .is_none_or(|patience| idle <= patience)
        && habits
            .patience(connection.peer())
            .is_none_or(|patience| idle <= patience)
}

/// How many empty shelves may stand until they are swept.
const EMPTY: usize = 1024;
