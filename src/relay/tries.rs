//! One try after the other, each at another endpoint of an upstream: where that is safe, and as long as tries, time and budget last.
//! Not a try itself (retry), nor which endpoint is next (upstream).
//! Start at [`Tries::send`].

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::destination::{Backend, Deadline, Destination};
use super::recording::Recording;
use super::retry::{Message, Missed, Sending};
use super::way::{Judging, Way};
use super::{Refusal, Relay, retry_after};
use crate::message::{Body, Interim, ProxyError};
use crate::pool::{Failure, Received};

/// The tries of one request.
pub(super) struct Tries<'a> {
    pub(super) relay: &'a Relay,
    pub(super) judging: Judging<'a>,
    pub(super) interim: &'a Interim,
    /// When the whole must have been answered.
    pub(super) deadline: Option<Deadline>,
}

/// How far a request is tried, from its route or else its upstream.
struct Limits {
    tries: u32,
    per_try: Option<Duration>,
}

impl Tries<'_> {
    /// Sends until a response head comes that is no reason to try elsewhere. What came last is the answer. The way is the one
    /// that was taken in the end.
    ///
    /// A request is tried elsewhere only where nothing of it was done: it was not sent, or it is idempotent (RFC 9110 §9.2.2)
    /// and its body can be sent again.
    pub(super) async fn send(
        &self,
        way: &mut Way,
        message: Message<'_>,
        mut body: Body,
        recording: &mut Recording,
    ) -> Result<Received, Refusal> {
        let Some(backend) = self.judging.to.backend() else {
            let sent = self.one(way, message, body, recording).await;
            return sent.map_err(|missed| missed.refusal);
        };
        let limits = self.limits(backend);
        loop {
            let copy = copy_of(&body).filter(|_| message.method.is_idempotent());
            let began = Instant::now();
            let until = self.until(began, &limits);
            let sent = self.within(until, way, message, body, recording).await;
            recording.edit(|record| record.tries += 1);
            let (outcome, again) = match sent {
                Ok(received) => {
                    let unwanted = self.is_unwanted(backend, received.response.status());
                    if let Some(picked) = way.picked.as_ref().filter(|_| unwanted) {
                        let response = &received.response;
                        retry_after::heed(picked, response.status(), response.headers());
                    }
                    (Ok(received), copy.filter(|_| unwanted))
                }
                Err(missed) => (Err(missed.refusal), missed.again.or(copy)),
            };
            let left = way.attempts.found() < limits.tries && !self.is_over();
            let Some(again) = again.filter(|_| left) else {
                return outcome;
            };
            let gone_on = self.relay.go_on(way, self.judging, backend, recording);
            if gone_on.is_err() {
                return outcome;
            }
            body = again;
        }
    }

    /// One try in its time; the endpoint is told how it did.
    async fn within(
        &self,
        until: Option<Instant>,
        way: &Way,
        message: Message<'_>,
        body: Body,
        recording: &mut Recording,
    ) -> Result<Received, Missed> {
        let began = Instant::now();
        // It may have been the client that was waited for.
        let streamed = matches!(body, Body::Stream(_));
        let one = self.one(way, message, body, recording);
        let sent = match until {
            Some(until) => timeout_at(until, one).await,
            None => Ok(one.await),
        };
        match sent {
            Ok(sent) => {
                tell(way, &sent, began);
                sent
            }
            Err(_) => {
                // Whoever gives no time would otherwise have any endpoint left out as one that fails.
                let hurried = self.deadline.is_some_and(|deadline| deadline.is_hurried);
                let excused = streamed || hurried && self.is_over();
                if let Some(picked) = way.picked.as_ref().filter(|_| !excused) {
                    picked.failed();
                }
                Err(too_slow(self.judging.to))
            }
        }
    }

    async fn one(
        &self,
        way: &Way,
        message: Message<'_>,
        body: Body,
        recording: &mut Recording,
    ) -> Result<Received, Missed> {
        let sending = Sending {
            pool: &self.relay.parts.pool,
            way,
            to: self.judging.to,
            interim: self.interim,
        };
        sending.send(message, body, recording).await
    }

    fn limits(&self, backend: &Backend) -> Limits {
        let settings = backend.served.upstream.settings();
        let of_route = self.judging.to.route();
        let of_route = of_route.and_then(|route| route.treatment.retry.as_ref());
        let tries = of_route.and_then(|retry| retry.tries);
        let per_try = of_route.and_then(|retry| retry.per_try);
        Limits {
            tries: tries.unwrap_or(settings.retry.tries),
            per_try: per_try.or(settings.retry.per_try),
        }
    }

    /// Whether a response is a reason to try elsewhere.
    fn is_unwanted(&self, backend: &Backend, status: StatusCode) -> bool {
        let of_route = self.judging.to.route();
        let of_route = of_route.and_then(|route| route.treatment.retry.as_ref()?.on.as_ref());
        let settings = backend.served.upstream.settings();
        let ranges = of_route.unwrap_or(&settings.retry.on);
        ranges.iter().any(|range| range.contains(status.as_u16()))
    }

    fn until(&self, now: Instant, limits: &Limits) -> Option<Instant> {
        let per_try = limits.per_try.map(|limit| now + limit);
        let deadline = self.deadline.map(|deadline| deadline.at);
        [per_try, deadline].into_iter().flatten().min()
    }

    fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline.at)
    }
}

/// Tells the endpoint how it did. What the client broke says nothing of it.
fn tell(way: &Way, sent: &Result<Received, Missed>, began: Instant) {
    let Some(picked) = &way.picked else {
        return;
    };
    match sent {
        Ok(received) => {
            let status = received.response.status().as_u16();
            picked.succeeded(began.elapsed(), Some(status));
        }
        Err(missed) if matches!(missed.refusal, Refusal::Failed(_)) => picked.failed(),
        Err(_) => {}
    }
}

/// A body that can be sent again as it is.
fn copy_of(body: &Body) -> Option<Body> {
    match body {
        Body::Empty => Some(Body::Empty),
        Body::Full(bytes) => Some(Body::Full(bytes.clone())),
        Body::Stream(_) => None,
    }
}

fn too_slow(to: &Destination) -> Missed {
    let backend = to.backend();
    let name = backend.map_or("", |backend| backend.served.upstream.name());
    let detail = format!("upstream \"{name}\" did not answer in time");
    let failure = Failure::new(ProxyError::ConnectionReadTimeout, detail);
    Missed {
        refusal: Refusal::Failed(failure),
        again: None,
    }
}
