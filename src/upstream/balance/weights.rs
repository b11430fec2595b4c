//! Draws a place in proportion to its weight.

use super::{Field, Shape};
use crate::upstream::dice::scale;

/// The weights of a shape.
#[derive(Debug)]
pub(super) enum Weights {
    /// All are equal.
    Equal,
    /// The sum of the weights up to each place, its own included.
    Sums(Box<[u64]>),
}

impl Weights {
    pub(super) fn new(shape: Shape<'_>) -> Self {
        let Shape::Of(seats) = shape else {
            return Self::Equal;
        };
        let first = seats.first().map(|seat| seat.weight);
        if seats.iter().all(|seat| Some(seat.weight) == first) {
            return Self::Equal;
        }
        let mut sum = 0;
        let sums = seats.iter().map(|seat| {
            sum += u64::from(seat.weight);
            sum
        });
        Self::Sums(sums.collect())
    }

    /// The place at the fraction `bits / 2^64` of all weights.
    pub(super) fn at(&self, bits: u64, count: usize) -> usize {
        match self {
            Self::Equal => scale(bits, count as u64) as usize,
            Self::Sums(sums) => {
                let point = scale(bits, sums.last().copied().unwrap_or(0));
                sums.partition_point(|sum| *sum <= point)
            }
        }
    }

    /// A place that takes the request, by chance.
    pub(super) fn draw(&self, field: &dyn Field) -> Option<usize> {
        let drawn = || self.at(field.dice().roll(), field.len());
        (0..DRAWS)
            .map(|_| drawn())
            .find(|place| field.takes(*place))
    }

    /// Another place than this one, by chance, or else one of those behind it: where that does not take long.
    pub(super) fn draw_other(&self, than: usize, field: &dyn Field) -> Option<usize> {
        let count = field.len();
        let drawn = (0..OTHER_DRAWS).map(|_| self.at(field.dice().roll(), count));
        let behind = (than + 1..than + count).take(OTHER_DRAWS);
        drawn
            .chain(behind.map(|place| place % count))
            .find(|place| *place != than && field.takes(*place))
    }
}

/// Where half of all places take requests, one in four thousand million requests is drawn in vain.
const DRAWS: usize = 32;
const OTHER_DRAWS: usize = 4;
