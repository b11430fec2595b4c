//! A protocol switch (RFC 9110 §7.8): the request's Upgrade is hop-by-hop, and passed on knowingly.
//! Not the tunnel that follows.
//! Start at [`set_aside`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};

use super::Refusal;
use crate::message::{Body, ProxyError, hop, websocket};
use crate::pool::Failure;

/// What a client asked to switch to.
#[derive(Debug)]
pub(super) struct Asked {
    protocol: HeaderValue,
    /// Ours, where the client speaks HTTP/2 and has none.
    key: Option<Key>,
}

/// Removes hop-by-hop fields; gives back an upgrade that may be passed on.
pub(super) fn set_aside(headers: &mut HeaderMap, version: Version, body: &Body) -> Option<Asked> {
    let protocol = single(headers, &UPGRADE);
    // In HTTP/2 there is no Connection that would name it (RFC 9113 §8.2.2).
    let trailers = version == Version::HTTP_2 && hop::takes_trailers(headers);
    let hop = hop::strip(headers);
    if hop.trailers || trailers {
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let wanted = hop.upgrade && body.is_empty();
    let protocol = protocol.filter(|protocol| wanted && may_pass(protocol))?;
    let key = match version {
        Version::HTTP_11 => None,
        // The listener's words for an extended CONNECT, in which the client's key means nothing (RFC 8441 §5).
        Version::HTTP_2 => {
            headers.remove(SEC_WEBSOCKET_KEY);
            Some(Key::make()?)
        }
        _ => return None,
    };
    Some(Asked { protocol, key })
}

impl Asked {
    /// Asks the origin.
    pub(super) fn restore(&self, headers: &mut HeaderMap) {
        self.name(headers);
        if let Some(Key(key)) = &self.key {
            headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        }
    }

    /// Checks that the origin switched to what was asked, and makes its head one for our client.
    pub(super) fn accept(&self, response: &mut Response<Body>) -> Result<(), Refusal> {
        let headers = response.headers_mut();
        let switched = single(headers, &UPGRADE);
        let hop = hop::strip(headers);
        let same = switched
            .as_ref()
            .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(self.protocol.as_bytes()));
        if !hop.upgrade || !same {
            return Err(failed(
                "the origin switched to a protocol that was not asked for",
            ));
        }
        let Some(key) = &self.key else {
            self.name(headers);
            return Ok(());
        };
        // The client has no key to check it with, and no use for it (RFC 8441 §5).
        let proof = single(headers, &SEC_WEBSOCKET_ACCEPT);
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        if proof.is_some_and(|proof| key.is_proven_by(&proof)) {
            Ok(())
        } else {
            Err(failed(
                "the origin's Sec-WebSocket-Accept does not answer the key it was sent",
            ))
        }
    }

    /// The status by which our client learns of the switch.
    pub(super) fn granted(&self) -> StatusCode {
        if self.key.is_some() {
            StatusCode::OK
        } else {
            StatusCode::SWITCHING_PROTOCOLS
        }
    }

    /// Why an answer without a switch can not be passed on: over HTTP/2 any 2xx says that the WebSocket is open (RFC 8441 §5).
    pub(super) fn overlooked(&self, status: StatusCode) -> Option<Refusal> {
        (self.key.is_some() && status.is_success())
            .then(|| failed("the origin answered without a switch to what was asked for"))
    }

    fn name(&self, headers: &mut HeaderMap) {
        // TE is named beside it where it stays (RFC 9110 §10.1.4).
        let te = headers.contains_key(http::header::TE);
        headers.insert(
            CONNECTION,
            HeaderValue::from_static(if te { "te, upgrade" } else { "upgrade" }),
        );
        headers.insert(UPGRADE, self.protocol.clone());
    }
}

/// The key of an opening handshake that is ours (RFC 6455 §4.1): 16 random bytes in base64.
#[derive(Debug)]
struct Key(HeaderValue);

impl Key {
    /// `None` where the system gives no random bytes: then nothing is switched.
    fn make() -> Option<Self> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        HeaderValue::try_from(STANDARD.encode(bytes)).ok().map(Self)
    }

    /// Whether this shows that the origin read the key (RFC 6455 §4.2.2 item 5.4).
    fn is_proven_by(&self, proof: &HeaderValue) -> bool {
        proof.as_bytes() == websocket::proof(self.0.as_bytes()).as_bytes()
    }
}

fn failed(why: &'static str) -> Refusal {
    Refusal::Failed(Failure::new(ProxyError::UpgradeFailed, why))
}

fn single(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_answers_one_key() {
        // The example of RFC 6455 §1.3.
        let key = Key(HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        let proof = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(key.is_proven_by(&proof));
        let other = Key::make().expect("random bytes");
        assert_eq!(STANDARD.decode(&other.0).map(|key| key.len()), Ok(16));
        assert!(!other.is_proven_by(&proof));
    }
}
