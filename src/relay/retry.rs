//! Sends a request, again where that is safe: over a fresh connection after a kept one turned out to be closed.
//! Decides nothing about permission: the way holds the permit. Nor who else could be asked (tries).
//! Start at [`Sending::send`].

use std::time::Duration;

use http::{HeaderMap, Method};
use http_body::Body as HttpBody;
use tokio::time::timeout;

use super::recording::Recording;
use super::way::Way;
use super::{Destination, Refusal};
use crate::message::http1::framing::Length;
use crate::message::{Body, Interim, ProxyError};
use crate::pool::{Failure, Key, Lease, Outgoing, Pool, REPLAYABLE, Received, Retry, SendError};

/// One try: a way, and what goes over it.
pub(super) struct Sending<'a> {
    pub(super) pool: &'a Pool,
    pub(super) way: &'a Way,
    pub(super) to: &'a Destination,
    pub(super) interim: &'a Interim,
}

/// A request without its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
}

/// A try that brought no response.
pub(super) struct Missed {
    pub(super) refusal: Refusal,
    /// The body, where the request may be sent to somebody else.
    pub(super) again: Option<Body>,
}

impl Missed {
    fn of(failure: Failure, again: Option<Body>) -> Self {
        Self {
            refusal: Refusal::Failed(failure),
            again,
        }
    }
}

impl Sending<'_> {
    /// Sends until a response head comes: over a kept connection where there is one, and again where that is safe.
    pub(super) async fn send(
        &self,
        Message { method, headers }: Message<'_>,
        mut body: Body,
        recording: &mut Recording,
    ) -> Result<Received, Missed> {
        let host = self.to.host(self.way.picked.as_ref());
        let outgoing = Outgoing {
            method,
            target: self.to.target(),
            host: &host,
            headers,
            length: length_of(&body),
            patience: self.to.timeouts().response,
        };
        let mut key = self.way.key(self.to, &host, headers);
        let idempotent = method.is_idempotent();
        let elsewhere = self.way.picked.is_some() && idempotent;
        let how_fresh = Some(how_fresh(idempotent, outgoing.length));
        let mut fresh = how_fresh;
        let mut again_left = AGAIN;
        loop {
            recording.state("connecting");
            let lease = match self.lease(&key, fresh).await {
                Ok(lease) => lease,
                // Nothing of it was sent: whatever it is, it may go elsewhere.
                Err(failure) => return Err(Missed::of(failure, Some(body))),
            };
            let reused = lease.reused;
            note(&lease, recording);
            // A connection that others use too may be full or about to close, however new it is.
            let repeatable = reused || lease.connection.is_shared();
            let keep = repeatable || elsewhere;
            let sent = lease
                .connection
                .send(self.pool, key.clone(), &outgoing, body, keep, self.interim)
                .await;
            match sent {
                Ok(received) => return Ok(received),
                Err(SendError::Client(error)) => {
                    return Err(Missed {
                        refusal: error.into(),
                        again: None,
                    });
                }
                Err(SendError::Origin(failure, Some(again)))
                    if again_left > 0 && repeatable && is_safe(&failure, idempotent, reused) =>
                {
                    again_left -= 1;
                    body = again;
                    fresh = if failure.retry == Retry::OverHttp1 {
                        key.http1_only = true;
                        how_fresh
                    } else {
                        None
                    };
                }
                Err(SendError::Origin(failure, again)) => {
                    let unsent = failure.retry == Retry::Yes;
                    let again = again.filter(|_| idempotent || unsent);
                    return Err(Missed::of(failure, again));
                }
            }
        }
    }

    /// A connection, within the time that the route has for it.
    async fn lease(&self, key: &Key, fresh: Option<Duration>) -> Result<Lease, Failure> {
        let lease = self.pool.lease(&self.way.permit, key, fresh);
        let Some(limit) = self.to.timeouts().connect else {
            return lease.await;
        };
        match timeout(limit, lease).await {
            Ok(lease) => lease,
            Err(_) => Err(Failure::new(
                ProxyError::ConnectionTimeout,
                "no connection was there within the time of the route",
            )),
        }
    }
}

fn note(lease: &Lease, recording: &mut Recording) {
    recording.origin(lease.connection.peer());
    recording.edit(|record| {
        record.reused = lease.reused;
        record.connect = lease.connect;
        record.tls = lease.tls;
    });
    recording.state("waiting");
}

/// Whether a request may be sent again: what is not idempotent only where the origin did nothing (RFC 9110 §9.2.2).
fn is_safe(failure: &Failure, idempotent: bool, reused: bool) -> bool {
    failure.retry.allows(reused) && (idempotent || failure.retry != Retry::IfReused)
}

/// How lately a kept connection must have been in use. RFC 9110 §9.2.2: what is not idempotent must not be sent twice, and
/// what is too large to be kept can not be; such a request gets a connection that was just in use.
fn how_fresh(idempotent: bool, length: Length) -> Duration {
    let replayable = match length {
        Length::Empty => true,
        Length::Sized(size) => size <= REPLAYABLE as u64,
        Length::Chunked | Length::UntilClose => false,
    };
    if idempotent && replayable {
        Duration::MAX
    } else {
        JUST_USED
    }
}

/// The framing towards the origin: a known size stays known.
fn length_of(body: &Body) -> Length {
    match (body, body.size_hint().exact()) {
        (Body::Empty, _) | (_, Some(0)) => Length::Empty,
        (Body::Full(_) | Body::Stream(_), Some(size)) => Length::Sized(size),
        (Body::Full(_) | Body::Stream(_), None) => Length::Chunked,
    }
}

/// How lately a connection must have been used for a request that can not be sent twice: few origins close one that was idle
/// for a second, and the request needs time to get there. Where an origin is seen to close earlier, the pool uses it less.
const JUST_USED: Duration = Duration::from_millis(500);

/// How often a request is sent again.
const AGAIN: usize = 2;
