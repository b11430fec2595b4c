//! How often a key was asked for of late, for rules that store only what is asked for again.
//! Start at [`Uses::count`].

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use super::Key;

/// Counts of the keys asked for last.
#[derive(Debug)]
pub(super) struct Uses {
    counts: Mutex<LruCache<u64, u32>>,
    hasher: RandomState,
}

impl Uses {
    pub(super) fn new() -> Self {
        Self {
            counts: Mutex::new(LruCache::new(REMEMBERED)),
            hasher: RandomState::new(),
        }
    }

    /// Counts one more; how many there were with it.
    pub(super) fn count(&self, key: &Key) -> u32 {
        let name = self.hasher.hash_one(key);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get_or_insert_mut(name, || 0);
        *count = count.saturating_add(1);
        *count
    }
}

/// About 6 MB.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1 << 16).expect("it is not zero");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_counted_for_itself() {
        let uses = Uses::new();
        let (one, other) = (Key::new("http://a/", ""), Key::new("http://b/", ""));
        assert_eq!([uses.count(&one), uses.count(&one)], [1, 2]);
        assert_eq!(uses.count(&other), 1);
    }
}
