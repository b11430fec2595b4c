//! A WebSocket on a stream of HTTP/2 (RFC 8441): extended CONNECT is told to the handler as the upgrade that HTTP/1.1 has.
//! Not the handshake with the origin, which is the relay's, with its key and the proof of it.
//! Start at [`asked`].

use h2::ext::Protocol;
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::listener::http::Trouble;
use crate::message::Reply;
use crate::message::http1::HeadError::Malformed;

/// Whether a head asks for a WebSocket. Errors: it asks for another protocol.
pub(super) fn asked(head: &Parts) -> Result<bool, Trouble> {
    match head.extensions.get::<Protocol>() {
        // Names of protocols are compared without case (RFC 9110 §7.8).
        Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => Ok(true),
        Some(_) => Err(OTHER_PROTOCOL),
        None => Ok(false),
    }
}

/// Asks in HTTP/1.1's words. A client can not have said them itself: h2 refuses these fields (RFC 9113 §8.2.2).
pub(super) fn to_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    // The only version there is; the origin expects it to be named (RFC 6455 §4.2.1).
    headers
        .entry(SEC_WEBSOCKET_VERSION)
        .or_insert(HeaderValue::from_static("13"));
}

/// Answers in HTTP/2's words. The client takes any 2xx for the beginning of its WebSocket (RFC 8441 §5), so there is none
/// without one: not where the origin overlooked the upgrade, nor for a page of the proxy itself.
pub(super) fn from_upgrade(reply: &mut Reply) {
    let response = &mut reply.response;
    let status = response.status();
    if reply.takeover.is_some() {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(CONTENT_LENGTH);
    } else if status.is_success() || status.is_informational() {
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
}

/// The status of a refused head.
pub(super) fn status(trouble: Trouble) -> StatusCode {
    if trouble == OTHER_PROTOCOL {
        StatusCode::NOT_IMPLEMENTED
    } else {
        trouble.status()
    }
}

/// What follows would be bytes that no rule looked at, so the protocols are those that are known (RFC 9220 §3: 501).
const OTHER_PROTOCOL: Trouble = Trouble::Malformed(Malformed(
    "extended CONNECT is for websocket only, not for this :protocol",
));
