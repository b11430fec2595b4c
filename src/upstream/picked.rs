//! An endpoint that a request was given: counted as busy until it is dropped, and told how it went.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Endpoint, Upstream};

/// An endpoint for one request. Hold it until the response has ended. Tell it the outcome, once; where it is dropped without one, nobody
/// knows how the endpoint did.
#[derive(Debug)]
#[must_use]
pub struct Picked {
    pub(super) upstream: Arc<Upstream>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) named: bool,
    /// Whether the upstream counts it too.
    pub(super) counted: bool,
    pub(super) told: AtomicBool,
}

impl Picked {
    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The upstream that it is of.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Whether it is the one that the request's cookie names. If not, and the upstream is sticky, the response sets a cookie.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// It has answered, so long after the request was sent, with this status (`None` outside of HTTP). A status that the settings
    /// count as a failure is one.
    pub fn succeeded(&self, latency: Duration, status: Option<u16>) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let view = self.upstream.view.load();
        let fails = |status: u16| {
            let on = view.settings.outlier.as_ref().map(|outlier| &outlier.on);
            on.is_some_and(|on| on.iter().any(|range| range.contains(status)))
        };
        let good = !status.is_some_and(fails);
        // What fails fast is not fast.
        let latency = if good { latency } else { latency.max(FAILED) };
        self.count(good, latency);
    }

    /// It could not be reached, did not answer in time, or what it sent was no answer.
    pub fn failed(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            self.count(false, FAILED);
        }
    }

    /// It asks to be left alone for so long (RFC 9110 §10.2.3): others are asked meanwhile, where there are any. Believed up to
    /// `retry.rest`, and of half of the endpoints that requests go to at most: whoever can make them all ask for it must not turn
    /// all requests to the last one.
    pub fn rest(&self, wanted: Duration) {
        let view = self.upstream.view.load();
        let Some(most) = view.settings.retry.rest else {
            return;
        };
        let now = self.upstream.since_epoch(Instant::now());
        let until = (now + wanted.min(most)).as_millis() as u64;
        let rests_until = &self.endpoint.load.rests_until;
        if rests_until.load(Ordering::Relaxed) >= until {
            return;
        }
        // From the count to the word for it: another worker may count at the same time.
        let _counting = self.upstream.resting.lock();
        if view.may_rest(&self.endpoint, now) {
            rests_until.fetch_max(until, Ordering::Relaxed);
        }
    }

    fn count(&self, good: bool, latency: Duration) {
        let now = self.upstream.since_epoch(Instant::now());
        let load = &self.endpoint.load;
        load.latency.observe(latency, now.as_millis() as u64);
        load.judge(good);
        if good {
            // The line stays shared where nothing has failed.
            if load.in_a_row.load(Ordering::Relaxed) != 0 {
                load.in_a_row.store(0, Ordering::Relaxed);
            }
        } else {
            load.failures.fetch_add(1, Ordering::Relaxed);
            load.in_a_row.fetch_add(1, Ordering::Relaxed);
        }
        self.upstream.learn(&self.endpoint, good, now);
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.endpoint.load.active.fetch_sub(1, Ordering::Relaxed);
        if self.counted {
            self.upstream.active.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What a failure counts as, at least, where latency is compared.
const FAILED: Duration = Duration::from_secs(1);
