//! Which of several endpoints is next, one algorithm a file.
//! Knows neither health nor limits: the field says which of its places takes a request.
//! Start at [`Balancer`]; [`table::BALANCERS`] lists them.

mod ewma;
mod first;
mod key;
mod least_requests;
mod maglev;
mod p2c;
mod random;
mod ring_hash;
mod round_robin;
pub mod table;
#[cfg(test)]
mod tests;
mod weights;

pub use key::Key;

use std::fmt::Debug;

use super::Dice;

/// Chooses among the places of a field. Built for a shape, whenever that changes; shared by the workers.
pub trait Balancer: Debug + Send + Sync {
    /// The place that is next, and that takes a request. `None` where it came upon none, which does not prove that there is none:
    /// the caller then asks each. Allocates nothing and takes no lock.
    fn pick(&self, field: &dyn Field) -> Option<usize>;
}

/// What a balancer chooses among: places from 0, in the order of the shape that the balancer was built for.
pub trait Field {
    /// How many places there are; at least 1.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a place takes this request. Where it does so for a share of requests only, another answer may come next time.
    fn takes(&self, place: usize) -> bool;

    /// What a place carries.
    fn load(&self, place: usize) -> Load;

    /// How long a place lately took to answer, in microseconds; `None` where that is not known.
    fn latency(&self, place: usize) -> Option<f32>;

    /// The hash of what the request is known by; drawn where it has nothing of the kind.
    fn key(&self) -> u64;

    /// Random numbers.
    fn dice(&self) -> &Dice;
}

/// What a place carries, and what it is meant to carry.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests that are under way.
    pub active: u32,
    /// Its weight, at least 1.
    pub weight: u32,
}

impl Load {
    /// Whether it carries less for its weight than another.
    fn is_less_than(self, other: Self) -> bool {
        let for_weight = |load: Self, weight: u32| u64::from(load.active) * u64::from(weight);
        for_weight(self, other.weight) < for_weight(other, self.weight)
    }
}

/// The places that a balancer is built for.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'a> {
    /// Any number of equal ones.
    Equal,
    /// These.
    Of(&'a [Weighted]),
}

/// A place as a table of a balancer has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Weighted {
    /// What it is known by: the same for an endpoint in all shapes, and in all processes.
    pub id: u64,
    /// Its weight, at least 1.
    pub weight: u32,
}

/// A balancer in the table.
#[derive(Debug)]
pub struct Entry {
    /// Its word in `balance = "…"`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// What it goes by, beside weights.
    pub by: By,
    /// Builds it.
    pub build: fn(Shape<'_>) -> Box<dyn Balancer>,
}

/// What a balancer goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Nothing: it can also choose among the addresses of one name.
    Nothing,
    /// What each place carries, or how fast it is.
    Load,
    /// A key of the request. Its table holds all places, whether they take requests or not, so that a change of health moves no
    /// key of another place.
    Key,
}

/// A balancer for equal places whose load nobody counts: the addresses of one name. Belongs to one worker.
#[derive(Debug)]
pub struct Equals {
    balancer: Box<dyn Balancer>,
    dice: Dice,
}

impl Equals {
    /// By this algorithm.
    pub fn new(entry: &Entry) -> Self {
        Self {
            balancer: (entry.build)(Shape::Equal),
            dice: Dice::new(),
        }
    }

    /// The place to try first, of so many.
    pub fn pick(&self, count: usize) -> usize {
        let field = Equal {
            count,
            dice: &self.dice,
        };
        self.balancer.pick(&field).unwrap_or(0)
    }
}

struct Equal<'a> {
    count: usize,
    dice: &'a Dice,
}

impl Field for Equal<'_> {
    fn len(&self) -> usize {
        self.count
    }

    fn takes(&self, _place: usize) -> bool {
        true
    }

    fn load(&self, _place: usize) -> Load {
        Load {
            active: 0,
            weight: 1,
        }
    }

    fn latency(&self, _place: usize) -> Option<f32> {
        None
    }

    fn key(&self) -> u64 {
        self.dice.roll()
    }

    fn dice(&self) -> &Dice {
        self.dice
    }
}
