//! A protocol switch inside HTTP/1.1 (RFC 9110 §7.8): the request's Upgrade is hop-by-hop, and passed on knowingly.
//! Not the tunnel that follows.
//! Start at [`set_aside`].

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, Version};

use super::Refusal;
use crate::message::{Body, ProxyError, hop};
use crate::pool::Failure;

/// What a client asked to switch to.
#[derive(Debug)]
pub(super) struct Asked {
    protocol: HeaderValue,
}

/// Removes hop-by-hop fields; gives back an upgrade that may be passed on.
pub(super) fn set_aside(headers: &mut HeaderMap, version: Version, body: &Body) -> Option<Asked> {
    let protocol = single(headers);
    let hop = hop::strip(headers);
    if hop.trailers {
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let wanted = hop.upgrade && version == Version::HTTP_11 && body.is_empty();
    protocol
        .filter(|protocol| wanted && may_pass(protocol))
        .map(|protocol| Asked { protocol })
}

impl Asked {
    /// Asks the origin, or grants the client.
    pub(super) fn restore(&self, headers: &mut HeaderMap) {
        // TE is named beside it where it stays (RFC 9110 §10.1.4).
        let te = headers.contains_key(http::header::TE);
        headers.insert(
            CONNECTION,
            HeaderValue::from_static(if te { "te, upgrade" } else { "upgrade" }),
        );
        headers.insert(UPGRADE, self.protocol.clone());
    }

    /// Checks that the origin switched to what was asked, and makes its head one for our client.
    pub(super) fn accept(&self, response: &mut Response<Body>) -> Result<(), Refusal> {
        let headers = response.headers_mut();
        let switched = single(headers);
        let hop = hop::strip(headers);
        let same = switched
            .as_ref()
            .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(self.protocol.as_bytes()));
        if !hop.upgrade || !same {
            return Err(Refusal::Failed(Failure::new(
                ProxyError::UpgradeFailed,
                "the origin switched to a protocol that was not asked for",
            )));
        }
        self.restore(headers);
        Ok(())
    }
}

fn single(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(UPGRADE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.clone()),
        (_, _) => None,
    }
}

/// Only to WebSocket. What follows a switch is not looked at: a switch to another HTTP would carry requests past policy
/// ("h2c smuggling"), and its names are many.
fn may_pass(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}
