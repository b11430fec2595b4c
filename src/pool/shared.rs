//! Connections that many requests share (HTTP/2), by what they can be used for, and who is opening one.
//! Opens nothing itself.
//! Start at [`Shared::take`] and [`Group::turn`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::habits::Habits;
use super::http2::{Line, Slot};
use super::key::Key;

/// The shared connections of one worker.
#[derive(Debug, Default)]
pub(super) struct Shared(RefCell<HashMap<Key, Lines>>);

/// The connections to one origin.
#[derive(Debug)]
struct Lines {
    group: Rc<Group>,
    open: Vec<Rc<Line>>,
}

/// What is known of one origin, beside its connections.
#[derive(Debug)]
pub(super) struct Group {
    opening: Cell<usize>,
    failed: Cell<u64>,
    /// When it last chose HTTP/1.1.
    plain: Cell<Option<Instant>>,
    changed: Notify,
}

/// What a request that found no place is to do.
pub(super) enum Turn {
    /// Open a connection.
    Open(Opening),
    /// Wait for [`Group::changed`].
    Wait,
}

impl Shared {
    /// A place on a connection to one of the permitted addresses that is in use, or was no longer ago than `limit` and its
    /// origin's habit.
    pub(super) fn take(
        &self,
        key: &Key,
        permitted: &[SocketAddr],
        limit: Duration,
        habits: &Habits,
    ) -> Option<Slot> {
        let groups = &mut *self.0.borrow_mut();
        let lines = &mut groups.get_mut(key)?.open;
        lines.retain(|line| line.is_usable());
        // The oldest first: those behind it empty themselves when there is less to do.
        let mut fitting = lines
            .iter()
            .filter(|line| fits(line, permitted, limit, habits));
        fitting.find_map(Line::slot)
    }

    /// What is known of an origin.
    pub(super) fn group(&self, key: &Key) -> Rc<Group> {
        let groups = &mut *self.0.borrow_mut();
        let lines = groups.entry(key.clone()).or_insert_with(|| Lines {
            group: Rc::new(Group::new()),
            open: Vec::new(),
        });
        lines.group.clone()
    }

    /// How many connections there are to an origin.
    pub(super) fn count(&self, key: &Key) -> usize {
        let groups = self.0.borrow();
        groups.get(key).map_or(0, |lines| lines.open.len())
    }

    /// Keeps a connection for others.
    pub(super) fn put(&self, key: &Key, line: Rc<Line>) {
        if let Some(lines) = self.0.borrow_mut().get_mut(key) {
            lines.open.push(line);
        }
    }

    /// Drops what was idle for too long or closed by its origin.
    ///
    /// `limit` says how long connections with a key are kept.
    pub(super) fn sweep(&self, limit: impl Fn(&Key) -> Duration) {
        self.0.borrow_mut().retain(|key, lines| {
            let limit = limit(key);
            lines.open.retain(|line| {
                line.is_usable() && (line.is_busy() || line.idle_since().elapsed() <= limit)
            });
            let group = &lines.group;
            let known = group
                .plain
                .get()
                .is_some_and(|since| since.elapsed() <= limit);
            known || group.opening.get() > 0 || !lines.open.is_empty()
        });
    }

    /// Lets go of everything but what has terms of its own, as when the trust of all others changes. Streams under way go on.
    pub(super) fn clear(&self) {
        self.0.borrow_mut().retain(|key, _| key.terms.is_some());
    }

    /// Lets go of what goes to this address. Streams under way go on.
    pub(super) fn forget(&self, address: SocketAddr) {
        for lines in self.0.borrow_mut().values_mut() {
            lines.open.retain(|line| line.peer() != address);
        }
    }

    /// Lets go of a connection with this key that is idle. Gives whether there was one.
    pub(super) fn evict(&self, key: &Key) -> bool {
        let mut groups = self.0.borrow_mut();
        let Some(lines) = groups.get_mut(key) else {
            return false;
        };
        let idle = lines.open.iter().position(|line| !line.is_busy());
        idle.map(|at| lines.open.remove(at)).is_some()
    }

    /// How many connections are idle.
    pub(super) fn idle(&self) -> usize {
        let groups = self.0.borrow();
        let lines = groups.values().flat_map(|lines| &lines.open);
        lines.filter(|line| !line.is_busy()).count()
    }
}

fn fits(line: &Line, permitted: &[SocketAddr], limit: Duration, habits: &Habits) -> bool {
    let young = || {
        let idle = line.idle_since().elapsed();
        let patience = habits.patience(line.peer());
        idle <= limit && patience.is_none_or(|patience| idle <= patience)
    };
    permitted.contains(&line.peer()) && (line.is_busy() || young())
}

impl Group {
    fn new() -> Self {
        Self {
            opening: Cell::new(0),
            failed: Cell::new(0),
            plain: Cell::new(None),
            changed: Notify::new(),
        }
    }

    /// Whose turn it is to open a connection. While it is not known that an origin speaks HTTP/1.1, one request finds it out
    /// and the others wait: most likely they will share what it opens. `full` says that there are enough connections.
    ///
    /// Who saw another fail does not wait a second time (`impatient`).
    pub(super) fn turn(self: &Rc<Self>, full: bool, impatient: bool) -> Turn {
        let one_by_one = self.plain.get().is_none() && !impatient;
        if (one_by_one && self.opening.get() > 0) || full {
            return Turn::Wait;
        }
        self.opening.set(self.opening.get() + 1);
        Turn::Open(Opening(self.clone()))
    }

    /// How many openings have failed.
    pub(super) fn failures(&self) -> u64 {
        self.failed.get()
    }

    /// Waits until an opening has ended or a place became free. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A place became free.
    pub(super) fn freed(&self) {
        self.changed.notify_one();
    }
}

/// A connection is being opened. Dropped before its end, it was given up, and another request may try.
pub(super) struct Opening(Rc<Group>);

/// What an origin chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Opening {
    /// The connection is open.
    pub(super) fn done(self, protocol: Spoken) {
        self.0.plain.set(match protocol {
            Spoken::Http1 => Some(Instant::now()),
            Spoken::Http2 => None,
        });
    }

    /// It could not be opened.
    pub(super) fn failed(self) {
        self.0.failed.set(self.0.failed.get() + 1);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let group = &self.0;
        group.opening.set(group.opening.get().saturating_sub(1));
        group.changed.notify_waiters();
    }
}
