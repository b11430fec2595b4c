//! `host`: the host that the request is for, by name, `*.suffix`, glob or `@list`.
//! Not the address behind a name: that is `address`, and only that opens a guarded one.
//! Start at [`ENTRY`].

use std::sync::Arc;

use super::{Condition, Entry, Facts, Ground, ListRef, Truth, quoted};
use crate::addr::{Host, HostKey, HostMap, HostPattern};
use crate::settings::{Located, Value};

pub(super) const ENTRY: Entry = Entry {
    name: "host",
    summary: "the host is one of these: \"a.example\", \"*.example\", \"api-*.example\", \"@list\"",
    build,
};

/// Exact names and suffixes are looked up, so that thousands of them cost what one costs; only globs are tried in turn.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    named: HostMap<()>,
    globs: Vec<HostPattern>,
    lists: Vec<ListRef>,
    any: bool,
}

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    Some(Arc::new(Hosts::read(value, ground)?))
}

impl Hosts {
    pub(super) fn read(value: Value, ground: Ground<'_>) -> Option<Self> {
        let items = ground.several::<String>(value)?;
        let mut hosts = Self::default();
        ground.each(items, |item| hosts.add(&item, ground))?;
        Some(hosts)
    }

    /// Whether a host is among them.
    pub(super) fn has(&self, host: &Host) -> bool {
        self.any
            || self.named.matching(host).next().is_some()
            || self.globs.iter().any(|glob| glob.matches(host))
            || self.lists.iter().any(|list| list.lookup.has_host(host))
    }

    fn add(&mut self, item: &Located<String>, ground: Ground<'_>) -> Option<()> {
        if let Some(name) = item.value.strip_prefix('@') {
            self.lists.push(ground.list(name, item)?);
            return Some(());
        }
        if item.value.contains("://") {
            return ground.refuse(
                item,
                format!("\"{}\" is a URL, not a host", item.value),
                "write the host alone, and scheme, port and path as conditions of their own",
            );
        }
        match HostPattern::parse(&item.value) {
            Ok(pattern) => match HostKey::of(&pattern) {
                Some(key) => {
                    self.named.of_key(key);
                }
                None if matches!(pattern, HostPattern::Any) => self.any = true,
                None => self.globs.push(pattern),
            },
            Err(error) => {
                let remedy = match item.value.contains('/') {
                    true => "networks are named by the condition \"address\"",
                    false => "write \"name.example\", \"*.example\", a glob or \"@list\"",
                };
                return ground.refuse(item, error.to_string(), remedy);
            }
        }
        Some(())
    }
}

impl Condition for Hosts {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        self.has(&facts.authority.host).into()
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        Some(facts.authority.host.to_string())
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        Some(quoted(&facts.authority.host.to_string()))
    }

    fn names_hosts(&self) -> bool {
        !self.any && self.globs.iter().all(HostPattern::has_literal)
    }

    fn hosts(&self) -> Option<&HostMap<()>> {
        let only_named = self.globs.is_empty() && self.lists.is_empty() && !self.any;
        only_named.then_some(&self.named)
    }
}
