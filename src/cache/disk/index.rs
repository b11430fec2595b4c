//! What is on the disk, by the digest of its URI, what it takes, and what goes first when there is no room.
//! Not the files (place): whoever takes something out here has removed the file, or will not use it again. Start at [`Index`].
//!
//! The order of eviction is that of S3-FIFO: what is new stands in a short queue, from which only what was used again gets to the
//! main one, so that a scan of things used once does not drive out what is used often; what was evicted and comes back soon
//! goes to the main queue at once. An entry takes 52 bytes, and 21 in a hash table that is between 7/16 and 7/8 full: 76 to 100.

use std::collections::HashMap;

use super::layout::PAGE;
use super::name::Name;
use crate::cache::Digest;

/// More variants of one URI are not kept: their list is walked.
pub(super) const MOST_VARIANTS: usize = 64;
const NONE: u32 = u32::MAX;
const MOST_USES: u8 = 3;

/// The index. Counts pages.
#[derive(Debug)]
pub(super) struct Index {
    /// The first entry of each URI.
    uris: HashMap<Digest, u32>,
    entries: Vec<Entry>,
    /// The first free entry; they are linked through `next`.
    free: u32,
    entry_count: usize,
    queues: [Queue; 2],
    /// Short names of what was evicted of the new ones, each at its own place.
    ghosts: Box<[u32]>,
    /// Pages that are promised to files being written.
    reserved: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Name,
    /// The next variant of the URI.
    next: u32,
    newer: u32,
    older: u32,
    pages: u32,
    /// Which queue, `FREE` for none.
    queue: u8,
    uses: u8,
}

#[derive(Debug, Clone, Copy)]
struct Queue {
    newest: u32,
    oldest: u32,
    pages: u64,
}

const NEW: u8 = 0;
const MAIN: u8 = 1;
const FREE: u8 = 2;

impl Index {
    /// An index that remembers about so many evicted names.
    pub(super) fn new(ghosts: usize) -> Self {
        let queue = Queue {
            newest: NONE,
            oldest: NONE,
            pages: 0,
        };
        Self {
            uris: HashMap::new(),
            entries: Vec::new(),
            free: NONE,
            entry_count: 0,
            queues: [queue; 2],
            ghosts: vec![0; ghosts.max(1)].into(),
            reserved: 0,
        }
    }

    /// Forgets all that is there, but not what is promised to files being written.
    pub(super) fn clear(&mut self) {
        let reserved = self.reserved;
        *self = Self::new(1);
        self.reserved = reserved;
    }

    /// How many objects there are.
    pub(super) fn len(&self) -> usize {
        self.entry_count
    }

    /// Bytes that are taken or promised.
    pub(super) fn bytes(&self) -> u64 {
        let [new, main] = &self.queues;
        (new.pages + main.pages + self.reserved) * PAGE
    }

    /// Promises pages to a file that is to be written, if there is room.
    pub(super) fn reserve(&mut self, pages: u32, bound: u64) -> bool {
        let fits = self.bytes() + u64::from(pages) * PAGE <= bound;
        if fits {
            self.reserved += u64::from(pages);
        }
        fits
    }

    /// Takes a promise back.
    pub(super) fn release(&mut self, pages: u32) {
        self.reserved = self.reserved.saturating_sub(u64::from(pages));
    }

    /// Whether there is anything of a URI.
    pub(super) fn holds(&self, uri: &Digest) -> bool {
        self.uris.contains_key(uri)
    }

    /// All of a URI, the newest first.
    pub(super) fn variants(&self, uri: &Digest) -> Vec<Name> {
        self.chain(uri)
            .filter_map(|at| self.entry(at))
            .map(|entry| entry.name)
            .collect()
    }

    /// Notes a use.
    pub(super) fn touch(&mut self, name: &Name) {
        if let Some(at) = self.find(name)
            && let Some(entry) = self.entries.get_mut(at as usize)
        {
            entry.uses = (entry.uses + 1).min(MOST_USES);
        }
    }

    /// Adds an object, or tells the new size of one that was replaced. What comes back is one variant too many.
    #[must_use]
    pub(super) fn insert(&mut self, name: Name, pages: u32) -> Option<Name> {
        if let Some(at) = self.find(&name) {
            let queue = self.unlink(at);
            if let Some(entry) = self.entries.get_mut(at as usize) {
                entry.pages = pages;
            }
            self.link(at, queue);
            return None;
        }
        let variants = self.variants(&name.uri);
        let queue = if self.was_evicted(&name) { MAIN } else { NEW };
        let entry = Entry {
            name,
            next: self.uris.get(&name.uri).copied().unwrap_or(NONE),
            newer: NONE,
            older: NONE,
            pages,
            queue: FREE,
            uses: 0,
        };
        let at = self.place(entry)?;
        self.uris.insert(name.uri, at);
        self.link(at, queue);
        self.entry_count += 1;
        (variants.len() >= MOST_VARIANTS)
            .then(|| variants.last().copied())
            .flatten()
    }

    /// Takes an object out. Whether it was there.
    pub(super) fn remove(&mut self, name: &Name) -> bool {
        let Some(at) = self.find(name) else {
            return false;
        };
        let next = self.entry(at).map_or(NONE, |entry| entry.next);
        let before = self
            .chain(&name.uri)
            .take_while(|other| *other != at)
            .last();
        match before {
            Some(before) => {
                if let Some(entry) = self.entries.get_mut(before as usize) {
                    entry.next = next;
                }
            }
            None if next == NONE => {
                self.uris.remove(&name.uri);
            }
            None => {
                self.uris.insert(name.uri, next);
            }
        }
        self.unlink(at);
        if let Some(entry) = self.entries.get_mut(at as usize) {
            entry.queue = FREE;
            entry.next = self.free;
            self.free = at;
        }
        self.entry_count -= 1;
        true
    }

    /// What is to go next: it stays until it is removed.
    pub(super) fn victim(&mut self, bound: u64) -> Option<Name> {
        // Each step but the last moves an entry to the main queue or takes a use from one, so there is an end.
        loop {
            let [new, main] = &self.queues;
            let from_new = main.oldest == NONE || new.pages * PAGE > bound / 10;
            let at = if from_new && new.oldest != NONE {
                new.oldest
            } else {
                main.oldest
            };
            let entry = self.entries.get_mut(at as usize)?;
            if entry.uses == 0 {
                return Some(entry.name);
            }
            if entry.queue == NEW {
                entry.uses = 0;
            } else {
                entry.uses -= 1;
            }
            self.unlink(at);
            self.link(at, MAIN);
        }
    }

    /// Takes out what had to go, and remembers it for a while if it had been new.
    pub(super) fn evicted(&mut self, name: &Name) {
        let was_new = self
            .find(name)
            .and_then(|at| self.entry(at))
            .is_some_and(|entry| entry.queue == NEW);
        if was_new {
            let (place, short) = self.ghost(name);
            if let Some(ghost) = self.ghosts.get_mut(place) {
                *ghost = short;
            }
        }
        self.remove(name);
    }

    /// Puts an object, such as one that could not be removed, to the new end of the main queue.
    pub(super) fn keep(&mut self, name: &Name) {
        if let Some(at) = self.find(name) {
            self.unlink(at);
            self.link(at, MAIN);
        }
    }

    /// Puts what was there before a restart in order: the last of these names is to go last.
    pub(super) fn settle(&mut self, names: &[Name]) {
        for name in names {
            self.keep(name);
        }
    }

    /// Some names from a place on, and the place to go on from; `None` at the end.
    pub(super) fn walk(&self, from: usize, most: usize) -> Option<(Vec<Name>, usize)> {
        let part = self.entries.get(from..).filter(|part| !part.is_empty())?;
        let part = part.get(..most).unwrap_or(part);
        let names = part
            .iter()
            .filter(|entry| entry.queue != FREE)
            .map(|entry| entry.name)
            .collect();
        Some((names, from + part.len()))
    }

    fn entry(&self, at: u32) -> Option<&Entry> {
        self.entries.get(at as usize)
    }

    fn chain(&self, uri: &Digest) -> impl Iterator<Item = u32> + '_ {
        let next = |at: &u32| self.entry(*at).map(|entry| entry.next);
        std::iter::successors(self.uris.get(uri).copied(), next).take_while(|at| *at != NONE)
    }

    fn find(&self, name: &Name) -> Option<u32> {
        self.chain(&name.uri)
            .find(|at| self.entry(*at).is_some_and(|entry| entry.name == *name))
    }

    fn place(&mut self, entry: Entry) -> Option<u32> {
        if let Some(free) = self.entries.get_mut(self.free as usize) {
            let at = self.free;
            self.free = free.next;
            *free = entry;
            return Some(at);
        }
        let at = u32::try_from(self.entries.len())
            .ok()
            .filter(|at| *at != NONE)?;
        self.entries.push(entry);
        Some(at)
    }

    /// Takes an entry out of its queue, which it tells.
    fn unlink(&mut self, at: u32) -> u8 {
        let Some(entry) = self.entry(at).copied() else {
            return MAIN;
        };
        let Some(queue) = self.queues.get_mut(usize::from(entry.queue)) else {
            return MAIN;
        };
        queue.pages -= u64::from(entry.pages);
        if queue.newest == at {
            queue.newest = entry.older;
        }
        if queue.oldest == at {
            queue.oldest = entry.newer;
        }
        if let Some(newer) = self.entries.get_mut(entry.newer as usize) {
            newer.older = entry.older;
        }
        if let Some(older) = self.entries.get_mut(entry.older as usize) {
            older.newer = entry.newer;
        }
        entry.queue
    }

    /// Puts an entry that is in no queue at the new end of one.
    fn link(&mut self, at: u32, which: u8) {
        let Some(queue) = self.queues.get_mut(usize::from(which)) else {
            return;
        };
        let second = queue.newest;
        queue.newest = at;
        if queue.oldest == NONE {
            queue.oldest = at;
        }
        if let Some(entry) = self.entries.get_mut(at as usize) {
            entry.queue = which;
            entry.newer = NONE;
            entry.older = second;
            queue.pages += u64::from(entry.pages);
        }
        if let Some(second) = self.entries.get_mut(second as usize) {
            second.newer = at;
        }
    }

    fn ghost(&self, name: &Name) -> (usize, u32) {
        let [a, b, c, d, e, f, g, h, ..] = name.variant;
        let [i, j, k, l, ..] = name.uri;
        let place = u64::from_le_bytes([a, b, c, d, i, j, k, l]) % self.ghosts.len() as u64;
        // Zero says that there is none.
        let short = u32::from_le_bytes([e ^ l, f ^ k, g ^ j, h ^ i]) | 1;
        (place as usize, short)
    }

    fn was_evicted(&self, name: &Name) -> bool {
        let (place, short) = self.ghost(name);
        self.ghosts.get(place) == Some(&short)
    }
}
