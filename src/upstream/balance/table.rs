//! The balancers by name.

use std::rc::Rc;

use super::{Balancer, first, random, round_robin};
use crate::fault::Faults;
use crate::settings::{FromValue, Located, Value, one_of};

/// A balancer in the table.
#[derive(Debug)]
pub struct Entry {
    /// Its word in `balance = "…"`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Builds it for a worker.
    pub build: fn() -> Rc<dyn Balancer>,
}

/// Every balancer.
pub const BALANCERS: &[Entry] = &[round_robin::ENTRY, first::ENTRY, random::ENTRY];

/// The balancer of those who name none: a name with several addresses is meant to have its load spread.
pub const DEFAULT: &Entry = &round_robin::ENTRY;

/// `balance = "round-robin"`.
impl FromValue for &'static Entry {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let word = Located::<String>::from_value(value, faults)?;
        let words: Vec<(&'static str, Self)> =
            BALANCERS.iter().map(|entry| (entry.name, entry)).collect();
        one_of(&word, &words, faults)
    }
}
