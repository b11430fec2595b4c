//! The routes of one listener, found by host and path: exact ones and prefixes are looked up, not tried in turn.
//! The order is that of the module's docs.
//! Start at [`Index::first`].

use std::cmp::Reverse;
use std::sync::Arc;

use foldhash::HashMap;
use memchr::memchr_iter;
use regex::Regex;
use smallvec::SmallVec;

use super::path::{Glob, PathPattern};
use crate::addr::{Host, HostKey, HostMap, HostPattern};

/// Routes by host.
#[derive(Debug, Default)]
pub(super) struct Index {
    hosts: HostMap<Paths>,
    rest: Paths,
}

/// Routes of one host. Small where no route asks for a path: thousands of hosts share a processor's caches.
#[derive(Debug, Default)]
struct Paths {
    by_path: Option<Box<ByPath>>,
    any: Places,
}

/// Routes of one host by path. The keys of its maps are the operator's, so that no client can choose some that collide.
#[derive(Debug, Default)]
struct ByPath {
    exact: HashMap<Box<str>, Places>,
    /// By the beginning that is written out, without a slash at its end.
    beginnings: HashMap<Box<str>, Beginning>,
    /// The most segments of a beginning.
    deepest: usize,
    /// In the file's order.
    regexes: Vec<(Arc<Regex>, Places)>,
}

/// Routes of one beginning.
#[derive(Debug, Default)]
struct Beginning {
    /// Those with more letters first.
    globs: Vec<(Arc<Glob>, Places)>,
    below: Places,
}

/// The places in the file of routes with the same host and path, the one that asks for more first. One or two as a rule.
type Places = SmallVec<[usize; 2]>;

/// The globs and expressions of an index: those that are written alike are one, because each works in memory of its own, and a
/// thousand hosts would have a thousand.
#[derive(Default)]
struct Patterns<'a> {
    globs: HashMap<&'a str, Arc<Glob>>,
    regexes: HashMap<&'a str, Arc<Regex>>,
}

impl Index {
    /// Of hosts, paths and the places of their routes, in the order in which routes with the same host and path are looked at.
    pub(super) fn new<'a>(
        routes: impl Iterator<Item = (&'a HostPattern, &'a PathPattern, usize)>,
    ) -> Self {
        let mut index = Self::default();
        let mut patterns = Patterns::default();
        for (host, path, at) in routes {
            let paths = match HostKey::of(host) {
                Some(key) => index.hosts.of_key(key),
                // Globs are refused when routes are read.
                None => &mut index.rest,
            };
            paths.insert(path, at, &mut patterns);
        }
        for paths in index.hosts.values_mut().chain([&mut index.rest]) {
            if let Some(by_path) = &mut paths.by_path {
                by_path.sort();
            }
        }
        index
    }

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
}

impl Paths {
    fn first(&self, path: &str, holds: impl Fn(usize) -> bool + Copy) -> Option<usize> {
        let by_path = self.by_path.as_ref();
        by_path
            .and_then(|by_path| by_path.first(path, holds))
            .or_else(|| first_of(&self.any, holds))
    }

    fn insert<'a>(&mut self, path: &'a PathPattern, at: usize, patterns: &mut Patterns<'a>) {
        match path {
            PathPattern::Any => self.any.push(at),
            PathPattern::Exact(path) => {
                let exact = &mut self.by_path().exact;
                exact.entry(path.clone()).or_default().push(at);
            }
            PathPattern::Below(base) => self.by_path().beginning(base).below.push(at),
            PathPattern::Glob(glob) => {
                let known = patterns.globs.entry(&glob.text);
                let glob = known.or_insert_with(|| glob.clone());
                push(
                    &mut self.by_path().beginning(&glob.beginning).globs,
                    glob,
                    at,
                );
            }
            PathPattern::Regex(text, regex) => {
                let known = patterns.regexes.entry(text);
                let regex = known.or_insert_with(|| regex.clone());
                push(&mut self.by_path().regexes, regex, at);
            }
        }
    }

    fn by_path(&mut self) -> &mut ByPath {
        self.by_path.get_or_insert_default()
    }
}

impl ByPath {
    fn first(&self, path: &str, holds: impl Fn(usize) -> bool + Copy) -> Option<usize> {
        let take = |places: &Places| first_of(places, holds);
        if let Some(found) = self.exact.get(path).and_then(take) {
            return Some(found);
        }
        // `OPTIONS *` is for a whole host, and has no path that a pattern could match (RFC 9112 §3.2.4).
        if !path.starts_with('/') {
            return None;
        }
        let mut end = self.longest_beginning(path);
        while let Some(at) = end {
            let beginning = path.get(..at).and_then(|text| self.beginnings.get(text));
            let found = beginning.and_then(|beginning| {
                let mut globs = beginning.globs.iter();
                let matching = |(glob, places): &(Arc<Glob>, Places)| {
                    glob.matcher.is_match(path).then(|| take(places)).flatten()
                };
                globs.find_map(matching).or_else(|| take(&beginning.below))
            });
            if found.is_some() {
                return found;
            }
            end = path.get(..at).and_then(|text| text.rfind('/'));
        }
        let mut regexes = self.regexes.iter();
        regexes.find_map(|(regex, places)| regex.is_match(path).then(|| take(places)).flatten())
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

    fn beginning(&mut self, base: &str) -> &mut Beginning {
        self.deepest = self.deepest.max(base.matches('/').count());
        self.beginnings.entry(base.into()).or_default()
    }

    /// Puts globs and expressions in their order; where nothing else makes a difference, in that of the file.
    fn sort(&mut self) {
        for beginning in self.beginnings.values_mut() {
            let globs = &mut beginning.globs;
            globs.sort_by_key(|(glob, places)| (Reverse(glob.literals), earliest(places)));
        }
        self.regexes.sort_by_key(|(_, places)| earliest(places));
    }
}

/// Adds a place to those of a pattern.
fn push<P>(known: &mut Vec<(Arc<P>, Places)>, pattern: &Arc<P>, at: usize) {
    let mut alike = known.iter_mut();
    match alike.find(|(known, _)| Arc::ptr_eq(known, pattern)) {
        Some((_, places)) => places.push(at),
        None => known.push((pattern.clone(), SmallVec::from_slice(&[at]))),
    }
}

/// The first of them in the file.
fn earliest(places: &Places) -> Option<usize> {
    places.iter().copied().min()
}

/// The first of these places that holds otherwise.
fn first_of(places: &Places, holds: impl Fn(usize) -> bool) -> Option<usize> {
    places.iter().copied().find(|at| holds(*at))
}
