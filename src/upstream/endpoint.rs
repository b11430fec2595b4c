//! One network address of an upstream, and what is counted of it while requests come and go: atomics on cache lines of their own.
//! Not its health or its place in the group, which control keeps.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::addr::Host;

/// What an endpoint is known by, and its state kept by: an address, and the name that it was found under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey {
    /// Where it is.
    pub address: SocketAddr,
    /// The name that the operator gave in place of an address: what its certificate must be for.
    pub host: Option<Host>,
}

impl EndpointKey {
    /// A number for it that is the same in all processes.
    pub(super) fn id(&self) -> u64 {
        super::balance::Key::hash(self.to_string().as_bytes())
    }
}

impl fmt::Display for EndpointKey {
    /// `192.0.2.1:80`, or `a.example/192.0.2.1:80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        self.address.fmt(f)
    }
}

/// An endpoint, shared by all workers. Lives as long as anybody uses it, in or out of its upstream.
#[derive(Debug)]
pub struct Endpoint {
    key: EndpointKey,
    pub(super) id: u64,
    pub(super) load: Tally,
}

/// What changes with each request. A cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Tally {
    pub(super) active: AtomicU32,
    pub(super) connections: AtomicU32,
    pub(super) latency: Latency,
    /// Failures without a success between them.
    pub(super) in_a_row: AtomicU32,
    /// Of the interval that is judged next: requests in the upper half, successes in the lower.
    pub(super) interval: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) retries: AtomicU64,
    /// Until when it is left alone, as it has asked for: milliseconds since the epoch of its upstream.
    pub(super) rests_until: AtomicU64,
}

impl Endpoint {
    pub(super) fn new(key: EndpointKey) -> Self {
        Self {
            id: key.id(),
            key,
            load: Tally::default(),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.key.address
    }

    /// The name that the operator gave in place of an address.
    pub fn host(&self) -> Option<&Host> {
        self.key.host.as_ref()
    }

    /// What it is known by.
    pub fn key(&self) -> &EndpointKey {
        &self.key
    }

    /// Requests under way.
    pub fn active(&self) -> u32 {
        self.load.active.load(Ordering::Relaxed)
    }

    /// Whether it is left alone at a time since the epoch, as it has asked for.
    pub(super) fn rests(&self, now: Duration) -> bool {
        let until = self.load.rests_until.load(Ordering::Relaxed);
        // The clock is read for those few that have ever asked.
        until != 0 && until > now.as_millis() as u64
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl Tally {
    /// Counts a request into the interval that is judged next.
    pub(super) fn judge(&self, succeeded: bool) {
        let one = (1 << 32) | u64::from(succeeded);
        self.interval.fetch_add(one, Ordering::Relaxed);
    }

    /// Requests and successes since this was last asked.
    pub(super) fn take_interval(&self) -> (u32, u32) {
        let both = self.interval.swap(0, Ordering::Relaxed);
        ((both >> 32) as u32, both as u32)
    }
}

/// A moving average of latency that follows a peak at once and forgets it slowly. Microseconds as `f32` in the lower half, the
/// millisecond of the last look in the upper: read and written in one piece.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// Counts what a request took. `now` in milliseconds.
    pub(super) fn observe(&self, took: Duration, now: u64) {
        let sample = (took.as_micros() as f32).max(1.0);
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let average = match unpack(seen, now) {
                Some((average, age)) if sample < average => {
                    sample + (average - sample) * remaining(age)
                }
                Some(_) | None => sample,
            };
            let next = ((now & MILLIS) << 32) | u64::from(average.to_bits());
            let swap =
                self.0
                    .compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed);
            match swap {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// The average in microseconds at a time in milliseconds: what nobody measured again fades, so that a slow endpoint is tried
    /// again. `None` before the first request.
    pub(super) fn at(&self, now: u64) -> Option<f32> {
        let (average, age) = unpack(self.0.load(Ordering::Relaxed), now)?;
        Some(average * remaining(age))
    }
}

/// The average and its age in milliseconds. A clock of 32 bits goes round in 49 days.
fn unpack(packed: u64, now: u64) -> Option<(f32, u32)> {
    let average = f32::from_bits(packed as u32);
    let age = ((now & MILLIS) as u32).wrapping_sub((packed >> 32) as u32);
    // A worker whose clock reading is a little older sees the future.
    let age = if age > u32::MAX / 2 { 0 } else { age };
    (packed != 0).then_some((average, age))
}

/// How much of an average is left after so many milliseconds.
fn remaining(age: u32) -> f32 {
    (-(age as f32) / DECAY).exp()
}

const MILLIS: u64 = u32::MAX as u64;
/// Milliseconds until a peak has faded to 1/e.
const DECAY: f32 = 10_000.0;
