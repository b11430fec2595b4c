//! What goes out to an origin and what comes back, and what is held against any response, whichever version of HTTP carries it.
//! No connection: `http1` and `http2` are.
//! Start at [`Outgoing`].

use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, StatusCode};

use super::Failure;
use crate::message::http1::framing::Length;
use crate::message::http1::{HeadError, HeadLimits};
use crate::message::{Body, BodyError, ProxyError};
use crate::stream::Stream;

/// What is sent: everything but the body, borrowed, so that it can be sent again.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target in origin-form, or `*`.
    pub target: &'a str,
    /// The Host field.
    pub host: &'a str,
    /// All other fields, hop-by-hop ones removed.
    pub headers: &'a HeaderMap,
    /// The framing of the body.
    pub length: Length,
    /// How long the response's head may take from the request's end; `None` for as long as the pool's limits say.
    pub patience: Option<Duration>,
}

/// What came back.
pub struct Received {
    /// The response; its body gives the connection back when it ends.
    pub response: Response<Body>,
    /// The connection, if the origin switched protocols.
    pub upgraded: Option<Stream>,
    /// Whether the body says itself where it ends; if not, one that was cut short looks whole (RFC 9112 §8).
    pub delimited: bool,
}

/// Why nothing came back.
#[derive(Debug)]
pub enum SendError {
    /// The client's own body failed.
    Client(BodyError),
    /// The origin failed; the body comes back if it can be sent again.
    Origin(Failure, Option<Body>),
}

/// Whose fault it was that no response head came.
pub(super) enum Stop {
    Client(BodyError),
    Origin(Failure),
}

/// A response without content keeps a length only where it is that of what a GET would have brought: to HEAD, and in a 304
/// (RFC 9110 §8.6).
pub(super) fn drop_false_length(
    length: Length,
    method: &Method,
    status: StatusCode,
    headers: &mut HeaderMap,
) {
    if length == Length::Empty && *method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        headers.remove(CONTENT_LENGTH);
    }
}

/// An origin that never comes to the point is cut off.
pub(super) fn check_count(interims: usize) -> Result<(), Failure> {
    if interims <= INTERIMS {
        return Ok(());
    }
    Err(Failure::new(
        ProxyError::ProtocolError,
        "the origin sends interim responses without end",
    ))
}

pub(super) fn ambiguous(error: HeadError) -> Failure {
    Failure::new(
        ProxyError::ProtocolError,
        format!("the origin's response is ambiguous: {error}"),
    )
}

/// Limits of a response head.
pub(super) const RESPONSE_HEAD: HeadLimits = HeadLimits {
    size: 128 << 10,
    count: 200,
};

/// Interim responses before the final one.
const INTERIMS: usize = 64;
