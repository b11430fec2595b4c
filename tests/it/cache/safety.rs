//! Who may have what is stored, and who can spoil it: policy before the cache, and a key that says all that counts.
//! Not the credentials of origins, which are `storing`.

use super::table::{Row, Step, caching, get, method, row, run, run_with};
use crate::support::{Config, Egret, Origin, Wire, ok};

const FRESH: &str = "Cache-Control: max-age=600";

fn fresh(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn plain(url: &str) -> String {
    crate::support::get(url, "")
}

#[test]
fn a_client_that_is_denied_never_gets_what_is_stored() {
    let config = caching().more(
        "[[listener]]\nname = \"closed\"\nbind = \"127.0.0.1:0\"\nmode = \"forward\"\npolicy = \"closed\"\n\
         [policy.closed]\ndefault = \"deny\"",
    );
    let egret = Egret::start(&config);
    let origin = Origin::http(|_| fresh("secret"));
    let request = plain(&origin.url("/one"));
    assert_eq!(egret.ask(&request).text(), "secret");
    assert_eq!(egret.ask(&request).text(), "secret");
    assert_eq!(origin.requests().len(), 1, "nothing was stored");
    for lines in [
        "",
        "Cache-Control: only-if-cached\r\n",
        "If-None-Match: *\r\n",
        "Range: bytes=0-1\r\n",
    ] {
        let mut wire = Wire::connect(egret.address("closed"));
        wire.send(crate::support::get(&origin.url("/one"), lines).as_bytes());
        let answer = wire.response("GET");
        assert_eq!(answer.status, 403, "{lines}");
        assert!(!answer.text().contains("secret"));
    }
}

#[test]
fn a_rule_by_address_is_asked_before_what_is_stored_is_given() {
    // The name is allowed, the address it stands for is not: the cache must not know better than the second decision.
    let config = |address: &str| {
        Config::closed()
            .rule(&format!(
                "name = \"by-address\"\nallow = {{}}\naddress = \"{address}\""
            ))
            .cache()
    };
    let egret = Egret::start(&config("127.0.0.0/8"));
    let origin = Origin::http(|_| fresh("secret"));
    let request = plain(&origin.url("/one"));
    assert_eq!(egret.ask(&request).text(), "secret");
    assert_eq!(egret.ask(&request).text(), "secret");
    egret.write("egret.toml", &config("192.0.2.0/24").text());
    let reloaded = egret.command(&["reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    let answer = egret.ask(&request);
    assert_eq!(answer.status, 403);
    assert!(!answer.text().contains("secret"));
}

#[test]
fn what_connection_takes_away_stores_and_finds_nothing() {
    // RFC 9110 §7.6.1: the origin does not see the field, and answers as if it had not been sent.
    let rows = |field: &'static str, value: &str, lines: &str| {
        let with = |step: Step| step.with(format!("{field}: {value}"));
        let hidden = |step: Step| with(step).with(format!("Connection: {field}"));
        let none = get().answer(200, lines).carrying("none");
        let own = get().answer(200, lines).carrying("own");
        vec![
            row(
                format!("{field}, stored by who hides it"),
                "§4.1",
                [
                    hidden(none.clone()).unsent(&format!("{field}: {value}")),
                    with(own.clone()).body("own"),
                    get().body("none"),
                ],
            ),
            row(
                format!("{field}, asked for by who hides it"),
                "§4.1",
                [with(own), hidden(none).body("none"), get().body("none")],
            ),
        ]
    };
    run(rows(
        "Accept-Language",
        "de",
        "Cache-Control: max-age=600\nVary: Accept-Language",
    ));
    let rule = "name = \"keyed\"\naddress = \"127.0.0.0/8\"\nallow = { cache = { key = { headers = [\"X-Tenant\"] } } }";
    let keyed = Config::closed().rule(rule).cache();
    run_with(&keyed, rows("X-Tenant", "a", FRESH));
}

#[test]
fn what_is_not_in_the_key_cannot_spoil_what_is_stored() {
    let fields = [
        "X-Forwarded-Host",
        "X-Forwarded-Server",
        "X-Forwarded-Proto",
        "X-Forwarded-Scheme",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Path",
        "X-Forwarded-Uri",
        "X-Original-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Host",
        "X-HTTP-Host-Override",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "Forwarded",
    ];
    let mirrored = |field: &'static str, value: &str| -> Row {
        let ask = || {
            get()
                .answer(200, FRESH)
                .carrying("page for ")
                .mirroring(field)
        };
        row(
            format!("{field} that the origin puts into its page"),
            "§7.1",
            [
                ask().with(format!("{field}: {value}")),
                ask().maybe().never("evil"),
                ask().maybe().never("evil"),
            ],
        )
    };
    let mut rows: Vec<_> = fields
        .iter()
        .map(|field| mirrored(field, "evil.example"))
        .collect();
    rows.push(mirrored("Forwarded", "for=x;host=evil.example"));
    rows.push(row(
        "Host, which the target overrules",
        "9112 §3.2.2",
        [
            get()
                .answer(200, FRESH)
                .carrying("page for ")
                .mirroring("Host")
                .with("X-A: b"),
            get().never("evil"),
        ],
    ));
    run(rows);
}

#[test]
fn a_host_beside_the_target_decides_nothing() {
    let egret = Egret::start(&caching());
    let origin = Origin::http(|request| fresh(request.header("host").unwrap_or_default()));
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        origin.url("/one")
    );
    assert_eq!(egret.ask(&request).text(), origin.address.to_string());
    assert_eq!(
        egret.ask(&plain(&origin.url("/one"))).text(),
        origin.address.to_string()
    );
    assert_eq!(origin.requests().len(), 1);
}

/// Two requests that are for two things.
fn apart(name: &str, first: Step, second: Step) -> Row {
    let first = first.answer(200, FRESH).carrying("one");
    let second = second.answer(200, FRESH).carrying("two").body("two");
    row(name, "§2", [first, second])
}

#[test]
fn what_is_another_resource_has_another_key() {
    run(vec![
        apart("a query", get().at("?a"), get().at("?b")),
        apart("a query or none", get(), get().at("?a")),
        apart("a path in another case", get().at("/a"), get().at("/A")),
        apart("a slash more", get().at("/a"), get().at("/a/")),
        apart("a slash that is data", get().at("/a%2Fb"), get().at("/a/b")),
        apart("another port", get(), get().there()),
        row(
            "the same, asked from another page",
            "§2",
            [
                get()
                    .with("Referer: http://a/")
                    .answer(200, FRESH)
                    .carrying("one"),
                get()
                    .with("Origin: http://b\nReferer: http://b/")
                    .body("one"),
            ],
        ),
    ]);
}

#[test]
fn another_host_at_the_same_address_has_another_key() {
    let egret = Egret::start(&caching());
    let origin = Origin::http(|request| fresh(request.header("host").unwrap_or_default()));
    let port = origin.port();
    for host in ["127.0.0.1", "localhost"] {
        let answer = egret.ask(&plain(&format!("http://{host}:{port}/one")));
        assert_eq!(answer.text(), format!("{host}:{port}"));
    }
    // The same host, spelled another way, has the same.
    let answer = egret.ask(&plain(&format!("HTTP://LOCALHOST:{port}/one")));
    assert_eq!(answer.text(), format!("localhost:{port}"));
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn content_of_a_request_reaches_the_origin_and_no_key() {
    run(vec![
        row(
            "GET with content",
            "9110 §9.3.1",
            [
                get()
                    .content("evil")
                    .answer(200, FRESH)
                    .carrying("evil page"),
                get().answer(200, FRESH).carrying("page").never("evil"),
                get().never("evil"),
            ],
        ),
        row(
            "a HEAD with content",
            "9110 §9.3.2",
            [
                method("HEAD")
                    .content("evil")
                    .answer(200, "X-Evil: evil\nCache-Control: max-age=600"),
                get().answer(200, FRESH).carrying("page").never("evil"),
            ],
        ),
    ]);
}

#[test]
fn credentials_of_the_proxy_are_not_stored() {
    run(vec![row(
        "what the origin sees",
        "9110 §11.7.1",
        [
            get()
                .with("Proxy-Authorization: Basic eDp5")
                .answer(200, FRESH)
                .unsent("Proxy-Authorization"),
            get().lacks("Proxy-Authenticate"),
        ],
    )]);
}

#[test]
fn purging_is_for_those_who_may() {
    let egret = Egret::start(&caching());
    let origin = Origin::http(|request| {
        if request.method == "GET" {
            fresh("one")
        } else {
            ok(b"")
        }
    });
    let url = origin.url("/one");
    egret.ask(&plain(&url));
    let answer = egret.ask(&format!(
        "PURGE {url} HTTP/1.1\r\nHost: {}\r\n\r\n",
        origin.address
    ));
    // Nothing says that this client may: it is refused, or goes to the origin like any other method.
    assert!([200, 403, 405].contains(&answer.status), "{}", answer.head);
    let purged = egret.command(&["cache", "purge", &url]);
    assert!(purged.status.success(), "{purged:?}");
    let before = origin.requests().len();
    egret.ask(&plain(&url));
    assert_eq!(origin.requests().len(), before + 1, "it was there still");
}

#[test]
fn what_could_be_read_in_two_ways_leaves_nothing_in_the_cache() {
    let framed = |name: &str, lines: &str, body: &str| {
        row(
            name,
            "9112 §6.3",
            [
                get()
                    .answer(200, format!("{FRESH}\n{lines}"))
                    .carrying(body)
                    .status(502)
                    .never("evil"),
                get().answer(200, FRESH).carrying("page").body("page"),
                get().body("page"),
            ],
        )
    };
    run(vec![
        framed(
            "an answer with two kinds of length",
            "Content-Length: 4\nTransfer-Encoding: chunked",
            "4\r\nevil\r\n0\r\n\r\n",
        ),
        framed(
            "an answer with two lengths",
            "Content-Length: 4\nContent-Length: 24",
            "evilHTTP/1.1 200 OK\r\n\r\n",
        ),
        framed(
            "an answer with a coding that nobody knows",
            "Content-Length: 4\nTransfer-Encoding: evil, chunked",
            "evil",
        ),
    ]);
}

#[test]
fn a_request_within_a_request_brings_nothing_into_the_cache() {
    let egret = Egret::start(&caching());
    let origin = Origin::http(|request| match request.method.as_str() {
        "GET" => fresh(request.header("x-evil").unwrap_or("page")),
        _ => ok(b"posted"),
    });
    let url = origin.url("/one");
    let inner = crate::support::get(&url, "X-Evil: evil\r\n");
    let ambiguous = [
        format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked",
            inner.len() + 5
        ),
        format!("Content-Length: 0\r\nContent-Length: {}", inner.len()),
        "Transfer-Encoding: chunked, evil".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        format!("Content-Length: +{}", inner.len()),
    ];
    for lines in ambiguous {
        let mut wire = egret.connect();
        let url = origin.url("/post");
        wire.send(
            format!("POST {url} HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n0\r\n\r\n{inner}").as_bytes(),
        );
        assert_eq!(wire.response("POST").status, 400, "{lines}");
        assert!(
            origin.requests().is_empty(),
            "{lines}: {:?}",
            origin.requests()
        );
    }
    // One that is whole is content, and no more.
    let length = inner.len();
    let post = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{inner}",
        origin.url("/post")
    );
    assert_eq!(egret.ask(&post).text(), "posted");
    for _ in 0..2 {
        assert_eq!(egret.ask(&plain(&url)).text(), "page");
    }
    assert_eq!(origin.requests().len(), 2, "the post, and one page");
}

#[test]
fn what_a_rule_sets_is_part_of_the_key() {
    let rule = |team: &str| {
        format!(
            "name = \"{team}\"\nallow = {{ headers = {{ request = {{ set = {{ x-team = \"{team}\" }} }} }} }}\n\
             address = \"127.0.0.0/8\"\nheader = {{ x-who = \"{team}\" }}"
        )
    };
    let config = Config::closed().rule(&rule("a")).rule(&rule("b")).cache();
    let egret = Egret::start(&config);
    let origin = Origin::http(|request| fresh(request.header("x-team").unwrap_or_default()));
    for _ in 0..2 {
        for team in ["a", "b"] {
            let lines = format!("X-Who: {team}\r\n");
            let answer = egret.ask(&crate::support::get(&origin.url("/one"), &lines));
            assert_eq!(answer.text(), team);
        }
    }
    assert_eq!(origin.requests().len(), 2);
}
