//! Bytes in pieces, each as large as its allocation, found by their offset.
//! Knows nothing of who brings or reads them. Start at [`Pieces::add`].

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Pieces that adjoin, of which the first ones may have been let go of.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Piece>,
    /// Of all that is here.
    bytes: u64,
    end: u64,
}

#[derive(Debug)]
struct Piece {
    begins: u64,
    bytes: Bytes,
}

/// No piece is longer.
pub(super) const PIECE: usize = 64 << 10;
/// Of two that adjoin and are smaller, one is made, so that a sender of single bytes costs no more than others.
const SMALL: usize = 4 << 10;
/// What a piece costs beside its bytes: its place, what counts its users, and what an allocator adds to either.
pub(super) const PIECE_COST: u64 = size_of::<Piece>() as u64 + 64;

/// A copy, which does not hold a large buffer that these bytes are a small part of.
pub(super) fn exact(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

impl Pieces {
    /// The offset of the first byte that is here.
    pub(super) fn begin(&self) -> u64 {
        self.end - self.bytes
    }

    /// The offset after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Where the first piece ends.
    pub(super) fn first_end(&self) -> Option<u64> {
        self.pieces.front().map(Piece::end)
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> u64 {
        self.bytes + self.pieces.len() as u64 * PIECE_COST
    }

    /// All that is here, in order.
    pub(super) fn all(&self) -> Vec<Bytes> {
        let pieces = self.pieces.iter();
        pieces.map(|piece| piece.bytes.clone()).collect()
    }

    /// Adds a piece. Small ones are put together as one carries digits: each byte is copied a few times at most.
    pub(super) fn add(&mut self, bytes: Bytes) {
        let mut last = Piece {
            begins: self.end,
            bytes,
        };
        self.bytes += last.bytes.len() as u64;
        self.end += last.bytes.len() as u64;
        let fits = |before: &Piece, last: &Piece| {
            let (before, last) = (before.bytes.len(), last.bytes.len());
            before.max(last) < SMALL && last >= before / 2
        };
        while let Some(before) = self.pieces.back().filter(|before| fits(before, &last)) {
            last = Piece {
                begins: before.begins,
                bytes: joined(&[&before.bytes, &last.bytes]),
            };
            self.pieces.pop_back();
        }
        self.pieces.push_back(last);
    }

    /// The bytes from an offset to the end of the piece that it is in.
    pub(super) fn at(&self, offset: u64) -> Option<Bytes> {
        let after = self.pieces.partition_point(|piece| piece.begins <= offset);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        let skip = usize::try_from(offset - piece.begins).ok()?;
        (skip < piece.bytes.len()).then(|| piece.bytes.slice(skip..))
    }

    /// Lets go of the pieces that end at an offset or before it.
    pub(super) fn let_go(&mut self, offset: u64) {
        while let Some(piece) = self.pieces.front().filter(|piece| piece.end() <= offset) {
            self.bytes -= piece.bytes.len() as u64;
            self.pieces.pop_front();
        }
    }

    /// All as one, if it is short or in one piece already.
    pub(super) fn as_one(&self) -> Option<Bytes> {
        if let (Some(only), 1) = (self.pieces.front(), self.pieces.len()) {
            return Some(only.bytes.clone());
        }
        let short = self.bytes <= PIECE as u64;
        short.then(|| {
            let all: Vec<&[u8]> = self.pieces.iter().map(|piece| &*piece.bytes).collect();
            joined(&all)
        })
    }

    /// No more will come.
    pub(super) fn seal(&mut self) {
        self.pieces.shrink_to_fit();
    }
}

impl Piece {
    fn end(&self) -> u64 {
        self.begins + self.bytes.len() as u64
    }
}

fn joined(pieces: &[&[u8]]) -> Bytes {
    let length = pieces.iter().map(|piece| piece.len()).sum();
    let mut joined = BytesMut::with_capacity(length);
    for piece in pieces {
        joined.extend_from_slice(piece);
    }
    joined.freeze()
}
