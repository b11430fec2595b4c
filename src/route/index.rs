//! The routes of one listener, found by host and path: exact ones and prefixes are looked up, not tried in turn.
//! The order is that of the module's docs.
//! Start at [`Index::first`].

use foldhash::HashMap;
use memchr::memchr_iter;
use regex::Regex;

use super::conditions::Weight;
use super::path::{Glob, PathPattern};
use crate::addr::{Host, HostKey, HostMap, HostPattern};

/// Routes by host.
#[derive(Debug, Default)]
pub(super) struct Index {
    hosts: HostMap<Paths>,
    rest: Paths,
}

/// Routes of one host by path. The keys of its maps are the operator's, so that no client can choose some that collide.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<Box<str>, Entries>,
    /// By the beginning that is written out, without a slash at its end.
    beginnings: HashMap<Box<str>, Beginning>,
    /// The most segments of a beginning.
    deepest: usize,
    /// In the file's order.
    regexes: Vec<(Regex, Entries)>,
    any: Entries,
}

/// Routes of one beginning.
#[derive(Debug, Default)]
struct Beginning {
    /// Those with more letters first.
    globs: Vec<(Glob, Entries)>,
    below: Entries,
}

/// Routes with the same host and path, the one that asks for more first.
type Entries = Vec<Entry>;

/// A route in one place of the index.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its place in the file.
    pub(super) at: usize,
    /// How much its conditions say.
    pub(super) weight: Weight,
}

impl Index {
    /// The first route, in the order of precedence, of those that host and path match, that holds otherwise.
    pub(super) fn first(
        &self,
        host: Option<&Host>,
        path: &str,
        holds: impl Fn(usize) -> bool + Copy,
    ) -> Option<usize> {
        let named = host.into_iter().flat_map(|host| self.hosts.matching(host));
        let mut tiers = named.chain([&self.rest]);
        tiers.find_map(|paths| paths.first(path, holds))
    }

    pub(super) fn insert(&mut self, host: &HostPattern, path: &PathPattern, entry: Entry) {
        let paths = match HostKey::of(host) {
            Some(key) => self.hosts.of_key(key),
            // Globs are refused when routes are read.
            None => &mut self.rest,
        };
        paths.insert(path, entry);
    }

    /// To be called once all are in.
    pub(super) fn sort(&mut self) {
        for paths in self.hosts.values_mut().chain([&mut self.rest]) {
            paths.sort();
        }
    }
}

impl Paths {
    fn first(&self, path: &str, holds: impl Fn(usize) -> bool + Copy) -> Option<usize> {
        let take = |entries: &Entries| entries.iter().map(|entry| entry.at).find(|at| holds(*at));
        if let Some(found) = self.exact.get(path).and_then(take) {
            return Some(found);
        }
        // `OPTIONS *` is for a whole host, and has no path that a pattern could match (RFC 9112 §3.2.4).
        if !path.starts_with('/') {
            return take(&self.any);
        }
        let mut end = self.longest_beginning(path);
        while let Some(at) = end {
            let beginning = path.get(..at).and_then(|text| self.beginnings.get(text));
            let found = beginning.and_then(|beginning| {
                let mut globs = beginning.globs.iter();
                let matching = |(glob, entries): &(Glob, Entries)| {
                    glob.matcher.is_match(path).then(|| take(entries)).flatten()
                };
                globs.find_map(matching).or_else(|| take(&beginning.below))
            });
            if found.is_some() {
                return found;
            }
            end = path.get(..at).and_then(|text| text.rfind('/'));
        }
        let mut regexes = self.regexes.iter();
        let matching = |(regex, entries): &(Regex, Entries)| {
            regex.is_match(path).then(|| take(entries)).flatten()
        };
        regexes.find_map(matching).or_else(|| take(&self.any))
    }

    /// Where the longest beginning ends that there may be a route for; `None` where there are no beginnings.
    fn longest_beginning(&self, path: &str) -> Option<usize> {
        if self.beginnings.is_empty() {
            return None;
        }
        // The slash after so many segments; a path with fewer is looked up as a whole.
        let mut slashes = memchr_iter(b'/', path.as_bytes());
        Some(slashes.nth(self.deepest).unwrap_or(path.len()))
    }

    fn insert(&mut self, path: &PathPattern, entry: Entry) {
        match path {
            PathPattern::Any => self.any.push(entry),
            PathPattern::Exact(path) => self.exact.entry(path.clone()).or_default().push(entry),
            PathPattern::Below(base) => self.beginning(base).below.push(entry),
            PathPattern::Glob(glob) => {
                let globs = &mut self.beginning(&glob.beginning).globs;
                match globs.iter_mut().find(|(known, _)| known.text == glob.text) {
                    Some((_, entries)) => entries.push(entry),
                    None => globs.push((glob.clone(), vec![entry])),
                }
            }
            PathPattern::Regex(_, regex) => {
                let mut known = self.regexes.iter_mut();
                match known.find(|(known, _)| known.as_str() == regex.as_str()) {
                    Some((_, entries)) => entries.push(entry),
                    None => self.regexes.push((regex.clone(), vec![entry])),
                }
            }
        }
    }

    fn beginning(&mut self, base: &str) -> &mut Beginning {
        self.deepest = self.deepest.max(base.matches('/').count());
        self.beginnings.entry(base.into()).or_default()
    }

    fn sort(&mut self) {
        let by_weight = |entries: &mut Entries| {
            entries.sort_by(|a, b| (&a.weight, a.at).cmp(&(&b.weight, b.at)));
        };
        self.exact.values_mut().for_each(by_weight);
        for beginning in self.beginnings.values_mut() {
            beginning
                .globs
                .sort_by_key(|(glob, _)| std::cmp::Reverse(glob.literals));
            for (_, entries) in &mut beginning.globs {
                by_weight(entries);
            }
            by_weight(&mut beginning.below);
        }
        for (_, entries) in &mut self.regexes {
            by_weight(entries);
        }
        by_weight(&mut self.any);
    }
}
