//! `limits`: how much there may be at once, of the whole upstream and of each endpoint.

use std::time::Duration;

use crate::fault::{Fault, Faults};
use crate::settings::Table;

/// How much there may be at once, over all workers; `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitSettings {
    /// Requests.
    pub requests: Option<u32>,
    /// Connections.
    pub connections: Option<u32>,
    /// Retries.
    pub retries: Option<u32>,
    /// Requests of each endpoint.
    pub endpoint_requests: Option<u32>,
    /// Connections of each endpoint.
    pub endpoint_connections: Option<u32>,
    /// Requests that wait where as many as there may be are under way; `None`: they are refused at once.
    pub pending: Option<PendingSettings>,
}

/// Requests that wait for others to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingSettings {
    /// How many there may be.
    pub most: u32,
    /// How long each waits at most.
    pub time: Duration,
}

impl LimitSettings {
    pub(super) fn read(table: Table, faults: &Faults) -> Self {
        let limit = |key| table.take_within(key, 1..=MOST, faults);
        let settings = Self {
            requests: limit("requests"),
            connections: limit("connections"),
            retries: limit("retries"),
            endpoint_requests: limit("endpoint-requests"),
            endpoint_connections: limit("endpoint-connections"),
            pending: table
                .take("pending", faults)
                .and_then(|table| PendingSettings::read(table, faults)),
        };
        if settings.pending.is_some() && settings.requests.is_none() {
            faults.push(Fault::at(
                &table.at,
                "without a limit of \"requests\" none has to wait",
                "add requests = 1000, or leave \"pending\" out",
            ));
        }
        table.finish(faults);
        settings
    }
}

impl PendingSettings {
    fn read(table: Table, faults: &Faults) -> Option<Self> {
        let remedy = "say how many may wait: pending = { most = 100, time = \"1s\" }";
        let before = faults.len();
        let most = table.take_within("most", 1..=MOST_PENDING, faults);
        if most.is_none() && faults.len() == before {
            faults.push(Fault::at(&table.at, "\"most\" is missing", remedy));
        }
        let time = table.take_time("time", faults).unwrap_or(PENDING_TIME);
        table.finish(faults);
        most.map(|most| Self { most, time })
    }
}

const MOST: u32 = 10_000_000;
const MOST_PENDING: u32 = 1_000_000;
const PENDING_TIME: Duration = Duration::from_secs(1);
