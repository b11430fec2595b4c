//! The last facts of a worker by id, so that "why was this denied?" can be answered for a request that is over.
//! Not a log: the oldest is forgotten when a new one comes.
//! Start at [`Recent::push`].

use std::cell::RefCell;
use std::collections::VecDeque;

use super::RequestId;

/// A ring of the last facts. `T` should be small and cheap to make: one is pushed per request.
#[derive(Debug)]
pub struct Recent<T> {
    limit: usize,
    ring: RefCell<VecDeque<(RequestId, T)>>,
}

impl<T> Recent<T> {
    /// How many a worker keeps unless told otherwise.
    pub const DEFAULT_LIMIT: usize = 1024;

    /// A ring of so many; with 0 nothing is kept.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ring: RefCell::new(VecDeque::with_capacity(limit.min(Self::DEFAULT_LIMIT))),
        }
    }

    /// Keeps one, and gives back the one that was forgotten for it.
    pub fn push(&self, id: RequestId, facts: T) -> Option<T> {
        if self.limit == 0 {
            return Some(facts);
        }
        let mut ring = self.ring.borrow_mut();
        let forgotten = if ring.len() >= self.limit {
            ring.pop_front()
        } else {
            None
        };
        ring.push_back((id, facts));
        forgotten.map(|(_, facts)| facts)
    }

    /// Reads the facts of an id (the last pushed, if there are several). Looks at every entry: not for the hot path.
    pub fn find<R>(&self, id: RequestId, read: impl FnOnce(&T) -> R) -> Option<R> {
        let ring = self.ring.borrow();
        ring.iter()
            .rev()
            .find(|(known, _)| *known == id)
            .map(|(_, facts)| read(facts))
    }

    /// Reads the last `count`, the newest first.
    pub fn latest<R>(&self, count: usize, mut read: impl FnMut(RequestId, &T) -> R) -> Vec<R> {
        self.ring
            .borrow()
            .iter()
            .rev()
            .take(count)
            .map(|(id, facts)| read(*id, facts))
            .collect()
    }
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RequestIds;

    #[test]
    fn the_last_are_found_and_the_oldest_are_forgotten() {
        let ids = RequestIds::new(0);
        let recent = Recent::new(3);
        let made: Vec<RequestId> = (0..5)
            .map(|n| {
                let id = ids.next(jiff::Timestamp::UNIX_EPOCH);
                assert_eq!(recent.push(id, n), (n > 2).then(|| n - 3));
                id
            })
            .collect();
        let found: Vec<Option<i32>> = made.iter().map(|id| recent.find(*id, |n| *n)).collect();
        assert_eq!(found, [None, None, Some(2), Some(3), Some(4)]);
        assert_eq!(recent.latest(2, |_, n| *n), [4, 3]);
        assert_eq!(Recent::new(0).push(made[0], 7), Some(7));
    }
}
