//! What has lately been evicted without having been used: who comes back soon was evicted too early.
//! A table of fingerprints, in which a new one takes the place of an old one. Start at [`Ghosts`].

use super::weight::allocation;

/// Fingerprints, as many as there are entries, or more.
pub(super) struct Ghosts {
    table: Vec<u32>,
}

impl Ghosts {
    pub(super) fn new() -> Self {
        Self { table: Vec::new() }
    }

    /// Notes a name; `entries` is how many there are in the cache now.
    pub(super) fn note(&mut self, name: u64, entries: usize) {
        if self.table.is_empty() {
            self.table.resize(LEAST, 0);
        }
        while self.table.len() < entries {
            // The position is of the low bits: in a table of double size each may be in either half.
            self.table.extend_from_within(..);
        }
        let (at, print) = self.place(name);
        if let Some(place) = self.table.get_mut(at) {
            *place = print;
        }
    }

    /// Whether a name was noted; it is forgotten then.
    pub(super) fn forget(&mut self, name: u64) -> bool {
        let (at, print) = self.place(name);
        let place = self.table.get_mut(at).filter(|place| **place == print);
        place.map(|place| *place = 0).is_some()
    }

    pub(super) fn clear(&mut self) {
        if self.table.len() > LEAST {
            *self = Self::new();
        }
    }

    /// What the table takes.
    pub(super) fn bytes(&self) -> u64 {
        allocation(self.table.capacity() * size_of::<u32>())
    }

    fn place(&self, name: u64) -> (usize, u32) {
        // The length is a power of two. Zero means that nothing is there.
        let mask = self.table.len().wrapping_sub(1);
        (name as usize & mask, (name >> 32) as u32 | 1)
    }
}

const LEAST: usize = 1024;
