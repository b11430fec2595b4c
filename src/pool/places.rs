//! How many connections there are to each endpoint of an upstream, and who waits for one of them to end.
//! Opens and closes none: each holds its place for as long as it is open.
//! Start at [`Places::take`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::Notify;

use super::key::Key;
use crate::addr::Authority;

/// The places of one worker.
#[derive(Debug, Default)]
pub(super) struct Places(RefCell<HashMap<(u64, Authority), Rc<Count>>>);

#[derive(Debug, Default)]
struct Count {
    open: Cell<usize>,
    changed: Notify,
}

/// A connection's place, dropped with it. By default one that is not counted.
#[derive(Debug, Default)]
pub(super) struct Place(Option<Rc<Count>>);

impl Places {
    /// A place for a connection; `None` where there are as many as the terms allow. Without terms there is no limit.
    pub(super) fn take(&self, key: &Key) -> Option<Place> {
        let Some((count, limit)) = self.limited(key) else {
            return Some(Place(None));
        };
        (count.open.get() < limit).then(|| {
            count.open.set(count.open.get() + 1);
            Place(Some(count))
        })
    }

    /// Whether [`Places::take`] would give none.
    pub(super) fn is_full(&self, key: &Key) -> bool {
        self.limited(key)
            .is_some_and(|(count, limit)| count.open.get() >= limit)
    }

    /// Waits until a connection ended or is there to be used again. Cancel-safe.
    pub(super) async fn changed(&self, key: &Key) {
        match self.limited(key) {
            Some((count, _)) => count.changed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Forgets endpoints without connections.
    pub(super) fn sweep(&self) {
        let counts = &mut *self.0.borrow_mut();
        counts.retain(|_, count| count.open.get() > 0 || Rc::strong_count(count) > 1);
    }

    fn limited(&self, key: &Key) -> Option<(Rc<Count>, usize)> {
        let terms = key.terms.as_ref()?;
        let limit = terms.connections();
        if limit == usize::MAX {
            return None;
        }
        let endpoint = (terms.id(), key.authority.clone());
        let counts = &mut *self.0.borrow_mut();
        Some((counts.entry(endpoint).or_default().clone(), limit))
    }
}

impl Place {
    /// Its connection is there to be used again.
    pub(super) fn is_idle(&self) {
        if let Some(count) = &self.0 {
            count.changed.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.open.set(count.open.get().saturating_sub(1));
            count.changed.notify_one();
        }
    }
}
