//! The content of a stored response: at hand, still arriving, on disk, or some ranges of it.
//! Not the response (stored), nor how much may be held of all of them (memory).
//! Start at [`Contents`]; what arrives is put in by a [`Filler`] and taken out by [`Reader`]s.

mod filling;
mod reader;

pub use filling::{Abandoned, Filler};
pub use reader::{Cut, Reader};

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use self::filling::Filling;
use super::disk::OnDisk;
use super::range::Parts;

/// A content. Clones share it; it may be read on any thread, by any number of readers, each at its own pace.
#[derive(Debug, Clone)]
pub struct Contents(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Set once all of it is there. A hit looks here, and takes no lock.
    whole: OnceLock<Whole>,
    /// What has arrived so far, where it did not begin whole.
    filling: Option<Filling>,
}

/// A content that is all there.
#[derive(Debug)]
enum Whole {
    Memory(Pieces),
    Disk(OnDisk),
    Parts(Parts),
}

/// A content in memory, in pieces that are as large as their allocations.
#[derive(Debug)]
struct Pieces {
    pieces: Box<[Bytes]>,
    length: u64,
    trailers: Option<HeaderMap>,
}

/// How much of one content is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// More is written to disk, or not kept.
    pub in_memory: u64,
    /// More is not stored at all.
    pub largest: u64,
}

impl Contents {
    /// A content at hand.
    pub fn whole(bytes: Bytes) -> Self {
        let pieces = if bytes.is_empty() {
            vec![]
        } else {
            vec![bytes]
        };
        Self::made(Whole::Memory(Pieces::new(pieces, None)))
    }

    /// A content on disk.
    pub fn on_disk(content: OnDisk) -> Self {
        Self::made(Whole::Disk(content))
    }

    /// A content of which only ranges are there.
    pub fn parts(parts: Parts) -> Self {
        Self::made(Whole::Parts(parts))
    }

    /// A content that arrives: `expected` is its length, where that is known.
    pub fn filling(expected: Option<u64>, limits: Limits) -> (Self, Filler) {
        let contents = Self(Arc::new(Inner {
            whole: OnceLock::new(),
            filling: Some(Filling::new(expected)),
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
        match (self.0.whole.get(), &self.0.filling) {
            (Some(Whole::Memory(pieces)), _) => Some(pieces.length),
            (Some(Whole::Disk(content)), _) => Some(content.length()),
            (Some(Whole::Parts(parts)), _) => Some(parts.total()),
            (None, Some(filling)) => filling.expected(),
            (None, None) => None,
        }
    }

    /// All of it as one, where it is so at hand. Takes no lock and copies nothing.
    pub fn at_hand(&self) -> Option<Bytes> {
        match self.0.whole.get()? {
            Whole::Memory(Pieces {
                pieces, trailers, ..
            }) if trailers.is_none() => match &**pieces {
                [] => Some(Bytes::new()),
                [bytes] => Some(bytes.clone()),
                [_, _, ..] => None,
            },
            Whole::Memory(_) | Whole::Disk(_) | Whole::Parts(_) => None,
        }
    }

    /// Its pieces, where all of it is in memory.
    pub fn pieces(&self) -> Option<Vec<Bytes>> {
        match self.0.whole.get()? {
            Whole::Memory(pieces) => Some(pieces.pieces.to_vec()),
            Whole::Disk(_) | Whole::Parts(_) => None,
        }
    }

    /// What is there of a content in parts.
    pub fn as_parts(&self) -> Option<&Parts> {
        match self.0.whole.get()? {
            Whole::Parts(parts) => Some(parts),
            Whole::Memory(_) | Whole::Disk(_) => None,
        }
    }

    /// Whether its bytes lie on disk, or do so in part.
    pub fn is_on_disk(&self) -> bool {
        match (self.0.whole.get(), &self.0.filling) {
            (Some(Whole::Disk(_)), _) => true,
            (Some(Whole::Memory(_) | Whole::Parts(_)), _) | (None, None) => false,
            (None, Some(filling)) => filling.is_spilled(),
        }
    }

    /// Whether it broke off.
    pub fn has_failed(&self) -> bool {
        self.0.whole.get().is_none() && self.0.filling.as_ref().is_some_and(Filling::has_failed)
    }

    /// Bytes of memory that it takes at the moment.
    pub fn memory(&self) -> u64 {
        match (self.0.whole.get(), &self.0.filling) {
            (Some(Whole::Memory(pieces)), _) => pieces.memory(),
            (Some(Whole::Disk(_)), _) | (None, None) => 0,
            (Some(Whole::Parts(parts)), _) => parts.bytes(),
            (None, Some(filling)) => filling.memory(),
        }
    }

    /// Reads all of it, or a range. `None` where that is not to be had: it broke off, it is not stored any more, or not in the
    /// parts that are there.
    pub fn reader(&self, range: Option<Range<u64>>) -> Option<Reader> {
        Reader::new(self.clone(), range)
    }

    /// The same reader for all, whether it is whole by now or not.
    fn state(&self) -> Result<&Whole, Option<&Filling>> {
        self.0.whole.get().ok_or(self.0.filling.as_ref())
    }
}

impl Pieces {
    /// Small ones are put together: a content of up to 64 KiB is one piece.
    fn new(pieces: Vec<Bytes>, trailers: Option<HeaderMap>) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let small = |piece: &Bytes| piece.len() < PIECE / 4;
        let pieces = if pieces.len() > 1 && (length <= PIECE as u64 || pieces.iter().any(small)) {
            put_together(&pieces)
        } else {
            pieces
        };
        Self {
            pieces: pieces.into(),
            length,
            trailers,
        }
    }

    fn memory(&self) -> u64 {
        self.length + (self.pieces.len() * PIECE_COST) as u64
    }
}

fn put_together(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut left: usize = pieces.iter().map(Bytes::len).sum();
    let mut together = Vec::with_capacity(left.div_ceil(PIECE));
    let mut next = BytesMut::with_capacity(left.min(PIECE));
    for piece in pieces {
        let mut piece = piece.clone();
        while !piece.is_empty() {
            let room = PIECE.min(left) - next.len();
            let part = piece.split_to(room.min(piece.len()));
            next.extend_from_slice(&part);
            if next.len() == PIECE.min(left) {
                left -= next.len();
                let full = std::mem::replace(&mut next, BytesMut::with_capacity(left.min(PIECE)));
                together.push(full.freeze());
            }
        }
    }
    together
}

/// Contents that are longer are kept in pieces of this size.
const PIECE: usize = 64 << 10;
/// What a piece costs beside its bytes.
const PIECE_COST: usize = size_of::<Bytes>() + 48;
