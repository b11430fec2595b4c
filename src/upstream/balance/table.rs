//! The balancers by name.

use super::{Entry, first, random, round_robin};
use crate::fault::Faults;
use crate::settings::{FromValue, Located, Value, one_of};

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
