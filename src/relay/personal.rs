//! A response that is one client's alone, as it brings that client's cookie: caches on the way must not give it to others.
//! Not our own cache, which has stored it, or not, before the cookie was added.
//! Start at [`add_cookie`].

use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::{hop, list};

/// Adds a cookie, and has shared caches leave the response alone: a response that says nothing may be stored by them as well as one
/// that says `public` (RFC 9111 §3). `private` is what all of them know; of a field's name behind `no-cache` many make nothing.
pub(super) fn add_cookie(headers: &mut HeaderMap, cookie: HeaderValue) {
    headers.append(SET_COOKIE, cookie);
    // These stand in place of Cache-Control for some of the caches on the way (RFC 9213 §2.2), and would say otherwise.
    hop::remove_all(headers, is_targeted);
    let mut kept = Vec::new();
    for line in headers.get_all(CACHE_CONTROL) {
        let directives = list::members(line.as_bytes()).filter_map(closed);
        kept.extend(directives.filter(|directive| !directive.is_empty() && !shares(directive)));
    }
    kept.push(b"private");
    // Its parts were in fields.
    if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b", "[..])) {
        headers.insert(CACHE_CONTROL, value);
    }
}

/// `CDN-Cache-Control`, `Surrogate-Control`, and those of a product: `Example-CDN-Cache-Control`.
fn is_targeted(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "surrogate-control" || name.ends_with("-cache-control")
}

/// A directive that others can read, whatever stands behind it: of one with a quote that is not closed, its name.
fn closed(directive: &[u8]) -> Option<&[u8]> {
    if list::is_closed(directive) {
        return Some(directive);
    }
    name(directive).filter(|name| list::is_closed(name))
}

fn shares(directive: &[u8]) -> bool {
    let shares = |name: &[u8]| SHARING.iter().any(|known| name.eq_ignore_ascii_case(known));
    name(directive).is_some_and(shares)
}

fn name(directive: &[u8]) -> Option<&[u8]> {
    let name = directive.split(|byte| *byte == b'=').next();
    name.map(<[u8]>::trim_ascii)
}

/// What lets others have it, or says with `private` less than that it is private.
const SHARING: [&[u8]; 4] = [b"public", b"s-maxage", b"private", b"proxy-revalidate"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_have_it_and_what_the_client_may_do_stays() {
        for (lines, expected) in [
            (&[][..], "private"),
            (&["public, max-age=60"], "max-age=60, private"),
            (&["PUBLIC", "S-MaxAge=60 , max-age=5"], "max-age=5, private"),
            (&["private=\"x, public\", no-cache"], "no-cache, private"),
            (
                &["ext=\"a, \\\"public\", max-age=1"],
                "ext=\"a, \\\"public\", max-age=1, private",
            ),
            // A quote that is not closed hides nothing, neither here nor from whoever reads what is written.
            (
                &["x=\"a, public, max-age=5", "no-cache"],
                "x, max-age=5, no-cache, private",
            ),
            (&["no-store=\"a, public"], "no-store, private"),
            (&["no-store, public"], "no-store, private"),
            (&["private"], "private"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            let targeted = HeaderName::from_static("cdn-cache-control");
            headers.insert(&targeted, HeaderValue::from_static("max-age=600"));
            add_cookie(&mut headers, HeaderValue::from_static("a=b"));
            let told: Vec<_> = headers.get_all(CACHE_CONTROL).iter().collect();
            assert_eq!(told, [expected], "{lines:?}");
            assert!(!headers.contains_key(&targeted) && headers.contains_key(SET_COOKIE));
        }
    }
}
