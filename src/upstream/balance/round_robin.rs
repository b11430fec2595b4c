//! One after the other, the heavier ones more often, and never in a row where that can be helped.
//!
//! Where weights differ, the n-th request goes to the place at the fractional part of n/φ of all weights. Multiples of the golden
//! ratio fill an interval as evenly as can be, so that each place's turns come at nearly even distances: what a smooth weighted
//! round robin is for, with one counter in place of a state for each place.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::weights::Weights;
use super::{Balancer, By, Entry, Field};
use crate::upstream::dice::GOLDEN;

pub(super) const ENTRY: Entry = Entry {
    name: "round-robin",
    summary: "one after the other, evenly spread by weight",
    by: By::Nothing,
    build: |shape| {
        Box::new(RoundRobin {
            weights: Weights::new(shape),
            // Many processes that start at once do not all begin with the same.
            turn: AtomicU64::new(RandomState::new().hash_one(0) >> 1),
        })
    },
};

#[derive(Debug)]
struct RoundRobin {
    weights: Weights,
    turn: AtomicU64,
}

impl Balancer for RoundRobin {
    fn pick(&self, field: &dyn Field) -> Option<usize> {
        // A turn that is passed over is used up: the one behind it does not get it on top of its own.
        let tries = field.len().clamp(1, MOST_TRIES);
        (0..tries)
            .map(|_| self.next(field.len()))
            .find(|place| field.takes(*place))
    }
}

impl RoundRobin {
    fn next(&self, count: usize) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        match &self.weights {
            Weights::Equal => (turn % (count as u64).max(1)) as usize,
            weights @ Weights::Sums(_) => weights.at(turn.wrapping_mul(GOLDEN), count),
        }
    }
}

const MOST_TRIES: usize = 64;
