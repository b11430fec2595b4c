//! Asks name servers over UDP, and over TCP where an answer does not fit.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::time::{Instant, timeout};

use super::service::{self, Services};
use super::{Answer, Families, ResolveError, Resolver, Settings};
use crate::fault::Fault;

/// Whom to ask, and under which domains to search.
#[derive(Debug, Clone)]
pub struct NameServers {
    servers: Vec<SocketAddr>,
    search: Vec<Name>,
    ndots: usize,
}

impl NameServers {
    /// The settings' servers, or the system's. Reads `/etc/resolv.conf` only where something is taken from it.
    ///
    /// Errors: that file can not be understood.
    pub fn load(settings: &Settings) -> Result<Self, Fault> {
        let mut named = Self {
            servers: settings.servers.clone(),
            search: Vec::new(),
            ndots: 1,
        };
        if !named.servers.is_empty() && !settings.search {
            return Ok(named);
        }
        let text = std::fs::read(RESOLV_CONF).unwrap_or_default();
        let system = Self::parse(&text).map_err(|error| {
            Fault::new(
                format!("{RESOLV_CONF} can not be used: {error}"),
                "name the servers: [dns] servers = [\"192.0.2.53\"]",
            )
        })?;
        if named.servers.is_empty() {
            named.servers = system.servers;
        }
        if settings.search {
            named.search = system.search;
            named.ndots = system.ndots;
        }
        Ok(named)
    }

    /// Reads the form of resolv.conf(5); where it names no server, the one of this machine is asked, as that page says.
    pub(super) fn parse(text: &[u8]) -> Result<Self, NetError> {
        let named = String::from_utf8_lossy(text)
            .lines()
            .any(|line| line.trim_start().starts_with("nameserver"));
        let fallback = [text, b"\nnameserver 127.0.0.1\n"].concat();
        let (config, options) = parse_resolv_conf(if named { text } else { &fallback })?;
        let mut search = config.search().to_vec();
        search.iter_mut().for_each(|domain| domain.set_fqdn(true));
        let server = |server: &NameServerConfig| SocketAddr::new(server.ip, 53);
        Ok(Self {
            servers: config.name_servers().iter().map(server).collect(),
            search,
            ndots: options.ndots,
        })
    }

    /// The absolute names to ask for in turn.
    pub(super) fn candidates(&self, name: &str) -> Result<Vec<Name>, ResolveError> {
        let labels = name.split('.').map(str::as_bytes);
        let mut absolute = Name::from_labels(labels).map_err(|_| ResolveError::InvalidName)?;
        absolute.set_fqdn(true);
        let mut names: Vec<Name> = Vec::new();
        for domain in &self.search {
            let mut relative = absolute.clone();
            relative.set_fqdn(false);
            names.extend(relative.append_domain(domain));
        }
        let dots = usize::from(absolute.num_labels()).saturating_sub(1);
        let place = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(place, absolute);
        Ok(names)
    }
}

/// A client of name servers for one worker, without a cache.
///
/// Servers are asked one after another, beginning with the one that answered last, so that a dead one costs its share of the
/// limit once. Ports, identifiers and the letters' case are random (RFC 5452 §9).
pub struct SystemResolver {
    servers: Vec<TokioResolver>,
    names: NameServers,
    families: Families,
    attempts: u32,
    limit: Duration,
    /// The server that answered last.
    preferred: Cell<usize>,
}

impl SystemResolver {
    /// Opens no socket yet.
    pub fn new(settings: &Settings, names: &NameServers) -> Self {
        let tries = u32::try_from(names.servers.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(settings.attempts)
            .max(1);
        let share = (settings.timeout / tries).max(SHORTEST_TRY.min(settings.timeout));
        Self {
            servers: names.servers.iter().map(|at| client(*at, share)).collect(),
            names: names.clone(),
            families: settings.families,
            attempts: settings.attempts,
            limit: settings.timeout,
            preferred: Cell::new(0),
        }
    }

    /// Asks for a name, under each search domain in turn until one of them has it.
    async fn search<T>(
        &self,
        name: &str,
        ask: impl AsyncFn(&Name) -> Result<T, ResolveError>,
    ) -> Result<T, ResolveError> {
        let mut outcome = Err(ResolveError::InvalidName);
        for name in self.names.candidates(name)? {
            outcome = ask(&name).await;
            if !outcome.as_ref().is_err_and(ResolveError::is_negative) {
                break;
            }
        }
        outcome
    }

    async fn addresses(&self, name: &str) -> Result<Answer, ResolveError> {
        let found = self.search(name, async |name: &Name| self.ask_families(name).await);
        let found = found.await?;
        Answer::new(found.addresses, found.ttl).ok_or(ResolveError::NoAddresses {
            ttl: Duration::ZERO,
        })
    }

    async fn ask_families(&self, name: &Name) -> Result<Found, ResolveError> {
        match self.families {
            Families::Ipv4 => return self.ask_family(name, RecordType::A).await,
            Families::Ipv6 => return self.ask_family(name, RecordType::AAAA).await,
            Families::Both => {}
        }
        let asked = Instant::now();
        let v6 = Box::pin(self.ask_family(name, RecordType::AAAA));
        let v4 = Box::pin(self.ask_family(name, RecordType::A));
        let (Either::Left((first, rest)) | Either::Right((first, rest))) = select(v6, v4).await;
        let second = if first.is_ok() {
            let late = timeout(RESOLUTION_DELAY.max(asked.elapsed()), rest).await;
            late.unwrap_or(Err(ResolveError::Timeout))
        } else {
            rest.await
        };
        merge(first, second)
    }

    /// Aliases are followed here: where one comes in an answer together with the records that it leads to, the client asks for the
    /// service at the server that a record names, and finds none.
    async fn ask_services(&self, name: &Name) -> Result<Services, ResolveError> {
        let mut name = name.clone();
        let mut chain = Duration::MAX;
        for _ in 0..LONGEST_CHAIN {
            let read = |answers: &[Record]| service::read(&name, answers);
            let outcome = self.ask(&name, RecordType::SRV, read).await;
            let error = match outcome {
                Ok(services) => {
                    let ttl = services.ttl.min(chain);
                    return Ok(Services { ttl, ..services });
                }
                Err(error) if error.is_negative() => error,
                Err(error) => return Err(error),
            };
            let read = |answers: &[Record]| alias_of(&name, answers);
            let Ok((target, ttl)) = self.ask(&name, RecordType::CNAME, read).await else {
                return Err(error);
            };
            (name, chain) = (target, chain.min(ttl));
        }
        let ttl = Duration::ZERO;
        Err(ResolveError::NoAddresses { ttl })
    }

    async fn ask_family(&self, name: &Name, kind: RecordType) -> Result<Found, ResolveError> {
        let read = |answers: &[Record]| follow(name, answers);
        self.ask(name, kind, read).await
    }

    async fn ask<T>(
        &self,
        name: &Name,
        kind: RecordType,
        read: impl Fn(&[Record]) -> Result<T, ResolveError>,
    ) -> Result<T, ResolveError> {
        let mut failure = ResolveError::Timeout;
        let (count, first) = (self.servers.len(), self.preferred.get());
        for turn in 0..count * self.attempts as usize {
            let at = (first + turn) % count;
            let Some(server) = self.servers.get(at) else {
                break;
            };
            let outcome = match server.lookup(name.clone(), kind).await {
                Ok(lookup) => read(lookup.answers()),
                Err(error) => Err(classify(error)),
            };
            match outcome {
                Err(error) if !error.is_negative() => {
                    tracing::debug!(%name, %kind, server = at, %error, "name server failed");
                    if error != ResolveError::Timeout {
                        failure = error;
                    }
                }
                outcome => {
                    self.preferred.set(at);
                    return outcome;
                }
            }
        }
        Err(failure)
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, ResolveError>> + 'a>> {
        Box::pin(async move {
            let outcome = timeout(self.limit, self.addresses(name)).await;
            outcome.unwrap_or(Err(ResolveError::Timeout))
        })
    }

    fn services<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Services, ResolveError>> + 'a>> {
        Box::pin(async move {
            let services = self.search(name, async |name: &Name| self.ask_services(name).await);
            let outcome = timeout(self.limit, services).await;
            outcome.unwrap_or(Err(ResolveError::Timeout))
        })
    }
}

struct Found {
    addresses: Vec<IpAddr>,
    ttl: Duration,
}

/// What both families said. A family that failed takes nothing from the other's addresses, but it makes the answer one to ask for
/// again soon; and where no addresses are, a failure must not pass for "there are none".
fn merge(
    first: Result<Found, ResolveError>,
    second: Result<Found, ResolveError>,
) -> Result<Found, ResolveError> {
    use ResolveError::{NoAddresses, NotFound};
    match (first, second) {
        (Ok(mut found), Ok(more)) => {
            found.addresses.extend(more.addresses);
            found.ttl = found.ttl.min(more.ttl);
            Ok(found)
        }
        (Ok(mut found), Err(error)) | (Err(error), Ok(mut found)) => {
            if !error.is_negative() {
                found.ttl = found.ttl.min(PARTIAL_TTL);
            }
            Ok(found)
        }
        (Err(NotFound { ttl: a }), Err(NotFound { ttl: b })) => Err(NotFound { ttl: a.min(b) }),
        (
            Err(NotFound { ttl: a } | NoAddresses { ttl: a }),
            Err(NotFound { ttl: b } | NoAddresses { ttl: b }),
        ) => Err(NoAddresses { ttl: a.min(b) }),
        (Err(negative), Err(failure)) if negative.is_negative() => Err(failure),
        (Err(failure), Err(_)) => Err(failure),
    }
}

/// The end of the chain of aliases that begins at the asked name, and the shortest time in seconds that a link of it lives.
pub(super) fn end_of_chain<'a>(asked: &'a Name, answers: &'a [Record]) -> (&'a Name, u32) {
    let mut owner = asked;
    let mut seconds = u32::MAX;
    for _ in 0..LONGEST_CHAIN {
        let alias = answers.iter().find_map(|record| {
            let RData::CNAME(target) = &record.data else {
                return None;
            };
            (record.name == *owner).then_some((&target.0, record.ttl))
        });
        let Some((target, ttl)) = alias else { break };
        (owner, seconds) = (target, seconds.min(ttl));
    }
    (owner, seconds)
}

/// Where the alias of a name leads to, and how long it lives.
fn alias_of(asked: &Name, answers: &[Record]) -> Result<(Name, Duration), ResolveError> {
    let alias = answers.iter().find_map(|record| {
        let RData::CNAME(target) = &record.data else {
            return None;
        };
        let ttl = Duration::from_secs(record.ttl.into());
        (record.name == *asked).then(|| (target.0.clone(), ttl))
    });
    let ttl = Duration::ZERO;
    alias.ok_or(ResolveError::NoAddresses { ttl })
}

/// The addresses at the end of the chain of aliases that begins at the asked name. Records that hang on no link of it are somebody's
/// attempt to slip something in.
fn follow(asked: &Name, answers: &[Record]) -> Result<Found, ResolveError> {
    let (owner, mut seconds) = end_of_chain(asked, answers);
    let mut addresses = Vec::new();
    for record in answers.iter().filter(|record| record.name == *owner) {
        if let Some(ip) = record.data.ip_addr() {
            addresses.push(ip);
            seconds = seconds.min(record.ttl);
        }
    }
    let ttl = Duration::from_secs(seconds.into());
    if addresses.is_empty() {
        // A chain that leads nowhere has no SOA to say how long that holds.
        let ttl = Duration::ZERO;
        return Err(ResolveError::NoAddresses { ttl });
    }
    Ok(Found { addresses, ttl })
}

fn classify(error: NetError) -> ResolveError {
    if let NetError::Dns(DnsError::NoRecordsFound(none)) = &error {
        // Without an SOA record a negative answer is not to be kept (RFC 2308 §5).
        let ttl = Duration::from_secs(none.negative_ttl.unwrap_or(0).into());
        if none.response_code == ResponseCode::NXDomain {
            return ResolveError::NotFound { ttl };
        }
        if none.response_code == ResponseCode::NoError {
            return ResolveError::NoAddresses { ttl };
        }
    }
    if let NetError::Timeout = error {
        return ResolveError::Timeout;
    }
    let rcode = if let NetError::Dns(DnsError::ResponseCode(code)) = &error {
        Some(Arc::from(format!("{code:?}").to_ascii_uppercase()))
    } else {
        None
    };
    ResolveError::ServerFailure {
        rcode,
        detail: error.to_string().into(),
    }
}

fn client(server: SocketAddr, limit: Duration) -> TokioResolver {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![
        at_port(ConnectionConfig::udp()),
        at_port(ConnectionConfig::tcp()),
    ];
    let server = NameServerConfig::new(server.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    tune(builder.options_mut(), limit);
    builder
        .build()
        .expect("only the set-up of TLS can fail, and there is none here")
}

fn tune(options: &mut ResolverOpts, limit: Duration) {
    options.timeout = limit;
    // Attempts, cache and hosts file are ours.
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
    options.case_randomization = true;
    options.preserve_intermediates = true;
    options.max_active_requests = 1_024;
}

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How long the second family is waited for once the first is there (RFC 8305 §3), or as long as the first took if that is longer:
/// a server that is slow for one is slow for both. A busy test machine may take longer than a network does.
const RESOLUTION_DELAY: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 50 });

/// How long an answer is kept at most that lacks a family because its question failed.
const PARTIAL_TTL: Duration = Duration::from_secs(10);

/// No server is given up earlier, however many there are.
const SHORTEST_TRY: Duration = Duration::from_millis(500);

/// Aliases followed in one answer.
const LONGEST_CHAIN: usize = 16;
