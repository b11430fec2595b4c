//! `endpoints`: addresses, names, services and files, each with its weight and its place in the group.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::addr::{Authority, Host};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Table, Value};

/// Where endpoints come from, and what they are in the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Where they come from.
    pub source: EndpointSource,
    /// Each one's part of the requests; 0 for none.
    pub weight: u32,
    /// They take requests only where the others can not.
    pub backup: bool,
    /// The group of them: a lower number comes first, and hands on what it lacks the endpoints for.
    pub priority: u32,
    /// Their zone.
    pub zone: Option<Box<str>>,
}

/// Where endpoints come from: known by this over reloads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointSource {
    /// One address.
    Address(SocketAddr),
    /// The addresses of a name, looked up again and again.
    Name(Authority),
    /// The SRV records of a name (RFC 2782), looked up again and again.
    Srv(Host),
    /// The lines of a file, read again when it changes.
    File(PathBuf),
}

impl EndpointSettings {
    /// One address, with nothing said about it.
    pub fn of(address: SocketAddr) -> Self {
        Self::new(EndpointSource::Address(address))
    }

    fn new(source: EndpointSource) -> Self {
        Self {
            source,
            weight: 1,
            backup: false,
            priority: 0,
            zone: None,
        }
    }
}

impl fmt::Display for EndpointSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(authority) => authority.fmt(f),
            Self::Srv(name) => write!(f, "SRV {name}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

pub(super) fn read_all(table: &Table, faults: &Faults) -> Box<[EndpointSettings]> {
    let before = faults.len();
    let remedy = "name where requests go: endpoints = [\"10.0.0.1:8080\"]";
    let read: Option<Located<Vec<Located<EndpointSettings>>>> =
        table.require("endpoints", remedy, faults);
    let Some(Located { value: read, at }) = read else {
        return Box::default();
    };
    let mut seen = HashSet::new();
    for endpoint in &read {
        if !seen.insert(&endpoint.value.source) {
            faults.push(Fault::at(
                &endpoint.at,
                format!("{} is there twice", endpoint.value.source),
                "leave one out, and give the other the weight of both",
            ));
        }
    }
    if faults.len() == before && read.is_empty() {
        faults.push(Fault::at(
            &at,
            "an upstream without endpoints serves nobody",
            remedy,
        ));
    } else if faults.len() == before && read.iter().all(|endpoint| endpoint.value.weight == 0) {
        faults.push(Fault::at(
            &at,
            "every endpoint has weight 0, so that no request goes anywhere",
            "give one of them a weight of at least 1",
        ));
    }
    read.into_iter().map(|endpoint| endpoint.value).collect()
}

/// `"10.0.0.1:80"`, `"app.internal:80"`, or a table.
impl FromValue for EndpointSettings {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        match value.kind {
            Kind::Text(_) => {
                let text = Located::<String>::from_value(value, faults)?;
                authority(&text, faults).map(|authority| Self::new(at_or_named(authority)))
            }
            Kind::Table(table) => read_table(table, faults),
            Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Datetime(_)
            | Kind::List(_) => value.mismatch(
                "\"host:port\", or a table with address, name, srv or file",
                faults,
            ),
        }
    }
}

fn read_table(table: Table, faults: &Faults) -> Option<EndpointSettings> {
    let before = faults.len();
    let text = |key| table.take::<Located<String>>(key, faults);
    let address = text("address").and_then(|text| match authority(&text, faults)? {
        named @ Authority {
            host: Host::Name(_),
            ..
        } => {
            faults.push(Fault::at(
                &text.at,
                format!("\"{named}\" is a name"),
                "write it as name = \"…\", and it is looked up",
            ));
            None
        }
        authority => Some(at_or_named(authority)),
    });
    let name = text("name")
        .and_then(|text| authority(&text, faults))
        .map(at_or_named);
    let srv = text("srv")
        .and_then(|text| srv_name(&text, faults))
        .map(EndpointSource::Srv);
    let file = table.take("file", faults).map(EndpointSource::File);
    let mut settings = EndpointSettings {
        source: EndpointSource::File(PathBuf::new()),
        weight: table
            .take_within("weight", 0..=MOST_WEIGHT, faults)
            .unwrap_or(1),
        backup: table.take_or("backup", false, faults),
        priority: table
            .take_within("priority", 0..=MOST_PRIORITY, faults)
            .unwrap_or(0),
        zone: table.take::<String>("zone", faults).map(Into::into),
    };
    let at = table.at.clone();
    table.finish(faults);
    let mut sources = [address, name, srv, file].into_iter().flatten();
    match (sources.next(), sources.next()) {
        (Some(source), None) => settings.source = source,
        _ if faults.len() > before => return None,
        _ => {
            let remedy = "write one of: address = \"10.0.0.1:80\", name = \"app.internal:80\", srv = \"_http._tcp.app.internal\", file = \"app.endpoints\"";
            faults.push(Fault::at(&at, "an endpoint comes from one place", remedy));
            return None;
        }
    }
    Some(settings)
}

fn at_or_named(authority: Authority) -> EndpointSource {
    match authority.host.ip() {
        Some(ip) => EndpointSource::Address(SocketAddr::new(ip, authority.port)),
        None => EndpointSource::Name(authority),
    }
}

fn authority(text: &Located<String>, faults: &Faults) -> Option<Authority> {
    let parsed = Authority::parse(&text.value, None);
    parsed
        .map_err(|error| {
            let remedy = "write host and port: \"10.0.0.1:8080\", \"[2001:db8::1]:8080\", \"app.internal:8080\"";
            faults.push(Fault::at(&text.at, error.to_string(), remedy));
        })
        .ok()
}

fn srv_name(text: &Located<String>, faults: &Faults) -> Option<Host> {
    let name = Host::parse(&text.value);
    let fault = match name {
        Ok(name @ Host::Name(_)) => return Some(name),
        Ok(Host::Addr(_)) => format!("\"{}\" is an address", text.value),
        Err(error) => error.to_string(),
    };
    let remedy = "write the name of the records: \"_http._tcp.app.internal\"";
    faults.push(Fault::at(&text.at, fault, remedy));
    None
}

/// With more, the tables of weights lose their evenness.
pub(in crate::upstream) const MOST_WEIGHT: u32 = 1000;
const MOST_PRIORITY: u32 = 100;
