//! `outlier` and `slow-start`: what ejects an endpoint, for how long, and how it comes back.

use std::time::Duration;

use super::{StatusRange, share, unless_off};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Table, Value};

/// What ejects an endpoint, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlierSettings {
    /// So many failures in a row eject it; `None`: none do.
    pub failures: Option<u32>,
    /// How much rarer than the others' its successes may be; `None`: that is not looked at.
    pub success_rate: Option<SuccessRate>,
    /// Responses that count as failures, beside those that never came. Few, as a client may be able to provoke others.
    pub on: Box<[StatusRange]>,
    /// How often success rates are looked at, and old ejections forgiven.
    pub interval: Duration,
    /// How long the first ejection is; each after it is that much longer.
    pub base: Duration,
    /// How long one is at most.
    pub longest: Duration,
    /// Which share of all endpoints may be ejected at once, 0 to 1; one of several always may.
    pub share: f64,
}

/// How much rarer than the others' an endpoint's successes may be.
#[derive(Debug, Clone, PartialEq)]
pub struct SuccessRate {
    /// Requests in an interval below which nothing is said of an endpoint.
    pub volume: u32,
    /// Endpoints with that many below which nothing is said at all.
    pub endpoints: u32,
    /// Standard deviations below the mean; never less than five per cent.
    pub deviations: f64,
}

impl Default for OutlierSettings {
    fn default() -> Self {
        Self {
            failures: Some(5),
            success_rate: None,
            on: [StatusRange { from: 502, to: 504 }].into(),
            interval: Duration::from_secs(10),
            base: Duration::from_secs(10),
            longest: Duration::from_secs(300),
            share: 0.5,
        }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self {
            volume: 100,
            endpoints: 5,
            deviations: 1.9,
        }
    }
}

impl OutlierSettings {
    pub(super) fn read(value: Value, faults: &Faults) -> Option<Self> {
        let table = Table::from_value(value, faults)?;
        let default = Self::default();
        let failures = |value, faults: &Faults| positive(value, faults);
        let settings = Self {
            failures: unless_off(&table, "failures", default.failures, failures, faults),
            success_rate: unless_off(&table, "success-rate", None, SuccessRate::read, faults),
            on: table
                .take::<Vec<StatusRange>>("on", faults)
                .map_or(default.on, Vec::into_boxed_slice),
            interval: table
                .take_time("interval", faults)
                .unwrap_or(default.interval),
            base: table.take_time("base", faults).unwrap_or(default.base),
            longest: table
                .take_time("longest", faults)
                .unwrap_or(default.longest),
            share: share(&table, "share", 0.0..=1.0, faults).unwrap_or(default.share),
        };
        if settings.base > settings.longest {
            faults.push(Fault::at(
                &table.at,
                "\"base\" is longer than \"longest\"",
                "make \"longest\" at least as long",
            ));
        }
        table.finish(faults);
        Some(settings)
    }
}

fn positive(value: Value, faults: &Faults) -> Option<u32> {
    let at = value.at.clone();
    let number = u32::from_value(value, faults)?;
    if number == 0 {
        faults.push(Fault::at(
            &at,
            "nobody can be ejected for 0 failures",
            "write false for never",
        ));
        return None;
    }
    Some(number)
}

impl SuccessRate {
    /// `true`, or a table.
    fn read(value: Value, faults: &Faults) -> Option<Self> {
        let default = Self::default();
        if matches!(value.kind, Kind::Bool(true)) {
            return Some(default);
        }
        let table = Table::from_value(value, faults)?;
        let settings = Self {
            volume: table
                .take_within("volume", 1..=1_000_000, faults)
                .unwrap_or(default.volume),
            endpoints: table
                .take_within("endpoints", 2..=1_000_000, faults)
                .unwrap_or(default.endpoints),
            deviations: table
                .take_value("deviations")
                .and_then(|value| deviations(&value, faults))
                .unwrap_or(default.deviations),
        };
        table.finish(faults);
        Some(settings)
    }
}

fn deviations(value: &Value, faults: &Faults) -> Option<f64> {
    let number = match value.kind {
        Kind::Float(number) => number,
        Kind::Integer(number) => number as f64,
        Kind::Text(_) | Kind::Bool(_) | Kind::Datetime(_) | Kind::List(_) | Kind::Table(_) => {
            return value.mismatch("a number", faults);
        }
    };
    if (0.1..=100.0).contains(&number) {
        return Some(number);
    }
    faults.push(Fault::at(
        &value.at,
        format!("{number} is out of range"),
        "write 0.1 to 100",
    ));
    None
}

/// How an endpoint that comes back is loaded: from a small share of its requests to all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// How long that takes; no time for at once.
    pub window: Duration,
    /// The share that it begins with, 0 to 1.
    pub from: f64,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self {
            window: Duration::ZERO,
            from: 0.1,
        }
    }
}

impl SlowStart {
    /// The share of its requests that an endpoint gets so long after it came back.
    pub fn share(self, age: Duration) -> f64 {
        if age >= self.window {
            return 1.0;
        }
        self.from + (1.0 - self.from) * age.as_secs_f64() / self.window.as_secs_f64()
    }
}

/// `"30s"`, or `{ window = "30s", from = "10%" }`.
impl FromValue for SlowStart {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let default = Self::default();
        if matches!(value.kind, Kind::Text(_)) {
            let window = Duration::from_value(value, faults)?;
            return Some(Self { window, ..default });
        }
        let table = Table::from_value(value, faults)?;
        let remedy = "say how long it takes: window = \"30s\"";
        let window = table.require("window", remedy, faults);
        let from = share(&table, "from", 0.01..=1.0, faults).unwrap_or(default.from);
        table.finish(faults);
        window.map(|window| Self { window, from })
    }
}
