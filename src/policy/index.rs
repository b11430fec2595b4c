//! Which rules can hold for a host and a client at all: those that ask for the host by name or suffix, those that ask for no host but
//! for a network that the client is in, and those that are not indexed.
//! Not a decision: a candidate is still asked, in its place among the rules.
//! Start at [`Index::candidates`].

use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;
use smallvec::SmallVec;

use super::rule::Rule;
use crate::addr::{Host, HostMap};

/// Rules by the hosts that they demand, or else by the clients.
#[derive(Debug, Default)]
pub(super) struct Index {
    hosts: HostMap<Vec<usize>>,
    /// By network of clients; the operator's keys, so that no client can choose some that collide.
    clients: HashMap<IpNet, Vec<usize>>,
    /// The lengths of the prefixes of these networks, of IPv4 and of IPv6; each once.
    lengths: [Vec<u8>; 2],
    /// Rules that any host and any client may meet.
    rest: Vec<usize>,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            let demanded = || rule.clauses.iter().filter(|clause| !clause.negated);
            if let Some(hosts) = demanded().find_map(|clause| clause.condition.hosts()) {
                index.add_hosts(hosts, at);
            } else if let Some(networks) =
                demanded().find_map(|clause| clause.condition.client_networks())
            {
                index.add_clients(networks, at);
            } else {
                index.rest.push(at);
            }
        }
        index
    }

    fn add_hosts(&mut self, hosts: &HostMap<()>, at: usize) {
        for key in hosts.keys() {
            self.hosts.of_key(key).push(at);
        }
    }

    fn add_clients(&mut self, networks: &[IpNet], at: usize) {
        for network in networks {
            self.clients.entry(network.trunc()).or_default().push(at);
            let [v4, v6] = &mut self.lengths;
            let lengths = if network.addr().is_ipv4() { v4 } else { v6 };
            if !lengths.contains(&network.prefix_len()) {
                lengths.push(network.prefix_len());
            }
        }
    }

    /// The places of the rules that ask for a network which the client is in.
    fn of_client(&self, client: IpAddr) -> impl Iterator<Item = usize> {
        let client = client.to_canonical();
        let [v4, v6] = &self.lengths;
        let lengths = if client.is_ipv4() { v4 } else { v6 };
        let networks = lengths
            .iter()
            .filter_map(move |length| IpNet::new(client, *length).ok());
        let found = networks.filter_map(|network| self.clients.get(&network.trunc()));
        found.flatten().copied()
    }

    /// The places of all rules that may hold for this host and this client, in their order.
    pub(super) fn candidates(&self, host: &Host, client: IpAddr) -> impl Iterator<Item = usize> {
        let mut found: SmallVec<[usize; 16]> = SmallVec::new();
        found.extend(self.hosts.matching(host).flatten().copied());
        if !self.clients.is_empty() {
            found.extend(self.of_client(client));
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
