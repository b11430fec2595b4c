//! What an upstream is at a moment, for `egret status` and `egret upstream`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::members::Member;
use super::{Admin, Upstream};

/// An upstream at a moment. Counts are since the start.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its algorithm.
    pub balance: &'static str,
    /// So few endpoints are left that all are used.
    pub panic: bool,
    /// Requests that are counted against a limit, and under way.
    pub active: u32,
    /// Requests that wait.
    pub pending: u32,
    /// Connections that are counted, and open.
    pub connections: u32,
    /// Retries that are under way.
    pub retrying: u32,
    /// What was refused for a limit.
    pub refused: u64,
    /// Sources that could not be asked, and why.
    pub problems: Vec<String>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint at a moment.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointStatus {
    /// Where it is.
    pub address: String,
    /// The name that it was found under.
    pub host: Option<String>,
    /// What probes say of it: `unknown`, `up`, `down`.
    pub health: &'static str,
    /// For how many seconds it is still ejected.
    pub ejected: Option<u64>,
    /// For how many seconds it is still left alone, as it has asked for.
    pub resting: Option<u64>,
    /// It is this process itself, and leads back here: it takes no requests.
    pub circular: bool,
    /// What an operator wants of it.
    pub admin: Admin,
    /// Its weight.
    pub weight: u32,
    /// It comes in where the others can not.
    pub backup: bool,
    /// Its zone.
    pub zone: Option<String>,
    /// Requests under way.
    pub active: u32,
    /// Connections that are counted, and open.
    pub connections: u32,
    /// Requests that it was given.
    pub requests: u64,
    /// Requests of these that failed.
    pub failures: u64,
    /// Requests of these that had failed elsewhere.
    pub retries: u64,
    /// What it lately took to answer, in milliseconds.
    pub latency: Option<f32>,
}

impl Upstream {
    /// What it is now. Waits for a change that is being made.
    pub fn status(&self) -> Status {
        let now = self.since_epoch(Instant::now());
        if self.view.load().until.is_some_and(|until| until <= now) {
            self.catch_up(now);
        }
        let view = self.view.load();
        let (active, pending) = self.breaker.counts();
        let control = self.control();
        let endpoint = |member: &Member| {
            let load = &member.endpoint.load;
            let until = member.state.ejection.until();
            let latency = load.latency.at(now.as_millis() as u64);
            EndpointStatus {
                address: member.endpoint.address().to_string(),
                host: member.endpoint.host().map(ToString::to_string),
                health: member.state.health.word(),
                ejected: until.map(|until| until.saturating_sub(now).as_secs()),
                resting: resting(load.rests_until.load(Ordering::Relaxed), now),
                circular: member.state.circular,
                admin: member.state.admin,
                weight: member.weight(),
                backup: member.backup,
                zone: member.zone.as_deref().map(str::to_owned),
                active: member.endpoint.active(),
                connections: load.connections.load(Ordering::Relaxed),
                requests: load.requests.load(Ordering::Relaxed),
                failures: load.failures.load(Ordering::Relaxed),
                retries: load.retries.load(Ordering::Relaxed),
                latency: latency.map(|micros| micros / 1000.0),
            }
        };
        let problem = |(source, problem)| format!("{source}: {problem}");
        Status {
            name: self.name.to_string(),
            balance: view.settings.balance.entry.name,
            panic: view.panic.is_some(),
            active,
            pending,
            connections: self.breaker.connections.load(Ordering::Relaxed),
            retrying: self.breaker.retries.load(Ordering::Relaxed),
            refused: self.breaker.refused.load(Ordering::Relaxed),
            problems: control.members.problems().map(problem).collect(),
            endpoints: control.members.all.iter().map(endpoint).collect(),
        }
    }
}

/// What is left of a rest; none where there is less than a millisecond.
fn resting(until: u64, now: Duration) -> Option<u64> {
    let left = until.checked_sub(now.as_millis() as u64)?;
    (left > 0).then_some(left.div_ceil(1000))
}
