//! What becomes of a request that takes a route, and how it is treated.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::super::{Act, Share};
use super::{one, read_text};
use crate::addr::Host;
use crate::filter::Variables;
use crate::settings::ByteSize;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// The first of a thousand equal parts of all draws, the second, and so on.
fn evenly(n: u64) -> u64 {
    n * (u64::MAX / 1000) + 1000
}

#[test]
fn a_request_goes_to_the_upstream_that_asks_for_it_and_else_by_weight() {
    let route = one("to = [\n\
           { upstream = \"new\", when = { header = { x-canary = \"yes\" } } },\n\
           { upstream = \"new\", when = { cookie = { canary = \"1\" } } },\n\
           { upstream = \"app\", weight = 9 }, { upstream = \"old\", weight = 1 }, { upstream = \"new\", weight = 0 } ]");
    let Act::To(split) = route.act(CLIENT) else {
        panic!("{route:?}");
    };
    for (field, value, expected) in [
        ("x-canary", "yes", "new"),
        ("x-canary", "no", "app"),
        ("cookie", "a=b; canary=1", "new"),
        ("cookie", "canary=10", "app"),
        ("cookie", "xcanary=1", "app"),
        ("cookie", "b=canary=1", "app"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(field, HeaderValue::from_static(value));
        assert_eq!(
            &*split.choose(&headers, 0).name,
            expected,
            "{field}: {value}"
        );
    }
    // Evenly spread draws are split as the weights are.
    let mut counts = [0_u32; 3];
    let none = HeaderMap::new();
    for n in 0..1000_u64 {
        counts[split.choose(&none, evenly(n)).at] += 1;
    }
    assert_eq!(counts, [900, 100, 0]);
    assert_eq!(&*split.choose(&none, u64::MAX).name, "old");
    let named: Vec<&str> = split.upstreams().map(|chosen| &*chosen.name).collect();
    assert_eq!(named, ["new", "new", "app", "old", "new"]);
}

/// Where to, the host, the target, and where that is.
const REDIRECTS: &[(&str, Option<&str>, &str, Option<&str>)] = &[
    (
        "https://{host}{path}{query}",
        Some("www.example"),
        "/a%2fb?c=/d",
        Some("https://www.example/a%2fb?c=/d"),
    ),
    (
        "https://{host}{path}{query}",
        Some("[2001:db8::1]"),
        "/",
        Some("https://[2001:db8::1]/"),
    ),
    ("https://{host}{path}", None, "/", None),
    (
        "https://{host}:8443{path}{query}",
        Some("www.example"),
        "*",
        Some("https://www.example:8443/"),
    ),
    (
        "https://new.example{path}",
        None,
        "//evil.example/x?y",
        Some("https://new.example//evil.example/x"),
    ),
    ("{path}", None, "//evil.example", Some("/evil.example")),
    ("/{path}", None, "/evil.example", Some("/evil.example")),
    (
        "/x?from={path}&who={principal}",
        None,
        "/a&b%2f",
        Some("/x?from=%2Fa%26b%252f&who=eve%26%23%2F%0D%0A%20%C3%A9"),
    ),
    (
        "{scheme}://{host}/",
        Some("www.example"),
        "/",
        Some("https://www.example/"),
    ),
    ("/a{path}", None, "/\"<>", Some("/a/%22%3C%3E")),
    ("/{{path}}", None, "/x", Some("/%7Bpath%7D")),
];

#[test]
fn redirects_go_where_the_operator_says_whatever_the_client_writes() {
    for (to, host, target, expected) in REDIRECTS {
        let route = one(&format!("redirect = {{ to = {to:?}, status = 308 }}"));
        let Act::Redirect(redirect) = route.act(CLIENT) else {
            panic!("{route:?}");
        };
        assert_eq!(redirect.status, StatusCode::PERMANENT_REDIRECT);
        let host = host.map(|host| Host::parse(host).expect("the table holds hosts"));
        let variables = Variables {
            host: host.as_ref(),
            scheme: "https",
            principal: "eve&#/\r\n é",
            ..Variables::default()
        };
        let location = redirect.location(target, &variables);
        let location = location
            .as_ref()
            .map(|value| value.to_str().expect("ASCII"));
        assert_eq!(location, *expected, "{to} {target}");
    }
}

#[test]
fn a_fixed_answer_is_what_stands_there_or_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder for the pages");
    std::fs::write(folder.path().join("page.html"), "<p>").expect("the folder is ours");
    for (text, status, body, kind) in [
        ("respond = {}", 200, "", None),
        (
            "respond = { status = 404, body = \"no\" }",
            404,
            "no",
            Some("text/plain; charset=utf-8"),
        ),
        (
            "respond = { file = \"page.html\" }",
            200,
            "<p>",
            Some("text/html; charset=utf-8"),
        ),
        (
            "respond = { body = \"{}\", content-type = \"application/json\", headers = { x-a = [\"1\", \"2\"] } }",
            200,
            "{}",
            Some("application/json"),
        ),
        ("respond = { status = 204 }", 204, "", None),
    ] {
        let (table, faults) = read_text(&format!("[[route]]\n{text}"), folder.path());
        assert!(faults.is_empty(), "{faults:?}");
        let route = table.routes().next().expect("there is one");
        let Act::Answer(page) = route.act(CLIENT) else {
            panic!("{route:?}");
        };
        assert_eq!(
            (page.status.as_u16(), &*page.body),
            (status, body.as_bytes())
        );
        let said = page.headers.get("content-type");
        assert_eq!(
            said.map(|value| value.to_str().expect("text")),
            kind,
            "{text}"
        );
        assert_eq!(
            page.headers.get_all("x-a").iter().count(),
            if text.contains("x-a") { 2 } else { 0 }
        );
    }
}

#[test]
fn maintenance_lets_through_whom_it_names_and_nobody_else() {
    let text = "to = \"app\"\nmaintenance = { retry-after = \"10m\", allow = [\"192.0.2.0/24\", \"2001:db8::1\"] }";
    let route = one(text);
    for (client, through) in [
        ("192.0.2.7", true),
        ("::ffff:192.0.2.7", true),
        ("2001:db8::1", true),
        ("198.51.100.1", false),
        ("2001:db8::2", false),
    ] {
        let act = route.act(client.parse().expect("the table holds addresses"));
        assert_eq!(matches!(act, Act::To(_)), through, "{client}");
        if let Act::Answer(page) = act {
            assert_eq!(page.status, 503);
            assert_eq!(page.headers["retry-after"], "600");
            assert_eq!(page.headers["cache-control"], "no-store");
            assert!(!page.body.is_empty());
        }
    }
    assert!(matches!(
        one("to = \"app\"\nmaintenance = true").act(CLIENT),
        Act::Answer(_)
    ));
    assert!(matches!(
        one("to = \"app\"\nmaintenance = false").act(CLIENT),
        Act::To(_)
    ));
    assert!(matches!(
        one("maintenance = { body = \"x\" }").act(CLIENT),
        Act::Answer(_)
    ));
}

#[test]
fn a_treatment_is_read_and_pages_found_by_status_or_class() {
    let folder = tempfile::tempdir().expect("a folder for the pages");
    for name in ["down.html", "sorry.json", "mine"] {
        std::fs::write(folder.path().join(name), name).expect("the folder is ours");
    }
    let text = r#"
        [[route]]
        to = "app"
        headers = { request = { set = { x-client = "{client}" } } }
        rate = "10/s"
        bandwidth = "1MiB/s"
        cache = {}
        timeouts = { connect = "1s", response = "2s", total = "4s" }
        buffer = { request = "64KiB" }
        mirror = { to = "new", share = "25%" }
        error-pages = { 502 = "down.html", 5xx = "sorry.json", 404 = { file = "mine", content-type = "text/x" } }
        limits = { body-size = "10MiB" }
        retry = { tries = 3, per-try = "1s", on = [502, 503] }
    "#;
    let (table, faults) = read_text(text, folder.path());
    assert!(faults.is_empty(), "{faults:?}");
    let route = table.routes().next().expect("there is one");
    let how = &route.treatment;
    assert_eq!(
        how.obligations.filters.names().collect::<Vec<_>>(),
        ["headers"]
    );
    assert!(how.obligations.rate.is_some() && how.obligations.bandwidth == Some(ByteSize::mib(1)));
    assert!(how.obligations.cache.enabled && how.obligations.intercept.is_none());
    assert_eq!(how.timeouts.total, Some(Duration::from_secs(4)));
    assert_eq!(
        (how.buffer.request, how.buffer.response),
        (Some(ByteSize::kib(64)), None)
    );
    assert_eq!(how.limits.body_size, Some(ByteSize::mib(10)));
    let retry = how.retry.as_ref().expect("it is there");
    assert_eq!(
        (retry.tries, retry.per_try),
        (Some(3), Some(Duration::from_secs(1)))
    );
    let mirror = how.mirror.as_ref().expect("it is there");
    let copied = (0..1000_u64).filter(|n| mirror.takes(evenly(*n))).count();
    assert_eq!((&*mirror.to.name, copied), ("new", 250));
    assert!(Share::ALL.takes(u64::MAX));
    for (status, body, kind) in [
        (502, "down.html", "text/html; charset=utf-8"),
        (503, "sorry.json", "application/json"),
        (404, "mine", "text/x"),
    ] {
        let page = how
            .error_pages
            .of(StatusCode::from_u16(status).expect("a status"));
        let page = page.expect("there is one");
        assert_eq!(
            (&*page.body, &page.content_type),
            (body.as_bytes(), &HeaderValue::from_static(kind))
        );
    }
    assert!(how.error_pages.of(StatusCode::FORBIDDEN).is_none());
}
