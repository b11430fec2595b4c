//! `retry`: how often a request is sent, and how many of all requests may be sent again.

use std::time::Duration;

use super::{StatusRange, share, unless_off};
use crate::fault::Faults;
use crate::settings::{FromValue, Table};

/// How requests are tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySettings {
    /// How often a request is sent at most, the first time included.
    pub tries: u32,
    /// How long each try may take until the response begins; `None`: as long as the request has left.
    pub per_try: Option<Duration>,
    /// Retries as a share of requests, 0 to 1, over the last ten seconds.
    pub budget: f64,
    /// So many retries in ten seconds may always be.
    pub floor: u32,
    /// Responses that are no answer where the request can be sent again.
    pub on: Box<[StatusRange]>,
    /// How long an endpoint that asks to be left alone (`Retry-After`) is so at most; `None`: it is not.
    pub rest: Option<Duration>,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            tries: 2,
            per_try: None,
            budget: 0.2,
            floor: 10,
            on: Box::default(),
            rest: Some(REST),
        }
    }
}

impl RetrySettings {
    pub(super) fn read(table: Table, faults: &Faults) -> Self {
        let default = Self::default();
        let settings = Self {
            tries: table
                .take_within("tries", 1..=10, faults)
                .unwrap_or(default.tries),
            per_try: table.take_time("per-try", faults),
            budget: share(&table, "budget", 0.0..=1.0, faults).unwrap_or(default.budget),
            floor: table
                .take_within("floor", 0..=100_000, faults)
                .unwrap_or(default.floor),
            on: table
                .take::<Vec<StatusRange>>("on", faults)
                .unwrap_or_default()
                .into(),
            rest: unless_off(&table, "rest", default.rest, Duration::from_value, faults),
        };
        table.finish(faults);
        settings
    }
}

const REST: Duration = Duration::from_secs(30);
