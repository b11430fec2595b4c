//! Lists as clients and proxies write them, honest and not.
//! Start at [`WALKS`].

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use super::{Provenance, Trusted, Writing};
use crate::fault::{Fault, Faults, Source};
use crate::settings::Table;

fn trusted(setting: &str) -> Trusted {
    read(setting).expect("valid settings")
}

fn read(setting: &str) -> Result<Trusted, String> {
    let faults = Faults::new();
    let source = Source::new("egret.toml", format!("trusted-proxies = {setting}"));
    let table = Table::parse(&source, &faults);
    let trusted = table.take("trusted-proxies", &faults);
    let told: String = faults.into_vec().iter().map(Fault::render).collect();
    trusted.ok_or(told)
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::try_from(*value).expect("a value"));
    }
    headers
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The peer, the lines of `X-Forwarded-For`, the client, and whether the walk was cut.
const WALKS: &[(&str, &[&str], &str, bool)] = &[
    ("192.0.2.9", &["198.51.100.1"], "192.0.2.9", false),
    ("10.0.0.1", &[], "10.0.0.1", false),
    ("10.0.0.1", &["198.51.100.1"], "198.51.100.1", false),
    ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1", false),
    (
        "10.0.0.1",
        &["203.0.113.1, 198.51.100.1"],
        "198.51.100.1",
        false,
    ),
    (
        "10.0.0.1",
        &["198.51.100.1, 10.0.0.2"],
        "198.51.100.1",
        false,
    ),
    (
        "10.0.0.1",
        &["198.51.100.1", "10.0.0.2,10.0.0.3"],
        "198.51.100.1",
        false,
    ),
    (
        "10.0.0.1",
        &["198.51.100.1, ,\t, 10.0.0.2 ,"],
        "198.51.100.1",
        false,
    ),
    ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3", false),
    ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1", false),
    ("10.0.0.1", &["2001:db8::1"], "2001:db8::1", false),
    ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1", false),
    ("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1", false),
    ("fd00::1", &["2001:db8::1, fd00::2"], "2001:db8::1", false),
    // The walk ends at the last good hop.
    ("10.0.0.1", &["unknown"], "10.0.0.1", true),
    (
        "10.0.0.1",
        &["198.51.100.1, unknown, 10.0.0.2"],
        "10.0.0.2",
        true,
    ),
    ("10.0.0.1", &["198.51.100.1, _hidden"], "10.0.0.1", true),
    (
        "10.0.0.1",
        &["198.51.100.1, 10.0.0.2 10.0.0.3"],
        "10.0.0.1",
        true,
    ),
    ("10.0.0.1", &["198.51.100.001"], "10.0.0.1", true),
    ("10.0.0.1", &["198.51.100.1:99999"], "10.0.0.1", true),
    ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1", true),
    ("10.0.0.1", &["[2001:db8::1"], "10.0.0.1", true),
    ("10.0.0.1", &["[198.51.100.1]"], "10.0.0.1", true),
    ("10.0.0.1", &["\"198.51.100.1\""], "10.0.0.1", true),
];

#[test]
fn the_client_is_the_first_from_the_right_that_no_trusted_proxy_is() {
    let trusted = trusted("[\"10.0.0.0/8\", \"fd00::/8\"]");
    for (peer, lines, client, cut) in WALKS {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        let found = trusted.read(ip(peer), &fields(&lines));
        assert_eq!(
            (found.client, found.cut),
            (ip(client), *cut),
            "{peer} {lines:?}"
        );
    }
    let endless = vec!["10.0.0.2"; 1_000].join(",");
    let found = trusted.read(ip("10.0.0.1"), &fields(&[("x-forwarded-for", &endless)]));
    assert!(found.cut && found.chain.len() <= 32);
}

/// The lines of `Forwarded`; client, port, scheme, host; whether the walk was cut.
type Said = (
    &'static str,
    Option<u16>,
    Option<bool>,
    Option<&'static str>,
    bool,
);
const FORWARDED: &[(&[&str], Said)] = &[
    (&[], ("10.0.0.1", None, None, None, false)),
    (
        &["for=198.51.100.1"],
        ("198.51.100.1", None, None, None, false),
    ),
    (
        &["For=\"[2001:db8:cafe::17]:4711\";Proto=https;HOST=\"a.test:8443\";by=_x"],
        (
            "2001:db8:cafe::17",
            Some(4711),
            Some(true),
            Some("a.test:8443"),
            false,
        ),
    ),
    (
        &[
            "for=203.0.113.1;host=evil.test, for=198.51.100.1; proto=https;host=a.test",
            "for=10.0.0.2;proto=http",
        ],
        ("198.51.100.1", None, Some(true), Some("a.test:443"), false),
    ),
    (
        &["for=198.51.100.1;x=\"a,\\\",b\""],
        ("198.51.100.1", None, None, None, false),
    ),
    (
        &["for=\"198.51.100.1:_port\""],
        ("198.51.100.1", None, None, None, false),
    ),
    // What the client leaves open does not reach what a proxy wrote.
    (
        &["for=\", for=198.51.100.1"],
        ("198.51.100.1", None, None, None, false),
    ),
    (
        &["for=\"\\, for=198.51.100.1"],
        ("198.51.100.1", None, None, None, false),
    ),
    (
        &["for=\", for=\"198.51.100.1\""],
        ("198.51.100.1", None, None, None, false),
    ),
    (
        &["for=\"a", "for=198.51.100.1"],
        ("198.51.100.1", None, None, None, false),
    ),
    // Cut.
    (&["for=unknown"], ("10.0.0.1", None, None, None, true)),
    (
        &["for=198.51.100.1, for=_hidden, for=10.0.0.2;proto=https"],
        ("10.0.0.2", None, Some(true), None, true),
    ),
    (
        &["for=198.51.100.1;for=198.51.100.2"],
        ("10.0.0.1", None, None, None, true),
    ),
    (
        &["for=198.51.100.1;proto=gopher"],
        ("10.0.0.1", None, None, None, true),
    ),
    (
        &["for=198.51.100.1;host=\"a b\""],
        ("10.0.0.1", None, None, None, true),
    ),
    (&["proto=https"], ("10.0.0.1", None, None, None, true)),
    (
        &["for=\"198.51.100.1\"x"],
        ("10.0.0.1", None, None, None, true),
    ),
    (
        &["for = 198.51.100.1"],
        ("10.0.0.1", None, None, None, true),
    ),
    (&["198.51.100.1"], ("10.0.0.1", None, None, None, true)),
];

#[test]
fn forwarded_is_read_by_its_grammar_and_from_the_right() {
    let trusted = trusted("{ networks = \"10.0.0.0/8\", fields = \"forwarded\" }");
    for (lines, (client, port, secure, host, cut)) in FORWARDED {
        let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
        let found = trusted.read(ip("10.0.0.1"), &fields(&lines));
        let told = found.host.as_ref().map(ToString::to_string);
        assert_eq!(
            (
                found.client,
                found.port,
                found.secure,
                told.as_deref(),
                found.cut
            ),
            (ip(client), *port, *secure, *host, *cut),
            "{lines:?}"
        );
    }
}

#[test]
fn the_family_that_the_proxies_do_not_write_is_not_looked_at() {
    let headers = fields(&[
        ("forwarded", "for=203.0.113.1;proto=https"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.test"),
    ]);
    let x = trusted("\"10.0.0.0/8\"").read(ip("10.0.0.1"), &headers);
    assert_eq!((x.client, x.secure), (ip("198.51.100.1"), Some(false)));
    assert_eq!(
        x.host.map(|host| host.to_string()).as_deref(),
        Some("a.test:80")
    );
    let setting = "{ networks = [\"10.0.0.0/8\"], fields = \"forwarded\" }";
    let forwarded = trusted(setting).read(ip("10.0.0.1"), &headers);
    assert_eq!(
        (forwarded.client, forwarded.secure),
        (ip("203.0.113.1"), Some(true))
    );
    assert_eq!(forwarded.host, None);
    let nobody = Trusted::default().read(ip("10.0.0.1"), &headers);
    assert_eq!(nobody, Provenance::of(ip("10.0.0.1")));
}

#[test]
fn of_several_schemes_and_hosts_the_last_counts() {
    let headers = fields(&[
        ("x-forwarded-for", "198.51.100.1, 10.0.0.2"),
        ("x-forwarded-proto", "gopher, http"),
        ("x-forwarded-proto", "HTTPS"),
        ("x-forwarded-host", "evil.test, [2001:db8::1]:8443"),
    ]);
    let found = trusted("\"10.0.0.0/8\"").read(ip("10.0.0.1"), &headers);
    assert_eq!(found.secure, Some(true));
    let host = found.host.map(|host| host.to_string());
    assert_eq!(host.as_deref(), Some("[2001:db8::1]:8443"));
}

fn written(
    writing: Writing,
    trusted: &Trusted,
    peer: &str,
    came: &[(&'static str, &str)],
) -> String {
    let mut headers = fields(came);
    let seen = trusted.read(ip(peer), &headers);
    writing.apply(&mut headers, &seen, ip(peer), false, "b.test:8080");
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
        .collect();
    lines.sort();
    lines.join("\n")
}

#[test]
fn what_a_client_says_of_itself_is_replaced() {
    let came = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x_forwarded_for", "1.1.1.1"),
        ("x-real-ip", "1.1.1.1"),
        ("x-forwarded-port", "1"),
        ("forwarded", "for=1.1.1.1"),
        ("x-forwarded-host", "evil.test"),
        ("x-original-url", "/admin"),
        ("x_rewrite_url", "/admin"),
        ("x-forwarded-uri", "/admin"),
        ("proxy", "http://evil.test/"),
        ("x-other", "1"),
    ];
    let nobody = Trusted::default();
    assert_eq!(
        written(Writing::XForwarded, &nobody, "2001:db8::1", &came),
        "x-forwarded-for: 2001:db8::1\nx-forwarded-host: b.test:8080\nx-forwarded-proto: http\nx-other: 1"
    );
    assert_eq!(
        written(Writing::Forwarded, &nobody, "2001:db8::1", &came),
        "forwarded: for=\"[2001:db8::1]\";proto=http;host=\"b.test:8080\"\nx-other: 1"
    );
    assert_eq!(
        written(Writing::Off, &nobody, "192.0.2.1", &came),
        "x-other: 1"
    );
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_added_to_and_hearsay_is_not() {
    let x = trusted("\"10.0.0.0/8\"");
    let came = [
        ("x-forwarded-for", "1.1.1.1, 198.51.100.1:99, 10.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a.test"),
        ("forwarded", "for=1.1.1.1"),
    ];
    assert_eq!(
        written(Writing::Both, &x, "10.0.0.1", &came),
        "forwarded: for=\"198.51.100.1:99\";proto=https;host=a.test, for=10.0.0.2, for=10.0.0.1;proto=http;host=\"b.test:8080\"\n\
         x-forwarded-for: 198.51.100.1, 10.0.0.2, 10.0.0.1\n\
         x-forwarded-host: a.test\n\
         x-forwarded-proto: https"
    );
    let forwarded = trusted("{ networks = [\"10.0.0.0/8\"], fields = \"forwarded\" }");
    let came = [(
        "forwarded",
        "for=1.1.1.1, for=\"[2001:db8::1]\";proto=https;host=\"a.test:444\"",
    )];
    assert_eq!(
        written(Writing::Forwarded, &forwarded, "10.0.0.1", &came),
        "forwarded: for=\"[2001:db8::1]\";proto=https;host=\"a.test:444\", for=10.0.0.1;proto=http;host=\"b.test:8080\""
    );
}

#[test]
fn a_setting_that_would_trust_everyone_or_nobody_known_is_a_fault() {
    for (setting, told) in [
        ("\"0.0.0.0/0\"", "trusts everyone"),
        ("[\"10.0.0.0/8\", \"::/0\"]", "trusts everyone"),
        ("\"proxy.test\"", "neither an address nor a network"),
        ("{ fields = \"forwarded\" }", "\"networks\" is missing"),
        (
            "{ networks = \"10.0.0.1\", fields = \"forward\" }",
            "Did you mean \"forwarded\"?",
        ),
        ("{ network = \"10.0.0.1\" }", "Did you mean \"networks\"?"),
    ] {
        let faults = read(setting).expect_err(setting);
        assert!(faults.contains(told), "{setting}: {faults}");
    }
    assert!(trusted("[]").is_empty());
}
