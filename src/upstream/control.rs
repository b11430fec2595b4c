//! Everything that changes an upstream: endpoints that come and go, probes, ejections, commands, a reload. Each change makes a new view.
//! Under one lock, which no request waits for: what a request would change while somebody else changes something is left for the next.
//! Not the view itself (build), nor who finds out what is new (probe).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tokio::time::Instant;

use super::build::build;
use super::health::{Admin, Change};
use super::members::{Member, Members, Resolved};
use super::outlier::outliers;
use super::settings::{EndpointSource, OutlierSettings, Settings};
use super::sticky::Sticky;
use super::view::{Panic, View};
use super::{EndpointKey, Upstream};

/// What is changed, under the lock.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) settings: Arc<Settings>,
    pub(super) members: Members,
    pub(super) sticky: Option<Arc<Sticky>>,
    news: VecDeque<News>,
    /// When panic was last told.
    panic_told: Option<Duration>,
}

/// Something that an operator should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// An endpoint has changed.
    Endpoint(EndpointKey, Change),
    /// So few endpoints are left that requests go to all of them. Told when that begins, at most once a minute.
    Panic(Panic),
}

impl Control {
    /// With a view of the endpoints that need no look-up.
    pub(super) fn new(name: &str, settings: Settings) -> (Self, View) {
        let settings = Arc::new(settings);
        let mut members = Members::default();
        members.gather(&settings.endpoints);
        let sticky = settings.sticky.as_ref();
        let sticky = sticky.map(|settings| Arc::new(Sticky::new(name, settings)));
        let view = build(&settings, &members, sticky.as_ref(), None, Duration::ZERO);
        let control = Self {
            settings,
            members,
            sticky,
            news: VecDeque::new(),
            panic_told: None,
        };
        (control, view)
    }

    fn tell(&mut self, news: News) {
        if self.news.len() >= MOST_NEWS {
            self.news.pop_front();
        }
        self.news.push_back(news);
    }

    /// Lets those back in whose ejection is over, and forgets slow starts that are.
    fn settle(&mut self, now: Duration) {
        let window = self.settings.slow_start.window;
        for member in &mut self.members.all {
            let state = &mut member.state;
            if state.ejection.end(now) {
                state.warm_from = Some(now);
                // What was under way when it was ejected may have failed since.
                member.endpoint.load.in_a_row.store(0, Ordering::Relaxed);
            }
            state.warm_from = state.warm_from.filter(|from| *from + window > now);
        }
    }

    /// Ejects an endpoint, where one more may be ejected.
    fn eject(&mut self, endpoint: &EndpointKey, outlier: &OutlierSettings, now: Duration) -> bool {
        let all = self.members.all.len();
        let is_ejected = |member: &&Member| member.state.ejection.until().is_some();
        let ejected = self.members.all.iter().filter(is_ejected).count();
        let most = ((all as f64 * outlier.share) as usize).max(1);
        // The only one there is may fail as it likes: there is nobody better.
        if all < 2 || ejected >= most {
            return false;
        }
        let Some(member) = self
            .members
            .find(endpoint)
            .filter(|member| !is_ejected(&&**member))
        else {
            return false;
        };
        let long = member.state.ejection.eject(now, outlier);
        self.tell(News::Endpoint(endpoint.clone(), Change::Ejected(long)));
        true
    }
}

impl Upstream {
    pub(super) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, where nobody has it.
    fn control_now(&self) -> Option<MutexGuard<'_, Control>> {
        match self.control.try_lock() {
            Ok(control) => Some(control),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Makes the view of what is now.
    fn publish(&self, control: &mut Control, now: Duration) {
        control.settle(now);
        let before = self.view.load();
        let sticky = control.sticky.as_ref();
        let view = build(
            &control.settings,
            &control.members,
            sticky,
            Some(&before),
            now,
        );
        if let Some(panic) = view.panic {
            let told = control
                .panic_told
                .is_some_and(|at| now.saturating_sub(at) < PANIC_EVERY);
            if !told {
                control.panic_told = Some(now);
                control.tell(News::Panic(panic));
            }
        }
        self.view.store(Arc::new(view));
    }

    /// What has happened since this was last asked, the oldest first; at most 256, of which the newest stay. For whoever logs: ask
    /// about once a second.
    pub fn take_news(&self) -> Vec<News> {
        self.control().news.drain(..).collect()
    }

    /// A source has these endpoints now; state of those that it had before stays. Not for the hot path: with an algorithm that goes by
    /// keys a table is built, which takes milliseconds. A source that the settings do not name is passed over.
    pub fn replace_endpoints(&self, source: &EndpointSource, endpoints: Vec<Resolved>) {
        let mut control = self.control();
        control.members.put(source, endpoints);
        self.regather(&mut control);
    }

    /// A source could not be asked, and why. What it had stays; where it had nothing, the reason is told to who asks for an endpoint.
    pub fn source_failed(&self, source: &EndpointSource, problem: impl Into<Arc<str>>) {
        let mut control = self.control();
        control.members.fail(source, problem.into());
        self.regather(&mut control);
    }

    /// The endpoints at these addresses, and no others, are this process itself, from where there is a way back to this upstream:
    /// they take no requests, and are no part of those that panic would use.
    pub fn avoid_circles(&self, at: &[SocketAddr]) {
        let mut control = self.control();
        let mut changed = Vec::new();
        for member in &mut control.members.all {
            let circular = at.contains(&member.endpoint.address());
            if std::mem::replace(&mut member.state.circular, circular) != circular {
                changed.push((member.endpoint.key().clone(), circular));
            }
        }
        if changed.is_empty() {
            return;
        }
        for (endpoint, circular) in changed {
            let change = if circular {
                Change::Circular
            } else {
                Change::Straight
            };
            control.tell(News::Endpoint(endpoint, change));
        }
        let now = self.since_epoch(Instant::now());
        self.publish(&mut control, now);
    }

    fn regather(&self, control: &mut Control) {
        let settings = control.settings.clone();
        control.members.gather(&settings.endpoints);
        let now = self.since_epoch(Instant::now());
        self.publish(control, now);
        self.regathered.notify_waiters();
    }

    /// Takes new settings. State of endpoints that stay is kept, and so is what was found of sources that stay.
    pub(super) fn replace_settings(self: &Arc<Self>, settings: Settings) {
        self.limit_requests(&settings.limits);
        let mut control = self.control();
        if control.sticky.as_ref().map(|sticky| sticky.settings()) != settings.sticky.as_ref() {
            let sticky = settings.sticky.as_ref();
            control.sticky = sticky.map(|settings| Arc::new(Sticky::new(&self.name, settings)));
        }
        if settings.health.is_none() {
            // Nobody would ever find it well again.
            for member in &mut control.members.all {
                member.state.health = super::Health::Unknown;
            }
        }
        if settings.outlier.is_none() {
            for member in &mut control.members.all {
                member.state.ejection = super::health::Ejection::default();
            }
        }
        control.settings = Arc::new(settings);
        self.regather(&mut control);
    }

    /// A probe of an endpoint has passed or failed. Nothing where its upstream is not probed, or does not have it any more.
    pub fn probed(&self, endpoint: &EndpointKey, passed: bool) {
        let now = self.since_epoch(Instant::now());
        let mut control = self.control();
        let settings = control.settings.clone();
        let (Some(health), Some(member)) = (&settings.health, control.members.find(endpoint))
        else {
            return;
        };
        let state = &mut member.state;
        let was = state.health;
        state.health = was.probed(passed, health);
        let is_up = state.health.is_up();
        if was.is_up() == is_up {
            return;
        }
        state.warm_from = is_up.then_some(now);
        let change = if is_up { Change::Up } else { Change::Down };
        control.tell(News::Endpoint(endpoint.clone(), change));
        self.publish(&mut control, now);
    }

    /// Drains, disables or enables the endpoints that are meant: by `address:port`, by the name they were found under, or by what
    /// their key shows. Returns how many that are.
    pub fn set_admin(&self, which: &str, admin: Admin) -> usize {
        self.command(which, |member| {
            let back = admin == Admin::Enabled && member.state.admin != admin;
            member.state.admin = admin;
            back
        })
    }

    /// Sets the weight of the endpoints that are meant, as in [`Upstream::set_admin`], or gives them back the configured one. At most
    /// 1000 counts.
    pub fn set_weight(&self, which: &str, weight: Option<u32>) -> usize {
        self.command(which, |member| {
            member.state.weight = weight.map(|weight| weight.min(super::settings::MOST_WEIGHT));
            false
        })
    }

    /// Changes each that is meant; where the change says so, it starts slowly.
    fn command(&self, which: &str, change: impl Fn(&mut Member) -> bool) -> usize {
        let now = self.since_epoch(Instant::now());
        let mut control = self.control();
        let mut changed = 0;
        for member in &mut control.members.all {
            if !is_meant(member.endpoint.key(), which) {
                continue;
            }
            changed += 1;
            if change(member) {
                member.state.warm_from = Some(now);
                member.state.ejection.lift(now);
            }
        }
        if changed > 0 {
            self.publish(&mut control, now);
        }
        changed
    }

    /// Makes the view that time alone has brought, unless somebody is at it.
    pub(super) fn catch_up(&self, now: Duration) {
        if let Some(mut control) = self.control_now() {
            self.publish(&mut control, now);
        }
    }

    /// Ejects an endpoint that has failed too often in a row, unless somebody is changing something: then its next failure does.
    pub(super) fn eject(&self, endpoint: &EndpointKey, outlier: &OutlierSettings, now: Duration) {
        if let Some(mut control) = self.control_now()
            && control.eject(endpoint, outlier, now)
        {
            self.publish(&mut control, now);
        }
    }

    /// Looks at the success rates of the interval that has passed. Returns whether it could.
    pub(super) fn judge_interval(&self, outlier: &OutlierSettings, now: Duration) -> bool {
        let Some(mut control) = self.control_now() else {
            return false;
        };
        let mut intervals = Vec::with_capacity(control.members.all.len());
        for member in &mut control.members.all {
            member.state.ejection.forgive(now, outlier);
            intervals.push(member.endpoint.load.take_interval());
        }
        let Some(rate) = &outlier.success_rate else {
            return true;
        };
        let at = outliers(&intervals, rate);
        let keys: Vec<EndpointKey> = at
            .into_iter()
            .filter_map(|at| control.members.all.get(at))
            .map(|member| member.endpoint.key().clone())
            .collect();
        let ejected = keys
            .iter()
            .filter(|key| control.eject(key, outlier, now))
            .count();
        if ejected > 0 {
            self.publish(&mut control, now);
        }
        true
    }
}

fn is_meant(key: &EndpointKey, which: &str) -> bool {
    let host = key.host.as_ref().map(ToString::to_string);
    key.address.to_string() == which
        || key.to_string() == which
        || host.is_some_and(|host| host == which)
}

const MOST_NEWS: usize = 256;
const PANIC_EVERY: Duration = Duration::from_secs(60);
