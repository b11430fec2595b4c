//! The content of a stored response: at hand, still arriving, on disk, or some ranges of it.
//! Not the response (stored), nor how much may be held of all of them (memory).
//! Start at [`Contents`]; what arrives is brought by a [`Filler`] and taken by [`Reader`]s.

mod filler;
mod filling;
mod pieces;
mod places;
mod reader;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderMap;

pub use self::filler::{Abandoned, Filler};
use self::filling::Filling;
use self::pieces::{PIECE_COST, Pieces};
pub use self::reader::{Cut, Reader};
use super::disk::OnDisk;
use super::range::Parts;

/// A content. Clones share it; it may be read on any thread, by any number of readers, each at its own pace.
#[derive(Debug, Clone)]
pub struct Contents(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Set once all of it is there, and not changed any more. A hit looks here, and takes no lock.
    whole: OnceLock<Whole>,
    /// What has arrived so far, where it did not begin whole.
    filling: Option<Box<Filling>>,
}

/// A content that is all there, or of which no more will come.
#[derive(Debug)]
enum Whole {
    /// In memory, as one.
    One(Bytes),
    /// In memory, with what came after it.
    Memory(Pieces, Option<HeaderMap>),
    Disk(OnDisk, Option<HeaderMap>),
    Parts(Parts),
}

/// How much of one content is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In bytes. What is longer is written to disk, or not kept.
    pub in_memory: u64,
    /// In bytes. What is longer is not stored at all.
    pub largest: u64,
}

impl Contents {
    /// A content at hand. It is kept as it is: it should not be a small slice of a large buffer.
    pub fn whole(bytes: Bytes) -> Self {
        Self::made(Whole::One(bytes))
    }

    /// A content on disk. Each reader reads through a clone; what is kept for long is to be put [`aside`](OnDisk::aside) by the caller.
    pub fn on_disk(content: OnDisk) -> Self {
        Self::made(Whole::Disk(content, None))
    }

    /// A content of which only ranges are there.
    pub fn parts(parts: Parts) -> Self {
        Self::made(Whole::Parts(parts))
    }

    /// A content that arrives: `expected` is its length in bytes, where that is announced, and then it is whole with exactly so many.
    /// Whoever fetched it takes a reader before the first push.
    pub fn filling(expected: Option<u64>, limits: Limits) -> (Self, Filler) {
        let contents = Self(Arc::new(Inner {
            whole: OnceLock::new(),
            filling: Some(Box::new(Filling::new(expected))),
        }));
        let filler = Filler::new(contents.clone(), limits);
        (contents, filler)
    }

    fn made(whole: Whole) -> Self {
        Self(Arc::new(Inner {
            whole: OnceLock::from(whole),
            filling: None,
        }))
    }

    /// Its length in bytes, where that is known; of a content in parts, the length of the whole.
    pub fn length(&self) -> Option<u64> {
        match self.0.whole.get() {
            Some(Whole::One(bytes)) => Some(bytes.len() as u64),
            Some(Whole::Memory(pieces, _)) => Some(pieces.end()),
            Some(Whole::Disk(content, _)) => Some(content.length()),
            Some(Whole::Parts(parts)) => Some(parts.total()),
            None => self.0.filling.as_ref()?.expected(),
        }
    }

    /// All of it as one, where it is so at hand: always if it is in memory, has no trailers, and is at most 64 KiB long. Takes no lock
    /// and copies nothing.
    pub fn at_hand(&self) -> Option<Bytes> {
        match self.0.whole.get()? {
            Whole::One(bytes) => Some(bytes.clone()),
            Whole::Memory(..) | Whole::Disk(..) | Whole::Parts(_) => None,
        }
    }

    /// Its bytes in order, shared, where all of it is in memory.
    pub fn pieces(&self) -> Option<Vec<Bytes>> {
        match self.0.whole.get()? {
            Whole::One(bytes) => Some(vec![bytes.clone()]),
            Whole::Memory(pieces, _) => Some(pieces.all()),
            Whole::Disk(..) | Whole::Parts(_) => None,
        }
    }

    /// What is there of a content in parts.
    pub fn as_parts(&self) -> Option<&Parts> {
        match self.0.whole.get()? {
            Whole::Parts(parts) => Some(parts),
            Whole::One(_) | Whole::Memory(..) | Whole::Disk(..) => None,
        }
    }

    /// Whether all of it is there.
    pub fn is_whole(&self) -> bool {
        match self.0.whole.get() {
            Some(Whole::One(_) | Whole::Memory(..) | Whole::Disk(..)) => true,
            Some(Whole::Parts(parts)) => parts.is_whole(),
            None => false,
        }
    }

    /// Whether its bytes lie on disk, or do so in part.
    pub fn is_on_disk(&self) -> bool {
        match self.0.whole.get() {
            Some(Whole::Disk(..)) => true,
            Some(Whole::One(_) | Whole::Memory(..) | Whole::Parts(_)) => false,
            None => self.0.filling.as_ref().is_some_and(|of| of.is_spilled()),
        }
    }

    /// Whether it broke off: it will never be whole.
    pub fn has_failed(&self) -> bool {
        let failed = |filling: &Filling| filling.has_failed();
        self.0.whole.get().is_none() && self.0.filling.as_deref().is_some_and(failed)
    }

    /// Bytes of memory that its bytes take at the moment, with what it costs to keep them in pieces.
    pub fn memory(&self) -> u64 {
        let arriving = || self.0.filling.as_ref().map_or(0, |of| of.memory());
        match self.0.whole.get() {
            Some(Whole::One(bytes)) => bytes.len() as u64 + PIECE_COST,
            Some(Whole::Memory(pieces, _)) => pieces.memory(),
            Some(Whole::Parts(parts)) => parts.bytes(),
            // Who read it while it came may still need the last of it.
            Some(Whole::Disk(..)) | None => arriving(),
        }
    }

    /// Reads all of it, or a range of it in bytes, from now on. `None` where that is not to be had: it broke off, it is not stored any
    /// more, the range is beyond the end or not in the parts that are there.
    pub fn reader(&self, range: Option<Range<u64>>) -> Option<Reader> {
        Reader::new(self.clone(), range)
    }

    fn arriving(&self) -> Option<&Filling> {
        self.0.filling.as_deref()
    }
}
