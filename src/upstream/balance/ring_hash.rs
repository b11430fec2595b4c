//! Consistent hashing on a ring: each place has many points on it, and a key belongs to the next point. A place that goes moves its
//! own keys and no others. Within a few per cent as even as the weights; `maglev` is evener.

use super::{Balancer, By, Entry, Field, Shape, Weighted};
use crate::upstream::dice::mix;

pub(super) const ENTRY: Entry = Entry {
    name: "ring-hash",
    summary: "by a key of the request, on a ring: what an endpoint leaves behind goes to the others, nothing else moves",
    by: By::Key,
    build: |shape| match shape {
        Shape::Equal => Box::new(Ring::new(&[])),
        Shape::Of(seats) => Box::new(Ring::new(seats)),
    },
};

#[derive(Debug)]
struct Ring {
    /// Where the points are, in order.
    points: Box<[u64]>,
    /// Whose each is.
    places: Box<[u32]>,
    /// For each value of the upper bits, the first point that is not below it.
    index: Box<[u32]>,
    /// How far to shift a point for its upper bits.
    shift: u32,
}

impl Ring {
    fn new(seats: &[Weighted]) -> Self {
        let divisor = seats
            .iter()
            .fold(0, |so_far, seat| gcd(so_far, seat.weight));
        let units = |seat: &Weighted| u64::from(seat.weight / divisor.max(1));
        let total: u64 = seats.iter().map(units).sum();
        // The number of points for a unit of weight stays the same while the ring has room, whoever comes and goes.
        let mut for_unit = POINTS;
        while for_unit > 1 && for_unit * total > MOST_POINTS {
            for_unit /= 2;
        }
        let mut ring: Vec<(u64, u32)> = seats
            .iter()
            .zip(0_u32..)
            .flat_map(|(seat, place)| {
                let own = mix(seat.id);
                (0..units(seat) * for_unit).map(move |n| (mix(own.wrapping_add(mix(n))), place))
            })
            .collect();
        ring.sort_unstable();
        let bits = (usize::BITS - ring.len().leading_zeros()).clamp(1, 20);
        let shift = 64 - bits;
        let mut at = 0;
        let index = (0..=1_u64 << bits).map(|upper| {
            while ring
                .get(at)
                .is_some_and(|(point, _)| point >> shift < upper)
            {
                at += 1;
            }
            at as u32
        });
        Self {
            index: index.collect(),
            points: ring.iter().map(|(point, _)| *point).collect(),
            places: ring.iter().map(|(_, place)| *place).collect(),
            shift,
        }
    }

    /// The number of the first point that is not below a key; that of all points where there is none.
    fn find(&self, key: u64) -> usize {
        let upper = (key >> self.shift) as usize;
        let bound = |at: usize| self.index.get(at).map_or(0, |point| *point as usize);
        let (from, to) = (bound(upper), bound(upper + 1));
        let within = self.points.get(from..to).unwrap_or_default();
        from + within.partition_point(|point| *point < key)
    }
}

impl Balancer for Ring {
    fn pick(&self, field: &dyn Field) -> Option<usize> {
        let from = self.find(field.key());
        let (before, after) = self.places.split_at_checked(from)?;
        let mut last = None;
        after
            .iter()
            .chain(before)
            .take(MOST_STEPS)
            .map(|place| *place as usize)
            // Points of one place often stand together: it is asked once for all of them.
            .filter(|place| last.replace(*place) != Some(*place))
            .find(|place| field.takes(*place))
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Points for each unit of weight.
const POINTS: u64 = 1024;
const MOST_POINTS: u64 = 1 << 20;
/// How far round the ring is looked for one that takes the request.
const MOST_STEPS: usize = 256;
