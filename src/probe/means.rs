//! What everything here works with, and the upstreams that are looked after.
//! Start at [`Means`].

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, watch};

use super::guard::Guard;
use crate::gate::{Group, Ways};
use crate::pool::{Pool, Terms};
use crate::resolve::CachedResolver;
use crate::upstream::{Dice, EndpointKey, Upstream};

/// What the tasks share.
pub(super) struct Means {
    /// Connections of its own: none of a request's.
    pub(super) pool: Pool,
    pub(super) guard: Guard,
    pub(super) dice: Dice,
    /// How many probes there may be at once: each has a descriptor.
    pub(super) at_once: Semaphore,
    resolver: RefCell<CachedResolver>,
    tended: RefCell<Vec<Rc<Tended>>>,
    ways: RefCell<Arc<Ways>>,
    /// The addresses of all endpoints.
    known: RefCell<HashSet<SocketAddr>>,
    forget: Box<dyn Fn(SocketAddr)>,
}

/// An upstream that is looked after.
#[derive(Debug)]
pub(super) struct Tended {
    pub(super) upstream: Arc<Upstream>,
    terms: RefCell<Arc<Terms>>,
    /// Endpoints have come or gone.
    pub(super) changed: Notify,
    /// Why the last probe of an endpoint failed.
    failing: RefCell<HashMap<EndpointKey, String>>,
}

impl Means {
    pub(super) fn new(
        pool: Pool,
        resolver: CachedResolver,
        forget: impl Fn(SocketAddr) + 'static,
    ) -> Self {
        Self {
            pool,
            guard: Guard::new(),
            dice: Dice::new(),
            at_once: Semaphore::new(AT_ONCE),
            resolver: RefCell::new(resolver),
            tended: RefCell::default(),
            ways: RefCell::default(),
            known: RefCell::default(),
            forget: Box::new(forget),
        }
    }

    pub(super) fn resolver(&self) -> CachedResolver {
        self.resolver.borrow().clone()
    }

    pub(super) fn resolve_with(&self, resolver: CachedResolver) {
        *self.resolver.borrow_mut() = resolver;
    }

    pub(super) fn tended(&self) -> Vec<Rc<Tended>> {
        self.tended.borrow().clone()
    }

    pub(super) fn tend(&self, all: Vec<Rc<Tended>>, ways: Arc<Ways>) {
        *self.tended.borrow_mut() = all;
        *self.ways.borrow_mut() = ways;
        self.settle();
    }

    /// Says of endpoints that lead back to their upstream that they are not to be used; and of the addresses that have gone, of
    /// whatever upstream they were, that connections to them are of no use any more.
    pub(super) fn settle(&self) {
        let tended = self.tended();
        let addresses = |one: &Rc<Tended>| -> Vec<SocketAddr> {
            let endpoints = one.upstream.endpoints();
            endpoints
                .iter()
                .map(|endpoint| endpoint.address())
                .collect()
        };
        let all: Vec<(Rc<Tended>, Vec<SocketAddr>)> = tended
            .into_iter()
            .map(|one| (one.clone(), addresses(&one)))
            .collect();
        self.break_circles(&all);
        let now: HashSet<SocketAddr> = all.into_iter().flat_map(|(_, of)| of).collect();
        let before = self.known.replace(now);
        let known = self.known.borrow();
        for gone in before.difference(&known) {
            (self.forget)(*gone);
        }
    }

    fn break_circles(&self, all: &[(Rc<Tended>, Vec<SocketAddr>)]) {
        let groups: Vec<Group<'_>> = all
            .iter()
            .map(|(one, addresses)| (one.upstream.name(), addresses.as_slice()))
            .collect();
        let circles = self.ways.borrow().circles(&groups);
        for (one, _) in all {
            let of = circles.iter();
            let of = of.filter(|(name, _)| *name == one.upstream.name());
            let at: Vec<SocketAddr> = of.map(|(_, address)| *address).collect();
            one.upstream.avoid_circles(&at);
        }
    }
}

impl Tended {
    pub(super) fn new(upstream: Arc<Upstream>, terms: Arc<Terms>) -> Self {
        Self {
            upstream,
            terms: RefCell::new(terms),
            changed: Notify::new(),
            failing: RefCell::default(),
        }
    }

    pub(super) fn terms(&self) -> Arc<Terms> {
        self.terms.borrow().clone()
    }

    pub(super) fn speak_by(&self, terms: Arc<Terms>) {
        *self.terms.borrow_mut() = terms;
    }

    /// Notes how a probe went, and tells the upstream.
    pub(super) fn probed(&self, endpoint: &EndpointKey, outcome: Result<(), String>) {
        let passed = outcome.is_ok();
        if let Err(why) = outcome {
            tracing::debug!(upstream = self.upstream.name(), %endpoint, why, "a probe failed");
            self.failing.borrow_mut().insert(endpoint.clone(), why);
        } else {
            self.failing.borrow_mut().remove(endpoint);
        }
        self.upstream.probed(endpoint, passed);
    }

    /// Why its last probe failed.
    pub(super) fn why(&self, endpoint: &EndpointKey) -> String {
        let failing = self.failing.borrow();
        failing.get(endpoint).cloned().unwrap_or_default()
    }

    /// Forgets what is said of endpoints that are gone.
    pub(super) fn keep(&self, endpoints: &HashSet<EndpointKey>) {
        let mut failing = self.failing.borrow_mut();
        failing.retain(|endpoint, _| endpoints.contains(endpoint));
    }
}

/// Waits until whoever started the task lets go of it. Cancel-safe.
pub(super) async fn ended(mut held: watch::Receiver<()>) {
    while held.changed().await.is_ok() {}
}

const AT_ONCE: usize = 256;
