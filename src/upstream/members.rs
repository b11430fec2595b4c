//! The endpoints of an upstream with their state, gathered from its sources; state is kept by address and name over every change,
//! also for those that were gone for a while, as a name server that shows some of its addresses at a time makes them.
//! Start at [`Members::gather`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::health::{Admin, Ejection, Health};
use super::settings::{EndpointSettings, EndpointSource, MOST_WEIGHT};
use super::{Endpoint, EndpointKey};
use crate::addr::Host;

/// An endpoint that a source has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Where it is.
    pub address: SocketAddr,
    /// The name that its certificate must be for, where the source has one of its own: the target of an SRV record.
    pub host: Option<Host>,
    /// Its weight among those of the source, times the source's; `None` for 1.
    pub weight: Option<u32>,
    /// Its priority within the source's: lower ones first.
    pub priority: u16,
    /// It is a backup, even if its source is not.
    pub backup: bool,
    /// Its zone, where that is not the source's.
    pub zone: Option<Box<str>>,
}

impl Resolved {
    /// An address, with nothing said about it.
    pub fn of(address: SocketAddr) -> Self {
        Self {
            address,
            host: None,
            weight: None,
            priority: 0,
            backup: false,
            zone: None,
        }
    }
}

/// An endpoint in its upstream.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) backup: bool,
    /// Lower ones first.
    pub(super) priority: u64,
    pub(super) zone: Option<Box<str>>,
    weight: u32,
    pub(super) state: State,
}

/// What is kept of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    pub(super) health: Health,
    pub(super) ejection: Ejection,
    pub(super) admin: Admin,
    /// The weight that was set by command.
    pub(super) weight: Option<u32>,
    /// When its slow start began, since the epoch, where it is in one.
    pub(super) warm_from: Option<Duration>,
    /// It is this process itself, from where there is a way back to its upstream.
    pub(super) circular: bool,
}

impl Member {
    /// Its part of the requests, as configured or commanded.
    pub(super) fn weight(&self) -> u32 {
        self.state.weight.unwrap_or(self.weight)
    }

    /// Whether it is meant to take requests, whatever its health.
    pub(super) fn serves(&self) -> bool {
        self.state.admin == Admin::Enabled && self.weight() > 0 && !self.state.circular
    }

    /// Whether its health lets it take requests.
    pub(super) fn is_well(&self) -> bool {
        self.state.health.is_up() && self.state.ejection.until().is_none()
    }
}

/// All endpoints of an upstream.
#[derive(Debug, Default)]
pub(super) struct Members {
    found: HashMap<EndpointSource, Found>,
    pub(super) all: Vec<Member>,
    /// State of those that are gone, the last to go at the end.
    gone: VecDeque<(Arc<Endpoint>, State)>,
}

/// What a source has.
#[derive(Debug, Default)]
struct Found {
    endpoints: Vec<Resolved>,
    problem: Option<Arc<str>>,
}

impl Members {
    /// What a source has now.
    pub(super) fn put(&mut self, source: &EndpointSource, endpoints: Vec<Resolved>) {
        let found = Found {
            endpoints: in_range(source, endpoints),
            problem: None,
        };
        self.found.insert(source.clone(), found);
    }

    /// A source could not be asked. What it had stays.
    pub(super) fn fail(&mut self, source: &EndpointSource, problem: Arc<str>) {
        self.found.entry(source.clone()).or_default().problem = Some(problem);
    }

    /// Gathers the endpoints of these sources, in their order. What is there twice is one endpoint, as the first place says.
    pub(super) fn gather(&mut self, sources: &[EndpointSettings]) {
        let listed: HashSet<&EndpointSource> = sources.iter().map(|own| &own.source).collect();
        self.found.retain(|source, _| listed.contains(source));
        let mut before: HashMap<EndpointKey, (Arc<Endpoint>, State)> = self
            .gone
            .drain(..)
            .chain(
                self.all
                    .drain(..)
                    .map(|member| (member.endpoint, member.state)),
            )
            .map(|(endpoint, state)| (endpoint.key().clone(), (endpoint, state)))
            .collect();
        let mut seen = HashSet::new();
        for own in sources {
            for resolved in self.found.get(&own.source).map_or_else(
                || itself(&own.source).into_iter().collect(),
                |found| found.endpoints.clone(),
            ) {
                let key = key(&own.source, &resolved);
                if seen.insert(key.clone()) {
                    let (endpoint, state) = before
                        .remove(&key)
                        .unwrap_or_else(|| (Arc::new(Endpoint::new(key)), State::default()));
                    self.all.push(member(own, resolved, endpoint, state));
                }
            }
        }
        self.gone.extend(before.into_values().take(MOST_GONE));
    }

    /// Whether some source was not asked yet.
    pub(super) fn is_unasked(&self, sources: &[EndpointSettings]) -> bool {
        let asked = |own: &EndpointSettings| self.found.contains_key(&own.source);
        sources
            .iter()
            .any(|own| itself(&own.source).is_none() && !asked(own))
    }

    /// Why there is no endpoint: each source with its problem.
    pub(super) fn why_none(&self, sources: &[EndpointSettings]) -> Arc<str> {
        let reason = |own: &EndpointSettings| {
            let found = self.found.get(&own.source);
            let problem = found.and_then(|found| found.problem.as_deref());
            let unasked = found.map_or("it is not looked up yet", |_| "it has none");
            let source = match &own.source {
                // Clients are told: where the file is is none of their business.
                EndpointSource::File(path) => path.file_name().map_or_else(
                    || "a file".to_owned(),
                    |name| name.to_string_lossy().into_owned(),
                ),
                source @ (EndpointSource::Address(_)
                | EndpointSource::Name(_)
                | EndpointSource::Srv(_)) => source.to_string(),
            };
            format!("{source}: {}", problem.unwrap_or(unasked))
        };
        let reasons: Vec<String> = sources.iter().map(reason).collect();
        reasons.join("; ").into()
    }

    /// The sources that could not be asked, each with its problem.
    pub(super) fn problems(&self) -> impl Iterator<Item = (&EndpointSource, &Arc<str>)> {
        let with_problem = |(source, found)| Some((source, Found::problem(found)?));
        self.found.iter().filter_map(with_problem)
    }

    pub(super) fn find(&mut self, endpoint: &EndpointKey) -> Option<&mut Member> {
        self.all
            .iter_mut()
            .find(|member| member.endpoint.key() == endpoint)
    }
}

impl Found {
    fn problem(&self) -> Option<&Arc<str>> {
        self.problem.as_ref()
    }
}

/// The endpoint of a source that is one.
fn itself(source: &EndpointSource) -> Option<Resolved> {
    match source {
        EndpointSource::Address(address) => Some(Resolved::of(*address)),
        EndpointSource::Name(_) | EndpointSource::Srv(_) | EndpointSource::File(_) => None,
    }
}

fn key(source: &EndpointSource, resolved: &Resolved) -> EndpointKey {
    let of_source = match source {
        EndpointSource::Name(authority) => Some(&authority.host),
        EndpointSource::Address(_) | EndpointSource::Srv(_) | EndpointSource::File(_) => None,
    };
    EndpointKey {
        address: resolved.address,
        host: resolved.host.as_ref().or(of_source).cloned(),
    }
}

fn member(
    own: &EndpointSettings,
    resolved: Resolved,
    endpoint: Arc<Endpoint>,
    state: State,
) -> Member {
    let weight = own.weight.saturating_mul(resolved.weight.unwrap_or(1));
    Member {
        endpoint,
        backup: own.backup || resolved.backup,
        priority: (u64::from(own.priority) << 16) + u64::from(resolved.priority),
        zone: resolved.zone.or_else(|| own.zone.clone()),
        weight: weight.min(MOST_WEIGHT),
        state,
    }
}

/// Brings the weights of SRV records, of which 0 stands for a small one (RFC 2782), into the range of weights.
fn in_range(source: &EndpointSource, mut endpoints: Vec<Resolved>) -> Vec<Resolved> {
    let heaviest = endpoints
        .iter()
        .filter_map(|endpoint| endpoint.weight)
        .max();
    let heaviest = u64::from(heaviest.unwrap_or(1));
    let least = u64::from(matches!(source, EndpointSource::Srv(_)));
    for weight in endpoints
        .iter_mut()
        .filter_map(|endpoint| endpoint.weight.as_mut())
    {
        let scaled = match u64::from(*weight) {
            own if heaviest > u64::from(MOST_WEIGHT) => {
                (own * u64::from(MOST_WEIGHT) / heaviest).max(u64::from(own > 0))
            }
            own => own,
        };
        *weight = scaled.max(least) as u32;
    }
    endpoints
}

const MOST_GONE: usize = 256;
