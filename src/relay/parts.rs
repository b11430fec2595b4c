//! What one worker relays with, and what one listener enforces.
//! Holds no logic of its own.
//! Start at [`Parts`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;
use tokio::sync::watch;

use super::{Balancing, Interception, Routes};
use crate::addr::Host;
use crate::cache::Cache;
use crate::gate::{Gate, Intent};
use crate::lifeline::Lifeline;
use crate::listener::{Accepted, Limits};
use crate::message::Via;
use crate::policy::Explanation;
use crate::pool::Pool;
use crate::proxy_protocol::Transport;
use crate::report::{Counters, Flows, Recent, Reporter, RequestId, RequestIds};
use crate::resolve::CachedResolver;
use crate::upstream::Dice;

/// What one listener enforces; built off the workers, shared by them, replaced whole.
#[derive(Debug)]
pub struct Service {
    /// The listener's name.
    pub name: Arc<str>,
    /// Its mode, and what carries its connections: another listener of the name may have others after a reload.
    pub kind: (&'static str, Transport),
    /// Who may do what.
    pub gate: Gate,
    /// Limits of the client's side.
    pub limits: Limits,
    /// The protocols that are spoken.
    pub accepted: Accepted,
    /// Where its connections go, where that is not what clients say.
    pub balancing: Option<Arc<Balancing>>,
    /// The name in `Via` and `Proxy-Status`.
    pub via: Via,
    /// Where requests go, where the listener is a gateway's.
    pub gateway: Option<Routes>,
}

/// One worker's means. Nothing here is shared with another worker but through the reporter and the services' `Arc`s.
#[derive(Debug)]
pub struct Parts {
    /// The worker's number.
    pub worker: u16,
    /// By listener, which the operator names: so the hash may be a fast one.
    services: RefCell<HashMap<Arc<str>, Arc<Service>>>,
    generation: watch::Sender<u64>,
    resolver: RefCell<CachedResolver>,
    interception: RefCell<Option<Arc<Interception>>>,
    cache: RefCell<Option<Arc<Cache>>>,
    /// Connections to origins.
    pub pool: Pool,
    /// What is going on.
    pub flows: Flows,
    /// What has been going on, in numbers.
    pub counters: Rc<Counters>,
    /// Where records go.
    pub reporter: Reporter,
    /// Names for requests.
    pub ids: RequestIds,
    /// The latest requests that were let through, so that they can be explained.
    pub let_through: Recent<Decided>,
    /// The latest that were refused: what others are let through does not push out what somebody asks about.
    pub refused: Recent<Decided>,
    /// Random numbers for balancing.
    pub dice: Dice,
    /// Copies of requests that are under way.
    pub(super) mirrors: Rc<Cell<usize>>,
    /// Tasks.
    pub life: Lifeline,
}

/// What a decision was made about, with what it saw.
#[derive(Debug, Clone)]
pub struct Decided {
    /// What was asked for.
    pub intent: Intent,
}

impl Parts {
    /// A worker's parts, without any service yet.
    pub fn new(
        worker: u16,
        resolver: CachedResolver,
        pool: Pool,
        reporter: Reporter,
        life: Lifeline,
    ) -> Self {
        Self {
            worker,
            services: RefCell::default(),
            generation: watch::Sender::new(0),
            resolver: RefCell::new(resolver),
            interception: RefCell::default(),
            cache: RefCell::default(),
            pool,
            flows: Flows::new(),
            counters: Rc::default(),
            reporter,
            ids: RequestIds::new(worker),
            let_through: Recent::new(LET_THROUGH),
            refused: Recent::new(REFUSED),
            dice: Dice::new(),
            mirrors: Rc::default(),
            life,
        }
    }

    /// The service of a listener.
    pub fn service(&self, listener: &str) -> Option<Arc<Service>> {
        self.services.borrow().get(listener).cloned()
    }

    /// The service in force for what was opened under this one: that of the same name, where it still is of the same kind.
    pub fn successor(&self, had: &Service) -> Option<Arc<Service>> {
        let service = self.service(&had.name);
        service.filter(|service| service.kind == had.kind)
    }

    /// All services.
    pub fn services(&self) -> Vec<Arc<Service>> {
        self.services.borrow().values().cloned().collect()
    }

    /// The resolver in force.
    pub fn resolver(&self) -> CachedResolver {
        self.resolver.borrow().clone()
    }

    /// Interception, where it is set up.
    pub fn interception(&self) -> Option<Arc<Interception>> {
        self.interception.borrow().clone()
    }

    /// Whether interception is set up. What the workers share is not touched: this is asked for every request.
    pub(super) fn intercepts(&self) -> bool {
        self.interception.borrow().is_some()
    }

    /// Interception, where it is set up and this is the proxy's own host.
    pub(super) fn own_host(&self, host: &Host) -> Option<Arc<Interception>> {
        let interception = self.interception.borrow();
        interception
            .as_ref()
            .filter(|means| means.is_own(host))
            .cloned()
    }

    /// The cache, where there is one.
    pub(super) fn cache(&self) -> Option<Arc<Cache>> {
        self.cache.borrow().clone()
    }

    /// Puts other services in force; open tunnels are told to ask again.
    pub fn replace(
        &self,
        services: HashMap<Arc<str>, Arc<Service>>,
        interception: Option<Arc<Interception>>,
        cache: Option<Arc<Cache>>,
        resolver: Option<CachedResolver>,
    ) {
        *self.services.borrow_mut() = services;
        *self.interception.borrow_mut() = interception;
        *self.cache.borrow_mut() = cache;
        if let Some(resolver) = resolver {
            *self.resolver.borrow_mut() = resolver;
        }
        self.judge_again();
    }

    /// Explains a decision of late with the policy in force now.
    pub fn explain(&self, id: RequestId) -> Option<Explanation> {
        let find = |among: &Recent<Decided>| among.find(id, Decided::clone);
        let decided = find(&self.refused).or_else(|| find(&self.let_through))?;
        let service = self.service(&decided.intent.listener)?;
        Some(service.gate.explain(&decided.intent))
    }

    /// Tells open tunnels to ask again whether they are permitted, as when a list has changed.
    pub fn judge_again(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Changes whenever permissions may have changed.
    pub(super) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

/// So many that were refused are remembered for each worker.
const REFUSED: usize = 1024;

/// So many that were let through. Few: each is written at the end of a request, and what was written long ago is out of the
/// processor's cache when it is forgotten.
const LET_THROUGH: usize = 128;
