//! Fields that are meant for one hop only stop here (RFC 9110 §7.6.1).
//! Not the framing fields, which have writers of their own.
//! Start at [`strip`].

use std::borrow::Cow;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use smallvec::SmallVec;

use super::forwarded;

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
    let is_hops = |name: &HeaderName| is_of_connection(name) || is_of_proxy(name);
    remove_all(headers, is_hops);
    hop
}

/// Removes the fields that speak of a connection of HTTP/1, which another version has no use for (RFC 9113 §8.2.2).
pub fn strip_connection(headers: &mut HeaderMap) {
    remove_all(headers, is_of_connection);
}

fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
    )
}

fn is_of_proxy(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "te" | "proxy-authenticate" | "proxy-authentication-info" | "proxy-authorization"
    )
}

/// Removes the fields of these names. Most messages have none, and one look at each field costs less than a search for each
/// name.
pub fn remove_all(headers: &mut HeaderMap, which: impl Fn(&HeaderName) -> bool) {
    let names: SmallVec<[HeaderName; 4]> = headers
        .keys()
        .filter(|&name| which(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// Reads what `Connection` says without changing anything.
pub fn read(headers: &HeaderMap) -> Hop {
    let mut hop = Hop::default();
    for name in nominated(headers) {
        hop.note(&name, headers);
    }
    hop
}

/// The fields as they are without those that `Connection` names: what the next hop will not see must not be taken for
/// something that it has seen. `Connection` and `Upgrade` stay, which say what the connection is for.
pub fn without_nominated(headers: &HeaderMap) -> Cow<'_, HeaderMap> {
    let stays = |name: &HeaderName| KEPT.contains(name) || [CONNECTION, UPGRADE].contains(name);
    let names: SmallVec<[HeaderName; 4]> = nominated(headers)
        .filter(|name| !stays(name) && headers.contains_key(name))
        .collect();
    if names.is_empty() {
        return Cow::Borrowed(headers);
    }
    let mut left = headers.clone();
    for name in names {
        left.remove(name);
    }
    Cow::Owned(left)
}

/// Removes fields of a trailer section that would change framing, routing or access if a recipient merged them
/// (RFC 9110 §6.5.1).
pub fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers);
    remove_all(trailers, |name| {
        let name = name.as_str();
        FORBIDDEN_TRAILERS.contains(&name) || forwarded::is_believed(name)
    });
}

impl Hop {
    fn note(&mut self, name: &HeaderName, headers: &HeaderMap) {
        let token = name.as_str();
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
    let names: SmallVec<[HeaderName; 4]> = nominated(headers).collect();
    for name in names {
        hop.note(&name, headers);
        if !KEPT.contains(&name) {
            headers.remove(name);
        }
    }
    hop
}

/// What `Connection` says: names of fields and of options, all of them tokens (RFC 9110 §7.6.1). A member that is none takes nothing
/// from the others.
pub fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let members = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    members.filter_map(|member| HeaderName::from_bytes(member.trim_ascii()).ok())
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

const FORBIDDEN_TRAILERS: &[&str] = &[
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
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
