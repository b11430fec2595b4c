use super::*;
use http::HeaderValue;
use proptest::prelude::*;

const BASE: &str = "http://example.com/a/b?q";

fn named(reference: &str) -> Option<String> {
    let base = Uri::absolute(BASE).unwrap();
    let uri = base.resolve(reference)?;
    uri.has_origin_of(&base).then(|| uri.text())
}

fn after(method: &str, status: u16) -> Vec<String> {
    let mut response = HeaderMap::new();
    response.insert(LOCATION, HeaderValue::from_static("/l"));
    response.insert(CONTENT_LOCATION, HeaderValue::from_static("c"));
    let status = StatusCode::from_u16(status).unwrap();
    invalidated(&method.parse().unwrap(), status, BASE, &response)
}

#[test]
fn unsafe_requests_that_succeed_invalidate_9111_4_4() {
    let all = [BASE, "http://example.com/a/c", "http://example.com/l"];
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "get"] {
        for status in [200, 201, 204, 303, 308] {
            assert_eq!(after(method, status), all, "{method} {status}");
        }
        for status in [400, 404, 500, 503] {
            assert!(after(method, status).is_empty(), "{method} {status}");
        }
    }
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        assert!(after(method, 200).is_empty(), "{method}");
    }
}

#[test]
fn references_are_resolved_within_the_origin_3986_5_2() {
    for (reference, uri) in [
        ("c", "http://example.com/a/c"),
        ("./c/", "http://example.com/a/c/"),
        ("../c", "http://example.com/c"),
        ("../../../c", "http://example.com/c"),
        (".", "http://example.com/a/"),
        ("..", "http://example.com/"),
        ("c/../d/./e", "http://example.com/a/d/e"),
        ("c/..", "http://example.com/a/"),
        ("/c/./../d//e", "http://example.com/d//e"),
        ("/c?x#y", "http://example.com/c?x"),
        ("/c?../d", "http://example.com/c?../d"),
        ("?x", "http://example.com/a/b?x"),
        ("#x", "http://example.com/a/b?q"),
        ("", "http://example.com/a/b?q"),
        ("?", "http://example.com/a/b?"),
        ("//example.com", "http://example.com/"),
        ("//EXAMPLE.com:80/c", "http://example.com/c"),
        ("HTTP://Example.COM/c", "http://example.com/c"),
        ("http://example.com?x", "http://example.com/?x"),
        ("http://example.com:/c", "http://example.com/c"),
        ("/a:b", "http://example.com/a:b"),
        ("./a:b", "http://example.com/a/a:b"),
    ] {
        assert_eq!(named(reference).as_deref(), Some(uri), "{reference}");
    }
}

#[test]
fn nothing_of_another_origin_is_invalidated_9111_4_4() {
    for reference in [
        "https://example.com/c",
        "http://example.com:8080/c",
        "http://example.org/c",
        "//example.org/c",
        "http://a.example.com/c",
        "http://example.com.evil/c",
        "http://example.com@evil/c",
        "http://evil@example.com/c",
        "http://example.com\\@evil/c",
        "http:c",
        "http:/c",
        "data:text/plain,c",
        "a:b",
        "http://",
        "http://[::1/c",
        "//",
        "/c d",
        "/\u{fc}",
    ] {
        assert_eq!(named(reference), None, "{reference}");
    }
}

#[test]
fn a_port_that_is_not_the_default_one_stays() {
    for (uri, reference, named) in [
        ("http://a:8080/", "/c", "http://a:8080/c"),
        ("https://a/", "https://a:443/c", "https://a/c"),
        ("http://[::1]:81/", "//[::1]:81/c", "http://[::1]:81/c"),
    ] {
        let mut response = HeaderMap::new();
        response.insert(LOCATION, HeaderValue::from_str(reference).unwrap());
        let uris = invalidated(&Method::POST, StatusCode::OK, uri, &response);
        assert!(uris.contains(&named.to_owned()), "{uris:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_reference_names_a_uri_of_the_origin_without_dot_segments_or_none(
        reference in "(http:|https:)?/{0,2}(example\\.com)?[ -~]{0,30}", bytes in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let mut response = HeaderMap::new();
        response.insert(LOCATION, HeaderValue::from_str(&reference).unwrap());
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            response.insert(CONTENT_LOCATION, value);
        }
        for uri in invalidated(&Method::POST, StatusCode::OK, BASE, &response) {
            let path = uri.strip_prefix("http://example.com/");
            prop_assert!(path.is_some(), "{uri}");
            let path = path.unwrap().split('?').next().unwrap();
            prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{uri}");
        }
    }
}
