//! What would go round in circles: endpoints where this process itself receives, from where there is a way back.
//! Here only of endpoints that are written as addresses. Those that are found later, by name or file, are judged by the same
//! rule when they are found (probe); of datagrams, they are refused when they are used (relay).
//! Start at [`check`].

use std::net::SocketAddr;
use std::sync::Arc;

use super::upstreams::{UpstreamConfig, Upstreams};
use super::{Config, ListenerConfig};
use crate::fault::{Fault, Faults};
use crate::gate::{Group, OwnListeners, Ways};
use crate::proxy_protocol::Transport;
use crate::route::RouteTable;
use crate::upstream::EndpointSource;

impl Config {
    /// Where connections to the listeners go from there, with the addresses that they are bound to.
    pub fn ways<'a>(&self, bound: impl Iterator<Item = (&'a str, SocketAddr)>) -> Ways {
        let bound: Vec<(&str, SocketAddr)> = bound.collect();
        ways(&self.listeners, &self.routes, |listener| {
            let of = bound.iter().filter(|(name, _)| *name == &*listener.name);
            of.map(|(_, address)| *address).collect()
        })
    }
}

pub(super) fn check(
    listeners: &[ListenerConfig],
    routes: &RouteTable,
    upstreams: &Upstreams,
    faults: &Faults,
) {
    check_datagrams(listeners, upstreams, faults);
    let addresses: Vec<(&str, Vec<SocketAddr>)> = upstreams
        .read
        .iter()
        .map(|read| (&*read.name, addresses(read).collect()))
        .collect();
    let groups: Vec<Group<'_>> = addresses
        .iter()
        .map(|(name, addresses)| (*name, addresses.as_slice()))
        .collect();
    let ways = ways(listeners, routes, |listener| bound(listener).collect());
    for (name, endpoint) in ways.circles(&groups) {
        let Some(read) = upstreams.read.iter().find(|read| *read.name == *name) else {
            continue;
        };
        let problem = format!(
            "endpoint {endpoint} of upstream \"{name}\" is where this process itself listens, and leads back to this upstream: \
             connections would go round in circles"
        );
        faults.push(Fault::at(&read.at, problem, REMEDY));
    }
}

/// Datagrams to any of our own listeners of datagrams come back, or may: whoever sent them can be forged.
fn check_datagrams(listeners: &[ListenerConfig], upstreams: &Upstreams, faults: &Faults) {
    let is_of_datagrams = |one: &&ListenerConfig| one.transport() == Transport::Datagram;
    let of_datagrams = || listeners.iter().filter(is_of_datagrams);
    let all = own(listeners);
    for balanced in of_datagrams().filter_map(|one| one.balanced.as_ref()) {
        for read in &upstreams.read {
            let Some(endpoint) = addresses(read).find(|address| all.may_receive(*address)) else {
                continue;
            };
            if !balanced.leads_to(&read.name) {
                continue;
            }
            let problem = format!(
                "endpoint {endpoint} of upstream \"{}\" is where this process itself listens: datagrams would go round in circles",
                read.name
            );
            faults.push(Fault::at(&balanced.at, problem, REMEDY));
        }
    }
}

fn ways(
    listeners: &[ListenerConfig],
    routes: &RouteTable,
    bound: impl Fn(&ListenerConfig) -> Vec<SocketAddr>,
) -> Ways {
    let mut ways = Ways::default();
    for listener in listeners {
        if listener.transport() != Transport::Stream {
            continue;
        }
        let balanced = listener.balanced.iter();
        let balanced = balanced.flat_map(|balanced| balanced.upstreams().map(Arc::from));
        let routed = routes.of_listener(&listener.name);
        let routed = routed.flat_map(|route| route.upstreams().cloned());
        let mut to: Vec<Arc<str>> = balanced.chain(routed).collect();
        to.sort_unstable();
        to.dedup();
        if !to.is_empty() {
            ways.add(bound(listener), to);
        }
    }
    ways
}

fn bound(listener: &ListenerConfig) -> impl Iterator<Item = SocketAddr> {
    listener.bind.iter().map(|bind| bind.value)
}

/// The addresses that some listeners are to bind.
pub(super) fn own<'a>(listeners: impl IntoIterator<Item = &'a ListenerConfig>) -> OwnListeners {
    let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
    for listener in listeners {
        let addresses = match listener.transport() {
            Transport::Stream => &mut streams,
            Transport::Datagram => &mut datagrams,
        };
        addresses.extend(bound(listener));
    }
    OwnListeners::new(streams, datagrams)
}

fn addresses(read: &UpstreamConfig) -> impl Iterator<Item = SocketAddr> {
    let endpoints = read.settings.endpoints.iter();
    endpoints.filter_map(|endpoint| match &endpoint.source {
        EndpointSource::Address(address) => Some(*address),
        EndpointSource::Name(_) | EndpointSource::Srv(_) | EndpointSource::File(_) => None,
    })
}

const REMEDY: &str = "name the address of the server, or bind the listener to another one";
