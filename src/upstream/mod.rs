//! Groups of endpoints of one service: which of them is next, which are fit, how much they may be asked at once.
//!
//! Opens no connection (pool), sends no probe (probe), looks up no name, and has no task: told what happened, it says what is next.
//! All workers share an [`Upstream`]; a pick reads a snapshot, and counts in atomics. What changes the snapshot is in `control`.
//! Start at [`Upstream::pick`]; [`Settings::read`] reads `[upstream.NAME]`, and a [`Registry`] keeps upstreams over reloads.

mod ask;
pub mod balance;
mod breaker;
mod budget;
mod build;
mod control;
mod dice;
mod endpoint;
mod file;
mod health;
mod members;
mod outlier;
mod picked;
mod registry;
mod settings;
mod status;
mod sticky;
#[cfg(test)]
mod tests;
mod view;

pub use ask::{Ask, Unavailable};
pub use breaker::{Connected, Entered, Full, Retrying};
pub use control::News;
pub use dice::Dice;
pub use endpoint::{Endpoint, EndpointKey};
pub use file::read_file;
pub use health::{Admin, Change, Health};
pub use members::Resolved;
pub use picked::Picked;
pub use registry::Registry;
pub use settings::{
    BalanceSettings, EndpointSettings, EndpointSource, HealthSettings, LimitSettings,
    OutlierSettings, PendingSettings, Percent, Probe, RetrySettings, SameSite, Settings, SlowStart,
    StatusRange, StickySettings, SuccessRate,
};
pub use status::{EndpointStatus, Status};
pub use sticky::Sticky;
pub use view::Panic;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use self::breaker::{Breaker, NONE, add_below};
use self::control::Control;
use self::view::View;

/// A group of endpoints of one service. Shared by the workers; outlives reloads by its name.
#[derive(Debug)]
pub struct Upstream {
    name: Box<str>,
    /// What times are told from.
    epoch: Instant,
    view: ArcSwap<View>,
    control: Mutex<Control>,
    breaker: Breaker,
    /// Requests under way, counted only where the load of an endpoint is bounded by its share of them.
    active: AtomicU32,
    /// When success rates are looked at next: milliseconds since the epoch.
    judged_next: AtomicU64,
    /// Held by who counts which endpoints are left alone, before one more is.
    resting: Mutex<()>,
    /// Told when a source was asked.
    regathered: Notify,
}

impl Upstream {
    /// An upstream of a name. Endpoints that must be looked up are not there yet.
    pub fn new(name: &str, settings: Settings) -> Arc<Self> {
        let breaker = Breaker::new(&settings.limits);
        let (control, view) = Control::new(name, settings);
        Arc::new(Self {
            name: name.into(),
            epoch: Instant::now(),
            view: ArcSwap::from_pointee(view),
            control: Mutex::new(control),
            breaker,
            active: AtomicU32::new(0),
            judged_next: AtomicU64::new(0),
            resting: Mutex::default(),
            regathered: Notify::new(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.view.load().settings.clone()
    }

    /// What of a request its algorithm goes by; `None` where that is nothing. Hash the value with [`balance::Key::hash`] into
    /// [`Ask::key`].
    pub fn key(&self) -> Option<balance::Key> {
        self.view.load().settings.balance.key.clone()
    }

    /// What makes and reads the cookie that keeps a client with its endpoint, where there is one.
    pub fn sticky(&self) -> Option<Arc<Sticky>> {
        self.view.load().sticky.clone()
    }

    /// The sources of endpoints that must be looked up, or read from a file: by [`Upstream::replace_endpoints`].
    pub fn sources(&self) -> Vec<EndpointSource> {
        let view = self.view.load();
        let sources = view.settings.endpoints.iter().map(|own| &own.source);
        sources
            .filter(|source| !matches!(source, EndpointSource::Address(_)))
            .cloned()
            .collect()
    }

    /// All endpoints, whatever their state: whom to probe.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let control = self.control();
        let all = control.members.all.iter();
        all.map(|member| member.endpoint.clone()).collect()
    }

    /// An endpoint for a request. Takes no lock that anybody waits for; allocates nothing, unless time alone has changed the group:
    /// an ejection or a slow start is over.
    ///
    /// Errors: [`Unavailable`], with the reason.
    pub fn pick(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Picked, Unavailable> {
        let now = self.since_epoch(ask.now);
        let mut view = self.view.load();
        if view.until.is_some_and(|until| until <= now) {
            self.catch_up(now);
            view = self.view.load();
        }
        let counted = view.settings.balance.bounded_load.is_some();
        let limit = view.settings.limits.endpoint_requests.unwrap_or(NONE);
        for _ in 0..MOST_PICKS {
            let chosen = view.pick(ask, now, self.active.load(Ordering::Relaxed))?;
            let load = &chosen.endpoint.load;
            // Another worker may have taken the last place since it was looked at.
            if !add_below(&load.active, limit, Ordering::Relaxed) {
                continue;
            }
            load.requests.fetch_add(1, Ordering::Relaxed);
            if ask.again {
                load.retries.fetch_add(1, Ordering::Relaxed);
            }
            if counted {
                self.active.fetch_add(1, Ordering::Relaxed);
            }
            return Ok(Picked {
                upstream: self.clone(),
                endpoint: chosen.endpoint.clone(),
                named: chosen.named,
                counted,
                told: AtomicBool::new(false),
            });
        }
        Err(Unavailable::Full)
    }

    /// Waits until the request may be under way, where `limits` says how many may be: the most urgent first (a higher number), and of
    /// these who came first. Waits at most for `limits.pending.time`; then two seconds, at most, where no endpoint is known because
    /// the sources were not asked yet. Counts it for the budget of retries.
    ///
    /// Errors: [`Full`]. Dropping the future gives up the place in the queue.
    pub async fn enter(self: &Arc<Self>, priority: u8) -> Result<Entered, Full> {
        let (settings, unasked) = {
            let view = self.view.load();
            (view.settings.clone(), view.unasked)
        };
        self.breaker.budget.count(self.since_epoch(Instant::now()));
        let entered = self
            .enter_within(settings.limits.pending.as_ref(), priority)
            .await;
        if unasked && entered.is_ok() {
            // Whoever has waited in vain hears why there is no endpoint when it asks for one.
            let _ = timeout(FIRST_LOOK, self.asked()).await;
        }
        self.note(entered)
    }

    /// Waits until an endpoint is known, or each source was asked.
    async fn asked(&self) {
        loop {
            let mut regathered = pin!(self.regathered.notified());
            // From here on no word of it is missed.
            regathered.as_mut().enable();
            if !self.view.load().unasked {
                return;
            }
            regathered.await;
        }
    }

    /// Takes a retry out of what may be: as many as `limits.retries` at once, and no more than the budget.
    ///
    /// Errors: [`Full`].
    pub fn retry(self: &Arc<Self>) -> Result<Retrying, Full> {
        let view = self.view.load();
        let limit = view.settings.limits.retries.unwrap_or(NONE);
        let retries = &self.breaker.retries;
        if !add_below(retries, limit, Ordering::Relaxed) {
            return self.note(Err(Full::Retries));
        }
        let retrying = Retrying {
            upstream: self.clone(),
        };
        let now = self.since_epoch(Instant::now());
        let within = self.breaker.budget.take(now, &view.settings.retry);
        self.note(if within {
            Ok(retrying)
        } else {
            Err(Full::Budget)
        })
    }

    /// Counts a connection to an endpoint, for as long as what is returned is held.
    ///
    /// Errors: [`Full`], where there are as many as `limits.connections` or `limits.endpoint-connections` says.
    pub fn connect(self: &Arc<Self>, endpoint: &Arc<Endpoint>) -> Result<Connected, Full> {
        let view = self.view.load();
        let limits = &view.settings.limits;
        let all = &self.breaker.connections;
        if !add_below(all, limits.connections.unwrap_or(NONE), Ordering::Relaxed) {
            return self.note(Err(Full::Connections));
        }
        let own = &endpoint.load.connections;
        if !add_below(
            own,
            limits.endpoint_connections.unwrap_or(NONE),
            Ordering::Relaxed,
        ) {
            all.fetch_sub(1, Ordering::Relaxed);
            return self.note(Err(Full::Connections));
        }
        Ok(Connected {
            upstream: self.clone(),
            endpoint: endpoint.clone(),
        })
    }

    fn note<T>(&self, result: Result<T, Full>) -> Result<T, Full> {
        if result.is_err() {
            self.breaker.refused.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn since_epoch(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }

    /// What the outcome of a request makes of its endpoint.
    fn learn(&self, endpoint: &Endpoint, good: bool, now: Duration) {
        let view = self.view.load();
        let Some(outlier) = &view.settings.outlier else {
            return;
        };
        let in_a_row = endpoint.load.in_a_row.load(Ordering::Relaxed);
        if !good && outlier.failures.is_some_and(|most| in_a_row >= most) {
            self.eject(endpoint.key(), outlier, now);
        }
        let millis = now.as_millis() as u64;
        let due = self.judged_next.load(Ordering::Relaxed);
        if millis < due {
            return;
        }
        let next = millis + outlier.interval.as_millis() as u64;
        let swap =
            self.judged_next
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        // The first interval begins with the first request.
        if swap.is_ok() && due != 0 {
            self.judge_interval(outlier, now);
        }
    }
}

/// How long a request waits for names and files to be asked for the first time; as long as whoever waits for a start or a reload.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);

/// How often a place may be taken away between look and grasp.
const MOST_PICKS: usize = 8;
