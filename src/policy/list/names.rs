//! A set of host names, stored exactly and tightly: one arena of bytes and one table of 32-bit slots.
//! Not a filter by fingerprints: two names are never taken for one, as that would deny an innocent one.
//! Start at [`Names::lists`].

use std::hash::{BuildHasher, Hasher, RandomState};

use memchr::memrchr;

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

    const fn lists(self) -> bool {
        self.0 & Self::TREE.0 != 0
    }
}

/// The names of one list.
///
/// An entry in the arena is its length, its [`Scope`] and its bytes. A slot holds an entry's offset in its low bits and a tag of its hash in
/// the bits that offsets do not need, so that a probe hardly ever reads the arena in vain. The hash is SipHash under keys drawn at random:
/// who writes names into a list or a request cannot make them collide.
#[derive(Debug)]
pub(super) struct Names {
    arena: Vec<u8>,
    slots: Box<[u32]>,
    offset_bits: u32,
    count: usize,
    listing: usize,
    /// Bit n is set if an entry has n labels: no other suffix of a name needs a look.
    label_counts: u128,
    exceptions: bool,
    most_specific: bool,
    keys: RandomState,
}

impl Names {
    /// An empty set with room for `entries` names of `bytes` in all.
    /// `most_specific`: the longest entry decides, as in RPZ; otherwise an exception wins over every entry.
    pub(super) fn with_capacity(entries: usize, bytes: usize, most_specific: bool) -> Self {
        // Offset 0 is never an entry, so that slot 0 can mean "empty".
        let mut arena = Vec::with_capacity((bytes + HEADER * entries).min(MAX_ARENA) + 1);
        arena.push(0);
        let offset_bits = bits_for(arena.capacity());
        Self {
            arena,
            slots: vec![0; slots_for(entries)].into(),
            offset_bits,
            count: 0,
            listing: 0,
            label_counts: 0,
            exceptions: false,
            most_specific,
            keys: RandomState::new(),
        }
    }

    /// How many names there are that are listed (not only excepted).
    pub(super) fn listing(&self) -> usize {
        self.listing
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.arena.capacity() + self.slots.len() * size_of::<u32>()
    }

    /// Whether a canonical name, or a parent of it, is listed and not excepted.
    pub(super) fn lists(&self, name: &str) -> bool {
        let name = name.as_bytes();
        let mut hasher = self.keys.build_hasher();
        let (mut listed, mut excepted) = (false, false);
        for (labels, (start, piece)) in (1..).zip(Pieces::of(name)) {
            hasher.write(piece);
            if !has_bit(self.label_counts, labels) {
                continue;
            }
            let suffix = name.get(start..).unwrap_or_default();
            let Ok(offset) = self.probe(hasher.finish(), suffix) else {
                continue;
            };
            let scope = if start == 0 {
                Scope::EXACT
            } else {
                Scope::BELOW
            };
            let flags = self.flags_at(offset);
            let (lists, excepts) = (flags & scope.0 != 0, flags & scope.excepted().0 != 0);
            if !self.exceptions && lists {
                return true;
            }
            if self.most_specific && (lists || excepts) {
                (listed, excepted) = (lists, excepts);
            } else {
                (listed, excepted) = (listed || lists, excepted || excepts);
            }
        }
        listed && !excepted
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
        if slots_for(self.count + 1) > self.slots.len() {
            self.rebuild(slots_for(self.count + self.count / 2 + 16));
        }
        if bits_for(end) > self.offset_bits {
            self.offset_bits = bits_for(end + end / 2).min(bits_for(MAX_ARENA));
            self.rebuild(self.slots.len());
        }
        self.exceptions |= !scope.lists();
        let (hash, labels) = self.hash(name);
        match self.probe(hash, name) {
            Ok(offset) => {
                if let Some(flags) = self.arena.get_mut(offset + 1) {
                    self.listing += usize::from(scope.lists() && !Scope(*flags).lists());
                    *flags |= scope.0;
                }
            }
            Err(at) => {
                let slot = self.slot(hash, self.arena.len());
                if let Some(free) = self.slots.get_mut(at) {
                    *free = slot;
                }
                self.arena.extend_from_slice(&[length, scope.0]);
                self.arena.extend_from_slice(name);
                self.count += 1;
                self.listing += usize::from(scope.lists());
                self.label_counts |= bit(labels);
            }
        }
        true
    }

    /// Gives back what was reserved and is not needed.
    pub(super) fn shrink(&mut self) {
        self.arena.shrink_to_fit();
        let (tight, bits) = (slots_for(self.count), bits_for(self.arena.len()));
        if self.slots.len() > tight + tight / 8 || bits < self.offset_bits {
            self.offset_bits = bits;
            self.rebuild(tight);
        }
    }

    /// The offset of a name's entry, or the slot where it would stand.
    fn probe(&self, hash: u64, name: &[u8]) -> Result<usize, usize> {
        let wanted = self.slot(hash, 0);
        let mask = (1 << self.offset_bits) - 1;
        let mut at = self.home(hash);
        loop {
            let slot = self.slots.get(at).copied().unwrap_or(0);
            if slot == 0 {
                return Err(at);
            }
            let offset = (slot & mask) as usize;
            if slot & !mask == wanted && self.name_at(offset) == name {
                return Ok(offset);
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }

    /// The slot where the search for a hash begins. The table need not be a power of two: the hash's upper half is scaled to it.
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.slots.len() as u64) >> 32) as usize
    }

    fn slot(&self, hash: u64, offset: usize) -> u32 {
        // The lower half gives the tag, as the upper one chose the slot. Offsets fit: `MAX_ARENA` is below 2^31.
        ((hash as u32) << self.offset_bits) | offset as u32
    }

    fn hash(&self, name: &[u8]) -> (u64, usize) {
        let mut hasher = self.keys.build_hasher();
        let mut labels = 0;
        for (_, piece) in Pieces::of(name) {
            hasher.write(piece);
            labels += 1;
        }
        (hasher.finish(), labels)
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

    /// Makes the table anew with so many slots, from the arena alone.
    fn rebuild(&mut self, slots: usize) {
        self.slots = Box::default();
        self.slots = vec![0; slots].into();
        let mut offset = 1;
        while offset < self.arena.len() {
            let name = self.name_at(offset);
            let next = offset + HEADER + name.len();
            let (hash, _) = self.hash(name);
            let mut at = self.home(hash);
            while self.slots.get(at).is_some_and(|slot| *slot != 0) {
                at = if at + 1 == slots { 0 } else { at + 1 };
            }
            let slot = self.slot(hash, offset);
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
            offset = next;
        }
    }
}

/// A name cut at its dots from the right, each piece with the dot that follows it: `com`, `example.`, `www.`; with each, where it starts.
/// Hashing goes piece by piece, so that one pass yields the hash of every parent.
struct Pieces<'a> {
    name: &'a [u8],
    end: usize,
}

impl<'a> Pieces<'a> {
    fn of(name: &'a [u8]) -> Self {
        Self {
            name,
            end: name.len(),
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.end == 0 {
            return None;
        }
        let label_end = if self.end == self.name.len() {
            self.end
        } else {
            self.end - 1
        };
        let label = self.name.get(..label_end)?;
        let start = memrchr(b'.', label).map_or(0, |dot| dot + 1);
        let piece = self.name.get(start..self.end)?;
        self.end = start;
        Some((start, piece))
    }
}

/// Slots for so many entries: at most seven in ten are taken, so that a search for what is not there ends soon.
fn slots_for(entries: usize) -> usize {
    entries + entries * 3 / 7 + 8
}

/// Bits that hold every offset below `bytes`.
fn bits_for(bytes: usize) -> u32 {
    usize::BITS - bytes.min(MAX_ARENA).leading_zeros()
}

fn bit(labels: usize) -> u128 {
    1 << labels.min(127)
}

fn has_bit(counts: u128, labels: usize) -> bool {
    counts & bit(labels) != 0
}

/// An entry's length and scope.
const HEADER: usize = 2;
/// At least one bit of a slot stays for the tag.
const MAX_ARENA: usize = (1 << 31) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_at_its_dots_from_the_right() {
        let pieces: Vec<_> = Pieces::of(b"www.example.com").collect();
        let expected: [(usize, &[u8]); 3] = [(12, b"com"), (4, b"example."), (0, b"www.")];
        assert_eq!(pieces, expected);
        assert_eq!(Pieces::of(b"").count(), 0);
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
