//! A part of the table: the variants of each URI, found by the hash of the URI.
//! Does not know who is evicted (queues). Start at [`Shard`].

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;

use super::super::Stored;
use super::is_alike;
use super::queues::Mark;
use super::weight::table;

/// The URIs whose hashes fall to it. The hash is the key: the URI itself stands in the entries, once.
#[derive(Default)]
pub(super) struct Shard {
    uris: HashMap<u64, Group, BuildHasherDefault<Hashed>>,
    /// What the table takes.
    pub(super) bytes: u64,
}

/// The variants of one URI, newest first, and the mark of each at the same index.
#[derive(Default)]
pub(super) struct Group {
    pub(super) variants: SmallVec<[Arc<Stored>; 1]>,
    marks: SmallVec<[Arc<Mark>; 1]>,
}

/// What was taken out of a group.
pub(super) type Taken = SmallVec<[(Arc<Stored>, Arc<Mark>); 1]>;

impl Shard {
    /// All of a URI.
    pub(super) fn group(&self, hash: u64, uri: &str) -> Option<&Group> {
        self.uris.get(&hash).filter(|group| group.is_of(uri))
    }

    /// All of a URI, to be changed in place but not emptied.
    pub(super) fn group_mut(&mut self, hash: u64, uri: &str) -> Option<&mut Group> {
        self.uris.get_mut(&hash).filter(|group| group.is_of(uri))
    }

    /// What has a mark, whatever its URI.
    pub(super) fn marked(&self, mark: &Arc<Mark>) -> Option<&Arc<Stored>> {
        let group = self.uris.get(&mark.uri)?;
        group.variants.get(group.at_mark(mark)?)
    }

    /// Puts an entry first. Taken out: one that is not in use if there are too many, and another URI that happens to have the same
    /// hash.
    pub(super) fn put(&mut self, stored: Arc<Stored>, mark: Arc<Mark>) -> Taken {
        let mut taken = Taken::new();
        let group = self.uris.entry(mark.uri).or_default();
        if !group.is_of(stored.key.uri()) {
            taken = std::mem::take(group).into_taken();
        }
        while group.variants.len() >= VARIANTS {
            taken.extend(group.take_unused());
        }
        group.variants.insert(0, stored);
        group.marks.insert(0, mark);
        self.bytes = self.bytes.max(self.table());
        taken
    }

    /// Whether something is stored for the same key and the same Vary.
    pub(super) fn has_alike(&self, hash: u64, stored: &Stored) -> bool {
        let group = self.group(hash, stored.key.uri());
        group.is_some_and(|group| {
            let mut variants = group.variants.iter();
            variants.any(|other| is_alike(other, stored))
        })
    }

    pub(super) fn mark_of(&self, hash: u64, stored: &Arc<Stored>) -> Option<&Arc<Mark>> {
        self.group(hash, stored.key.uri())?.mark_of(stored)
    }

    pub(super) fn take_marked(&mut self, mark: &Arc<Mark>) -> Taken {
        let Some(uri) = self.marked(mark).map(|stored| stored.key.uri().clone()) else {
            return Taken::new();
        };
        self.take_where(mark.uri, &uri, |_, other| Arc::ptr_eq(other, mark))
    }

    /// Takes out those of a URI for which it holds.
    pub(super) fn take_where(
        &mut self,
        hash: u64,
        uri: &str,
        holds: impl Fn(&Arc<Stored>, &Arc<Mark>) -> bool,
    ) -> Taken {
        let mut taken = Taken::new();
        let Some(group) = self.group_mut(hash, uri) else {
            return taken;
        };
        for at in (0..group.variants.len()).rev() {
            if group
                .get(at)
                .is_some_and(|(stored, mark)| holds(stored, mark))
            {
                taken.extend(group.take(at));
            }
        }
        if group.variants.is_empty() {
            self.uris.remove(&hash);
            self.shrink();
        }
        taken
    }

    /// Gives back what a table much too large takes.
    fn shrink(&mut self) {
        let (length, capacity) = (self.uris.len(), self.uris.capacity());
        if capacity > KEPT && length < capacity / 4 {
            self.uris.shrink_to(length * 2);
            self.bytes = self.table();
        }
    }

    fn table(&self) -> u64 {
        table(self.uris.capacity(), size_of::<(u64, Group)>())
    }
}

impl Group {
    pub(super) fn mark_of(&self, stored: &Arc<Stored>) -> Option<&Arc<Mark>> {
        let at = |other| Arc::ptr_eq(stored, other);
        self.marks.get(self.variants.iter().position(at)?)
    }

    /// Puts an entry in the place of another, and first. What was there; `None` if that was not.
    pub(super) fn replace(&mut self, old: &Arc<Stored>, new: Arc<Stored>) -> Option<Arc<Mark>> {
        let mark = self.mark_of(old)?.clone();
        self.take(self.at_mark(&mark)?);
        self.variants.insert(0, new);
        self.marks.insert(0, mark.clone());
        Some(mark)
    }

    fn is_of(&self, uri: &str) -> bool {
        let first = self.variants.first();
        first.is_some_and(|first| **first.key.uri() == *uri)
    }

    fn at_mark(&self, mark: &Arc<Mark>) -> Option<usize> {
        self.marks.iter().position(|other| Arc::ptr_eq(mark, other))
    }

    fn get(&self, at: usize) -> Option<(&Arc<Stored>, &Arc<Mark>)> {
        self.variants.get(at).zip(self.marks.get(at))
    }

    /// Takes out the oldest one that nobody has used since it was last looked at; those that were used become the newest. A client
    /// makes as many variants as it likes, and must not drive out with them what others use.
    fn take_unused(&mut self) -> Option<(Arc<Stored>, Arc<Mark>)> {
        while self.marks.last()?.forgive() {
            self.variants.rotate_right(1);
            self.marks.rotate_right(1);
        }
        self.take(self.variants.len() - 1)
    }

    fn take(&mut self, at: usize) -> Option<(Arc<Stored>, Arc<Mark>)> {
        (at < self.variants.len()).then(|| (self.variants.remove(at), self.marks.remove(at)))
    }

    fn into_taken(self) -> Taken {
        self.variants.into_iter().zip(self.marks).collect()
    }
}

/// The key is a hash already, of a hash function with a secret.
#[derive(Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Variants of one URI.
const VARIANTS: usize = 64;

/// A table for so many is kept.
const KEPT: usize = 8;
