//! Connections of HTTP/1 that wait for their next request, newest first.
//! Opens and closes nothing by itself.
//! Start at [`Idle::take`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::time::Instant;

use super::http1::Http1;
use super::key::Key;
use super::settings::Settings;

/// The idle connections of one worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Idle(Rc<RefCell<Shelves>>);

#[derive(Debug, Default)]
struct Shelves {
    by_key: HashMap<Key, Vec<Http1>>,
    count: usize,
}

impl Idle {
    /// Takes the newest connection that goes to one of the permitted addresses, is young enough and quiet.
    pub(super) fn take(
        &self,
        key: &Key,
        permitted: &[SocketAddr],
        not_idle_since: Instant,
    ) -> Option<Http1> {
        let shelves = &mut *self.0.borrow_mut();
        let shelf = shelves.by_key.get_mut(key)?;
        let mut found = None;
        // From the newest; what turns out dead or old is thrown away on the way.
        while let Some(mut connection) = shelf.pop() {
            shelves.count -= 1;
            let usable =
                connection.idle_since() >= not_idle_since && permitted.contains(&connection.peer());
            if usable && is_quiet(&mut connection) {
                found = Some(connection);
                break;
            }
        }
        if shelf.is_empty() {
            shelves.by_key.remove(key);
        }
        found
    }

    /// Whether [`Idle::take`] would find one.
    pub(super) fn has(&self, key: &Key, permitted: &[SocketAddr], not_idle_since: Instant) -> bool {
        let shelves = &mut *self.0.borrow_mut();
        let shelf = shelves.by_key.get_mut(key);
        shelf.is_some_and(|shelf| {
            shelf.iter_mut().any(|connection| {
                connection.idle_since() >= not_idle_since
                    && permitted.contains(&connection.peer())
                    && is_quiet(connection)
            })
        })
    }

    /// Keeps a connection, unless the shelves are full.
    pub(super) fn put(&self, key: Key, connection: Http1, settings: &Settings) {
        let shelves = &mut *self.0.borrow_mut();
        if shelves.count >= settings.idle_total {
            return;
        }
        let shelf = shelves.by_key.entry(key).or_default();
        if shelf.len() >= settings.idle_per_origin {
            return;
        }
        shelf.push(connection);
        shelves.count += 1;
    }

    /// Drops what is too old or was closed by its origin.
    pub(super) fn sweep(&self, not_idle_since: Instant) {
        let shelves = &mut *self.0.borrow_mut();
        let mut count = 0;
        shelves.by_key.retain(|_, shelf| {
            shelf.retain_mut(|connection| {
                connection.idle_since() >= not_idle_since && is_quiet(connection)
            });
            count += shelf.len();
            !shelf.is_empty()
        });
        shelves.count = count;
    }

    /// Drops everything, as when trust changes.
    pub(super) fn clear(&self) {
        *self.0.borrow_mut() = Shelves::default();
    }

    /// How many connections are idle.
    pub(super) fn len(&self) -> usize {
        self.0.borrow().count
    }
}

/// An idle connection on which anything happened is not used: a close, an error, or bytes that nobody asked for.
fn is_quiet(connection: &mut Http1) -> bool {
    connection.is_quiet(&mut Context::from_waker(Waker::noop()))
}
