//! The memory tier: stored responses that all workers share, the variants of a URI together, bounded by bytes.
//! Judges nothing: which response answers a request is the caller's to say. Holds no lock while a value is dropped.
//! Start at [`Memory::candidates`] and [`Memory::insert`].
//!
//! The responses lie in many shards, by the hash of their URI. The order of eviction and the account of bytes are for all shards
//! together, behind one lock of their own, so that a response may be as large as the whole allows. With S3-FIFO (Yang et al.,
//! "FIFO queues are all you need for cache eviction", SOSP 2023) a hit changes no order: it reads a shard and never takes that
//! lock. A shard's lock may be held when the other is taken, never the other way round.

mod ghosts;
mod nodes;
mod queues;
mod shard;
#[cfg(test)]
mod tests;
mod weight;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use http::HeaderMap;
use smallvec::SmallVec;

use self::queues::{Mark, Queues};
use self::shard::{Shard, Taken};
use super::{Candidates, Key, Realm, Stored};

pub use self::weight::{compact, weight};

/// What is stored in memory.
pub struct Memory {
    shards: Box<[Padded]>,
    queues: Mutex<Queues>,
    /// Of this process alone: clients choose the URIs.
    hasher: RandomState,
    bound: AtomicU64,
}

/// Neighbours do not share a cache line, or a pair of them.
#[repr(align(128))]
#[derive(Default)]
struct Padded(RwLock<Shard>);

/// How the memory tier is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Responses.
    pub entries: u64,
    /// Bytes that they take, heads, content and all tables counted.
    pub bytes: u64,
    /// Bytes that they may take.
    pub bound: u64,
    /// Responses that made room for others, since the start.
    pub evictions: u64,
    /// Responses that were taken in, since the start.
    pub inserted: u64,
    /// Responses that were too large, since the start.
    pub rejected: u64,
}

impl Memory {
    /// Room for so many bytes, heads and tables counted. With none, nothing is taken.
    pub fn new(bound: u64) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Padded::default()).collect(),
            queues: Mutex::new(Queues::new(bound)),
            hasher: RandomState::new(),
            bound: AtomicU64::new(bound),
        }
    }

    /// Changes the bound, and evicts what is beyond it.
    pub fn set_bound(&self, bound: u64) {
        self.bound.store(bound, Ordering::Relaxed);
        self.queues().bound = bound;
        self.make_room(0);
    }

    /// The bytes that the content of one response may take: larger ones lie on disk, or nowhere.
    pub fn largest(&self) -> u64 {
        self.bound.load(Ordering::Relaxed) / LARGEST
    }

    /// All that is stored of a URI, newest first. Not a use.
    pub fn all(&self, uri: &str) -> SmallVec<[Arc<Stored>; 4]> {
        let hash = self.hasher.hash_one(uri);
        let shard = self.read(hash);
        let group = shard.group(hash, uri);
        group.map_or_else(SmallVec::new, |group| {
            group.variants.iter().cloned().collect()
        })
    }

    /// What is stored for a key, newest first; that the request's fields select one is a use of it.
    pub fn candidates(&self, key: &Key, headers: &HeaderMap) -> Candidates {
        let hash = self.hasher.hash_one(&**key.uri());
        let shard = self.read(hash);
        let group = shard.group(hash, key.uri());
        let variants = group.map(|group| group.variants.iter().cloned());
        let found = Candidates::of(key, headers, variants.into_iter().flatten());
        let selected = group.zip(found.selected());
        if let Some(mark) = selected.and_then(|(group, selected)| group.mark_of(selected)) {
            mark.touch();
        }
        found
    }

    /// Stores a response in the place of what is stored for the same key and the same Vary. Others are evicted to make room.
    /// Whether it was taken: not if it is too large; what it would have taken the place of is gone all the same.
    pub fn insert(&self, stored: Arc<Stored>) -> bool {
        self.put(stored, true)
    }

    /// Stores a response, unless there is one for the same key and the same Vary. Whether it was taken.
    pub fn insert_if_absent(&self, stored: Arc<Stored>) -> bool {
        self.put(stored, false)
    }

    /// Puts an updated response in the place of one (RFC 9111 §3.2); it is the newest variant then. Whether the old one was
    /// still there.
    pub fn replace(&self, old: &Arc<Stored>, new: Arc<Stored>) -> bool {
        let uri = old.key.uri();
        if new.key.uri() != uri {
            return false;
        }
        let hash = self.hasher.hash_one(&**uri);
        let weight = weight(&new);
        let alike = self.change(hash, |shard| {
            let mark = shard.group_mut(hash, uri)?.replace(old, new.clone())?;
            self.queues().reweigh(&mark, weight);
            // The update may have changed what it varies by, to what another one has.
            Some(shard.take_where(hash, uri, |other, mark_of_other| {
                is_alike(other, &new) && !Arc::ptr_eq(mark_of_other, &mark)
            }))
        });
        let there = alike.is_some();
        self.release(&alike.unwrap_or_default());
        self.make_room(0);
        there
    }

    /// Weighs a response again, of whose content more has arrived, or has left for the disk. Whether it is still there: not if it
    /// was evicted or taken out, or has become too large, which takes it out.
    pub fn grow(&self, stored: &Arc<Stored>) -> bool {
        let uri = stored.key.uri();
        let hash = self.hasher.hash_one(&**uri);
        let mark = self.read(hash).mark_of(hash, stored).cloned();
        let Some(mark) = mark else { return false };
        let weight = weight(stored);
        if self.is_too_large(weight) {
            self.remove(stored);
            self.queues().rejected += 1;
            return false;
        }
        let (there, is_over) = {
            let mut queues = self.queues();
            (queues.reweigh(&mark, weight), queues.is_over())
        };
        if !there || !is_over {
            return there;
        }
        self.make_room(0);
        self.queues().holds(&mark)
    }

    /// Whether this very response is there.
    pub fn holds(&self, stored: &Arc<Stored>) -> bool {
        let hash = self.hasher.hash_one(&**stored.key.uri());
        self.read(hash).mark_of(hash, stored).is_some()
    }

    /// Takes out a response. Whether it was there.
    pub fn remove(&self, stored: &Arc<Stored>) -> bool {
        let uri = stored.key.uri();
        let hash = self.hasher.hash_one(&**uri);
        self.remove_some(hash, uri, |other, _| Arc::ptr_eq(other, stored)) > 0
    }

    /// Takes out all that is stored of a URI. How many they were.
    pub fn remove_uri(&self, uri: &str) -> usize {
        self.remove_some(self.hasher.hash_one(uri), uri, |_, _| true)
    }

    /// The same, of one realm.
    pub fn remove_of(&self, uri: &str, realm: Realm) -> usize {
        let of_realm = |stored: &Arc<Stored>, _: &Arc<Mark>| stored.key.realm() == realm;
        self.remove_some(self.hasher.hash_one(uri), uri, of_realm)
    }

    /// Takes out what it holds for, as [`Memory::each`] goes through it. How many they were.
    pub fn remove_where(&self, holds: impl Fn(&Stored) -> bool) -> usize {
        let mut removed = 0;
        self.each_marked(|mark, stored| {
            if holds(&stored) {
                let uri = stored.key.uri();
                removed += self.remove_some(mark.uri, uri, |_, other| Arc::ptr_eq(other, mark));
            }
        });
        removed
    }

    /// Goes through all that is stored, in no order, without holding a lock while a response is looked at. What is inserted
    /// meanwhile may be left out.
    pub fn each(&self, mut look: impl FnMut(&Arc<Stored>)) {
        self.each_marked(|_, stored| look(&stored));
    }

    /// How it is.
    pub fn stats(&self) -> Stats {
        let queues = self.queues();
        Stats {
            entries: queues.entries() as u64,
            bytes: queues.bytes(),
            bound: queues.bound,
            evictions: queues.evictions,
            inserted: queues.inserted,
            rejected: queues.rejected,
        }
    }

    /// A head may take as much as a content.
    fn is_too_large(&self, weight: u64) -> bool {
        weight > 2 * self.largest()
    }

    fn put(&self, stored: Arc<Stored>, in_place: bool) -> bool {
        let uri = self.hasher.hash_one(&**stored.key.uri());
        let weight = weight(&stored);
        if self.is_too_large(weight) {
            self.queues().rejected += 1;
            if in_place {
                // What is stored is out of date.
                self.remove_some(uri, stored.key.uri(), |other, _| is_alike(other, &stored));
            }
            return false;
        }
        if !in_place && self.read(uri).has_alike(uri, &stored) {
            return false;
        }
        self.make_room(weight);
        let name = (uri, stored.key.extras(), &stored.vary);
        let name = self.hasher.hash_one(name);
        let (is_taken, alike, taken) = self.change(uri, |shard| {
            let is_wanted = in_place || !shard.has_alike(uri, &stored);
            let mut queues = self.queues();
            queues.reserved = queues.reserved.saturating_sub(weight);
            if !is_wanted {
                return (false, Taken::new(), Taken::new());
            }
            let alike =
                shard.take_where(uri, stored.key.uri(), |other, _| is_alike(other, &stored));
            let first = alike.first();
            let mark = first
                .and_then(|(_, old)| queues.supersede(old, weight))
                .or_else(|| queues.admit((uri, name), weight));
            let is_taken = mark.is_some();
            let taken = mark.map(|mark| shard.put(stored.clone(), mark));
            let taken = taken.unwrap_or_default();
            // One that was superseded is not known by its mark any more.
            for (_, old) in alike.iter().chain(&taken) {
                queues.release(old);
            }
            (is_taken, alike, taken)
        });
        drop((alike, taken));
        // Tables may have grown.
        self.make_room(0);
        is_taken
    }

    fn remove_some(
        &self,
        hash: u64,
        uri: &str,
        holds: impl Fn(&Arc<Stored>, &Arc<Mark>) -> bool,
    ) -> usize {
        let taken = self.change(hash, |shard| shard.take_where(hash, uri, holds));
        self.release(&taken);
        taken.len()
    }

    fn each_marked(&self, mut look: impl FnMut(&Arc<Mark>, Arc<Stored>)) {
        let mut from = 0;
        loop {
            let some = self.queues().some(from, STEP);
            let Some(some) = some else { return };
            from += STEP;
            for mark in some {
                let stored = self.read(mark.uri).marked(&mark).cloned();
                if let Some(stored) = stored {
                    look(&mark, stored);
                }
            }
        }
    }

    /// Sets so many bytes aside, and evicts until all is within the bound, a few entries at a time.
    fn make_room(&self, reserve: u64) {
        let mut reserve = reserve;
        loop {
            let mut evicted = Vec::new();
            let more = {
                let mut queues = self.queues();
                queues.reserved += std::mem::take(&mut reserve);
                queues.trim(&mut evicted)
            };
            for mark in evicted {
                drop(self.change(mark.uri, |shard| shard.take_marked(&mark)));
            }
            if !more {
                return;
            }
        }
    }

    fn release(&self, taken: &Taken) {
        if taken.is_empty() {
            return;
        }
        let mut queues = self.queues();
        for (_, mark) in taken {
            queues.release(mark);
        }
    }

    /// Changes a shard, and keeps the account of its table. What comes out is dropped by the caller, after the lock.
    fn change<R>(&self, hash: u64, change: impl FnOnce(&mut Shard) -> R) -> R {
        let mut shard = self
            .padded(hash)
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before = shard.bytes;
        let out = change(&mut shard);
        if shard.bytes != before {
            let mut queues = self.queues();
            queues.tables = (queues.tables + shard.bytes).saturating_sub(before);
        }
        out
    }

    fn read(&self, hash: u64) -> RwLockReadGuard<'_, Shard> {
        let shard = self.padded(hash).0.read();
        shard.unwrap_or_else(PoisonError::into_inner)
    }

    fn padded(&self, hash: u64) -> &Padded {
        // A shard's own table goes by the lowest and the highest bits.
        let at = (hash >> 32) as usize % SHARDS;
        self.shards
            .get(at)
            .expect("there are SHARDS of them, and the index is below")
    }

    /// Nothing is left half done by a holder that broke down.
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether they are stored for the same key and the same Vary.
fn is_alike(one: &Stored, other: &Stored) -> bool {
    one.key == other.key && one.vary == other.vary
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Memory").field(&self.stats()).finish()
    }
}

/// So many that the workers of a large machine seldom meet in one.
const SHARDS: usize = 256;

/// So manieth part of the bound may be taken by one content.
const LARGEST: u64 = 8;

/// So many entries are gone through at a time.
const STEP: usize = 128;
