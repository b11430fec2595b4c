//! Which rules can hold for a host at all: those that ask for it by name or suffix, and those that are not indexed.
//! Not a decision: a candidate is still asked, in its place among the rules.
//! Start at [`Index::candidates`].

use std::collections::HashMap;

use smallvec::SmallVec;

use super::condition::suffixes;
use super::rule::Rule;
use crate::addr::Host;

/// Rules by the hosts that they demand.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: HashMap<Host, Vec<usize>>,
    /// By suffix with its dot.
    below: HashMap<Box<str>, Vec<usize>>,
    /// Rules that any host may meet.
    rest: Vec<usize>,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            let mut demanded = rule.clauses.iter().filter(|clause| !clause.negated);
            match demanded.find_map(|clause| clause.condition.host_keys()) {
                Some(keys) => {
                    for host in keys.exact {
                        index.exact.entry(host.clone()).or_default().push(at);
                    }
                    for suffix in keys.below {
                        index.below.entry(suffix.into()).or_default().push(at);
                    }
                }
                None => index.rest.push(at),
            }
        }
        index
    }

    /// The places of all rules that may hold for this host, in their order.
    pub(super) fn candidates(&self, host: &Host) -> impl Iterator<Item = usize> {
        let mut found: SmallVec<[usize; 16]> = SmallVec::new();
        found.extend(self.exact.get(host).into_iter().flatten().copied());
        if let Some(name) = host.name().filter(|_| !self.below.is_empty()) {
            let below = suffixes(name).filter_map(|suffix| self.below.get(suffix));
            found.extend(below.flatten().copied());
        }
        found.sort_unstable();
        found.dedup();
        Merge {
            left: found.into_iter().peekable(),
            right: self.rest.iter().copied().peekable(),
        }
    }
}

/// Two ascending sequences without a common member, as one.
struct Merge<L: Iterator<Item = usize>, R: Iterator<Item = usize>> {
    left: std::iter::Peekable<L>,
    right: std::iter::Peekable<R>,
}

impl<L: Iterator<Item = usize>, R: Iterator<Item = usize>> Iterator for Merge<L, R> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match (self.left.peek(), self.right.peek()) {
            (Some(left), Some(right)) if left > right => self.right.next(),
            (Some(_), _) => self.left.next(),
            (None, _) => self.right.next(),
        }
    }
}
