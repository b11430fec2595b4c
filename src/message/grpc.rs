//! How a call of gRPC is refused: its clients read a status of their own, not that of HTTP.
//! Not the calls themselves, which pass through as any other exchange.
//! Start at `refuse`.

use std::fmt::Write as _;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::answer::{Answer, PROXY_STATUS, insert_id};
use super::body::Body;
use super::proxy_status::proxy_status;

/// Whether a request is a call of gRPC.
pub fn is_call(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    kind.strip_prefix(GRPC.as_bytes())
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// How long the client of a call waits for its end (`grpc-timeout`, as the protocol over HTTP/2 has it: at most eight digits and a unit).
pub fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let counts = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| counts)?;
    Some(match unit {
        "H" => Duration::from_secs(count.saturating_mul(3600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A response of trailers only, which is how a call ends that never began.
pub(super) fn refuse(answer: &Answer, name: &str, id: &str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    let why = if answer.detail.is_empty() {
        &answer.title
    } else {
        &answer.detail
    };
    let headers = response.headers_mut();
    *headers = answer.headers.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(STATUS, HeaderValue::from(code(answer.status)));
    if let Ok(message) = HeaderValue::try_from(encoded(why)) {
        headers.insert(MESSAGE, message);
    }
    if let Some(status) = proxy_status(name, answer.error, why) {
        headers.insert(PROXY_STATUS, status);
    }
    insert_id(headers, id);
    response
}

/// The code that clients of gRPC are to take from a status of HTTP; a deadline that passed has one of its own.
fn code(status: StatusCode) -> u16 {
    match status {
        StatusCode::BAD_REQUEST => INTERNAL,
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => UNAUTHENTICATED,
        StatusCode::FORBIDDEN => PERMISSION_DENIED,
        StatusCode::NOT_FOUND => UNIMPLEMENTED,
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => DEADLINE_EXCEEDED,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// Percent-encoded but for the visible characters of ASCII.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

const GRPC: &str = "application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

const UNKNOWN: u16 = 2;
const DEADLINE_EXCEEDED: u16 = 4;
const PERMISSION_DENIED: u16 = 7;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ProxyError;

    #[test]
    fn calls_are_known_by_their_media_type() {
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_call(&headers), is, "{kind}");
        }
    }

    #[test]
    fn a_deadline_has_at_most_eight_digits_and_a_unit() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("999999999n", None),
            ("S", None),
            ("1", None),
            ("+1S", None),
            ("1d", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_static(text));
            assert_eq!(deadline(&headers), expected, "{text}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_protocol() {
        let answer = Answer::new(ProxyError::ConnectionRefused, "It failed").detail("50 % ü");
        let response = refuse(&answer, "egret", "7");
        let field = |name: HeaderName| response.headers()[name].to_str().expect("ASCII").to_owned();
        assert_eq!(response.status(), 200);
        assert_eq!(field(STATUS), "14");
        assert_eq!(field(MESSAGE), "50 %25 %C3%BC");
    }
}
