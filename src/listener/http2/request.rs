//! What HTTP/2 leaves to the application to check in a request's head (RFC 9113 §8.2, §8.3), so that it means in HTTP/1 what
//! it meant in HTTP/2. h2 itself has refused connection-specific fields, names that are no tokens, and CR, LF or NUL in values.
//! Not the body, which is `receive`. Start at [`check`].

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};

use super::websocket;
use crate::addr::Authority;
use crate::listener::Limits;
use crate::listener::http::Trouble;
use crate::message::default_port;
use crate::message::http1::HeadError::{self, Malformed, TooMany};
use crate::message::http1::framing::{self, Length};

/// What a checked head says.
pub(super) struct Checked {
    /// The target in HTTP/1's form: visible ASCII.
    pub(super) target: Bytes,
    /// The size of the content, where it was declared.
    pub(super) size: Option<u64>,
    /// Whether it is a CONNECT for a WebSocket.
    pub(super) websocket: bool,
}

/// Checks a head; `ended` says that no content follows.
pub(super) fn check(head: &Parts, ended: bool, limits: &Limits) -> Result<Checked, Trouble> {
    if head.headers.len() > limits.head.count {
        return Err(Trouble::Malformed(TooMany));
    }
    let websocket = websocket::asked(head)?;
    let target = target(head, websocket).map_err(Trouble::Malformed)?;
    check_fields(head).map_err(Trouble::Malformed)?;
    let size = content(head, ended).map_err(Trouble::Malformed)?;
    match (size, limits.body_size) {
        (Some(size), Some(limit)) if size > limit => Err(Trouble::LargeBody),
        (size, _) => Ok(Checked {
            target,
            size,
            websocket,
        }),
    }
}

fn target(head: &Parts, websocket: bool) -> Result<Bytes, HeadError> {
    let uri = &head.uri;
    // An extended one names a resource (RFC 8441 §4).
    let tunnel = head.method == Method::CONNECT && !websocket;
    let target = match (tunnel, uri.authority(), uri.scheme_str()) {
        (true, Some(authority), _) => authority.to_string(),
        (false, Some(authority), Some(scheme)) => {
            // `*` stands for a URI without a path (RFC 9113 §8.3.1), which HTTP/1 has in absolute-form (RFC 9112 §3.2.4).
            let whole_server = head.method == Method::OPTIONS && uri.path() == "*";
            let path = if whole_server { "" } else { uri.path() };
            let (mark, query) = uri.query().map_or(("", ""), |query| ("?", query));
            [scheme, "://", authority.as_str(), path, mark, query].concat()
        }
        (_, _, _) => return Err(Malformed("the :authority is missing")),
    };
    // The type that carries it here takes any UTF-8 in a path.
    if !target.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        return Err(Malformed(
            "the request target contains a character that is not allowed",
        ));
    }
    Ok(Bytes::from(target))
}

fn check_fields(head: &Parts) -> Result<(), HeadError> {
    // RFC 9113 §8.2.1: no blank begins or ends a value. HTTP/1 would trim it, and another reader might not.
    let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    for value in head.headers.values() {
        if blank(value.as_bytes().first()) || blank(value.as_bytes().last()) {
            return Err(Malformed("white space begins or ends a field value"));
        }
    }
    framing::check_host(Version::HTTP_2, &head.headers)?;
    let Some(host) = head.headers.get(HOST) else {
        return Ok(());
    };
    if is_same(host, head) {
        Ok(())
    } else {
        Err(Malformed("Host and :authority differ"))
    }
}

/// Whether a Host names what `:authority` names (RFC 9113 §8.3.1).
fn is_same(host: &HeaderValue, head: &Parts) -> bool {
    let Some(authority) = head.uri.authority() else {
        return false;
    };
    let port = match head.uri.scheme_str() {
        Some(scheme) => Some(default_port(scheme == "https")),
        None => authority.port_u16(),
    };
    let parse = |text| Authority::parse(text, port).ok();
    let host = host.to_str().ok().and_then(parse);
    host.is_some() && host == parse(authority.as_str())
}

/// The declared size. Errors: a framing that can be read in more than one way, content where it has no meaning.
fn content(head: &Parts, ended: bool) -> Result<Option<u64>, HeadError> {
    let length = framing::of_request(Version::HTTP_2, &head.headers)?;
    let declared = head.headers.contains_key(CONTENT_LENGTH);
    // As in HTTP/1 (RFC 9110 §9.3.6, §9.3.8). The bytes of a tunnel are no content, and a length would cut them off.
    let refused = match head.method {
        Method::CONNECT => declared,
        Method::TRACE => !ended || matches!(length, Length::Sized(_)),
        _ => false,
    };
    if refused {
        return Err(Malformed("this method takes no content"));
    }
    Ok(match length {
        Length::Sized(size) => Some(size),
        Length::Empty if declared => Some(0),
        Length::Empty | Length::Chunked | Length::UntilClose => None,
    })
}

/// Cookie crumbs become one field again (RFC 9113 §8.2.3).
pub(super) fn join_cookies(mut headers: HeaderMap) -> HeaderMap {
    use http::header::COOKIE;
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let crumbs: Vec<&[u8]> = headers
            .get_all(COOKIE)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
    headers
}
