//! Names that need no DNS: the hosts file, and the names that must never reach a name server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Families, ResolveError};
use crate::addr::Host;
use crate::fault::Fault;
use crate::settings::Located;

/// Which hosts file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostsFile {
    /// None.
    None,
    /// The system's, if there is one.
    System,
    /// The operator's own.
    File(Located<PathBuf>),
}

impl HostsFile {
    /// Reads the file. Errors: the operator's own can not be read.
    pub fn load(&self) -> Result<Hosts, Fault> {
        match self {
            Self::None => Ok(Hosts::default()),
            Self::System => Ok(read(Path::new("/etc/hosts")).unwrap_or_default()),
            Self::File(path) => read(&path.value).map_err(|error| {
                Fault::at(
                    &path.at,
                    format!("cannot read {}: {error}", path.value.display()),
                    "name a file in the form of hosts(5), or write hosts = false",
                )
            }),
        }
    }
}

fn read(path: &Path) -> std::io::Result<Hosts> {
    let text = std::fs::read(path)?;
    Ok(Hosts::parse(&String::from_utf8_lossy(&text)))
}

/// Static names and their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(HashMap<Box<str>, Vec<IpAddr>>);

impl Hosts {
    /// Reads the form of hosts(5): an address, then its names; `#` begins a comment. As resolvers do, lines that are neither are
    /// passed over.
    pub fn parse(text: &str) -> Self {
        let mut names: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
                continue;
            };
            for host in words.filter_map(|word| Host::parse(word).ok()) {
                if let Some(name) = host.name() {
                    names.entry(name.into()).or_default().push(address);
                }
            }
        }
        Self(names)
    }

    /// The answer to a canonical name that DNS must not be asked for; `None` where DNS is to be asked.
    pub(super) fn lookup(
        &self,
        name: &str,
        families: Families,
    ) -> Option<Result<Answer, ResolveError>> {
        // Always this machine, whatever a file or a server says (RFC 6761 §6.3).
        if within(name, "localhost") {
            return Some(local(&LOOPBACK, families));
        }
        if let Some(addresses) = self.0.get(name) {
            return Some(local(addresses, families));
        }
        // To ask for these would tell a stranger (RFC 6761 §6.4, RFC 7686 §2).
        let never = within(name, "invalid") || within(name, "onion");
        never.then_some(Err(ResolveError::NotFound { ttl: Duration::MAX }))
    }
}

fn local(addresses: &[IpAddr], families: Families) -> Result<Answer, ResolveError> {
    let wanted = addresses.iter().copied().filter(|ip| families.include(*ip));
    Answer::new(wanted, Duration::MAX).ok_or(ResolveError::NoAddresses { ttl: Duration::MAX })
}

fn within(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];
