//! The leaves that are kept, and those that are on their way: one minting for all who ask at once.
//! Mints nothing.
//! Start at [`Store::ask`].

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lru::LruCache;
use tokio::sync::watch;

use super::spec::Key;
use super::{Flight, Leaf, Outcome};

/// So many workers can look up at once without waiting for each other, mostly.
const SHARDS: usize = 16;

pub(super) struct Store {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

struct Shard {
    leaves: LruCache<Key, Arc<Leaf>>,
    flights: HashMap<Key, Flight>,
}

/// What is there for a key.
pub(super) enum Found {
    Leaf(Arc<Leaf>),
    /// Somebody else has asked already.
    Flight(Flight),
    /// Nobody has: the asker shall have it minted, and answer here.
    Mine(watch::Sender<Option<Outcome>>, Flight),
}

impl Store {
    /// Room for so many leaves in all.
    pub(super) fn new(leaves: NonZeroUsize) -> Self {
        let each = NonZeroUsize::new(leaves.get().div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN);
        let shard = || {
            Mutex::new(Shard {
                // Grows as it fills: most proxies never see so many hosts.
                leaves: LruCache::unbounded(),
                flights: HashMap::new(),
            })
        };
        let shards: Vec<_> = (0..SHARDS).map(|_| shard()).collect();
        for shard in &shards {
            held(shard).leaves.resize(each);
        }
        Self {
            shards,
            hasher: RandomState::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn lookup(&self, key: &Key, now: Timestamp) -> Option<Arc<Leaf>> {
        self.shard(key).kept(key, now)
    }

    pub(super) fn ask(&self, key: &Key, now: Timestamp) -> Found {
        let mut shard = self.shard(key);
        if let Some(leaf) = shard.kept(key, now) {
            return Found::Leaf(leaf);
        }
        if let Some(flight) = shard.flights.get(key) {
            return Found::Flight(flight.clone());
        }
        let (answer, flight) = watch::channel(None);
        shard.flights.insert(key.clone(), flight.clone());
        Found::Mine(answer, flight)
    }

    /// Ends a flight, with a leaf or without.
    pub(super) fn land(&self, key: &Key, leaf: Option<&Arc<Leaf>>) {
        let mut shard = self.shard(key);
        shard.flights.remove(key);
        if let Some(leaf) = leaf {
            shard.leaves.put(key.clone(), leaf.clone());
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        held(
            self.shards
                .get(index)
                .expect("there are SHARDS of them, and the index is below"),
        )
    }
}

impl Shard {
    fn kept(&mut self, key: &Key, now: Timestamp) -> Option<Arc<Leaf>> {
        self.leaves
            .get(key)
            .filter(|leaf| now < leaf.renew_at)
            .cloned()
    }
}

/// Nothing is left half done by a holder that broke down.
fn held(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept: usize = self
            .shards
            .iter()
            .map(|shard| held(shard).leaves.len())
            .sum();
        f.debug_struct("Store").field("leaves", &kept).finish()
    }
}
