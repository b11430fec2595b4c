//! The servers of a service, as SRV records name them (RFC 2782).
//! Not their addresses, which are asked for by their names, nor whose turn it is.
//! Start at [`Services`].

use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RData, Record};

use super::ResolveError;
use super::system::end_of_chain;
use crate::addr::Host;

/// The servers of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    /// At most [`Services::LIMIT`]. None where the zone says that nobody offers the service: by the one target `.`.
    pub records: Vec<Service>,
    /// How long the source says that the answer holds.
    pub ttl: Duration,
}

/// One server of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub target: Host,
    /// Its port; not 0.
    pub port: u16,
    /// Those of the lowest number come first.
    pub priority: u16,
    /// Its part among those of its priority; 0 for a very small one.
    pub weight: u16,
}

impl Services {
    /// So many servers are kept: a hostile zone could send thousands.
    pub const LIMIT: usize = 256;
}

/// The records at the end of the chain of aliases that begins at the asked name. A target that is no name of a host is left out.
pub(super) fn read(asked: &Name, answers: &[Record]) -> Result<Services, ResolveError> {
    let (owner, mut seconds) = end_of_chain(asked, answers);
    let mut records = Vec::new();
    let mut has_some = false;
    for record in answers.iter().filter(|record| record.name == *owner) {
        let RData::SRV(service) = &record.data else {
            continue;
        };
        has_some = true;
        seconds = seconds.min(record.ttl);
        let target = service.target.to_ascii();
        let target = Host::parse(target.trim_end_matches('.'));
        let named = target.ok().filter(|target| target.name().is_some());
        let Some(target) = named.filter(|_| service.port != 0) else {
            continue;
        };
        if records.len() < Services::LIMIT {
            records.push(Service {
                target,
                port: service.port,
                priority: service.priority,
                weight: service.weight,
            });
        }
    }
    if !has_some {
        // A chain that leads nowhere has no SOA to say how long that holds.
        let ttl = Duration::ZERO;
        return Err(ResolveError::NoAddresses { ttl });
    }
    Ok(Services {
        records,
        ttl: Duration::from_secs(seconds.into()),
    })
}
