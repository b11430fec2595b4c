//! Fields that are meant for one hop only stop here (RFC 9110 §7.6.1).
//! Not the framing fields, which have writers of their own.
//! Start at [`strip`].

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

/// What `Connection` said before it was removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// `close` stood there.
    pub close: bool,
    /// `keep-alive` stood there.
    pub keep_alive: bool,
    /// `upgrade` stood there.
    pub upgrade: bool,
    /// `TE: trailers` was said, and `Connection` named it.
    pub trailers: bool,
}

/// Removes every hop-by-hop field: the known set and what `Connection` names. Framing and routing fields that it names are
/// left to their own rules, or a client could take a Host or a length out of what is forwarded.
pub fn strip(headers: &mut HeaderMap) -> Hop {
    let hop = remove_nominated(headers);
    strip_connection(headers);
    for name in [TE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION] {
        headers.remove(name);
    }
    headers.remove(PROXY_AUTHENTICATION_INFO);
    hop
}

/// Removes the fields that speak of a connection of HTTP/1, which another version has no use for (RFC 9113 §8.2.2).
pub fn strip_connection(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS] {
        headers.remove(name);
    }
}

/// Reads what `Connection` says without changing anything.
pub fn read(headers: &HeaderMap) -> Hop {
    let mut hop = Hop::default();
    for token in tokens(headers) {
        hop.note(&token, headers);
    }
    hop
}

/// Removes fields of a trailer section that would change framing, routing or access if a recipient merged them
/// (RFC 9110 §6.5.1).
pub fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers);
    for name in [CONTENT_LENGTH, HOST] {
        trailers.remove(name);
    }
    for name in FORBIDDEN_TRAILERS {
        trailers.remove(*name);
    }
}

impl Hop {
    fn note(&mut self, token: &str, headers: &HeaderMap) {
        self.close |= token == "close";
        self.keep_alive |= token == "keep-alive";
        self.upgrade |= token == "upgrade";
        self.trailers |= token == "te" && takes_trailers(headers);
    }
}

fn remove_nominated(headers: &mut HeaderMap) -> Hop {
    let mut hop = Hop::default();
    if !headers.contains_key(CONNECTION) {
        return hop;
    }
    let nominated: Vec<String> = tokens(headers).collect();
    for token in nominated {
        hop.note(&token, headers);
        if let Ok(name) = HeaderName::try_from(token)
            && !KEPT.contains(&name)
        {
            headers.remove(name);
        }
    }
    hop
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(CONNECTION).iter();
    values.flat_map(|value| {
        value
            .to_str()
            .unwrap_or_default()
            .split(',')
            .map(|token| token.trim().to_ascii_lowercase())
    })
}

/// Whether `TE` says that trailers are taken (RFC 9110 §10.1.4).
pub fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get(TE).is_some_and(says_trailers)
}

fn says_trailers(value: &HeaderValue) -> bool {
    value
        .to_str()
        .unwrap_or_default()
        .split(',')
        .any(|part| part.trim().eq_ignore_ascii_case("trailers"))
}

/// Fields that `Connection` can not take away: each has a rule of its own.
const KEPT: [HeaderName; 4] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, TE];

const KEEP_ALIVE: &str = "keep-alive";
const PROXY_CONNECTION: &str = "proxy-connection";
const PROXY_AUTHENTICATION_INFO: &str = "proxy-authentication-info";
const HTTP2_SETTINGS: &str = "http2-settings";

const FORBIDDEN_TRAILERS: &[&str] = &[
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "location",
    "max-forwards",
    "range",
    "set-cookie",
    "trailer",
    "vary",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nominated_and_known_fields_go_and_guarded_ones_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("connection", "Content-Length, host, te"),
            ("te", "trailers"),
            ("x-private", "1"),
            ("keep-alive", "5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("upgrade", "h2c"),
            ("content-length", "5"),
            ("host", "example.com"),
            ("x-kept", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let hop = strip(&mut headers);
        assert_eq!(
            hop,
            Hop {
                close: true,
                keep_alive: false,
                upgrade: false,
                trailers: true
            }
        );
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-kept"]);
    }
}
