//! The exchanges and tunnels that live now on one worker: who, where, by which rule, how much; and the way to end them.
//! Worker-local, without locks. Ends nothing itself: a flow is told, and who carries it stops.
//! Start at [`Flows::begin`].

mod filter;
mod kill;
#[cfg(test)]
mod tests;

pub use filter::Filter;
pub use kill::Killed;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use self::kill::KillSwitch;
use super::RequestId;
use crate::addr::Authority;
use crate::stream::Traffic;

/// The live flows of a worker. Cheap to clone; clones are the same registry.
#[derive(Debug, Clone, Default)]
pub struct Flows(Rc<RefCell<Slab>>);

/// What is known when a flow begins.
#[derive(Debug, Clone)]
pub struct FlowFacts {
    /// Its name.
    pub id: RequestId,
    /// What it is.
    pub kind: FlowKind,
    /// When it began, already read for the record's times.
    pub started: Instant,
    /// The listener that the client came to.
    pub listener: Arc<str>,
    /// The client's address.
    pub client: SocketAddr,
    /// Who the client is.
    pub principal: Option<Arc<str>>,
    /// The client's groups.
    pub groups: Option<Arc<[Arc<str>]>>,
    /// Where to.
    pub authority: Authority,
    /// The rule that allows it, as far as it is known; see [`Flow::set_rule`].
    pub rule: Option<Arc<str>>,
}

/// What a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowKind {
    /// One request and its answer.
    Exchange,
    /// Bytes that are relayed as they come.
    Tunnel,
}

impl FlowKind {
    /// The word in filters and views.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Tunnel => "tunnel",
        }
    }
}

/// A live flow. Whoever carries it keeps the cells up to date.
#[derive(Debug)]
pub struct Flow {
    /// What was known when it began.
    pub facts: FlowFacts,
    /// Bytes carried so far; from the origin means to the client.
    pub traffic: Traffic,
    /// What it is doing: `resolving`, `connecting`, `relaying`, …
    pub state: Cell<&'static str>,
    /// The address that was dialled.
    pub origin: Cell<Option<SocketAddr>>,
    rule: RefCell<Option<Arc<str>>>,
    switch: KillSwitch,
}

/// Keeps a flow in the registry; dropping it takes the flow out.
#[derive(Debug)]
#[must_use]
pub struct FlowGuard {
    flows: Flows,
    place: usize,
    flow: Rc<Flow>,
}

/// A flow as others see it: a copy that may cross threads.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "the fields are those of FlowFacts and Flow")]
pub struct FlowView {
    pub id: RequestId,
    pub kind: FlowKind,
    pub state: &'static str,
    pub listener: Arc<str>,
    pub client: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Arc<[Arc<str>]>>,
    pub authority: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<SocketAddr>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Milliseconds since it began.
    pub age_ms: u64,
}

impl Flows {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a flow in. One allocation, no clock, no lock.
    pub fn begin(&self, facts: FlowFacts) -> FlowGuard {
        let rule = RefCell::new(facts.rule.clone());
        let flow = Rc::new(Flow {
            facts,
            traffic: Traffic::default(),
            state: Cell::new("begun"),
            origin: Cell::new(None),
            rule,
            switch: KillSwitch::default(),
        });
        let place = self.0.borrow_mut().insert(flow.clone());
        FlowGuard {
            flows: self.clone(),
            place,
            flow,
        }
    }

    /// How many live.
    pub fn len(&self) -> usize {
        let slab = self.0.borrow();
        slab.places.len() - slab.free.len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that live and match, in no order. Formats: for the admin's side, not for the hot path.
    pub fn snapshot(&self, filter: Option<&Filter>) -> Vec<FlowView> {
        let now = Instant::now();
        self.matching(filter, now)
            .iter()
            .map(|flow| flow.view(now))
            .collect()
    }

    /// Tells all that match to end, and how many they are. They leave the registry once who carries them has stopped.
    pub fn kill_where(&self, filter: &Filter, reason: &Arc<str>) -> usize {
        let matching = self.matching(Some(filter), Instant::now());
        matching
            .iter()
            .filter(|flow| flow.kill(reason.clone()))
            .count()
    }

    /// A copy of the list, so that nothing is borrowed while wakers run.
    fn matching(&self, filter: Option<&Filter>, now: Instant) -> Vec<Rc<Flow>> {
        let slab = self.0.borrow();
        let live = slab.places.iter().flatten();
        live.filter(|flow| filter.is_none_or(|filter| filter.matches(flow, now)))
            .cloned()
            .collect()
    }
}

impl FlowGuard {
    /// The flow.
    pub fn flow(&self) -> &Rc<Flow> {
        &self.flow
    }
}

impl Drop for FlowGuard {
    fn drop(&mut self) {
        self.flows.0.borrow_mut().remove(self.place);
    }
}

impl Flow {
    /// The rule that allows it.
    pub fn rule(&self) -> Option<Arc<str>> {
        self.rule.borrow().clone()
    }

    /// Sets the rule, once the second decision is made.
    pub fn set_rule(&self, rule: Arc<str>) {
        *self.rule.borrow_mut() = Some(rule);
    }

    /// Tells who carries it to stop, and why. `false` where it was told already.
    pub fn kill(&self, reason: Arc<str>) -> bool {
        self.switch.kill(reason)
    }

    /// Waits until it is told to stop; gives the reason. For a `select!` beside the relaying. Cancel-safe.
    pub fn killed(self: &Rc<Self>) -> Killed {
        Killed::new(self.clone())
    }

    fn view(&self, now: Instant) -> FlowView {
        FlowView {
            id: self.facts.id,
            kind: self.facts.kind,
            state: self.state.get(),
            listener: self.facts.listener.clone(),
            client: self.facts.client,
            principal: self.facts.principal.clone(),
            groups: self.facts.groups.clone(),
            authority: self.facts.authority.to_string(),
            rule: self.rule(),
            origin: self.origin.get(),
            bytes_in: self.traffic.from_client.get(),
            bytes_out: self.traffic.from_origin.get(),
            age_ms: u64::try_from(now.duration_since(self.facts.started).as_millis())
                .unwrap_or(u64::MAX),
        }
    }
}

/// Places that are used again; the last one freed is the first one taken, as it is warm.
#[derive(Debug, Default)]
struct Slab {
    places: Vec<Option<Rc<Flow>>>,
    free: Vec<usize>,
}

impl Slab {
    fn insert(&mut self, flow: Rc<Flow>) -> usize {
        if let Some(place) = self.free.pop()
            && let Some(slot) = self.places.get_mut(place)
        {
            *slot = Some(flow);
            return place;
        }
        self.places.push(Some(flow));
        self.places.len() - 1
    }

    fn remove(&mut self, place: usize) {
        if let Some(slot) = self.places.get_mut(place)
            && slot.take().is_some()
        {
            self.free.push(place);
        }
    }
}
