//! What would go round in circles: a balanced listener whose endpoint is where this process itself receives.
//! Not endpoints that are found later, by name or file: of datagrams, they are refused when they are used (relay).
//! Start at [`check`].

use std::net::SocketAddr;

use super::ListenerConfig;
use super::upstreams::Upstreams;
use crate::fault::{Fault, Faults};
use crate::gate::OwnListeners;
use crate::proxy_protocol::Transport;
use crate::upstream::EndpointSource;

/// Datagrams to any of our own listeners of datagrams come back; of connections, those to the listener itself. One listener behind
/// another is a way to do things.
pub(super) fn check(listeners: &[ListenerConfig], upstreams: &Upstreams, faults: &Faults) {
    let datagrams = listeners.iter();
    let datagrams = datagrams.filter(|one| one.transport() == Transport::Datagram);
    let datagrams = OwnListeners::new(datagrams.flat_map(bound).collect());
    for listener in listeners {
        let Some(balanced) = &listener.balanced else {
            continue;
        };
        let itself = OwnListeners::new(bound(listener).collect());
        let (own, what) = match balanced.transport {
            Transport::Datagram => (&datagrams, "datagrams"),
            Transport::Stream => (&itself, "connections"),
        };
        for read in &upstreams.read {
            let addresses = read.settings.endpoints.iter();
            let mut addresses = addresses.filter_map(|endpoint| address(&endpoint.source));
            let Some(endpoint) = addresses.find(|address| own.contains(*address)) else {
                continue;
            };
            if !balanced.leads_to(&read.name) {
                continue;
            }
            let problem = format!(
                "endpoint {endpoint} of upstream \"{}\" is where this process itself listens: {what} would go round in circles",
                read.name
            );
            let remedy = "name the address of the server, or bind the listener to another one";
            faults.push(Fault::at(&balanced.at, problem, remedy));
        }
    }
}

fn bound(listener: &ListenerConfig) -> impl Iterator<Item = SocketAddr> {
    listener.bind.iter().map(|bind| bind.value)
}

fn address(source: &EndpointSource) -> Option<SocketAddr> {
    match source {
        EndpointSource::Address(address) => Some(*address),
        EndpointSource::Name(_) | EndpointSource::Srv(_) | EndpointSource::File(_) => None,
    }
}
