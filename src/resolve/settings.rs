//! `[dns]`: which servers are asked, how long, and how long their answers are kept.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::HostsFile;
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Table, Value, one_of};

/// The settings of `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name servers, in order; none: those of the system's configuration.
    pub servers: Vec<SocketAddr>,
    /// Whose static names win over DNS.
    pub hosts: HostsFile,
    /// The longest that one name may take, all attempts together.
    pub timeout: Duration,
    /// How often each server is asked before it counts as failed.
    pub attempts: u32,
    /// Names kept per worker; 0 keeps none.
    pub cache: usize,
    /// The longest that a negative answer is kept.
    pub negative_ttl: Duration,
    /// The longest that an answer is kept.
    pub max_ttl: Duration,
    /// The shortest that an answer is kept, whatever its TTL says.
    pub min_ttl: Duration,
    /// Whether the system's search domains are tried. Off: a proxy is asked for absolute names, and what is judged should be what
    /// is looked up.
    pub search: bool,
    /// Which addresses are asked for.
    pub families: Families,
}

/// The address families that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// Both.
    Both,
    /// A records only.
    Ipv4,
    /// AAAA records only.
    Ipv6,
}

impl Families {
    /// Whether an address is of a family that is asked for.
    pub fn include(self, address: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::Ipv4 => address.to_canonical().is_ipv4(),
            Self::Ipv6 => address.to_canonical().is_ipv6(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            hosts: HostsFile::System,
            timeout: Duration::from_secs(5),
            attempts: 2,
            cache: 10_000,
            negative_ttl: Duration::from_secs(30),
            max_ttl: Duration::from_secs(3_600),
            min_ttl: Duration::ZERO,
            search: false,
            families: Families::Both,
        }
    }
}

impl Settings {
    /// Reads `[dns]`; an absent table and absent keys have their defaults.
    pub fn read(value: Option<Value>, faults: &Faults) -> Self {
        let default = Self::default();
        let Some(table) = value.and_then(|value| Table::from_value(value, faults)) else {
            return default;
        };
        let settings = Self {
            servers: read_servers(&table, faults),
            hosts: table.take_value("hosts").map_or(default.hosts, |value| {
                read_hosts(value, faults).unwrap_or(HostsFile::System)
            }),
            timeout: read_timeout(&table, default.timeout, faults),
            attempts: table
                .take_within("attempts", 1..=10, faults)
                .unwrap_or(default.attempts),
            cache: table
                .take_within("cache", 0..=MOST_ENTRIES, faults)
                .unwrap_or(default.cache),
            negative_ttl: table.take_or("negative-ttl", default.negative_ttl, faults),
            max_ttl: table.take_or("max-ttl", default.max_ttl, faults),
            min_ttl: table.take_or("min-ttl", default.min_ttl, faults),
            search: table.take_or("search", default.search, faults),
            families: table
                .take("families", faults)
                .and_then(|word: Located<String>| one_of(&word, FAMILIES, faults))
                .unwrap_or(default.families),
        };
        if settings.min_ttl > settings.max_ttl {
            faults.push(Fault::at(
                &table.at,
                "\"min-ttl\" is longer than \"max-ttl\"",
                "make \"max-ttl\" at least as long",
            ));
        }
        table.finish(faults);
        settings
    }
}

const FAMILIES: &[(&str, Families)] = &[
    ("both", Families::Both),
    ("ipv4", Families::Ipv4),
    ("ipv6", Families::Ipv6),
];

/// Room is set aside for all entries at once.
const MOST_ENTRIES: usize = 1_000_000;

fn read_servers(table: &Table, faults: &Faults) -> Vec<SocketAddr> {
    let Some(texts) = table.take::<Vec<Located<String>>>("servers", faults) else {
        return Vec::new();
    };
    let parse = |text: Located<String>| {
        let server = text.value.parse().or_else(|_| {
            let ip = text.value.parse::<IpAddr>();
            ip.map(|ip| SocketAddr::new(ip, 53))
        });
        let problem = match server {
            Ok(SocketAddr::V6(server)) if server.scope_id() != 0 => {
                "a server's address can not name an interface".to_owned()
            }
            Ok(server) if server.port() == 0 => "a server's port can not be 0".to_owned(),
            Ok(server) => return Some(server),
            Err(_) => format!("\"{}\" is not the address of a name server", text.value),
        };
        let remedy = "write an address with or without port: \"192.0.2.53\", \"[2001:db8::53]:53\"";
        faults.push(Fault::at(&text.at, problem, remedy));
        None
    };
    texts.into_iter().filter_map(parse).collect()
}

fn read_hosts(value: Value, faults: &Faults) -> Option<HostsFile> {
    match value.kind {
        Kind::Bool(true) => Some(HostsFile::System),
        Kind::Bool(false) => Some(HostsFile::None),
        Kind::Text(_) => {
            let at = value.at.clone();
            PathBuf::from_value(value, faults)
                .map(|path| HostsFile::File(Located { value: path, at }))
        }
        Kind::Integer(_) | Kind::Float(_) | Kind::Datetime(_) | Kind::List(_) | Kind::Table(_) => {
            value.mismatch("true, false or a path", faults)
        }
    }
}

fn read_timeout(table: &Table, default: Duration, faults: &Faults) -> Duration {
    let Some(timeout) = table.take::<Located<Duration>>("timeout", faults) else {
        return default;
    };
    if timeout.value.is_zero() {
        faults.push(Fault::at(
            &timeout.at,
            "no name server answers in no time",
            "write a duration such as \"5s\"",
        ));
        return default;
    }
    timeout.value
}
