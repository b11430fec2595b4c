//! Values by host: by exactly one, or by the name that hosts are below; looked up, not tried in turn.
//! Not for globs, and not for what any host has: who keeps a map knows in which order these come.
//! Start at [`HostMap::matching`].

use foldhash::HashMap;

use super::{Host, HostPattern};

/// Values by host.
///
/// Keys must be the operator's: the hash is a fast one, and whoever chooses keys could choose some that collide. Hosts that are looked
/// up may be anybody's.
#[derive(Debug)]
pub struct HostMap<V> {
    exact: HashMap<Host, V>,
    /// By suffix with its dot.
    below: HashMap<Box<str>, V>,
}

impl<V> HostMap<V> {
    /// The values for a host, the most specific first: that of exactly this one, then those of names that it is below, the longest
    /// first.
    pub fn matching<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a V> {
        let name = host.name().filter(|_| !self.below.is_empty());
        let below = name
            .into_iter()
            .flat_map(suffixes)
            .filter_map(|suffix| self.below.get(suffix));
        self.exact.get(host).into_iter().chain(below)
    }

    /// The keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = HostKey<'_>> {
        let below = self.below.keys().map(|suffix| HostKey::Below(suffix));
        self.exact.keys().map(HostKey::Exact).chain(below)
    }

    /// The values, in no order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.exact.values_mut().chain(self.below.values_mut())
    }
}

impl<V: Default> HostMap<V> {
    /// The value of a key, made where there is none.
    pub fn of_key(&mut self, key: HostKey<'_>) -> &mut V {
        match key {
            HostKey::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostKey::Below(suffix) => self.below.entry(suffix.into()).or_default(),
        }
    }
}

impl<V> Default for HostMap<V> {
    fn default() -> Self {
        Self {
            exact: HashMap::default(),
            below: HashMap::default(),
        }
    }
}

/// What a value is kept under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKey<'a> {
    /// Exactly this host.
    Exact(&'a Host),
    /// Any name below one; a dot, and that name.
    Below(&'a str),
}

impl<'a> HostKey<'a> {
    /// The key that a pattern is; `None` for a glob, and for every host.
    pub fn of(pattern: &'a HostPattern) -> Option<Self> {
        match pattern {
            HostPattern::Exact(host) => Some(Self::Exact(host)),
            HostPattern::Below(suffix) => Some(Self::Below(suffix)),
            HostPattern::Any | HostPattern::Glob(..) => None,
        }
    }
}

/// Every proper suffix of a name, from its dots: `.b.example`, `.example`.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    // A name never begins with a dot, so that what stands before one is not empty.
    memchr::memchr_iter(b'.', name.as_bytes()).filter_map(|at| name.get(at..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_value_comes_first() {
        let mut map = HostMap::default();
        for (n, text) in ["a.b.example", "*.b.example", "*.example", "192.0.2.1"]
            .into_iter()
            .enumerate()
        {
            let pattern = HostPattern::parse(text).expect("the table holds patterns");
            *map.of_key(HostKey::of(&pattern).expect("neither a glob nor any")) = n;
        }
        for (host, expected) in [
            ("a.b.example", &[0, 1, 2][..]),
            ("x.a.b.example", &[1, 2]),
            ("b.example", &[2]),
            ("example", &[]),
            ("badb.example", &[2]),
            ("192.0.2.1", &[3]),
            ("192.0.2.2", &[]),
        ] {
            let host = Host::parse(host).expect("the table holds hosts");
            let found: Vec<usize> = map.matching(&host).copied().collect();
            assert_eq!(found, expected, "{host}");
        }
        assert_eq!(map.keys().count(), 4);
    }

    #[test]
    fn globs_and_every_host_are_no_keys() {
        for text in ["*", "api-*.example"] {
            let pattern = HostPattern::parse(text).expect("the table holds patterns");
            assert_eq!(HostKey::of(&pattern), None, "{text}");
        }
    }
}
