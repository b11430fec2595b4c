//! Consistent hashing by a table: each place claims slots in an order of its own, one after the other, until none is free. Evener than
//! a ring; a place that goes moves its own keys and a few others (Eisenbud et al., "Maglev", NSDI 2016, §3.4).

use super::{Balancer, By, Entry, Field, Shape, Weighted};
use crate::upstream::dice::{GOLDEN, mix, scale};

pub(super) const ENTRY: Entry = Entry {
    name: "maglev",
    summary: "by a key of the request, from a table: very even, and nearly nothing else moves when an endpoint goes",
    by: By::Key,
    build: |shape| match shape {
        Shape::Equal => Box::new(Maglev::new(&[])),
        Shape::Of(seats) => Box::new(Maglev::new(seats)),
    },
};

#[derive(Debug)]
struct Maglev {
    /// Whose each slot is.
    slots: Box<[u32]>,
}

/// A place that claims slots.
struct Claimant {
    place: u32,
    /// The slot that it wants next, and how far it goes from one to the next.
    next: u64,
    step: u64,
    /// Its weight as a part of the heaviest one's, and how much of that is not used up.
    share: f64,
    credit: f64,
}

impl Maglev {
    fn new(seats: &[Weighted]) -> Self {
        let size = if seats.len() > FEW { LARGE } else { SMALL };
        let heaviest = seats.iter().map(|seat| seat.weight).max().unwrap_or(1);
        let mut claimants: Vec<Claimant> = seats
            .iter()
            .zip(0..)
            .map(|(seat, place)| Claimant {
                place,
                next: mix(seat.id) % size,
                // The size is prime: every step reaches every slot.
                step: mix(seat.id ^ GOLDEN) % (size - 1) + 1,
                share: f64::from(seat.weight) / f64::from(heaviest.max(1)),
                credit: 0.0,
            })
            .collect();
        // Whoever is written first would otherwise have the first claim: a move in the file would move keys.
        claimants.sort_by_key(|claimant| (claimant.next, claimant.step));
        let mut slots = vec![FREE; size as usize];
        let mut free = slots.len();
        while free > 0 && !claimants.is_empty() {
            for claimant in &mut claimants {
                claimant.credit += claimant.share;
                if claimant.credit >= 1.0 && free > 0 {
                    claimant.credit -= 1.0;
                    claimant.claim(&mut slots);
                    free -= 1;
                }
            }
        }
        Self {
            slots: slots.into(),
        }
    }
}

impl Claimant {
    /// Takes the next slot that is free.
    fn claim(&mut self, slots: &mut [u32]) {
        let size = slots.len() as u64;
        for _ in 0..size {
            let wanted = slots.get_mut(self.next as usize);
            self.next = (self.next + self.step) % size;
            if let Some(slot) = wanted.filter(|slot| **slot == FREE) {
                *slot = self.place;
                return;
            }
        }
    }
}

impl Balancer for Maglev {
    fn pick(&self, field: &dyn Field) -> Option<usize> {
        let mut key = field.key();
        for _ in 0..MOST_TRIES {
            let slot = scale(key, self.slots.len() as u64);
            let place = *self.slots.get(slot as usize)? as usize;
            if place < field.len() && field.takes(place) {
                return Some(place);
            }
            // The keys of one that does not take them are spread over all others, each always to the same.
            key = mix(key.wrapping_add(GOLDEN));
        }
        None
    }
}

/// Primes; a hundred slots for each place make the table even within one per cent.
const SMALL: u64 = 65_537;
const LARGE: u64 = 655_373;
const FEW: usize = 512;
const FREE: u32 = u32::MAX;
const MOST_TRIES: usize = 32;
