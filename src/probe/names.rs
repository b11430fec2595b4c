//! Endpoints by name: the addresses of a name, and the servers that SRV records name (RFC 2782). What is found holds for its TTL, in
//! the bounds of `[dns]`; what is not found is asked for again soon.
//! Start at [`Name::ask`] and [`Srv::ask`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::discovery::Found;
use crate::addr::{Authority, Host};
use crate::resolve::{CachedResolver, ResolveError, Resolver, Service, Services};
use crate::upstream::Resolved;

/// A name with addresses, all at one port.
pub(super) struct Name {
    authority: Authority,
    patience: Patience,
}

impl Name {
    pub(super) fn new(authority: &Authority) -> Self {
        Self {
            authority: authority.clone(),
            patience: Patience::default(),
        }
    }

    /// Waits at most for the resolver's limit.
    pub(super) async fn ask(&mut self, resolver: &CachedResolver) -> (Found, Duration) {
        let name = self.authority.host.name().unwrap_or_default();
        match resolver.resolve(name).await {
            Ok(answer) => {
                let port = self.authority.port;
                let addresses = answer.addresses.iter();
                let endpoints = addresses.map(|ip| Resolved::of(SocketAddr::new(*ip, port)));
                let found = Found::Endpoints(endpoints.collect());
                (found, self.patience.found(resolver.holds(answer.ttl)))
            }
            Err(error) => (Found::Failed(error.to_string()), self.patience.failed()),
        }
    }
}

/// A service, by the name of its records.
pub(super) struct Srv {
    name: Host,
    /// What its servers had when they were last found: one whose name server fails for a moment is not gone.
    known: HashMap<Host, Vec<IpAddr>>,
    patience: Patience,
}

impl Srv {
    pub(super) fn new(name: &Host) -> Self {
        Self {
            name: name.clone(),
            known: HashMap::new(),
            patience: Patience::default(),
        }
    }

    /// Waits at most for the resolver's limit, once for the records and once for all their targets.
    pub(super) async fn ask(&mut self, resolver: &CachedResolver) -> (Found, Duration) {
        let name = self.name.name().unwrap_or_default();
        let services = match resolver.services(name).await {
            Ok(services) => services,
            Err(error) => return (Found::Failed(no_records(&error)), self.patience.failed()),
        };
        let (wait, problem) = self.find(&services, resolver).await;
        let endpoints = endpoints(&services.records, &self.known);
        match problem {
            Some(problem) if endpoints.is_empty() => {
                (Found::Failed(problem), self.patience.failed())
            }
            Some(_) => (Found::Endpoints(endpoints), self.patience.failed()),
            None => (Found::Endpoints(endpoints), self.patience.found(wait)),
        }
    }

    /// Looks the targets up, all at once. The time for which everything holds, and what went wrong with one of them.
    async fn find(
        &mut self,
        services: &Services,
        resolver: &CachedResolver,
    ) -> (Duration, Option<String>) {
        let mut wait = resolver.holds(services.ttl);
        let mut problem = None;
        let mut targets: Vec<&Host> = services.records.iter().map(|one| &one.target).collect();
        targets.sort();
        targets.dedup();
        self.known.retain(|target, _| targets.contains(&target));
        let look_up = |target: &Host| {
            let name = target.name().unwrap_or_default().to_owned();
            async move { resolver.resolve(&name).await }
        };
        let answers = targets.iter().map(|target| look_up(target));
        let answers = futures_util::future::join_all(answers).await;
        for (target, answer) in targets.into_iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    wait = wait.min(resolver.holds(answer.ttl));
                    self.known.insert(target.clone(), answer.addresses.to_vec());
                }
                Err(error) => {
                    if error.is_negative() {
                        self.known.remove(target);
                    }
                    problem = Some(format!("{target}: {error}"));
                }
            }
        }
        (wait, problem)
    }
}

/// The endpoints of records whose targets have these addresses. Weights are of targets: one with more addresses than another takes
/// no more for that.
fn endpoints(records: &[Service], known: &HashMap<Host, Vec<IpAddr>>) -> Vec<Resolved> {
    let of = |record: &Service| known.get(&record.target).map_or(&[][..], Vec::as_slice);
    let counts = records.iter().map(|record| of(record).len().max(1));
    let common = counts.fold(1, least_common_multiple).min(MOST_PARTS);
    let mut endpoints = Vec::new();
    for record in records {
        let addresses = of(record);
        let parts = common / addresses.len().max(1);
        let weight = u32::from(record.weight).saturating_mul(parts as u32);
        endpoints.extend(addresses.iter().map(|ip| Resolved {
            host: Some(record.target.clone()),
            weight: Some(weight),
            priority: record.priority,
            ..Resolved::of(SocketAddr::new(*ip, record.port))
        }));
    }
    endpoints
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut divisor, mut rest) = (a, b);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (a / divisor).saturating_mul(b)
}

fn no_records(error: &ResolveError) -> String {
    match error {
        ResolveError::NoAddresses { .. } => "the name has no SRV records".to_owned(),
        ResolveError::NotFound { .. }
        | ResolveError::Timeout
        | ResolveError::ServerFailure { .. }
        | ResolveError::Busy
        | ResolveError::InvalidName => error.to_string(),
    }
}

/// How long it is waited until a name is asked for again.
#[derive(Default)]
struct Patience {
    failures: u32,
}

impl Patience {
    fn found(&mut self, holds: Duration) -> Duration {
        self.failures = 0;
        holds.max(SHORTEST)
    }

    /// Longer each time: a name server that is down is not to be asked without pause.
    fn failed(&mut self) -> Duration {
        let wait = RETRY.saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        wait.min(LONGEST_RETRY)
    }
}

/// A name is not asked for more often, whatever its TTL.
const SHORTEST: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(500);
/// A route without endpoints waits for it.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// Weights stay numbers of 32 bits.
const MOST_PARTS: usize = 5040;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &str, weight: u16) -> Service {
        Service {
            target: Host::parse(target).expect("a name"),
            port: 80,
            priority: 0,
            weight,
        }
    }

    #[test]
    fn a_target_takes_its_weight_however_many_addresses_it_has() {
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        // Weights, how many addresses each target has, and the weights that these get.
        for (weights, counts, expected) in [
            ([1, 3], [1, 1], &[1, 3][..]),
            ([1, 3], [2, 1], &[1, 1, 6]),
            ([1, 1], [2, 3], &[3, 3, 2, 2, 2]),
            ([0, 7], [1, 1], &[0, 7]),
            ([5, 5], [1, 0], &[5]),
        ] {
            let names = ["a.example", "b.example"];
            let records: Vec<Service> = names
                .iter()
                .zip(weights)
                .map(|(name, weight)| record(name, weight))
                .collect();
            let known = records
                .iter()
                .zip(counts)
                .map(|(record, count)| (record.target.clone(), (0..count).map(address).collect()));
            let found = endpoints(&records, &known.collect());
            let found: Vec<u32> = found
                .iter()
                .filter_map(|endpoint| endpoint.weight)
                .collect();
            assert_eq!(found, expected, "{weights:?} {counts:?}");
        }
    }

    #[test]
    fn what_fails_is_asked_for_less_and_less_often_and_never_seldom() {
        let mut patience = Patience::default();
        let waits: Vec<u128> = (0..6).map(|_| patience.failed().as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(patience.found(Duration::ZERO), SHORTEST);
        assert_eq!(patience.failed(), RETRY);
    }
}
