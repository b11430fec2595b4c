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
    let all = own(listeners);
    for listener in listeners {
        let Some(balanced) = &listener.balanced else {
            continue;
        };
        let itself = own([listener]);
        let (comes_back, what): (&dyn Fn(SocketAddr) -> bool, _) = match balanced.transport {
            Transport::Datagram => (&|address| all.may_receive(address), "datagrams"),
            Transport::Stream => (&|address| itself.contains(address), "connections"),
        };
        for read in &upstreams.read {
            let addresses = read.settings.endpoints.iter();
            let mut addresses = addresses.filter_map(|endpoint| address(&endpoint.source));
            let Some(endpoint) = addresses.find(|address| comes_back(*address)) else {
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

/// The addresses that some listeners are to bind.
pub(super) fn own<'a>(listeners: impl IntoIterator<Item = &'a ListenerConfig>) -> OwnListeners {
    let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
    for listener in listeners {
        let addresses = match listener.transport() {
            Transport::Stream => &mut streams,
            Transport::Datagram => &mut datagrams,
        };
        addresses.extend(listener.bind.iter().map(|bind| bind.value));
    }
    OwnListeners::new(streams, datagrams)
}

fn address(source: &EndpointSource) -> Option<SocketAddr> {
    match source {
        EndpointSource::Address(address) => Some(*address),
        EndpointSource::Name(_) | EndpointSource::Srv(_) | EndpointSource::File(_) => None,
    }
}
