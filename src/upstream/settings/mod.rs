//! `[upstream.NAME]`: endpoints, how one is chosen, what makes one unfit, how much there may be at once.
//! Not how it is spoken to: the keys `tls` and `protocol` are for whoever makes the connections, and are taken before [`Settings::finish`].
//! Start at [`Settings::read`].

mod balance;
mod endpoints;
mod health;
mod limits;
mod outlier;
mod percent;
mod retry;
mod sticky;
#[cfg(test)]
mod tests;

pub use balance::BalanceSettings;
pub(super) use endpoints::MOST_WEIGHT;
pub use endpoints::{EndpointSettings, EndpointSource};
pub use health::{HealthSettings, Probe, StatusRange};
pub use limits::{LimitSettings, PendingSettings};
pub use outlier::{OutlierSettings, SlowStart, SuccessRate};
pub use percent::Percent;
pub use retry::RetrySettings;
pub use sticky::{SameSite, StickySettings};

use std::ops::RangeInclusive;

use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Table, Value};

/// The settings of one upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where its endpoints come from.
    pub endpoints: Box<[EndpointSettings]>,
    /// How one of them is chosen.
    pub balance: BalanceSettings,
    /// The zone that this process is in: endpoints of it are preferred.
    pub zone: Option<Box<str>>,
    /// A priority group, or the own zone, of which a smaller share than this is usable hands requests on, as many as it lacks;
    /// 0 to 1.
    pub overflow: f64,
    /// How endpoints are probed; `None`: they are not.
    pub health: Option<HealthSettings>,
    /// What ejects an endpoint; `None`: nothing does.
    pub outlier: Option<OutlierSettings>,
    /// How an endpoint that comes back is loaded.
    pub slow_start: SlowStart,
    /// A smaller usable share than this, 0 to 1, makes all be used; `None`: never, not even if none is left.
    pub panic: Option<f64>,
    /// How much there may be at once.
    pub limits: LimitSettings,
    /// How requests are tried again.
    pub retry: RetrySettings,
    /// The cookie that keeps a client with its endpoint.
    pub sticky: Option<StickySettings>,
}

impl Settings {
    /// Reads the table. What is wrong becomes faults, each at its place. The keys `tls` and `protocol` are left alone: take them,
    /// and then call [`Table::finish`] for what is unknown.
    pub fn read(table: &Table, faults: &Faults) -> Self {
        Self {
            endpoints: endpoints::read_all(table, faults),
            balance: table.take_or("balance", BalanceSettings::default(), faults),
            zone: table.take::<String>("zone", faults).map(Into::into),
            overflow: share(table, "overflow", 0.01..=1.0, faults).unwrap_or(OVERFLOW),
            health: unless_off(table, "health", None, HealthSettings::read, faults),
            outlier: unless_off(
                table,
                "outlier",
                Some(OutlierSettings::default()),
                OutlierSettings::read,
                faults,
            ),
            slow_start: table.take_or("slow-start", SlowStart::default(), faults),
            panic: read_panic(table, faults),
            limits: table
                .take("limits", faults)
                .map_or_else(LimitSettings::default, |table| {
                    LimitSettings::read(table, faults)
                }),
            retry: table
                .take("retry", faults)
                .map_or_else(RetrySettings::default, |table| {
                    RetrySettings::read(table, faults)
                }),
            sticky: table
                .take("sticky", faults)
                .and_then(|table| StickySettings::read(table, faults)),
        }
    }

    /// Settings with nothing but these endpoints.
    pub fn of(endpoints: impl IntoIterator<Item = EndpointSettings>) -> Self {
        Self {
            endpoints: endpoints.into_iter().collect(),
            balance: BalanceSettings::default(),
            zone: None,
            overflow: OVERFLOW,
            health: None,
            outlier: Some(OutlierSettings::default()),
            slow_start: SlowStart::default(),
            panic: Some(PANIC),
            limits: LimitSettings::default(),
            retry: RetrySettings::default(),
            sticky: None,
        }
    }
}

/// What stands under a key: `false` for nothing, absent for the default, or something that is read.
fn unless_off<T>(
    table: &Table,
    key: &'static str,
    default: Option<T>,
    read: fn(Value, &Faults) -> Option<T>,
    faults: &Faults,
) -> Option<T> {
    match table.take_value(key) {
        None => default,
        Some(Value {
            kind: Kind::Bool(false),
            ..
        }) => None,
        Some(value) => read(value, faults),
    }
}

fn read_panic(table: &Table, faults: &Faults) -> Option<f64> {
    let read = |value, faults: &Faults| Percent::from_value(value, faults).map(Percent::share);
    let panic = unless_off(table, "panic", Some(PANIC), read, faults);
    panic.map(|share| share.min(1.0))
}

/// A percentage in a range, as a share.
fn share(
    table: &Table,
    key: &'static str,
    range: RangeInclusive<f64>,
    faults: &Faults,
) -> Option<f64> {
    let percent = table.take::<Located<Percent>>(key, faults)?;
    let share = percent.value.share();
    if range.contains(&share) {
        return Some(share);
    }
    let (least, most) = (range.start() * 100.0, range.end() * 100.0);
    faults.push(Fault::at(
        &percent.at,
        format!("{}% is out of range", share * 100.0),
        format!("write \"{least}%\" to \"{most}%\""),
    ));
    None
}

const OVERFLOW: f64 = 0.7;
const PANIC: f64 = 0.1;
