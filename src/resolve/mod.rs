//! Names to addresses, cached per worker.
//! Not a judge: which name may be asked for, and which address may be dialled, is policy's word before and after.
//! Start at [`Resolver`]; [`Plan`] reads what the operator named once, and builds a [`CachedResolver`] for each worker.

mod cache;
mod hosts;
mod service;
mod settings;
mod system;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;

pub use cache::CachedResolver;
pub use hosts::{Hosts, HostsFile};
pub use service::{Service, Services};
pub use settings::{Families, Settings};
pub use system::{NameServers, SystemResolver};

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::Fault;

/// Where addresses come from. One of the crate's trait seams: tests put a table here.
pub trait Resolver {
    /// The addresses of a name in canonical form (lower case, A-labels, no trailing dot); it is asked for as it stands.
    ///
    /// Errors: [`ResolveError`]. Dropping the future gives up the wait; others who wait for the same name are not disturbed.
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, ResolveError>> + 'a>>;

    /// The servers of a service, by a name in canonical form, such as `_http._tcp.app.internal` (RFC 2782). A source that has
    /// nothing but addresses knows none.
    ///
    /// Errors: [`ResolveError`]. Dropping the future gives up the wait.
    fn services<'a>(
        &'a self,
        _name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Services, ResolveError>> + 'a>> {
        let ttl = Duration::ZERO;
        Box::pin(std::future::ready(Err(ResolveError::NoAddresses { ttl })))
    }
}

/// The addresses of a name: at least one, at most [`Answer::LIMIT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Distinct addresses in the order to try them: IPv6 first, families interleaved (RFC 8305 §4). An IPv4-mapped one
    /// stands here as the IPv4 address that it is.
    pub addresses: Rc<[IpAddr]>,
    /// How long the source says that the answer holds.
    pub ttl: Duration,
}

impl Answer {
    /// So many addresses are kept: nobody dials more, and a hostile zone could send thousands.
    pub const LIMIT: usize = 16;

    /// An answer of addresses in any order; each family keeps the order in which it came. `None` where there are none.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>, ttl: Duration) -> Option<Self> {
        let mut distinct: Vec<IpAddr> = Vec::new();
        for address in addresses {
            let address = address.to_canonical();
            let room = distinct.iter().filter(|kept| same_family(kept, &address));
            if room.count() < Self::LIMIT && !distinct.contains(&address) {
                distinct.push(address);
            }
        }
        let (v6, v4): (Vec<_>, Vec<_>) = distinct.into_iter().partition(IpAddr::is_ipv6);
        let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
        let pairs = std::iter::from_fn(|| {
            let pair = [v6.next(), v4.next()];
            pair.iter().any(Option::is_some).then_some(pair)
        });
        let addresses: Rc<[IpAddr]> = pairs.flatten().flatten().take(Self::LIMIT).collect();
        (!addresses.is_empty()).then_some(Self { addresses, ttl })
    }
}

fn same_family(a: &IpAddr, b: &IpAddr) -> bool {
    a.is_ipv6() == b.is_ipv6()
}

/// Why a name has no addresses for us. Each variant is a fact, fit for a client to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name does not exist (NXDOMAIN).
    #[error("the name does not exist")]
    NotFound {
        /// How long that holds (RFC 2308 §5).
        ttl: Duration,
    },
    /// The name exists, and has no address of a family that is asked for (NODATA).
    #[error("the name has no addresses")]
    NoAddresses {
        /// How long that holds (RFC 2308 §5).
        ttl: Duration,
    },
    /// No name server answered within the limit.
    #[error("no name server answered in time")]
    Timeout,
    /// The name servers answered that they can not, or could not be asked.
    #[error("the name servers failed: {detail}")]
    ServerFailure {
        /// The answer's response code, if there was an answer.
        rcode: Option<Arc<str>>,
        /// What happened, in words.
        detail: Arc<str>,
    },
    /// Too many different names are being looked up by this worker.
    #[error("too many names are being looked up")]
    Busy,
    /// The text is no name that DNS can be asked for.
    #[error("this is not a DNS name")]
    InvalidName,
}

impl ResolveError {
    /// The error type of RFC 9209 §2.3 that says this: `dns_error` or `dns_timeout`.
    pub fn proxy_error(&self) -> &'static str {
        match self {
            Self::Timeout => "dns_timeout",
            Self::NotFound { .. }
            | Self::NoAddresses { .. }
            | Self::ServerFailure { .. }
            | Self::Busy
            | Self::InvalidName => "dns_error",
        }
    }

    /// The `rcode` parameter of a `dns_error` (RFC 9209 §2.3.2), where a name server gave one.
    pub fn rcode(&self) -> Option<&str> {
        match self {
            Self::NotFound { .. } => Some("NXDOMAIN"),
            Self::NoAddresses { .. } => Some("NOERROR"),
            Self::ServerFailure { rcode, .. } => rcode.as_deref(),
            Self::Timeout | Self::Busy | Self::InvalidName => None,
        }
    }

    /// Whether the name servers said so of the name, as opposed to saying nothing of it.
    pub fn is_negative(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::NoAddresses { .. } => true,
            Self::Timeout | Self::ServerFailure { .. } | Self::Busy | Self::InvalidName => false,
        }
    }
}

/// What the workers' resolvers are built from: read once, then shared by all workers.
#[derive(Debug, Clone)]
pub struct Plan {
    settings: Settings,
    servers: NameServers,
    hosts: Arc<Hosts>,
}

impl Plan {
    /// Reads the hosts file and, where no servers are named, the system's configuration. Blocks on disk.
    ///
    /// Errors: a named hosts file that can not be read; a system configuration that can not be understood.
    pub fn load(settings: &Settings) -> Result<Self, Fault> {
        Ok(Self {
            servers: NameServers::load(settings)?,
            hosts: Arc::new(settings.hosts.load()?),
            settings: settings.clone(),
        })
    }

    /// A resolver for the worker whose thread calls this; its sockets belong to that thread's tokio runtime.
    pub fn build(&self) -> CachedResolver {
        let system = SystemResolver::new(&self.settings, &self.servers);
        CachedResolver::new(&self.settings, self.hosts.clone(), Rc::new(system))
    }

    /// As [`Plan::build`], for whoever asks for a name only when its time is over: nothing is kept.
    pub fn build_uncached(&self) -> CachedResolver {
        let settings = Settings {
            cache: 0,
            ..self.settings.clone()
        };
        let system = SystemResolver::new(&settings, &self.servers);
        CachedResolver::new(&settings, self.hosts.clone(), Rc::new(system))
    }
}
