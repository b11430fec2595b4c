//! Request fields that change where a response comes from, or what it says of that, although `Vary` seldom names them: a
//! response that one client brought about by them must not be another's (cache poisoning).
//! Start at [`add_routing`].

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName};

/// Adds the fields that are there to what belongs to the key, by a digest of their values.
pub fn add_routing(extras: &mut String, headers: &HeaderMap) {
    for name in headers.keys().filter(|name| is_routing(name.as_str())) {
        add(extras, "", name, headers);
    }
}

/// Adds the fields that a rule has set, of which `written` has the names: what an origin says to those whom it names so is theirs,
/// whether `Vary` says it or not, and whether the client had `asked` with the same value or not.
pub fn add_set(extras: &mut String, asked: &HeaderMap, sent: &HeaderMap, written: &HeaderMap) {
    let is_set = |name: &&HeaderName| {
        written.contains_key(*name) || asked.get_all(*name) != sent.get_all(*name)
    };
    for name in sent.keys().filter(is_set) {
        add(extras, "set ", name, sent);
    }
}

/// Adds what an origin is asked for, and as which host, where a route makes another request of what the client asked for: two
/// routes may make different ones of one URI.
pub fn add_rewritten(extras: &mut String, target: &str, host: &str) {
    let parts = [target.as_bytes(), host.as_bytes()];
    let digest = u128::from_be_bytes(super::key::digest(&parts));
    // Writing to a string does not fail.
    let _ = write!(extras, "as={digest:032x};");
}

fn add(extras: &mut String, how: &str, name: &HeaderName, headers: &HeaderMap) {
    let values = headers.get_all(name).iter();
    let values: Vec<&[u8]> = values.map(http::HeaderValue::as_bytes).collect();
    let digest = u128::from_be_bytes(super::key::digest(&values));
    // Writing to a string does not fail.
    let _ = write!(extras, "{how}{name}={digest:032x};");
}

/// Whether frameworks are known to take host, scheme, path, method or client from it.
fn is_routing(name: &str) -> bool {
    let mut begins = BEGINNINGS.iter();
    begins.any(|beginning| name.starts_with(beginning)) || is_known(name)
}

const BEGINNINGS: &[&str] = &[
    "x-forwarded",
    "x-original-",
    "x-rewrite-",
    "x-http-",
    "x-envoy-",
];

/// Each field of each request is asked, so that this is no list to be gone through.
fn is_known(name: &str) -> bool {
    matches!(
        name,
        "base-url"
            | "cf-connecting-ip"
            | "client-ip"
            | "cluster-client-ip"
            | "destination"
            | "fastly-client-ip"
            | "forwarded"
            | "front-end-https"
            | "proxy-host"
            | "proxy-url"
            | "request-uri"
            | "true-client-ip"
            | "x-arr-ssl"
            | "x-backend"
            | "x-backend-host"
            | "x-base-url"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "x-forward-for"
            | "x-host"
            | "x-method-override"
            | "x-originating-ip"
            | "x-proxy-url"
            | "x-proxyuser-ip"
            | "x-real-ip"
            | "x-remote-addr"
            | "x-remote-ip"
            | "x-script-name"
            | "x-url-scheme"
            | "x-wap-profile"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_route_or_that_a_rule_sets_are_part_of_the_key_and_others_are_not() {
        let headers = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, http::HeaderValue::from_static(value));
            }
            headers
        };
        let extras = |fields: &[(&'static str, &'static str)]| {
            let mut extras = String::new();
            add_routing(&mut extras, &headers(fields));
            extras
        };
        assert_eq!(extras(&[("accept", "*/*"), ("user-agent", "a")]), "");
        for name in [
            "x-forwarded-host",
            "x-forwarded-what-comes-next",
            "forwarded",
            "x-host",
        ] {
            let (one, other) = (
                extras(&[(name, "a.example")]),
                extras(&[(name, "b.example")]),
            );
            assert!(!one.is_empty() && one != other, "{name}");
        }
        let asked = headers(&[("a", "b"), ("c", "d")]);
        let sent = headers(&[("a", "b"), ("c", "e"), ("x-team", "f")]);
        let mut set = String::new();
        let written = headers(&[("c", "e"), ("x-team", "f")]);
        add_set(&mut set, &asked, &sent, &written);
        assert!(
            set.contains("set c=") && set.contains("set x-team="),
            "{set}"
        );
        assert!(!set.contains("set a="), "{set}");
        let mut guessed = String::new();
        add_set(&mut guessed, &sent, &sent, &written);
        assert_eq!(guessed, set, "the client has written it too");
        let split = extras(&[("x-host", "a"), ("x-host", "b")]);
        assert_ne!(split, extras(&[("x-host", "a, b")]));
    }
}
