//! The memory tier: responses by their URI, bounded by bytes, with what is used again kept over what passes once.
//! Not what may be stored or used (storable, reuse).
//! Start at [`Memory`]; a shard's order of eviction stands in `shard`, what a response weighs in `weight`.

mod shard;
mod weight;

pub use weight::weight;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;
use smallvec::SmallVec;

use self::shard::Shard;
use super::{Candidates, Key, Stored};

/// Stored responses in memory, shared by the workers. A hit reads one shard and bumps a counter of the response's own.
#[derive(Debug)]
pub struct Memory {
    shards: Box<[RwLock<Shard>]>,
    /// Who chooses URIs must not choose shards.
    hasher: RandomState,
    bound: AtomicU64,
    evictions: AtomicU64,
}

/// How it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Responses.
    pub entries: u64,
    /// Bytes they take, heads and tables counted.
    pub bytes: u64,
    /// Bytes they may take.
    pub bound: u64,
    /// Responses that made room for others.
    pub evictions: u64,
}

/// What was taken out: dropped once no lock is held.
type Out = Vec<Arc<Stored>>;

impl Memory {
    /// Room for so many bytes.
    pub fn new(bound: u64) -> Self {
        let count = (bound / SHARD).clamp(1, MOST_SHARDS);
        let share = bound / count;
        let shards = (0..count).map(|_| RwLock::new(Shard::new(share)));
        Self {
            shards: shards.collect(),
            hasher: RandomState::new(),
            bound: AtomicU64::new(bound),
            evictions: AtomicU64::new(0),
        }
    }

    /// Gives it another bound; what is too much then goes at once.
    pub fn set_bound(&self, bound: u64) {
        self.bound.store(bound, Ordering::Relaxed);
        let share = bound / self.shards.len().max(1) as u64;
        for shard in &self.shards {
            let out = write(shard).set_bound(share);
            self.evicted(&out);
        }
    }

    /// The largest content that is kept: half of a shard, so that one does not push all others out.
    pub fn largest(&self) -> u64 {
        self.bound.load(Ordering::Relaxed) / self.shards.len().max(1) as u64 / 2
    }

    /// What is there for a key, the newest first; that which the request's fields select is used once more by it.
    pub fn candidates(&self, key: &Key, headers: &HeaderMap) -> Candidates {
        let shard = self.shard(key.uri());
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        let found = Candidates::of(key, headers, shard.of(key.uri()).cloned());
        if let Some(selected) = found.selected() {
            shard.touch(selected);
        }
        found
    }

    /// All that is there of a URI, the newest first.
    pub fn all(&self, uri: &str) -> SmallVec<[Arc<Stored>; 4]> {
        let shard = self.shard(uri).read();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        shard.of(uri).cloned().collect()
    }

    /// Puts a response in place of the one for the same key and variant. `false`: it is too large.
    pub fn insert(&self, stored: Arc<Stored>) -> bool {
        self.put(stored, true)
    }

    /// Puts a response in, unless there is one for the same key and variant. `false`: there is, or it is too large.
    pub fn insert_if_absent(&self, stored: Arc<Stored>) -> bool {
        self.put(stored, false)
    }

    fn put(&self, stored: Arc<Stored>, replace: bool) -> bool {
        let weight = weight(&stored);
        if weight > self.largest() + HEAD {
            return false;
        }
        let shard = self.shard(stored.key.uri());
        let (taken, out) = write(shard).put(stored, weight, replace);
        self.evicted(&out);
        taken
    }

    /// Puts an updated response in the place of one that is there. `false`: it is not there any more.
    pub fn replace(&self, old: &Arc<Stored>, new: Arc<Stored>) -> bool {
        let weight = weight(&new);
        let shard = self.shard(old.key.uri());
        let (taken, out) = write(shard).replace(old, new, weight);
        self.evicted(&out);
        taken
    }

    /// Weighs a response again, whose content has grown. `false`: it is not there any more.
    pub fn grow(&self, stored: &Arc<Stored>) -> bool {
        let weight = weight(stored);
        let shard = self.shard(stored.key.uri());
        let out = write(shard).weigh(stored, weight);
        self.evicted(&out);
        self.holds(stored)
    }

    /// Whether this very response is there.
    pub fn holds(&self, stored: &Arc<Stored>) -> bool {
        let shard = self.shard(stored.key.uri()).read();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        shard.holds(stored)
    }

    /// Takes a response out. Whether it was there.
    pub fn remove(&self, stored: &Arc<Stored>) -> bool {
        let shard = self.shard(stored.key.uri());
        write(shard).remove(|other| Arc::ptr_eq(other, stored), stored.key.uri()) > 0
    }

    /// Takes out all of a URI; how many.
    pub fn remove_uri(&self, uri: &str) -> usize {
        write(self.shard(uri)).remove(|_| true, uri)
    }

    /// Takes out what fits, one shard after the other; how many.
    pub fn remove_where(&self, fits: impl Fn(&Stored) -> bool) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| write(shard).remove_where(&fits)).sum()
    }

    /// How it does.
    pub fn stats(&self) -> Stats {
        let (mut entries, mut bytes) = (0, 0);
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            entries += shard.entries();
            bytes += shard.bytes();
        }
        Stats {
            entries,
            bytes,
            bound: self.bound.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }

    fn shard(&self, uri: &str) -> &RwLock<Shard> {
        let at = self.hasher.hash_one(uri) as usize % self.shards.len().max(1);
        self.shards.get(at).expect("the index is below the length")
    }

    fn evicted(&self, out: &Out) {
        if !out.is_empty() {
            self.evictions
                .fetch_add(out.len() as u64, Ordering::Relaxed);
        }
    }
}

/// Nothing in a shard is half done where a thread that held it panicked: its numbers are changed last.
fn write(shard: &RwLock<Shard>) -> std::sync::RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

/// About what one shard holds: large enough for large contents, and few enough shards for a small cache.
const SHARD: u64 = 32 << 20;
const MOST_SHARDS: u64 = 64;
/// What a head may weigh beside the largest content.
const HEAD: u64 = 256 << 10;
