//! Sends a request, again where that is safe: over a fresh connection after a kept one turned out to be closed.
//! Decides nothing about permission: it holds the permit.
//! Start at [`Sending::send`].

use std::time::Duration;

use http::{HeaderMap, Method};
use http_body::Body as HttpBody;

use super::recording::Recording;
use super::{Destination, Refusal};
use crate::message::http1::framing::Length;
use crate::message::{Body, Interim};
use crate::policy::Permit;
use crate::pool::{
    Failure, Key, Lease, Outgoing, Pool, REPLAYABLE, Received, Retry, SendError, needs_http1,
};
use crate::tls::connector::Pins;

/// Where and with what permission a request is sent.
pub(super) struct Sending<'a> {
    pub(super) pool: &'a Pool,
    pub(super) permit: &'a Permit,
    pub(super) to: &'a Destination,
    pub(super) host: &'a str,
    pub(super) interim: &'a Interim,
}

impl Sending<'_> {
    /// What the rule demands of the origin's keys.
    fn pins(&self) -> Pins {
        let intercept = self.permit.obligations().intercept.as_ref();
        intercept.map_or_else(Pins::default, |intercept| intercept.pins.clone().into())
    }

    /// Sends until a response head comes: over a kept connection where there is one, and again where that is safe.
    pub(super) async fn send(
        &self,
        method: &Method,
        headers: &HeaderMap,
        mut body: Body,
        recording: &mut Recording,
    ) -> Result<Received, Refusal> {
        let outgoing = Outgoing {
            method,
            target: &self.to.path,
            host: self.host,
            headers,
            length: length_of(&body),
        };
        let mut key = self.key(headers);
        let idempotent = method.is_idempotent();
        let how_fresh = Some(how_fresh(idempotent, outgoing.length));
        let mut fresh = how_fresh;
        let mut again_left = AGAIN;
        loop {
            state(recording, "connecting");
            let lease = self
                .pool
                .lease(self.permit, &key, fresh)
                .await
                .map_err(Refusal::Failed)?;
            let reused = lease.reused;
            note(&lease, recording);
            // A connection that others use too may be full or about to close, however new it is.
            let repeatable = reused || lease.connection.is_shared();
            let sent = lease
                .connection
                .send(
                    self.pool,
                    key.clone(),
                    outgoing,
                    body,
                    repeatable,
                    self.interim,
                )
                .await;
            match sent {
                Ok(received) => return Ok(received),
                Err(SendError::Client(error)) => return Err(error.into()),
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
                Err(SendError::Origin(failure, _)) => return Err(Refusal::Failed(failure)),
            }
        }
    }

    fn key(&self, headers: &HeaderMap) -> Key {
        Key {
            secure: self.to.secure,
            authority: self.to.authority.clone(),
            pins: self.pins(),
            http1_only: self.to.secure && needs_http1(&self.to.path, self.host, headers),
            terms: None,
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
    state(recording, "waiting");
}

fn state(recording: &Recording, state: &'static str) {
    if let Some(flow) = recording.flow() {
        flow.state.set(state);
    }
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
