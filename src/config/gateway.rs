//! What a gateway's listener has beside the keys of all: `trusted-proxies` and `forwarded`; and `[[route]]`.
//! Not the upstreams, which are read on their own.
//! Start at [`read`], then [`read_routes`].

use std::sync::Arc;

use super::ListenerConfig;
use super::upstreams::Upstreams;
use crate::fault::{Fault, Faults};
use crate::message::forwarded::{Trusted, Writing};
use crate::mode::Entry;
use crate::route::{self, Ground, RouteTable};
use crate::settings::{FromValue, Table, Value};

/// What a gateway's listener believes and says of where requests come from.
#[derive(Debug, Clone, Default)]
pub struct Forwarded {
    /// Whose word is taken.
    pub trusted: Trusted,
    /// How it is written for origins.
    pub writing: Writing,
}

/// Takes the keys of a gateway's listener; of another one, each of them that is there is a fault.
pub(super) fn read(table: &Table, mode: Option<&'static Entry>, faults: &Faults) -> Forwarded {
    let trusted = table.take_value("trusted-proxies");
    let writing = table.take_value("forwarded");
    let given = [("trusted-proxies", &trusted), ("forwarded", &writing)];
    if let Some(mode) = mode.filter(|mode| !mode.gateway) {
        let given = given
            .iter()
            .filter_map(|(key, value)| Some((key, (*value).as_ref()?)));
        for (key, value) in given {
            let problem = format!("a listener of mode \"{}\" has no \"{key}\"", mode.name);
            let remedy = "write mode = \"reverse\", or take it out";
            faults.push(Fault::at(&value.at, problem, remedy));
        }
        return Forwarded::default();
    }
    Forwarded {
        trusted: take(trusted, faults),
        writing: take(writing, faults),
    }
}

fn take<T: FromValue + Default>(value: Option<Value>, faults: &Faults) -> T {
    let read = value.and_then(|value| T::from_value(value, faults));
    read.unwrap_or_default()
}

/// Reads the routes of all gateways. Without a gateway, a route is a fault.
pub(super) fn read_routes(
    routes: Option<Value>,
    listeners: &[ListenerConfig],
    upstreams: &Upstreams,
    faults: &Faults,
) -> RouteTable {
    let gateways = listeners.iter().filter(|listener| listener.mode.gateway);
    let gateways: Vec<Arc<str>> = gateways.map(|listener| listener.name.clone()).collect();
    if let Some(value) = routes.as_ref().filter(|_| gateways.is_empty()) {
        let remedy = "add a listener with mode = \"reverse\", or take the routes out";
        faults.push(Fault::at(&value.at, "no listener takes routes", remedy));
        return RouteTable::default();
    }
    let ground = Ground {
        listeners: &gateways,
        upstreams: &upstreams.declared,
        faults,
    };
    let table = route::read(routes, ground);
    check_connections(&table, upstreams, faults);
    table
}

/// Each worker keeps connections of its own, which wait for its own requests: a limit over all workers would have one wait for what
/// another one does not need.
fn check_connections(table: &RouteTable, upstreams: &Upstreams, faults: &Faults) {
    for read in &upstreams.read {
        let limits = &read.settings.limits;
        let key = match (limits.connections, limits.endpoint_connections) {
            (Some(_), _) => "connections",
            (None, Some(_)) => "endpoint-connections",
            (None, None) => continue,
        };
        let Some(route) = table.routes().find(|route| route.leads_to(&read.name)) else {
            continue;
        };
        let (name, route) = (&read.name, &route.name);
        let problem = format!(
            "limits.{key} of upstream \"{name}\" is for balanced listeners, and route \"{route}\" leads here"
        );
        let remedy = format!(
            "write connections = 100 in [upstream.{name}] itself (of each worker, to one endpoint), or \"endpoint-requests\" in its limits; \
             a balanced listener can have an upstream of its own"
        );
        faults.push(Fault::at(&read.at, problem, remedy));
    }
}
