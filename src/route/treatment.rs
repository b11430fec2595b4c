//! How a route treats requests: times, sizes, tries, what is changed, kept and shown.
//! Not the keeping of them (relay).
//! Start at [`Treatment::read`].

use std::sync::Arc;
use std::time::Duration;

use super::pages::{ErrorPages, Files};
use super::source::Ground;
use super::split::{Chosen, Share};
use crate::fault::{Fault, Faults};
use crate::message::compress::Compress;
use crate::policy::{Obligations, read_shared_obligations};
use crate::settings::{ByteSize, FromValue, Located, Table, Value};
use crate::upstream::StatusRange;

/// How a route treats requests. What is left out is as it is elsewhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Treatment {
    /// What a rule could ask for too: filters, the cache, a rate, a bandwidth. It never intercepts.
    pub obligations: Arc<Obligations>,
    /// How long the origin may take.
    pub timeouts: Timeouts,
    /// What is read as a whole before it goes on.
    pub buffer: Buffer,
    /// Who gets copies of requests.
    pub mirror: Option<Mirror>,
    /// What stands in the place of an error's content.
    pub error_pages: Arc<ErrorPages>,
    /// How much a request may be.
    pub limits: Limits,
    /// When another endpoint is tried, where that differs from what the upstream says.
    pub retry: Option<Retry>,
    /// How responses are compressed; `None` where they are not.
    pub compress: Option<Compress>,
    /// Who goes first where requests wait for an upstream: the higher, the sooner.
    pub priority: u8,
}

/// How long the origin may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// To be connected to, TLS included; no longer than its upstream allows.
    pub connect: Option<Duration>,
    /// From the request's end to the response's head, in place of what its upstream allows.
    pub response: Option<Duration>,
    /// For everything, all tries and the body included.
    pub total: Option<Duration>,
}

/// What is read as a whole before it goes on, up to so many bytes; `None` where it goes on as it comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Bodies of requests.
    pub request: Option<ByteSize>,
    /// Bodies of responses.
    pub response: Option<ByteSize>,
}

/// Who gets copies of requests; nobody waits for what comes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The upstream.
    pub to: Chosen,
    /// Of how many requests.
    pub share: Share,
}

/// How much a request may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Its content (413 beyond).
    pub body_size: Option<ByteSize>,
}

/// When another endpoint is tried. Never where that is not safe, whatever stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// How often a request is sent at most, the first time included.
    pub tries: Option<u32>,
    /// How long one of them may take to the response's head.
    pub per_try: Option<Duration>,
    /// Responses that count as failures.
    pub on: Option<Box<[StatusRange]>>,
}

impl Mirror {
    /// Whether a copy is made; `draw` is any number, evenly chosen anew for each request.
    pub fn takes(&self, draw: u64) -> bool {
        self.share.takes(draw)
    }

    fn read(value: Value, ground: Ground<'_>) -> Option<Self> {
        let faults = ground.faults;
        let table = Table::from_value(value, faults)?;
        let remedy = "name the upstream: mirror = { to = \"shadow\", share = \"10%\" }";
        let to: Option<Located<String>> = table.require("to", remedy, faults);
        let share = table.take_or("share", Share::ALL, faults);
        table.finish(faults);
        let to = Chosen::read(&to?, ground)?;
        Some(Self { to, share })
    }
}

impl Treatment {
    /// Takes the keys of a treatment.
    pub(super) fn read(table: &Table, ground: Ground<'_>, files: &Files) -> Self {
        let faults = ground.faults;
        // The filters are among these: one that is added to `filter::table` is a key of routes by that.
        let obligations = Arc::new(read_shared_obligations(table, faults));
        let timeouts = table.take::<Table>("timeouts", faults);
        let buffer = table.take::<Table>("buffer", faults);
        let mirror = table.take_value("mirror");
        let pages = table.take::<Table>("error-pages", faults);
        let limits = table.take::<Table>("limits", faults);
        let retry = table.take::<Table>("retry", faults);
        let pages = pages.map(|table| ErrorPages::read(&table, files, faults));
        Self {
            obligations,
            timeouts: timeouts.map_or_else(Timeouts::default, |table| read_timeouts(table, faults)),
            buffer: buffer.map_or_else(Buffer::default, |table| read_buffer(table, faults)),
            mirror: mirror.and_then(|value| Mirror::read(value, ground)),
            error_pages: Arc::new(pages.unwrap_or_default()),
            limits: limits.map_or_else(Limits::default, |table| read_limits(table, faults)),
            retry: retry.map(|table| read_retry(table, faults)),
            compress: table
                .take_value("compress")
                .and_then(|value| Compress::read(value, faults)),
            priority: table.take_or("priority", 0, faults),
        }
    }
}

fn read_timeouts(table: Table, faults: &Faults) -> Timeouts {
    let timeouts = Timeouts {
        connect: table.take_time("connect", faults),
        response: table.take_time("response", faults),
        total: table.take_time("total", faults),
    };
    table.finish(faults);
    timeouts
}

fn read_buffer(table: Table, faults: &Faults) -> Buffer {
    let size = |key| {
        let size: Located<ByteSize> = table.take(key, faults)?;
        if size.value == ByteSize(0) || size.value > LARGEST_BUFFER {
            let problem = format!("{} is not the size of a buffer", size.value);
            let remedy = format!("write one up to \"{LARGEST_BUFFER}\", or leave it out");
            faults.push(Fault::at(&size.at, problem, remedy));
            return None;
        }
        Some(size.value)
    };
    let buffer = Buffer {
        request: size("request"),
        response: size("response"),
    };
    table.finish(faults);
    buffer
}

fn read_limits(table: Table, faults: &Faults) -> Limits {
    let limits = Limits {
        body_size: table.take("body-size", faults),
    };
    table.finish(faults);
    limits
}

fn read_retry(table: Table, faults: &Faults) -> Retry {
    let tries: Option<Located<u32>> = table.take("tries", faults);
    if let Some(tries) = tries
        .as_ref()
        .filter(|t| !(1..=MOST_TRIES).contains(&t.value))
    {
        let problem = format!("a request is not sent {} times", tries.value);
        let remedy = format!("write a number from 1 (no retries) to {MOST_TRIES}");
        faults.push(Fault::at(&tries.at, problem, remedy));
    }
    let per_try = table.take_time("per-try", faults);
    let on: Option<Vec<Located<StatusRange>>> = table.take("on", faults);
    table.finish(faults);
    for range in on.iter().flatten().filter(|range| range.value.from < 400) {
        let problem = format!("{} is not the status of an error", range.value.from);
        faults.push(Fault::at(&range.at, problem, "choose from 400 to 599"));
    }
    let on = on.map(|on| on.into_iter().map(|range| range.value).collect());
    Retry {
        tries: tries.map(|tries| tries.value),
        per_try,
        on,
    }
}

/// The most that one exchange may keep in memory for one direction.
const LARGEST_BUFFER: ByteSize = ByteSize::mib(64);

/// The most often that one request may be sent.
const MOST_TRIES: u32 = 10;
