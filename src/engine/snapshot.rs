//! What a configuration means for the workers, built once and shared by them; and what outlives it.
//! Not how workers follow it (worker).
//! Start at [`Lasting::snapshot`].

use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::HashMap;

use super::renamed::Renamed;
use crate::cache::Cache;
use crate::config::{Config, ListenerConfig};
use crate::fault::Fault;
use crate::gate::{Gate, OwnListeners, Rates};
use crate::listener::{Admission, Intake};
use crate::pool::Origin;
use crate::probe;
use crate::relay::{Interception, Routes, Served, Service};
use crate::resolve::Plan;
use crate::upstream::Registry;

/// All that workers follow. Replaced whole.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// By name; also by those of listeners that were, as long as something is open of them.
    pub(super) services: HashMap<Arc<str>, Arc<Service>>,
    pub(super) intakes: HashMap<Arc<str>, Arc<Intake>>,
    pub(super) dns: Plan,
    pub(super) origin: Origin,
    pub(super) interception: Option<Arc<Interception>>,
    pub(super) cache: Option<Arc<Cache>>,
}

/// What outlives a reload: counts that running connections hold.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    own: Arc<OwnListeners>,
    rates: Arc<Rates>,
    admissions: HashMap<Arc<str>, Arc<Admission>>,
    renamed: Renamed,
    interception: Option<Arc<Interception>>,
    cache: Option<Arc<Cache>>,
    /// Whether the process takes the place of one that may hold the cache's disk tier still: until the first snapshot.
    follows: bool,
    upstreams: Arc<Registry>,
    served: Arc<[Arc<Served>]>,
}

impl Lasting {
    /// What a new process has; `follows`: one that takes the place of another one.
    pub(super) fn new(follows: bool) -> Self {
        Self {
            follows,
            ..Self::default()
        }
    }

    pub(super) fn own(&self) -> &Arc<OwnListeners> {
        &self.own
    }

    pub(super) fn interception(&self) -> Option<&Arc<Interception>> {
        self.interception.as_ref()
    }

    pub(super) fn cache(&self) -> Option<&Arc<Cache>> {
        self.cache.as_ref()
    }

    pub(super) fn upstreams(&self) -> &Registry {
        &self.upstreams
    }

    /// The upstreams in force, as they are looked after, with the addresses that listeners are bound to for connections.
    pub(super) fn upkeep<'a>(
        &self,
        config: &Config,
        bound: impl Iterator<Item = (&'a str, SocketAddr)>,
    ) -> probe::Plan {
        let watched = |served: &Arc<Served>| probe::Watched {
            upstream: served.upstream.clone(),
            terms: served.terms.clone(),
        };
        probe::Plan {
            upstreams: self.served.iter().map(watched).collect(),
            dns: config.dns.clone(),
            origin: config.origin.clone(),
            ways: config.ways(bound).into(),
        }
    }

    pub(super) fn snapshot(&mut self, config: &Config) -> Result<Snapshot, Fault> {
        self.interception = match &config.intercept {
            Some(settings) => Some(Interception::start(settings, self.interception.as_ref())?),
            None => None,
        };
        self.cache = match &config.cache {
            Some(settings) => {
                let running = self.cache.as_ref();
                Some(Cache::start(settings, running, self.follows)?)
            }
            None => None,
        };
        self.follows = false;
        self.served = self.adopt(config);
        let mut services = HashMap::default();
        let mut intakes = HashMap::default();
        for listener in &config.listeners {
            let service = self.service(listener, config);
            services.insert(listener.name.clone(), Arc::new(service));
            let admission = self
                .admissions
                .entry(listener.name.clone())
                .or_default()
                .clone();
            let intake = Intake {
                listener: listener.name.clone(),
                limits: listener.limits.clone(),
                opaque: listener.mode.opaque,
                accepted: listener.accepted,
                proxy_headers: listener.proxy_headers.clone(),
                admission,
                tls: listener.tls.clone(),
            };
            intakes.insert(listener.name.clone(), Arc::new(intake));
        }
        let admissions = &self.admissions;
        let is_open = |name: &str| admissions.get(name).is_some_and(|one| one.total() > 0);
        self.renamed.follow(config, is_open);
        for (was, is) in self.renamed.names() {
            if let Some(service) = services.get(is).cloned() {
                services.entry(was.clone()).or_insert(service);
            }
        }
        self.admissions
            .retain(|name, admission| intakes.contains_key(name) || admission.total() > 0);
        Ok(Snapshot {
            services,
            intakes,
            dns: config.dns.clone(),
            origin: config.origin.clone(),
            interception: self.interception.clone(),
            cache: self.cache.clone(),
        })
    }

    fn service(&self, listener: &ListenerConfig, config: &Config) -> Service {
        let gate = Gate::new(
            listener.policy.clone(),
            listener.auth.clone(),
            self.own.clone(),
            self.rates.clone(),
            listener.tls.clone(),
            listener.mode.gateway,
        );
        let balancing = listener.balanced.as_ref().and_then(|balanced| {
            let served = |name: &str| {
                let mut all = self.served.iter();
                all.find(|served| served.upstream.name() == name).cloned()
            };
            balanced.build(&listener.proxy_headers, served)
        });
        Service {
            name: listener.name.clone(),
            kind: (listener.mode.name, listener.transport()),
            gate,
            limits: listener.limits.clone(),
            accepted: listener.accepted,
            balancing: balancing.map(Arc::new),
            via: listener.via.clone(),
            gateway: listener.mode.gateway.then(|| Routes {
                table: config.routes.clone(),
                upstreams: self.served.clone(),
                trusted: listener.forwarded.trusted.clone(),
                writing: listener.forwarded.writing,
            }),
        }
    }

    /// The upstreams of a configuration, in its order. Endpoints that stay keep what is known of them, and their connections.
    fn adopt(&self, config: &Config) -> Arc<[Arc<Served>]> {
        let all = config.upstreams.read.iter().map(|read| {
            let before = self.served.iter();
            let mut before = before.filter(|served| *served.upstream.name() == *read.name);
            Arc::new(Served {
                terms: read
                    .terms
                    .keeping(before.next().map(|before| &before.terms)),
                upstream: self.upstreams.adopt(&read.name, read.settings.clone()),
            })
        });
        let all = all.collect();
        let kept = &config.upstreams.read;
        self.upstreams
            .retain(|name| kept.iter().any(|kept| *kept.name == *name));
        all
    }
}
