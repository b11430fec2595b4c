//! Where connections to this process's own listeners go from there: one that came back to where it was would go round for ever.
//! One rule for all listeners with upstreams, whatever they speak: what leads back to its own upstream is not used. A listener behind
//! another one is a way to do things, as long as nothing leads back.
//! Start at [`Ways::circles`].

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::OwnListeners;

/// The listeners that have upstreams.
#[derive(Debug, Default)]
pub struct Ways(Vec<Way>);

/// A listener.
#[derive(Debug)]
struct Way {
    own: OwnListeners,
    /// The upstreams that connections may go on to, whatever they carry.
    to: Vec<Arc<str>>,
}

/// An upstream by its name, and where its endpoints are.
pub type Group<'a> = (&'a str, &'a [SocketAddr]);

impl Ways {
    /// Adds a listener with the addresses that it is bound to, and the names of the upstreams that it leads to.
    pub fn add(&mut self, addresses: Vec<SocketAddr>, to: Vec<Arc<str>>) {
        let own = OwnListeners::new(addresses, Vec::new());
        self.0.push(Way { own, to });
    }

    /// The endpoints that are listeners of this process from which there is a way back to the upstream that they are of; each with
    /// the name of that upstream. What a listener makes of one connection or the other is not looked at: that there is a way is enough.
    ///
    /// Asks the kernel which addresses are this machine's, where a listener is bound to all of them: not for the hot path.
    pub fn circles<'a>(&self, upstreams: &[Group<'a>]) -> Vec<(&'a str, SocketAddr)> {
        let mut within: HashMap<&str, Vec<(SocketAddr, usize)>> = HashMap::new();
        for (name, endpoints) in upstreams {
            for endpoint in *endpoints {
                for place in self.at(*endpoint) {
                    let own = within.entry(*name).or_default();
                    own.push((*endpoint, place));
                }
            }
        }
        let circles = upstreams.iter().flat_map(|(name, _)| {
            let own = within.get(name).map_or(&[][..], Vec::as_slice);
            let back = own
                .iter()
                .filter(|(_, place)| self.leads(*place, name, &within));
            back.map(move |(endpoint, _)| (*name, *endpoint))
        });
        circles.collect()
    }

    /// The listeners, by place, that receive what is sent to an address.
    fn at(&self, address: SocketAddr) -> impl Iterator<Item = usize> {
        let ways = self.0.iter().enumerate();
        let own = ways.filter(move |(_, way)| way.own.contains(address));
        own.map(|(place, _)| place)
    }

    /// Whether connections to a listener may come to this upstream, over however many other listeners.
    fn leads(
        &self,
        from: usize,
        upstream: &str,
        within: &HashMap<&str, Vec<(SocketAddr, usize)>>,
    ) -> bool {
        let (mut left, mut seen) = (vec![from], HashSet::from([from]));
        while let Some(way) = left.pop().and_then(|place| self.0.get(place)) {
            for name in &way.to {
                if **name == *upstream {
                    return true;
                }
                let on = within.get(&**name).map_or(&[][..], Vec::as_slice);
                left.extend(
                    on.iter()
                        .map(|(_, place)| *place)
                        .filter(|place| seen.insert(*place)),
                );
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Listeners as (address, upstreams), upstreams as (name, endpoints).
    fn circles(listeners: &[(&str, &[&str])], upstreams: &[(&str, &[&str])]) -> Vec<String> {
        let mut ways = Ways::default();
        for (address, to) in listeners {
            let to = to.iter().map(|name| (*name).into()).collect();
            ways.add(vec![at(address)], to);
        }
        let groups: Vec<(&str, Vec<SocketAddr>)> = upstreams
            .iter()
            .map(|(name, endpoints)| (*name, endpoints.iter().map(|text| at(text)).collect()))
            .collect();
        let groups: Vec<Group<'_>> = groups
            .iter()
            .map(|(name, endpoints)| (*name, endpoints.as_slice()))
            .collect();
        let found = ways.circles(&groups);
        found
            .iter()
            .map(|(name, endpoint)| format!("{name} {endpoint}"))
            .collect()
    }

    #[test]
    fn what_leads_back_to_its_own_upstream_is_found_and_nothing_else() {
        type Table<'a> = &'a [(&'a str, &'a [&'a str])];
        let (a, b, c) = ("127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003");
        let origin = "192.0.2.1:80";
        let rows: &[(&str, Table<'_>, Table<'_>, &[&str])] = &[
            (
                "to itself",
                &[(a, &["x"])],
                &[("x", &[a, origin])],
                &["x 127.0.0.1:1001"],
            ),
            (
                "by another address of a wildcard",
                &[("0.0.0.0:1001", &["x"])],
                &[("x", &["127.0.0.7:1001", "192.0.2.1:1001"])],
                &["x 127.0.0.7:1001"],
            ),
            (
                "there and back",
                &[(a, &["x"]), (b, &["y"])],
                &[("x", &[b]), ("y", &[a, origin])],
                &["x 127.0.0.1:1002", "y 127.0.0.1:1001"],
            ),
            (
                "over three",
                &[(a, &["x"]), (b, &["y"]), (c, &["z", "x"])],
                &[("x", &[b]), ("y", &[c]), ("z", &[origin])],
                &["x 127.0.0.1:1002", "y 127.0.0.1:1003"],
            ),
            (
                "into a circle from outside",
                &[(a, &["x"]), (b, &["x"])],
                &[("x", &[b])],
                &["x 127.0.0.1:1002"],
            ),
            (
                "a chain",
                &[(a, &["x"]), (b, &["y"]), (c, &["z"])],
                &[("x", &[b, c]), ("y", &[c]), ("z", &[origin])],
                &[],
            ),
            (
                "a circle behind a chain",
                &[(a, &["x"]), (b, &["y"])],
                &[("x", &[b]), ("y", &[b])],
                &["y 127.0.0.1:1002"],
            ),
            (
                "an upstream that nobody leads to",
                &[(a, &["x"])],
                &[("x", &[origin]), ("y", &[a])],
                &[],
            ),
        ];
        for (what, listeners, upstreams, expected) in rows {
            assert_eq!(circles(listeners, upstreams), *expected, "{what}");
        }
    }
}
