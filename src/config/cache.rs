//! `[cache]`, and the rules that count on it.

use super::{Config, PolicyConfig};
use crate::cache::Settings;
use crate::fault::{Fault, Faults};
use crate::settings::Table;

pub(super) fn read(table: Option<Table>, faults: &Faults) -> Option<Settings> {
    table.map(|table| Settings::read(table, faults))
}

impl Config {
    /// What is no fault and most likely not meant: rules that say what the cache is to do where there is none. Each request is
    /// then answered by its origin, as one would be that the cache does not know.
    pub fn warnings(&self) -> Vec<Fault> {
        if self.cache.is_some() {
            return Vec::new();
        }
        self.policies.iter().flat_map(without_cache).collect()
    }
}

fn without_cache(policy: &PolicyConfig) -> impl Iterator<Item = Fault> {
    policy.policy.caches().map(|rule| {
        let problem = format!(
            "rule \"{}\" says what is cached, and there is no cache",
            rule.name
        );
        let remedy = "add [cache], or take \"cache\" out of the rule";
        match &rule.at {
            Some(at) => Fault::at(at, problem, remedy),
            None => Fault::new(problem, remedy),
        }
    })
}
