//! A set of host names, stored exactly and tightly: one arena of bytes and one table of 32-bit slots.
//! Not a filter by fingerprints: two names are never taken for one, as that would deny an innocent one.
//! Start at [`Names::lists`].

use super::keys::Keys;

/// What an entry says about its name. Combined with `|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope(u8);

impl Scope {
    /// The name itself.
    pub(super) const EXACT: Self = Self(1);
    /// Every name below it.
    pub(super) const BELOW: Self = Self(2);
    /// The name and every name below it.
    pub(super) const TREE: Self = Self(3);

    /// The same names, as an exception: not listed.
    pub(super) const fn excepted(self) -> Self {
        Self(self.0 << 2)
    }

    /// Whether it says anything about what `other` covers.
    const fn speaks_of(self, other: Self) -> bool {
        self.0 & (other.0 | other.excepted().0) != 0
    }

    const fn lists(self) -> bool {
        self.0 & Self::TREE.0 != 0
    }
}

/// The names of one list.
///
/// An entry in the arena is its length, its [`Scope`] and its bytes. A slot holds an entry's offset in its low bits and a tag of its hash in
/// the bits that offsets do not need, so that a look hardly ever reads the arena in vain. Sixteen slots are a bucket, one line of a
/// processor's cache; an entry stands in the first bucket with room from its own on.
#[derive(Debug)]
pub(super) struct Names {
    arena: Vec<u8>,
    buckets: Vec<Bucket>,
    offset_bits: u32,
    count: usize,
    listing: usize,
    /// Bit n is set if an entry speaks of itself and has n labels: a name of another count needs no look.
    exact_counts: u128,
    /// The same for entries that speak of what is below them: these are the parents worth a look.
    below_counts: u128,
    exceptions: bool,
    most_specific: bool,
    keys: Keys,
}

impl Names {
    /// An empty set with room for `entries` names of `bytes` in all.
    /// `most_specific`: the longest entry decides, as in RPZ; otherwise an exception wins over every entry.
    pub(super) fn with_capacity(entries: usize, bytes: usize, most_specific: bool) -> Self {
        // Offset 0 is never an entry, so that slot 0 can mean "empty"; read as one, its name is empty.
        let mut arena = Vec::with_capacity((bytes + HEADER * entries).min(MAX_ARENA) + 1);
        arena.push(0);
        let offset_bits = bits_for(arena.capacity());
        Self {
            arena,
            buckets: vec![Bucket::default(); buckets_for(entries)],
            offset_bits,
            count: 0,
            listing: 0,
            exact_counts: 0,
            below_counts: 0,
            exceptions: false,
            most_specific,
            keys: Keys::random(),
        }
    }

    /// How many names there are that are listed (not only excepted).
    pub(super) fn listing(&self) -> usize {
        self.listing
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.arena.capacity() + self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Whether a canonical name, or a parent of it, is listed and not excepted.
    pub(super) fn lists(&self, name: &str) -> bool {
        let name = name.as_bytes();
        let mut answer = Answer::default();
        let mut batch = [Candidate::default(); BATCH];
        let mut filled = 0;
        self.keys.suffixes(name, |start, labels, hash| {
            let counts = if start == 0 {
                self.exact_counts
            } else {
                self.below_counts
            };
            if counts & bit(labels) == 0 {
                return;
            }
            if filled == BATCH {
                self.ask(name, &mut batch, &mut answer);
                filled = 0;
            }
            if let Some(free) = batch.get_mut(filled) {
                *free = Candidate {
                    start,
                    hash,
                    worth: false,
                };
                filled += 1;
            }
        });
        self.ask(
            name,
            batch.get_mut(..filled).unwrap_or_default(),
            &mut answer,
        );
        answer.listed && !answer.excepted
    }

    /// Looks at suffixes of a name, short ones first. All buckets are looked at before any outcome is acted on: a branch in between would make
    /// the processor wait for memory once for each suffix rather than once for all.
    fn ask(&self, name: &[u8], batch: &mut [Candidate], answer: &mut Answer) {
        for candidate in batch.iter_mut() {
            let bucket = self.buckets.get(self.home(candidate.hash));
            let wanted = self.slot(candidate.hash, 0);
            candidate.worth =
                bucket.is_some_and(|bucket| bucket.worth_a_look(wanted, self.offset_mask()));
        }
        for candidate in batch.iter().filter(|candidate| candidate.worth) {
            let suffix = name.get(candidate.start..).unwrap_or_default();
            let Ok(offset) = self.probe(candidate.hash, suffix) else {
                continue;
            };
            let scope = if candidate.start == 0 {
                Scope::EXACT
            } else {
                Scope::BELOW
            };
            let flags = self.flags_at(offset);
            let (lists, excepts) = (flags & scope.0 != 0, flags & scope.excepted().0 != 0);
            if self.most_specific && (lists || excepts) {
                (answer.listed, answer.excepted) = (lists, excepts);
            } else {
                answer.listed |= lists;
                answer.excepted |= excepts;
            }
            if answer.listed && !self.exceptions {
                return;
            }
        }
    }

    /// Adds a canonical name of at most 253 bytes. False where the arena is full.
    pub(super) fn insert(&mut self, name: &[u8], scope: Scope) -> bool {
        let Ok(length) = u8::try_from(name.len()) else {
            return false;
        };
        let end = self.arena.len() + HEADER + name.len();
        if end > MAX_ARENA {
            return false;
        }
        if buckets_for(self.count + 1) > self.buckets.len() {
            self.rebuild(buckets_for(self.count + self.count / 2 + 16));
        }
        if bits_for(end) > self.offset_bits {
            self.offset_bits = bits_for(end + end / 2);
            self.rebuild(self.buckets.len());
        }
        self.exceptions |= !scope.lists();
        let (hash, labels) = self.keys.hash(name);
        if scope.speaks_of(Scope::EXACT) {
            self.exact_counts |= bit(labels);
        }
        if scope.speaks_of(Scope::BELOW) {
            self.below_counts |= bit(labels);
        }
        match self.probe(hash, name) {
            Ok(offset) => {
                if let Some(flags) = self.arena.get_mut(offset + 1) {
                    self.listing += usize::from(scope.lists() && !Scope(*flags).lists());
                    *flags |= scope.0;
                }
            }
            Err(bucket) => {
                let slot = self.slot(hash, self.arena.len());
                if let Some(bucket) = self.buckets.get_mut(bucket) {
                    bucket.take(slot);
                }
                self.arena.extend_from_slice(&[length, scope.0]);
                self.arena.extend_from_slice(name);
                self.count += 1;
                self.listing += usize::from(scope.lists());
            }
        }
        true
    }

    /// Gives back what was reserved and is not needed.
    pub(super) fn shrink(&mut self) {
        self.arena.shrink_to_fit();
        let (tight, bits) = (buckets_for(self.count), bits_for(self.arena.len()));
        if self.buckets.len() > tight + tight / 8 || bits < self.offset_bits {
            self.offset_bits = bits;
            self.rebuild(tight);
        }
    }

    /// The offset of a name's entry, or the bucket with room for it.
    fn probe(&self, hash: u64, name: &[u8]) -> Result<usize, usize> {
        let (wanted, mask) = (self.slot(hash, 0), self.offset_mask());
        let mut at = self.home(hash);
        loop {
            let Some(bucket) = self.buckets.get(at) else {
                return Err(at);
            };
            for slot in bucket.0.iter().filter(|slot| **slot & !mask == wanted) {
                let offset = (slot & mask) as usize;
                if self.name_at(offset) == name {
                    return Ok(offset);
                }
            }
            if bucket.has_room() {
                return Err(at);
            }
            at = self.after(at);
        }
    }

    /// The bucket where the search for a hash begins. Their number need not be a power of two: the hash's upper half is scaled to it.
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() {
            0
        } else {
            bucket + 1
        }
    }

    fn slot(&self, hash: u64, offset: usize) -> u32 {
        // The lower half gives the tag, as the upper one chose the bucket. Offsets fit: `MAX_ARENA` is below 2^31.
        ((hash as u32) << self.offset_bits) | offset as u32
    }

    fn offset_mask(&self) -> u32 {
        (1 << self.offset_bits) - 1
    }

    fn name_at(&self, offset: usize) -> &[u8] {
        let length = self.arena.get(offset).copied().unwrap_or(0);
        let start = offset + HEADER;
        self.arena
            .get(start..start + usize::from(length))
            .unwrap_or_default()
    }

    fn flags_at(&self, offset: usize) -> u8 {
        self.arena.get(offset + 1).copied().unwrap_or(0)
    }

    /// Makes the table anew with so many buckets, from the arena alone.
    fn rebuild(&mut self, buckets: usize) {
        self.buckets = Vec::new();
        self.buckets = vec![Bucket::default(); buckets];
        let mut offset = 1;
        while offset < self.arena.len() {
            let name = self.name_at(offset);
            let next = offset + HEADER + name.len();
            let (hash, _) = self.keys.hash(name);
            let slot = self.slot(hash, offset);
            let mut at = self.home(hash);
            while self
                .buckets
                .get_mut(at)
                .is_some_and(|bucket| !bucket.take(slot))
            {
                at = self.after(at);
            }
            offset = next;
        }
    }
}

/// A suffix of a name that may be an entry.
#[derive(Debug, Clone, Copy, Default)]
struct Candidate {
    start: usize,
    hash: u64,
    worth: bool,
}

#[derive(Debug, Default)]
struct Answer {
    listed: bool,
    excepted: bool,
}

/// Slots that are read together. They are taken from the first on; 0 is a free one.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket([u32; 16]);

impl Bucket {
    /// Whether a slot has this tag, or the search must go on in the next bucket as this one is full. May be true in vain.
    /// No branches: see [`Names::ask`].
    fn worth_a_look(&self, wanted: u32, offset_mask: u32) -> bool {
        let tags = self.0.iter().map(|slot| slot & !offset_mask);
        let tagged = tags.fold(false, |found, tag| found | (tag == wanted));
        tagged | !self.has_room()
    }

    fn has_room(&self) -> bool {
        self.0.last() == Some(&0)
    }

    /// Puts an entry in the first free slot; false where there is none.
    fn take(&mut self, entry: u32) -> bool {
        let free = self.0.iter_mut().find(|slot| **slot == 0);
        free.map(|slot| *slot = entry).is_some()
    }
}

/// Buckets for so many entries: about seven slots in ten are taken, so that a full bucket is rare.
fn buckets_for(entries: usize) -> usize {
    (entries + entries * 3 / 7) / 16 + 1
}

/// Bits that hold every offset below `bytes`.
fn bits_for(bytes: usize) -> u32 {
    usize::BITS - bytes.min(MAX_ARENA).leading_zeros()
}

fn bit(labels: usize) -> u128 {
    1 << labels.min(127)
}

/// Suffixes that are looked at together; hardly any name has more.
const BATCH: usize = 8;
/// An entry's length and scope.
const HEADER: usize = 2;
/// At least one bit of a slot stays for the tag.
const MAX_ARENA: usize = (1 << 31) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_many_labels_is_asked_for_all_its_parents() {
        let mut names = Names::with_capacity(0, 0, true);
        let name = |labels: usize| vec!["a"; labels].join(".");
        for labels in 1..=126 {
            let scope = if labels == 126 {
                Scope::BELOW
            } else {
                Scope::BELOW.excepted()
            };
            names.insert(name(labels).as_bytes(), scope);
        }
        assert!(names.lists(&name(127)));
        assert!(!names.lists(&name(126)));
    }

    #[test]
    fn growing_and_shrinking_lose_no_name_and_invent_none() {
        let mut names = Names::with_capacity(0, 0, false);
        for n in 0..20_000 {
            let scope = if n % 2 == 0 {
                Scope::EXACT
            } else {
                Scope::BELOW
            };
            assert!(names.insert(format!("n{n}.example").as_bytes(), scope));
            assert!(names.insert(format!("n{n}.example").as_bytes(), scope));
        }
        names.shrink();
        assert_eq!(names.listing(), 20_000);
        for n in 0..40_000 {
            let there = n < 20_000;
            let name = format!("n{n}.example");
            assert_eq!(names.lists(&name), there && n % 2 == 0, "{name}");
            let below = format!("a.b.{name}");
            assert_eq!(names.lists(&below), there && n % 2 == 1, "{below}");
        }
        assert!(!names.lists("example"));
    }
}
