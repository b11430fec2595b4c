//! Random numbers for balancing: cheap, one stream for each worker, the same in every run where it is seeded.
//! For nothing that anybody must not guess.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// A stream of random numbers. Belongs to one worker.
#[derive(Debug)]
pub struct Dice(Cell<u64>);

impl Default for Dice {
    fn default() -> Self {
        Self::new()
    }
}

impl Dice {
    /// A stream that differs from all others.
    pub fn new() -> Self {
        Self::seeded(RandomState::new().hash_one(0))
    }

    /// The stream of a seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// The next 64 bits.
    pub fn roll(&self) -> u64 {
        let state = self.0.get().wrapping_add(GOLDEN);
        self.0.set(state);
        mix(state)
    }

    /// A number below a limit; 0 where that is 0.
    pub fn below(&self, limit: u64) -> u64 {
        scale(self.roll(), limit)
    }
}

/// The fraction `bits / 2^64` of a limit.
pub(super) fn scale(bits: u64, limit: u64) -> u64 {
    ((u128::from(bits) * u128::from(limit)) >> 64) as u64
}

/// Whether the fraction `bits / 2^64` is below a share.
pub(super) fn is_below(bits: u64, share: f64) -> bool {
    // The upper 53 bits are what an f64 holds exactly.
    ((bits >> 11) as f64) < share * (1_u64 << 53) as f64
}

/// Spreads the bits of a number over all 64: the finaliser of SplitMix64.
pub(super) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// 2^64 divided by the golden ratio: multiples of it are spread over all numbers as evenly as can be.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
