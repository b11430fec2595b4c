//! The balancers by name.

use super::{By, Entry, ewma, first, least_requests, maglev, p2c, random, ring_hash, round_robin};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Located, Value, one_of};

/// Every balancer.
pub const BALANCERS: &[Entry] = &[
    p2c::ENTRY,
    round_robin::ENTRY,
    least_requests::ENTRY,
    ewma::ENTRY,
    random::ENTRY,
    first::ENTRY,
    ring_hash::ENTRY,
    maglev::ENTRY,
];

/// The balancer of the addresses of a name, for those who name none: a name with several addresses is meant to have its load spread.
pub const DEFAULT: &Entry = &round_robin::ENTRY;

/// The balancer of an upstream that names none.
pub const OF_UPSTREAM: &Entry = &p2c::ENTRY;

/// The balancer of a word.
pub fn find(word: &Located<String>, faults: &Faults) -> Option<&'static Entry> {
    let words: Vec<(&'static str, &'static Entry)> =
        BALANCERS.iter().map(|entry| (entry.name, entry)).collect();
    one_of(word, &words, faults)
}

/// `balance = "round-robin"` for the addresses of a name, whose loads nobody counts.
impl FromValue for &'static Entry {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let word = Located::<String>::from_value(value, faults)?;
        let entry = find(&word, faults)?;
        if entry.by == By::Nothing {
            return Some(entry);
        }
        let fit = BALANCERS.iter().filter(|entry| entry.by == By::Nothing);
        let names: Vec<&str> = fit.map(|entry| entry.name).collect();
        faults.push(Fault::at(
            &word.at,
            format!("\"{}\" is for the endpoints of an upstream", entry.name),
            format!(
                "for the addresses of a name write one of: {}",
                names.join(", ")
            ),
        ));
        None
    }
}
