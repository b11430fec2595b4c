//! Each condition in a table: its value, the request, the outcome.

use http::{HeaderMap, HeaderValue, Method};

use super::Truth::{self, No, Unknown, Yes};
use crate::policy::tests::{Ask, connect, get, ip, policy, read};

/// The outcome of one condition for a request.
fn truth(condition: &str, ask: &Ask) -> Truth {
    let policy = policy(&format!(
        "[[rule]]\nname = \"r\"\nallow = {{}}\n{condition}\n"
    ));
    let explained = policy.explain(&ask.facts(), None, &|_| false);
    explained.walks[0].rules[0].conditions[0].outcome
}

fn check(rows: &[(&str, Ask, Truth)]) {
    for (condition, ask, expected) in rows {
        assert_eq!(truth(condition, ask), *expected, "{condition} {ask:?}");
    }
}

fn from(client: &str) -> Ask {
    Ask {
        client: ip(client),
        ..get("a.example")
    }
}

fn socks() -> Ask {
    Ask {
        method: None,
        headers: None,
        ..connect("a.example:443")
    }
}

#[test]
fn client_is_compared_by_network_in_canonical_form() {
    let many = r#"client = ["192.0.2.1", "10.0.0.0/8", "2001:db8::/32"]"#;
    check(&[
        (many, from("10.1.2.3"), Yes),
        (many, from("::ffff:10.1.2.3"), Yes),
        (many, from("192.0.2.1"), Yes),
        (many, from("192.0.2.2"), No),
        (many, from("2001:db8::9"), Yes),
        (r#"client = "::ffff:10.0.0.0/104""#, from("10.9.9.9"), Yes),
        (r#"client = "10.1.2.3/8""#, from("10.9.9.9"), Yes),
        (r#"not = { client = "10.0.0.0/8" }"#, from("10.1.2.3"), No),
    ]);
}

#[test]
fn listener_scheme_method_and_port_are_compared_as_they_are() {
    let post = Ask {
        method: Some(Method::POST),
        ..get("a.example:8050")
    };
    check(&[
        (r#"listener = ["other", "egress"]"#, post.clone(), Yes),
        (r#"listener = "Egress""#, post.clone(), No),
        (r#"scheme = ["http", "https"]"#, post.clone(), Yes),
        (r#"scheme = "tunnel""#, post.clone(), No),
        (r#"scheme = "tunnel""#, socks(), Yes),
        (r#"method = ["GET", "POST"]"#, post.clone(), Yes),
        (r#"method = "GET""#, post.clone(), No),
        (r#"method = "GET""#, socks(), Unknown),
        (r#"method = "CONNECT""#, connect("a.example:443"), Yes),
        (r"port = 8050", post.clone(), Yes),
        (r#"port = [443, "8000-8100"]"#, post.clone(), Yes),
        (r#"port = "8000-8049""#, post.clone(), No),
        (r#"port = "8050""#, post, Yes),
    ]);
}

#[test]
fn who_is_unknown_where_nobody_answered() {
    let ann = get("a.example").by("ann", &["ci", "dev"]);
    check(&[
        (r#"principal = ["bob", "ann"]"#, ann.clone(), Yes),
        (r#"principal = "*""#, ann.clone(), Yes),
        (r#"principal = "Ann""#, ann.clone(), No),
        (r#"principal = "*""#, get("a.example"), Unknown),
        (r#"group = ["ops", "dev"]"#, ann.clone(), Yes),
        (r#"group = "ops""#, ann, No),
        (r#"group = "ops""#, get("a.example"), Unknown),
        (r#"not = { group = "ops" }"#, get("a.example"), Unknown),
    ]);
}

#[test]
fn host_is_compared_in_one_canonical_form() {
    for (pattern, host, expected) in [
        ("a.example", "A.Example.", Yes),
        ("a.example", "b.a.example", No),
        ("*.example", "b.a.example", Yes),
        ("*.example", "example", No),
        ("*.a.example", "xa.example", No),
        ("api-*.example", "api-7.example", Yes),
        ("bücher.example", "xn--bcher-kva.example", Yes),
        ("@registries", "code.example", Yes),
        ("@registries", "x.code.example", No),
        ("*", "192.0.2.1", Yes),
        ("192.0.2.1", "[::ffff:192.0.2.1]", Yes),
        ("::1", "[::1]", Yes),
    ] {
        let condition = format!("host = \"{pattern}\"");
        assert_eq!(truth(&condition, &get(host)), expected, "{pattern} {host}");
    }
}

#[test]
fn address_is_unknown_for_a_name_and_known_for_a_literal() {
    let at = |address: &str| Ask {
        resolved: Some(ip(address)),
        ..get("a.example")
    };
    check(&[
        (r#"address = "8.8.8.0/24""#, get("a.example"), Unknown),
        (
            r#"not = { address = "8.8.8.0/24" }"#,
            get("a.example"),
            Unknown,
        ),
        (r#"address = "8.8.8.0/24""#, get("8.8.8.8"), Yes),
        (r#"address = "8.8.8.8""#, at("::ffff:8.8.8.8"), Yes),
        (r#"address = "public""#, at("8.8.8.8"), Yes),
        (r#"address = "public""#, at("10.0.0.1"), No),
        (
            r#"address = ["loopback", "private"]"#,
            at("64:ff9b::a00:1"),
            Yes,
        ),
        (r#"address = "@internal""#, at("10.0.5.9"), Yes),
        (r#"address = "::/0""#, at("8.8.8.8"), No),
    ]);
}

#[test]
fn path_is_a_glob_whose_last_star_is_all_below() {
    for (pattern, path, expected) in [
        ("/api/*", "/api/a/b", Yes),
        ("/api/*", "/api/", Yes),
        ("/api/*", "/api", No),
        ("/api/*", "/apis/a", No),
        ("/api/*/raw", "/api/x/raw", Yes),
        ("/api/*/raw", "/api/x/y/raw", No),
        ("/**/raw", "/api/x/y/raw", Yes),
        ("/api/v?", "/api/v2", Yes),
        ("/api", "/API", No),
        ("*", "/any/thing", Yes),
        ("/{a,b}/*", "/b/c", Yes),
    ] {
        let mut ask = get("a.example");
        ask.path = Some(path.to_owned());
        let condition = format!("path = \"{pattern}\"");
        assert_eq!(truth(&condition, &ask), expected, "{pattern} {path}");
    }
    assert_eq!(truth("path = \"/*\"", &connect("a.example:443")), Unknown);
}

#[test]
fn header_asks_for_presence_or_a_value_on_any_line() {
    let mut ask = get("a.example");
    let mut headers = HeaderMap::new();
    headers.insert(
        "user-agent",
        HeaderValue::from_static("pip/24.0 (linux; x/y)"),
    );
    headers.append("x-tag", HeaderValue::from_static("one"));
    headers.append("x-tag", HeaderValue::from_static("two"));
    ask.headers = Some(headers);
    check(&[
        (r#"header = { User-Agent = "pip/*" }"#, ask.clone(), Yes),
        (
            r#"header = { user-agent = ["curl/*", "pip/*"] }"#,
            ask.clone(),
            Yes,
        ),
        (r#"header = { user-agent = "curl/*" }"#, ask.clone(), No),
        (r#"header = { x-tag = "two" }"#, ask.clone(), Yes),
        (
            r#"header = { x-tag = "two", user-agent = true }"#,
            ask.clone(),
            Yes,
        ),
        (
            r#"header = { x-tag = "two", x-none = true }"#,
            ask.clone(),
            No,
        ),
        (r#"not = { header = { x-none = true } }"#, ask, Yes),
        (r#"header = { x-tag = "two" }"#, socks(), Unknown),
    ]);
}

#[test]
fn time_is_the_wall_clock_of_its_zone_across_midnight_and_daylight_saving() {
    let office = "Mon-Fri 08:00-18:00 Europe/Berlin";
    let night = "Fri 22:00-06:00 Europe/Berlin";
    for (window, now, expected) in [
        // Winter: one hour ahead of UTC; summer: two.
        (office, "2026-03-27T07:00:00Z", Yes),
        (office, "2026-03-27T06:59:59Z", No),
        (office, "2026-03-27T16:59:59Z", Yes),
        (office, "2026-03-27T17:00:00Z", No),
        (office, "2026-03-30T06:00:00Z", Yes),
        (office, "2026-03-30T05:59:59Z", No),
        (office, "2026-03-30T16:00:00Z", No),
        (office, "2026-03-28T10:00:00Z", No),
        // The night that begins on Friday ends on Saturday.
        (night, "2026-03-27T21:00:00Z", Yes),
        (night, "2026-03-28T04:59:00Z", Yes),
        (night, "2026-03-28T05:00:00Z", No),
        (night, "2026-03-27T04:00:00Z", No),
        (night, "2026-03-28T21:30:00Z", No),
        // 02:30 does not exist on the 29th of March, and comes twice on the 25th of October.
        ("Sun 02:00-03:00 Europe/Berlin", "2026-03-29T00:59:59Z", No),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-03-29T01:00:00Z", No),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T00:30:00Z", Yes),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T01:30:00Z", Yes),
        ("Sat-Mon UTC", "2026-03-29T12:00:00Z", Yes),
        ("Sat-Mon UTC", "2026-03-31T12:00:00Z", No),
        ("Mon,wed 18:00-24:00 UTC", "2026-03-25T23:59:59Z", Yes),
        ("Mon,Wed 18:00-24:00 UTC", "2026-03-26T00:00:00Z", No),
        ("00:00-06:00 America/New_York", "2026-07-01T05:00:00Z", Yes),
    ] {
        let mut ask = get("a.example");
        ask.now = now.parse().expect("the table holds times");
        let condition = format!("time = \"{window}\"");
        assert_eq!(truth(&condition, &ask), expected, "{window} {now}");
    }
    let mut ask = get("a.example");
    ask.now = "2026-03-30T06:00:00Z".parse().expect("a time");
    assert_eq!(
        truth(&format!("time = [\"Sat UTC\", \"{office}\"]"), &ask),
        Yes
    );
}

#[test]
fn a_value_that_a_condition_can_not_read_is_a_fault_with_a_remedy() {
    for (condition, problem, remedy) in [
        (r#"client = "10.0.0.0/33""#, "neither an address", "network"),
        (r"port = 0", "0 is not a port", "8000-8100"),
        (r"port = 70000", "70000 is not a port", "8000-8100"),
        (r#"port = "90-80""#, "is empty", "lower port first"),
        (r#"port = "http""#, "\"http\" is not a port", "443"),
        (r"port = 1.5", "expected a port", ""),
        (r#"scheme = "htps""#, "\"htps\" is not known", "\"https\""),
        (r#"method = "get""#, "case-sensitive", "\"GET\""),
        (r#"method = "G T""#, "not a method", "\"GET\""),
        (r#"host = "https://a.example/""#, "a URL", "host alone"),
        (r#"host = "10.0.0.0/8""#, "10.0.0.0/8", "\"address\""),
        (r#"host = "010.0.0.1""#, "ambiguous", ""),
        (
            r#"address = "privat""#,
            "\"privat\" is no address",
            "\"private\"",
        ),
        (
            r#"address = "@nolist""#,
            "no list \"nolist\"",
            "[list.nolist]",
        ),
        (r#"path = "api/*""#, "no slash", "\"/api/*\""),
        (r#"path = "/a[""#, "not a valid glob", "glob"),
        (r#"path = "/a?x=1""#, "without query", "path alone"),
        (
            r#"header = { "a b" = true }"#,
            "not a field name",
            "hyphens",
        ),
        (
            r#"header = { accept = false }"#,
            "asked to be there",
            "not = { header",
        ),
        (r#"header = {}"#, "no field is named", "user-agent"),
        (r#"time = "Mon-Fri 08:00-18:00""#, "no time zone", "UTC"),
        (
            r#"time = "Mon-Fri 08:00-18:00 Europe/Berln""#,
            "no time zone \"Europe/Berln\"",
            "\"Europe/Berlin\"",
        ),
        (
            r#"time = "Mon-Fry 08:00-18:00 UTC""#,
            "\"Fry\" is not a day",
            "Fri",
        ),
        (r#"time = "8-18 UTC""#, "not a span of hours", "08:00-18:00"),
        (
            r#"time = "08:00-08:00 UTC""#,
            "begins where it ends",
            "whole day",
        ),
        (
            r#"time = "08:00-25:00 UTC""#,
            "not a span of hours",
            "08:00-18:00",
        ),
        (r#"time = "UTC""#, "neither days nor hours", "Mon-Fri"),
        (r#"time = "Mon UTC please""#, "does not belong", "Mon-Fri"),
    ] {
        let text = format!("[[rule]]\nname = \"r\"\nallow = {{}}\n{condition}\n");
        let faults = read(&text).map(|_| ()).expect_err(condition);
        assert_eq!(faults.len(), 1, "{condition}: {faults:?}");
        assert!(
            faults[0].starts_with("p.toml:4:"),
            "{condition}: {}",
            faults[0]
        );
        assert!(faults[0].contains(problem), "{condition}: {}", faults[0]);
        assert!(faults[0].contains(remedy), "{condition}: {}", faults[0]);
    }
}
