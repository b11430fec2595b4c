//! How an object's file is laid out: a header, two slots for its head, its content in blocks that each bear a checksum.
//! Not what a head says (head), nor who reads and writes (read, write). Start at [`Layout`].
//!
//! ```text
//! 0            64           64 + slot    64 + 2 slot
//! | header     | slot A     | slot B     | sum, block 0 | sum, block 1 | … | sum, last block |
//! ```
//! A block with its sum takes 64 KiB, the last one what it needs; the file ends with it. An update writes the slot that is not in
//! use, with the next number: whichever of the two is whole and has the higher number counts. Sums are keyed with a number that
//! each file draws for itself, and with their place, so that bytes of another file, or of another place, do not pass for right.

use twox_hash::XxHash3_64;

use super::bytes::{Input, Output};
use super::name::Name;

/// The header's length.
pub(super) const HEADER: usize = 64;
/// What a block takes, with its sum.
pub(super) const BLOCK: usize = 64 * 1024;
/// What its sum takes.
pub(super) const SUM: usize = 8;
/// What it holds.
pub(super) const PAYLOAD: usize = BLOCK - SUM;
/// What space is counted in.
pub(super) const PAGE: u64 = 4096;
/// A head that is larger is not stored.
pub(super) const LARGEST_HEAD: usize = 256 * 1024;
const LARGEST_SLOT: u32 = (LARGEST_HEAD + SLOT_HEADER) as u32 * 2;
const SLOT_HEADER: usize = 24;
const MAGIC: &[u8; 8] = b"EGRETOBJ";
const VERSION: u32 = 1;
const HEADER_SALT: u64 = 0x6865_6164_6572_0001;
const SLOT_SALT: u64 = 0x736c_6f74_0000_0001;

/// What a file's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// The name that the file was made under: one that was moved to another is not believed.
    pub(super) name: Name,
    /// The file's own number, which keys its sums.
    pub(super) nonce: u64,
    /// The length of a slot.
    slot: u32,
}

impl Layout {
    /// A layout for a head and content of these lengths, with room for the head to grow. `None` for a head that is too large.
    /// Larger content begins at a page, so that its blocks do.
    pub(super) fn new(name: Name, nonce: u64, head: usize, large: bool) -> Option<Self> {
        if head > LARGEST_HEAD {
            return None;
        }
        let room = SLOT_HEADER + head + head / 4 + 256;
        let slot = if large {
            ((HEADER + 2 * room).next_multiple_of(PAGE as usize) - HEADER) / 2
        } else {
            room.next_multiple_of(64)
        };
        Some(Self {
            name,
            nonce,
            slot: u32::try_from(slot).ok()?,
        })
    }

    /// The header's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Output(Vec::with_capacity(HEADER));
        out.put(MAGIC);
        out.u32(VERSION);
        out.u32(self.slot);
        out.u64(self.nonce);
        out.put(&self.name.uri);
        out.put(&self.name.variant);
        let sum = XxHash3_64::oneshot_with_seed(HEADER_SALT, &out.0);
        out.u64(sum);
        out.0
    }

    /// Reads a header. `None`: not one of this version, or not whole.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let (summed, sum) = header.split_at_checked(HEADER - SUM)?;
        if Input(sum).u64()? != XxHash3_64::oneshot_with_seed(HEADER_SALT, summed) {
            return None;
        }
        let mut input = Input(summed);
        if input.take(MAGIC.len())? != MAGIC || input.u32()? != VERSION {
            return None;
        }
        let slot = input.u32()?;
        let nonce = input.u64()?;
        let name = Name {
            uri: input.digest()?,
            variant: input.digest()?,
        };
        input.end()?;
        let fits = (SLOT_HEADER as u32..=LARGEST_SLOT).contains(&slot);
        fits.then_some(Self { name, nonce, slot })
    }

    /// Where the content begins.
    pub(super) fn content(&self) -> u64 {
        HEADER as u64 + 2 * u64::from(self.slot)
    }

    /// Where a slot begins: 0 or 1.
    pub(super) fn slot(&self, which: u8) -> u64 {
        HEADER as u64 + u64::from(which) * u64::from(self.slot)
    }

    /// A slot's bytes, filled up with zeros. `None` if the head does not fit.
    pub(super) fn encode_slot(&self, which: u8, number: u64, head: &[u8]) -> Option<Vec<u8>> {
        let room = (self.slot as usize).checked_sub(SLOT_HEADER)?;
        if head.len() > room {
            return None;
        }
        let mut out = Output(Vec::with_capacity(self.slot as usize));
        out.u64(number);
        out.u64(head.len() as u64);
        out.u64(self.slot_sum(which, number, head));
        out.put(head);
        out.0.resize(self.slot as usize, 0);
        Some(out.0)
    }

    /// Of the beginning of a file: the head that counts, its number, and the slot that it stands in.
    pub(super) fn head<'a>(&self, file: &'a [u8]) -> Option<(u8, u64, &'a [u8])> {
        [0, 1]
            .into_iter()
            .filter_map(|which| self.decode_slot(which, file))
            .max_by_key(|(_, number, _)| *number)
    }

    fn decode_slot<'a>(&self, which: u8, file: &'a [u8]) -> Option<(u8, u64, &'a [u8])> {
        let start = usize::try_from(self.slot(which)).ok()?;
        let mut input = Input(file.get(start..start.checked_add(self.slot as usize)?)?);
        let number = input.u64()?;
        let length = usize::try_from(input.u64()?).ok()?;
        let sum = input.u64()?;
        let head = input.take(length)?;
        (number > 0 && sum == self.slot_sum(which, number, head)).then_some((which, number, head))
    }

    fn slot_sum(&self, which: u8, number: u64, head: &[u8]) -> u64 {
        let seed = self.nonce ^ SLOT_SALT.wrapping_add(u64::from(which));
        XxHash3_64::oneshot_with_seed(seed.wrapping_add(number.rotate_left(32)), head)
    }

    /// Where a block begins, with its sum.
    pub(super) fn block(&self, index: u64) -> Option<u64> {
        index.checked_mul(BLOCK as u64)?.checked_add(self.content())
    }

    /// The sum of a block.
    pub(super) fn sum(&self, index: u64, block: &[u8]) -> u64 {
        XxHash3_64::oneshot_with_seed(self.nonce.wrapping_add(index), block)
    }

    /// The length of a file with content of this length; `None` for a length that no file has.
    pub(super) fn file(&self, length: u64) -> Option<u64> {
        let blocks = length.div_ceil(PAYLOAD as u64);
        blocks
            .checked_mul(SUM as u64)?
            .checked_add(length)?
            .checked_add(self.content())
            .filter(|length| *length <= i64::MAX as u64)
    }
}

/// How much of content of a length a block holds.
pub(super) fn held(length: u64, index: u64) -> usize {
    let before = index.saturating_mul(PAYLOAD as u64);
    length.saturating_sub(before).min(PAYLOAD as u64) as usize
}

/// What a file of this length takes on the disk, in pages.
pub(super) fn pages(file: u64) -> u32 {
    u32::try_from(file.div_ceil(PAGE)).unwrap_or(u32::MAX)
}
