#![expect(clippy::too_many_lines, reason = "a table is as long as it has rows")]

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::*;

/// Lines of `name: value`.
fn fields(lines: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a line");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        fields.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    fields
}

fn received() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().expect("a time")
}

fn judged(
    method: &str,
    request: &str,
    status: u16,
    lines: &str,
    control: &Control,
) -> Result<Storable, Unstorable> {
    let (request, headers) = (fields(request), fields(lines));
    let came = Came {
        request: &request,
        requested: received(),
        status: StatusCode::from_u16(status).expect("a status"),
        headers: &headers,
        received: received(),
    };
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let targets = [HeaderName::from_static("cdn-cache-control")];
    storable(&method, came, (control, &targets))
}

/// Why it is not stored; `None` where it is.
fn why(method: &str, request: &str, status: u16, lines: &str) -> Option<Unstorable> {
    judged(method, request, status, lines, &Control::default()).err()
}

const FRESH: &str = "cache-control: max-age=60";
const TAGGED: &str = "etag: \"a\"";

#[test]
fn the_first_obstacle_is_told_9111_3() {
    for (method, request, status, lines, told) in [
        ("GET", "", 200, FRESH, None),
        ("HEAD", "", 200, FRESH, Some(Unstorable::Method)),
        ("POST", "", 200, FRESH, Some(Unstorable::Method)),
        ("get", "", 200, FRESH, Some(Unstorable::Method)),
        ("GET", "", 103, FRESH, Some(Unstorable::Status)),
        ("GET", "", 206, FRESH, Some(Unstorable::Status)),
        ("GET", "", 304, FRESH, Some(Unstorable::Status)),
        ("GET", "", 407, FRESH, Some(Unstorable::Status)),
        ("GET", "", 412, FRESH, Some(Unstorable::Status)),
        ("GET", "", 416, FRESH, Some(Unstorable::Status)),
        ("GET", "", 429, FRESH, Some(Unstorable::Status)),
        ("GET", "", 599, FRESH, None),
        (
            "GET",
            "cache-control: no-store",
            200,
            FRESH,
            Some(Unstorable::NoStore),
        ),
        ("GET", "pragma: no-store", 200, FRESH, None),
        (
            "GET",
            "",
            200,
            "cache-control: no-store, max-age=60",
            Some(Unstorable::NoStore),
        ),
        (
            "GET",
            "",
            200,
            "cache-control: private, max-age=60",
            Some(Unstorable::Private),
        ),
        (
            "GET",
            "",
            200,
            "cache-control: max-age=60\nset-cookie: a=b",
            Some(Unstorable::SetsCookie),
        ),
        (
            "GET",
            "",
            200,
            "cache-control: max-age=60\nvary: *",
            Some(Unstorable::VariesByAll),
        ),
        (
            "GET",
            "",
            200,
            "cache-control: max-age=60\nvary: a, *",
            Some(Unstorable::VariesByAll),
        ),
        (
            "GET",
            "",
            200,
            "cache-control: max-age=60\nvary: a b",
            Some(Unstorable::VariesByAll),
        ),
    ] {
        assert_eq!(
            why(method, request, status, lines),
            told,
            "{method} {request} {status} {lines}"
        );
    }
}

#[test]
fn something_must_let_it_be_used_later_9111_3() {
    for (status, lines, stored) in [
        (200, "", false),
        (200, TAGGED, true),
        (200, "last-modified: Wed, 25 Nov 2026 11:00:00 GMT", true),
        (200, "expires: Wed, 25 Nov 2026 13:00:00 GMT", true),
        (200, "expires: 0", false),
        (200, "cache-control: max-age=0", false),
        (200, "cache-control: max-age=0\netag: \"a\"", true),
        (200, "cache-control: max-age=0, stale-if-error=60", true),
        (
            200,
            "cache-control: max-age=0, stale-while-revalidate=60",
            true,
        ),
        // Stale from the beginning, and yet of use to a client that takes it so.
        (200, "cache-control: max-age=60\nage: 100", true),
        (200, "cache-control: no-cache, max-age=60", false),
        (200, "cache-control: no-cache\netag: \"a\"", true),
        (200, "cache-control: public", false),
        // Neither by its status nor by what it says.
        (302, TAGGED, false),
        (302, "cache-control: public\netag: \"a\"", true),
        (302, FRESH, true),
        (500, TAGGED, false),
        (299, FRESH, true),
        (404, TAGGED, true),
    ] {
        let told = why("GET", "", status, lines);
        let expected = (!stored).then_some(Unstorable::Useless);
        assert_eq!(told, expected, "{status} {lines}");
    }
}

#[test]
fn a_status_must_be_understood_where_that_is_said_9111_5_2_2_3() {
    for (status, line, told) in [
        (200, "must-understand, no-store, max-age=60", None),
        (200, "no-store, must-understand, max-age=60", None),
        (404, "must-understand, max-age=60", None),
        (
            299,
            "must-understand, no-store, max-age=60",
            Some(Unstorable::NoStore),
        ),
        (
            299,
            "must-understand, max-age=60",
            Some(Unstorable::NoStore),
        ),
        (
            200,
            "must-understand, private, max-age=60",
            Some(Unstorable::Private),
        ),
    ] {
        assert_eq!(
            why("GET", "", status, &format!("cache-control: {line}")),
            told,
            "{status} {line}"
        );
    }
    let asked = why(
        "GET",
        "cache-control: no-store",
        200,
        "cache-control: must-understand, max-age=60",
    );
    assert_eq!(
        asked,
        Some(Unstorable::NoStore),
        "a request's no-store is another thing"
    );
}

#[test]
fn an_answer_to_credentials_is_shared_where_it_says_so_9111_3_5() {
    for (line, shared) in [
        ("max-age=60", false),
        ("public, max-age=60", true),
        ("must-revalidate, max-age=60", true),
        ("s-maxage=60", true),
        ("proxy-revalidate, max-age=60", false),
        ("immutable, max-age=60", false),
        ("public, private, max-age=60", false),
        // What is malformed permits nothing.
        ("public x, max-age=60", false),
    ] {
        let stored = why(
            "GET",
            "authorization: Basic eDp5",
            200,
            &format!("cache-control: {line}"),
        )
        .is_none();
        assert_eq!(stored, shared, "{line}");
    }
    let ruled = Control {
        ttl: Some(Duration::from_secs(60)),
        ..Control::default()
    };
    let told = judged("GET", "authorization: Basic eDp5", 200, "", &ruled).err();
    assert_eq!(
        told,
        Some(Unstorable::Authorized),
        "a rule's ttl makes it no more public"
    );
}

#[test]
fn fields_of_a_hop_of_a_client_and_of_the_moment_are_not_stored_9111_3_1() {
    let lines = "cache-control: max-age=60, no-cache=\"x-mine\", private=\"x-own, x-lost\"\nconnection: x-hop, close\nx-hop: 1\n\
                 keep-alive: timeout=1\nproxy-connection: close\nproxy-authenticate: Basic\nproxy-authentication-info: a\n\
                 proxy-authorization: Basic\nproxy-status: a\nte: b\ntrailer: c\ntransfer-encoding: chunked\nupgrade: d\nage: 1\n\
                 x-mine: 1\nx-own: 1\nx-end: 1\nx-end: 2\netag: \"a\"\ncontent-type: a/b";
    let stored = judged("GET", "", 200, lines, &Control::default()).expect("it may be stored");
    let mut names: Vec<&str> = stored.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "content-type", "etag", "x-end"]);
    assert_eq!(stored.headers.get_all("x-end").iter().count(), 2);
    assert_eq!(stored.freshness.initial_age, Duration::from_secs(1));
}

#[test]
fn a_cookie_is_shared_only_as_a_rule_says_9111_7_3() {
    let lines =
        "cache-control: max-age=60\nset-cookie: a=b\nset-cookie: c=d\nset-cookie2: e\nx-end: 1";
    let with = |set_cookie| Control {
        set_cookie,
        ..Control::default()
    };
    let stored =
        |set_cookie| judged("GET", "", 200, lines, &with(set_cookie)).map(|stored| stored.headers);
    assert_eq!(stored(SetCookie::Refuse), Err(Unstorable::SetsCookie));
    let stripped = stored(SetCookie::Strip).expect("it may be stored");
    assert!(!stripped.contains_key("set-cookie") && !stripped.contains_key("set-cookie2"));
    assert!(stripped.contains_key("x-end"));
    let kept = stored(SetCookie::Store).expect("it may be stored");
    assert_eq!(kept.get_all("set-cookie").iter().count(), 2);
    // What the origin keeps to one client is stored for none, cookie or not.
    let named = format!("{lines}\ncache-control: private=\"set-cookie\"");
    let without =
        judged("GET", "", 200, &named, &with(SetCookie::Store)).expect("it may be stored");
    assert!(!without.headers.contains_key("set-cookie"));
}

#[test]
fn a_stored_response_says_when_it_was_made_9110_6_6_1() {
    let mut headers = fields("x-end: 1");
    dated(&mut headers, received());
    assert_eq!(
        headers.get("date").map(HeaderValue::as_bytes),
        Some(&b"Wed, 25 Nov 2026 12:00:00 GMT"[..])
    );
    let mut headers = fields("date: of its own");
    dated(&mut headers, received());
    assert_eq!(
        headers.get("date").map(HeaderValue::as_bytes),
        Some(&b"of its own"[..])
    );
}
