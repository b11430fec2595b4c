//! Makes the view of an upstream from its members: who is usable, which group takes which share, who is built a table for.
//! Pure: told the time.
//! Start at [`build`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Unavailable;
use super::balance::{Balancer, By, Shape, Weighted};
use super::health::Admin;
use super::members::{Member, Members};
use super::settings::Settings;
use super::sticky::Sticky;
use super::view::{Lane, Panic, Place, View};

/// Members of one priority, and which share of all requests they take.
struct Level<'a> {
    backup: bool,
    members: Vec<&'a Member>,
    weight: f64,
    usable: f64,
    share: f64,
}

/// The view of these members at a time since the epoch. Tables of the view before are kept where their endpoints and weights are the
/// same; others are built, which takes milliseconds for those that go by keys.
pub(super) fn build(
    settings: &Arc<Settings>,
    members: &Members,
    sticky: Option<&Arc<Sticky>>,
    before: Option<&View>,
    now: Duration,
) -> View {
    let mut levels = levels(members);
    let panic = share_out(&mut levels, settings);
    let maker = Maker {
        settings,
        before,
        all: panic.is_some(),
        now,
    };
    let mut lanes: Vec<Lane> = levels.iter().flat_map(|level| maker.lanes(level)).collect();
    cumulate(&mut lanes);
    let places = || lanes.iter().flat_map(|lane| &lane.places);
    let total_weight = places()
        .filter(|place| place.usable)
        .map(|place| u64::from(place.weight))
        .sum();
    View {
        total_weight,
        until: until(members, settings),
        named: named(members, sticky, panic.is_some()),
        none: why_none(members, settings),
        unasked: members.all.is_empty() && members.is_unasked(&settings.endpoints),
        panic,
        settings: settings.clone(),
        sticky: sticky.cloned(),
        lanes: lanes.into(),
    }
}

/// Those that serve, by priority, the backups after all others.
fn levels(members: &Members) -> Vec<Level<'_>> {
    let mut levels: BTreeMap<(bool, u64), Vec<&Member>> = BTreeMap::new();
    for member in members.all.iter().filter(|member| member.serves()) {
        let level = levels.entry((member.backup, member.priority)).or_default();
        level.push(member);
    }
    let of = |members: &[&Member], all: bool| {
        let counted = members.iter().filter(|member| all || member.is_well());
        counted.map(|member| f64::from(member.weight())).sum()
    };
    levels
        .into_iter()
        .map(|((backup, _), members)| Level {
            backup,
            weight: of(&members, true),
            usable: of(&members, false),
            share: 0.0,
            members,
        })
        .collect()
}

/// Says which share of the requests each level takes: the first as much as it has the endpoints for, and the next what is left. Backups
/// come in where the others are in panic without them; and where even that does not help, all are used.
fn share_out(levels: &mut [Level<'_>], settings: &Settings) -> Option<Panic> {
    let sum = |levels: &[Level<'_>], backups: bool, of: fn(&Level<'_>) -> f64| -> f64 {
        levels
            .iter()
            .filter(|level| backups || !level.backup)
            .map(of)
            .sum()
    };
    let panics = |backups: bool, levels: &[Level<'_>]| {
        let usable = sum(levels, backups, |level| level.usable);
        let all = sum(levels, backups, |level| level.weight);
        usable <= 0.0 || usable / all < settings.panic.unwrap_or(0.0)
    };
    let backups = panics(false, levels);
    let panic = backups && panics(true, levels) && settings.panic.is_some();
    let mut left = 1.0;
    for level in levels.iter_mut().filter(|level| backups || !level.backup) {
        let able = match panic {
            // Nothing is known of who is able: each takes what its weight says.
            true => level.weight,
            false => level.usable / level.weight / settings.overflow,
        };
        level.share = if panic { able } else { able.min(left) };
        left -= level.share;
    }
    let given: f64 = levels.iter().map(|level| level.share).sum();
    for level in levels.iter_mut().filter(|_| given > 0.0) {
        level.share /= given;
    }
    let members = || levels.iter().flat_map(|level| &level.members);
    let (usable, of) = (
        members().filter(|member| member.is_well()).count(),
        members().count(),
    );
    (panic && of > 0).then_some(Panic { usable, of })
}

/// Makes lanes.
struct Maker<'a> {
    settings: &'a Settings,
    before: Option<&'a View>,
    /// Everyone is used, whatever its health.
    all: bool,
    now: Duration,
}

impl Maker<'_> {
    /// The lanes of a level: that of the own zone, as far as it has the endpoints, and that of the others.
    fn lanes(&self, level: &Level<'_>) -> Vec<Lane> {
        // In panic nobody knows that there are any.
        let own = self.settings.zone.as_deref().filter(|_| !self.all);
        let is_near = |member: &&&Member| own.is_some() && member.zone.as_deref() == own;
        let (near, far): (Vec<&Member>, Vec<&Member>) = level
            .members
            .iter()
            .copied()
            .partition(|member| is_near(&member));
        let able = self.usable(&near) / self.weight(&near) / self.settings.overflow;
        let of_near = match (near.is_empty(), self.usable(&far) > 0.0) {
            (true, _) => 0.0,
            (false, true) => able.min(1.0),
            (false, false) => 1.0,
        };
        [(near, of_near), (far, 1.0 - of_near)]
            .into_iter()
            .filter_map(|(members, part)| self.lane(&members, level.share * part))
            .collect()
    }

    fn usable(&self, members: &[&Member]) -> f64 {
        let usable = members.iter().filter(|member| self.uses(member));
        usable.map(|member| f64::from(member.weight())).sum()
    }

    fn weight(&self, members: &[&Member]) -> f64 {
        members
            .iter()
            .map(|member| f64::from(member.weight()))
            .sum()
    }

    fn uses(&self, member: &Member) -> bool {
        self.all || member.is_well()
    }

    /// The lane of some members; `None` where none of them is usable.
    fn lane(&self, members: &[&Member], share: f64) -> Option<Lane> {
        let entry = self.settings.balance.entry;
        let keeps_all = entry.by == By::Key;
        let places: Box<[Place]> = members
            .iter()
            .filter(|member| keeps_all || self.uses(member))
            .map(|member| Place {
                endpoint: member.endpoint.clone(),
                weight: member.weight(),
                usable: self.uses(member),
                warm_from: member.state.warm_from.filter(|_| self.warms(member)),
            })
            .collect();
        if !places.iter().any(|place| place.usable) {
            return None;
        }
        let seat = |place: &Place| Weighted {
            id: place.endpoint.id,
            weight: place.weight,
        };
        let shape: Box<[Weighted]> = places.iter().map(seat).collect();
        Some(Lane {
            balancer: self.balancer(&shape),
            places,
            shape,
            // A share for now: the sums come when all are known.
            up_to: (share.clamp(0.0, 1.0) * WHOLE) as u64,
        })
    }

    fn warms(&self, member: &Member) -> bool {
        let end = |from| from + self.settings.slow_start.window;
        member
            .state
            .warm_from
            .is_some_and(|from| end(from) > self.now)
    }

    fn balancer(&self, shape: &[Weighted]) -> Arc<dyn Balancer> {
        let entry = self.settings.balance.entry;
        let same = self
            .before
            .filter(|before| before.settings.balance.entry.name == entry.name)
            .and_then(|before| before.lanes.iter().find(|lane| *lane.shape == *shape));
        match same {
            Some(lane) => lane.balancer.clone(),
            None => Arc::from((entry.build)(Shape::Of(shape))),
        }
    }
}

/// Turns shares into bounds; the last lane with a share has what rounding has left.
fn cumulate(lanes: &mut [Lane]) {
    let last = lanes.iter().rposition(|lane| lane.up_to > 0);
    let mut sum = 0_u64;
    for (at, lane) in lanes.iter_mut().enumerate() {
        sum = sum.saturating_add(lane.up_to);
        if last.is_some_and(|last| at >= last) {
            sum = u64::MAX;
        }
        lane.up_to = sum;
    }
}

/// When the next ejection or slow start is over.
fn until(members: &Members, settings: &Settings) -> Option<Duration> {
    let of = |member: &Member| {
        let warm = member
            .state
            .warm_from
            .map(|from| from + settings.slow_start.window);
        member.state.ejection.until().into_iter().chain(warm).min()
    };
    members.all.iter().filter_map(of).min()
}

fn named(
    members: &Members,
    sticky: Option<&Arc<Sticky>>,
    all: bool,
) -> Box<[(u64, Arc<super::Endpoint>)]> {
    let Some(sticky) = sticky else {
        return Box::default();
    };
    let mut named: Vec<_> = members
        .all
        .iter()
        .filter(|member| member.state.admin != Admin::Disabled && !member.state.circular)
        .filter(|member| all || member.is_well())
        .map(|member| (sticky.id(member.endpoint.key()), member.endpoint.clone()))
        .collect();
    named.sort_by_key(|(id, _)| *id);
    named.into()
}

fn why_none(members: &Members, settings: &Settings) -> Unavailable {
    if members.all.is_empty() {
        return Unavailable::NoEndpoints(members.why_none(&settings.endpoints));
    }
    if members.all.iter().any(Member::serves) {
        return Unavailable::Unhealthy;
    }
    if members.all.iter().any(|member| member.state.circular) {
        return Unavailable::Circular;
    }
    Unavailable::Disabled
}

const WHOLE: f64 = u64::MAX as f64;
