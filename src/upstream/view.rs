//! What an upstream is at a moment, as a pick needs it: who is to be chosen from, in which shares, by which tables. Never changed:
//! a change of health, of settings or of endpoints makes another one (control).
//! Start at [`View::pick`].

use std::sync::Arc;
use std::time::Duration;

use super::balance::{Balancer, Field, Load, Weighted};
use super::dice::{is_below, mix};
use super::settings::Settings;
use super::sticky::Sticky;
use super::{Ask, Dice, Endpoint, Unavailable};

/// A snapshot of an upstream.
#[derive(Debug)]
pub(super) struct View {
    pub(super) settings: Arc<Settings>,
    /// Who is chosen from; those of the first have the first share, and so on.
    pub(super) lanes: Box<[Lane]>,
    /// Endpoints that cookies name, by their opaque numbers, in order.
    pub(super) named: Box<[(u64, Arc<Endpoint>)]>,
    /// Why no lane has a share.
    pub(super) none: Unavailable,
    /// No endpoint is known, and some source was not asked yet.
    pub(super) unasked: bool,
    /// So few are left that all are used.
    pub(super) panic: Option<Panic>,
    /// When time alone makes another view: since the epoch.
    pub(super) until: Option<Duration>,
    /// Of all that are usable.
    pub(super) total_weight: u64,
    /// What makes and reads the cookies.
    pub(super) sticky: Option<Arc<Sticky>>,
}

/// Too few endpoints are well: requests go to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panic {
    /// How many take requests by their own state.
    pub usable: usize,
    /// Of how many.
    pub of: usize,
}

/// Endpoints among which a balancer chooses.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) places: Box<[Place]>,
    pub(super) balancer: Arc<dyn Balancer>,
    /// What of the requests goes here or to a lane before it, as a part of 2^64; all of them is `u64::MAX`.
    pub(super) up_to: u64,
    /// What the balancer was built from.
    pub(super) shape: Box<[Weighted]>,
}

/// An endpoint in a lane.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) weight: u32,
    /// Whether it takes requests; those that do not are there only for tables that outlive a change of health.
    pub(super) usable: bool,
    /// When its slow start began, since the epoch, where it is in one.
    pub(super) warm_from: Option<Duration>,
}

/// What is found, and whether it is the endpoint that the cookie names.
pub(super) struct Chosen<'a> {
    pub(super) endpoint: &'a Arc<Endpoint>,
    pub(super) named: bool,
}

impl View {
    /// An endpoint for a request at a time since the epoch, while so many are under way.
    pub(super) fn pick(
        &self,
        ask: &Ask<'_>,
        now: Duration,
        active: u32,
    ) -> Result<Chosen<'_>, Unavailable> {
        let among = Among {
            ask,
            view: self,
            key: ask.key.map_or_else(|| ask.dice.roll(), mix),
            now,
            active,
            disturbs: false,
        };
        let named = ask.sticky.and_then(|id| self.named(id));
        let takes = |endpoint: &&Arc<Endpoint>| {
            among.has_room(endpoint) && !among.was_tried(endpoint) && among.lets_rest(endpoint)
        };
        if let Some(endpoint) = named.filter(takes) {
            return Ok(Chosen {
                endpoint,
                named: true,
            });
        }
        let endpoint = match self.choose(&among) {
            Ok(endpoint) => endpoint,
            // A first try is better made there than not at all.
            Err(Unavailable::Resting) if !ask.again => self.choose(&Among {
                disturbs: true,
                ..among
            })?,
            Err(why) => return Err(why),
        };
        Ok(Chosen {
            endpoint,
            named: false,
        })
    }

    fn choose(&self, among: &Among<'_>) -> Result<&Arc<Endpoint>, Unavailable> {
        let chosen = self.lane(among).and_then(|lane| lane.pick(among));
        chosen.map_or_else(|| self.any(among), Ok)
    }

    /// Whether one more endpoint may be left alone: half of those may that requests go to. Those that they come to only where nobody
    /// of these can take them are a group of their own; one that is to get no more clients is in none.
    pub(super) fn may_rest(&self, endpoint: &Endpoint, now: Duration) -> bool {
        let is_same = |place: &Place| place.endpoint.key() == endpoint.key();
        let mut groups = [true, false].into_iter();
        let Some(used) = groups.find(|used| self.usable(*used).any(is_same)) else {
            return true;
        };
        let (mut usable, mut resting) = (0, 0);
        for place in self.usable(used) {
            usable += 1;
            resting += usize::from(!is_same(place) && place.endpoint.rests(now));
        }
        (resting + 1) * 2 <= usable
    }

    /// Who takes requests, in lanes that have a share of them, or in those that have none.
    fn usable(&self, used: bool) -> impl Iterator<Item = &Place> {
        let mut before = 0;
        let lanes = self.lanes.iter().filter(move |lane| {
            let has_share = std::mem::replace(&mut before, lane.up_to) < lane.up_to;
            has_share == used
        });
        let places = lanes.flat_map(|lane| &lane.places);
        places.filter(|place| place.usable)
    }

    /// The endpoint that a cookie names, where it takes such requests.
    pub(super) fn named(&self, id: u64) -> Option<&Arc<Endpoint>> {
        let at = self.named.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.named.get(at).map(|(_, endpoint)| endpoint)
    }

    /// The lane whose turn it is. With a key it is always the same one, so that the key's endpoint is.
    fn lane(&self, among: &Among<'_>) -> Option<&Lane> {
        let [first, rest @ ..] = &*self.lanes else {
            return None;
        };
        if first.up_to == u64::MAX {
            return Some(first);
        }
        let bits = mix(among.key);
        let fits = |lane: &&Lane| bits <= lane.up_to;
        rest.iter()
            .find(fits)
            .filter(|_| bits > first.up_to)
            .or(Some(first))
    }

    /// Anyone who is usable at all: what a balancer would not take for reasons of fairness is better than nothing.
    fn any(&self, among: &Among<'_>) -> Result<&Arc<Endpoint>, Unavailable> {
        let mut why = self.none.clone();
        for lane in self.lanes.iter().filter(|lane| lane.up_to > 0) {
            let count = lane.places.len();
            let from = among.ask.dice.below(count as u64) as usize;
            let (before, after) = lane.places.split_at_checked(from).unwrap_or_default();
            for place in after.iter().chain(before).filter(|place| place.usable) {
                let endpoint = &place.endpoint;
                let other = match (among.was_tried(endpoint), among.has_room(endpoint)) {
                    (true, _) => Unavailable::AllTried,
                    (false, false) => Unavailable::Full,
                    (false, true) if among.lets_rest(endpoint) => return Ok(endpoint),
                    (false, true) => Unavailable::Resting,
                };
                if other.matters() > why.matters() {
                    why = other;
                }
            }
        }
        Err(why)
    }
}

impl Lane {
    fn pick(&self, among: &Among<'_>) -> Option<&Arc<Endpoint>> {
        let place = self.balancer.pick(&InLane { lane: self, among })?;
        self.places.get(place).map(|place| &place.endpoint)
    }
}

/// A request that is being placed.
struct Among<'a> {
    ask: &'a Ask<'a>,
    view: &'a View,
    key: u64,
    now: Duration,
    active: u32,
    /// Whether those are asked too that have asked to be left alone.
    disturbs: bool,
}

impl Among<'_> {
    fn was_tried(&self, endpoint: &Endpoint) -> bool {
        self.ask.tried.iter().any(|key| key == endpoint.key())
    }

    fn has_room(&self, endpoint: &Endpoint) -> bool {
        let limit = self.view.settings.limits.endpoint_requests;
        limit.is_none_or(|limit| endpoint.active() < limit)
    }

    fn lets_rest(&self, endpoint: &Endpoint) -> bool {
        self.disturbs || !endpoint.rests(self.now)
    }

    /// Whether a place that has just come back takes this request: a share of them that grows. With a key, always the same ones.
    fn is_warm(&self, place: &Place) -> bool {
        let Some(from) = place.warm_from else {
            return true;
        };
        let share = self
            .view
            .settings
            .slow_start
            .share(self.now.saturating_sub(from));
        let bits = match self.ask.key {
            Some(key) => mix(key ^ place.endpoint.id),
            None => self.ask.dice.roll(),
        };
        is_below(bits, share)
    }

    /// Whether a place carries less than its share of all requests, times what it may carry beyond that.
    fn is_below_bound(&self, place: &Place) -> bool {
        let Some(bound) = self.view.settings.balance.bounded_load else {
            return true;
        };
        let fair = f64::from(place.weight) / self.view.total_weight.max(1) as f64;
        let most = bound * fair * (f64::from(self.active) + 1.0);
        f64::from(place.endpoint.active()) < most.ceil()
    }
}

struct InLane<'a> {
    lane: &'a Lane,
    among: &'a Among<'a>,
}

impl InLane<'_> {
    fn place(&self, place: usize) -> Option<&Place> {
        self.lane.places.get(place)
    }
}

impl Field for InLane<'_> {
    fn len(&self) -> usize {
        self.lane.places.len()
    }

    fn takes(&self, place: usize) -> bool {
        self.place(place).is_some_and(|place| {
            place.usable
                && !self.among.was_tried(&place.endpoint)
                && self.among.has_room(&place.endpoint)
                && self.among.lets_rest(&place.endpoint)
                && self.among.is_below_bound(place)
                && self.among.is_warm(place)
        })
    }

    fn load(&self, place: usize) -> Load {
        let place = self.place(place);
        Load {
            active: place.map_or(0, |place| place.endpoint.active()),
            weight: place.map_or(1, |place| place.weight.max(1)),
        }
    }

    fn latency(&self, place: usize) -> Option<f32> {
        let now = self.among.now.as_millis() as u64;
        self.place(place)?.endpoint.load.latency.at(now)
    }

    fn key(&self) -> u64 {
        self.among.key
    }

    fn dice(&self) -> &Dice {
        self.among.ask.dice
    }
}
