//! Heads over HTTP/2 that HTTP/1 would read in another way, or in two.
//! Not streams and bodies, which the tests from outside try.
//! Start at [`CASES`].

use http::{HeaderValue, Method, Request};

use super::request::check;
use crate::listener::Limits;

/// Method, target, fields, whether no content follows, and what the refusal says.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    bool,
    &'static str,
);

const CASES: &[Case] = &[
    ("GET", "http://a.test/", &[], true, ""),
    ("GET", "http://a.test/", &[("host", "A.test:80")], true, ""),
    (
        "GET",
        "https://a.test/",
        &[("host", "a.test:443")],
        true,
        "",
    ),
    ("CONNECT", "a.test:443", &[("host", "a.test")], false, ""),
    (
        "GET",
        "http://a.test/",
        &[("host", "b.test")],
        true,
        "differ",
    ),
    (
        "GET",
        "http://a.test/",
        &[("host", "a.test:81")],
        true,
        "differ",
    ),
    ("GET", "http://a.test/", &[("host", "")], true, "differ"),
    (
        "CONNECT",
        "a.test:443",
        &[("host", "b.test:443")],
        false,
        "differ",
    ),
    (
        "GET",
        "http://a.test/",
        &[("host", "a.test"), ("host", "a.test")],
        true,
        "more than one Host",
    ),
    (
        "POST",
        "http://a.test/",
        &[("content-length", "1"), ("content-length", "1")],
        false,
        "more than one Content-Length",
    ),
    ("GET", "http://a.test/", &[("a", "b ")], true, "white space"),
    (
        "GET",
        "http://a.test/",
        &[("a", "\tb")],
        true,
        "white space",
    ),
    ("GET", "http://a.test/\u{e9}", &[], true, "not allowed"),
    ("TRACE", "http://a.test/", &[], true, ""),
    ("TRACE", "http://a.test/", &[], false, "no content"),
    (
        "CONNECT",
        "a.test:443",
        &[("content-length", "0")],
        false,
        "no content",
    ),
    ("CONNECT", "a.test:443", &[], false, ""),
];

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for (method, uri, fields, ended, expected) in CASES {
        let mut request = Request::builder().method(*method).uri(*uri);
        for (name, value) in *fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let told = check(&head, *ended, &Limits::default())
            .err()
            .map(|trouble| trouble.to_string());
        let told = told.unwrap_or_default();
        assert_eq!(
            told.is_empty(),
            expected.is_empty(),
            "{method} {uri} {fields:?}: {told}"
        );
        assert!(told.contains(expected), "{method} {uri} {fields:?}: {told}");
    }
}

#[test]
fn an_extended_connect_is_for_a_websocket_and_has_no_content() {
    type Fields = &'static [(&'static str, &'static str)];
    let cases: [(_, _, Fields, _); 6] = [
        ("websocket", "https://a.test/b?c", &[], ""),
        ("WebSocket", "http://a.test/", &[("host", "a.test:80")], ""),
        ("connect-udp", "https://a.test/", &[], "websocket only"),
        (
            "websocket",
            "https://a.test/",
            &[("content-length", "0")],
            "no content",
        ),
        (
            "websocket",
            "https://a.test/",
            &[("host", "b.test")],
            "differ",
        ),
        ("websocket", "a.test:443", &[], "missing"),
    ];
    for (protocol, uri, fields, expected) in cases {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(uri)
            .extension(h2::ext::Protocol::from_static(protocol));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        match check(&head, false, &Limits::default()) {
            Ok(checked) => {
                assert_eq!(expected, "", "{protocol} {uri}");
                assert!(checked.websocket);
                assert_eq!(checked.target, uri, "{protocol}");
            }
            Err(trouble) => {
                let told = trouble.to_string();
                assert!(!expected.is_empty() && told.contains(expected), "{told}");
            }
        }
    }
}

/// h2 makes its heads of these types, so that no pseudo-header and no field carries a line's end or a blank into HTTP/1.
#[test]
fn the_types_of_a_head_hold_no_line_ends() {
    for bad in ["\r", "\n", "\0", " "] {
        let text = format!("/a{bad}b");
        assert!(
            http::uri::PathAndQuery::try_from(text.as_str()).is_err(),
            "{bad:?}"
        );
        let text = format!("a{bad}b.test");
        assert!(
            http::uri::Authority::try_from(text.as_str()).is_err(),
            "{bad:?}"
        );
        assert!(
            http::uri::Scheme::try_from(text.as_str()).is_err(),
            "{bad:?}"
        );
        assert!(Method::from_bytes(text.as_bytes()).is_err(), "{bad:?}");
        assert!(
            http::HeaderName::from_lowercase(text.as_bytes()).is_err(),
            "{bad:?}"
        );
        if bad != " " {
            assert!(HeaderValue::from_bytes(text.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
