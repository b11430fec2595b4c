//! A representation of which only parts are there, put together without copying (RFC 9111 §3.4).
//! Knows no validator: who adds a part has asked `may_combine`.
//! Start at [`Parts::with`].

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Pieces of so many bytes. Immutable; clones share the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    total: u64,
    /// Sorted, none empty, none overlapping another.
    pieces: Arc<[Piece]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    offset: u64,
    bytes: Bytes,
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }
}

/// What is not there of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: all is there.
    None,
    /// One piece.
    One(Range<u64>),
    /// More than one, or bytes beyond the end.
    Several,
}

/// More islands than that are not kept apart.
const ISLANDS_MOST: usize = 64;

/// Pieces that adjoin are not copied together, unless they are smaller than that.
const SMALL: usize = 4096;

impl Parts {
    /// Nothing yet of `total` bytes.
    pub fn new(total: u64) -> Self {
        Self {
            total,
            pieces: Arc::from([]),
        }
    }

    /// With some bytes more. `None` where they reach beyond the end, or would make more than 64 islands.
    pub fn with(&self, offset: u64, bytes: Bytes) -> Option<Self> {
        self.with_run(offset, [bytes])
    }

    /// With a run of bytes more, as it arrived. What is there already is kept and not replaced. Goes once over all that is there,
    /// so give it a run and not each chunk. `None` as of [`with`](Self::with).
    pub fn with_run(&self, offset: u64, run: impl IntoIterator<Item = Bytes>) -> Option<Self> {
        let run = laid_out(offset, run)?;
        let end = run.last().map_or(offset, Piece::end);
        if end > self.total {
            return None;
        }
        let mut pieces = self.pieces.to_vec();
        let mut run = run.into_iter().peekable();
        for hole in self.holes(&(offset..end)) {
            // A piece may reach over several holes, and a hole over several pieces.
            while let Some(piece) = run.peek() {
                pieces.extend(clip(piece, &hole));
                if piece.end() > hole.end {
                    break;
                }
                run.next();
            }
        }
        pieces.sort_by_key(|piece| piece.offset);
        let apart = |pair: &&[Piece]| matches!(pair, [one, next] if one.end() != next.offset);
        let islands = 1 + pieces.windows(2).filter(apart).count();
        // Two pieces for SMALL bytes is the least that a run is made of; many short runs would be more.
        let pieces_most = (self.total / (SMALL as u64 / 4)).saturating_add(4 * ISLANDS_MOST as u64);
        if islands > ISLANDS_MOST || pieces.len() as u64 > pieces_most {
            return None;
        }
        Some(Self {
            total: self.total,
            pieces: pieces.into(),
        })
    }

    /// The length of the whole.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many bytes are there.
    pub fn bytes(&self) -> u64 {
        self.pieces
            .iter()
            .map(|piece| piece.bytes.len() as u64)
            .sum()
    }

    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.bytes() == self.total
    }

    /// The bytes of a range, shared; `None` where one of them is missing or beyond the end.
    pub fn slice(&self, range: &Range<u64>) -> Option<Vec<Bytes>> {
        if self.missing(range) != Missing::None {
            return None;
        }
        let pieces = self.within(range).iter();
        let clipped = pieces.filter_map(|piece| clip(piece, range));
        Some(clipped.map(|piece| piece.bytes).collect())
    }

    /// What is not there of a range.
    pub fn missing(&self, range: &Range<u64>) -> Missing {
        if range.end > self.total || range.start > range.end {
            return Missing::Several;
        }
        let mut holes = self.holes(range);
        match (holes.next(), holes.next()) {
            (None, _) => Missing::None,
            (Some(hole), None) => Missing::One(hole),
            (Some(_), Some(_)) => Missing::Several,
        }
    }

    /// The holes in a range, in order.
    fn holes(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let (mut at, end) = (range.start, range.end);
        let mut pieces = self.within(range).iter();
        std::iter::from_fn(move || {
            while at < end {
                let Some(piece) = pieces.next() else {
                    let hole = at..end;
                    at = end;
                    return Some(hole);
                };
                let hole = at..piece.offset.min(end);
                at = piece.end();
                if !hole.is_empty() {
                    return Some(hole);
                }
            }
            None
        })
    }

    /// The pieces that have bytes of a range.
    fn within(&self, range: &Range<u64>) -> &[Piece] {
        let first = self
            .pieces
            .partition_point(|piece| piece.end() <= range.start);
        let last = self
            .pieces
            .partition_point(|piece| piece.offset < range.end);
        self.pieces.get(first..last).unwrap_or_default()
    }
}

/// What a piece has of a range.
fn clip(piece: &Piece, range: &Range<u64>) -> Option<Piece> {
    let offset = piece.offset.max(range.start);
    let end = piece.end().min(range.end);
    if offset >= end {
        return None;
    }
    let from = usize::try_from(offset - piece.offset).ok()?;
    let to = usize::try_from(end - piece.offset).ok()?;
    Some(Piece {
        offset,
        bytes: piece.bytes.slice(from..to),
    })
}

/// A run as pieces; what came in small pieces is copied into larger ones, so that a sender of single bytes costs no more memory
/// than others. `None` where it reaches beyond any length.
fn laid_out(offset: u64, run: impl IntoIterator<Item = Bytes>) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut small = BytesMut::new();
    let mut at = offset;
    let mut lay = |bytes: Bytes| {
        let offset = at;
        at = at.checked_add(bytes.len() as u64)?;
        pieces.push(Piece { offset, bytes });
        Some(())
    };
    let mut run = run.into_iter().filter(|bytes| !bytes.is_empty()).peekable();
    while let Some(bytes) = run.next() {
        let is_alone = small.is_empty() && run.peek().is_none();
        if bytes.len() >= SMALL || is_alone {
            if !small.is_empty() {
                lay(small.split().freeze())?;
            }
            lay(bytes)?;
            continue;
        }
        small.extend_from_slice(&bytes);
        if small.len() >= SMALL {
            lay(small.split().freeze())?;
        }
    }
    if !small.is_empty() {
        lay(small.freeze())?;
    }
    Some(pieces)
}
