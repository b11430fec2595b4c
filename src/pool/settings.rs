//! `[pool]`: how connections to origins are made and kept.
//! Not trust, which is `tls`.
//! Start at [`Settings`].

use std::time::Duration;

use crate::fault::Faults;
use crate::settings::Table;
use crate::upstream::balance::Entry;
use crate::upstream::balance::table::DEFAULT as DEFAULT_BALANCE;

/// Settings of the origin side.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Longest wait for a connection, name look-up not included.
    pub connect: Duration,
    /// Longest wait for a response head after the request was sent.
    pub response: Duration,
    /// Longest silence inside a response body, and longest wait for an origin to take a byte.
    pub body_idle: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// Unused connections for each origin and worker.
    pub idle_per_origin: usize,
    /// Unused connections for each worker.
    pub idle_total: usize,
    /// Which of a name's addresses is tried first.
    pub balance: &'static Entry,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(60),
            body_idle: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            idle_per_origin: 128,
            idle_total: 4096,
            balance: DEFAULT_BALANCE,
        }
    }
}

impl Settings {
    /// Reads the table.
    pub fn read(table: Table, faults: &Faults) -> Self {
        let default = Self::default();
        let settings = Self {
            connect: table.take_or("connect", default.connect, faults),
            response: table.take_or("response", default.response, faults),
            body_idle: table.take_or("body-idle", default.body_idle, faults),
            idle: table.take_or("idle", default.idle, faults),
            idle_per_origin: table.take_or("idle-per-origin", default.idle_per_origin, faults),
            idle_total: table.take_or("idle-total", default.idle_total, faults),
            balance: table.take_or("balance", default.balance, faults),
        };
        table.finish(faults);
        settings
    }
}
