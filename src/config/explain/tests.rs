//! Which listener a question is for, and what a gateway's routes and policy make of it.

use std::path::Path;

use super::*;
use crate::config;
use crate::question::Question;

/// A proxy's listener after two of gateways', one of them with a policy.
const TEXT: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:8080"
mode = "reverse"
policy = "edge"
trusted-proxies = ["10.1.0.0/16"]
[[listener]]
name = "open"
bind = "127.0.0.1:8081"
mode = "reverse"
[[listener]]
name = "egress"
bind = "127.0.0.1:3128"
mode = "forward"
policy = "edge"

[[route]]
name = "api"
listener = "web"
host = ["www.example", "127.0.0.1"]
path = "/api/*"
to = [{ upstream = "app", weight = 9 }, { upstream = "canary", weight = 1 }]
rewrite = { strip-prefix = "/api" }
[[route]]
name = "old"
listener = "web"
host = "old.example"
redirect = { to = "https://www.example{path}{query}", status = 308 }
[[route]]
name = "down"
listener = "web"
host = "shop.example"
to = "app"
maintenance = { allow = ["10.9.0.0/16"] }
[[route]]
name = "elsewhere"
listener = "open"
host = "open.example"
to = "named"

[upstream.app]
endpoints = ["10.0.0.7:8080", "10.0.1.7:8080"]
[upstream.canary]
endpoints = ["10.0.2.7:8080"]
[upstream.named]
endpoints = ["10.0.3.7:8080", "app.internal:8080"]

[policy.edge]
[[policy.edge.rule]]
name = "no admin"
deny = {}
path = "/api/admin/*"
[[policy.edge.rule]]
name = "partners"
allow = {}
client = "10.9.0.0/16"
[[policy.edge.rule]]
name = "near"
allow = {}
address = "10.0.0.0/24"
"#;

fn configured(text: &str) -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("egret.toml");
    std::fs::write(&path, text).expect("written");
    load(&path)
}

fn load(path: &Path) -> Config {
    config::load(Some(path)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn explained(config: &Config, question: &Question) -> Result<Explanation, String> {
    let asked = question.read().expect("a question");
    // What somebody found out about the name is no matter of a gateway's.
    let resolved = Some(vec!["203.0.113.9".parse().expect("an address")]);
    let explained = config.explain(&asked, resolved, &config.own_listeners());
    explained.map_err(|fault| fault.to_string())
}

fn question(url: &str, from: &str) -> Question {
    Question {
        url: url.to_owned(),
        from: Some(from.parse().expect("an address")),
        ..Question::default()
    }
}

/// URL, client, verdict, rule, what the route does, what may be dialled.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const REQUESTS: &[Row] = &[
    (
        "http://www.example/api/users?full=1",
        "10.9.0.1",
        "allow",
        "partners",
        "to upstream \"app\" (9 of 10) or upstream \"canary\" (1 of 10), as /users?full=1",
        &[],
    ),
    (
        "http://127.0.0.1/api/users",
        "192.0.2.1",
        "allow",
        "near",
        "to upstream \"app\" (9 of 10) or upstream \"canary\" (1 of 10), as /users",
        &["10.0.0.7:8080"],
    ),
    (
        "http://www.example/api/admin/x",
        "10.9.0.1",
        "deny",
        "no admin",
        "to upstream \"app\" (9 of 10) or upstream \"canary\" (1 of 10), as /admin/x",
        &[],
    ),
    (
        "http://old.example/x?y",
        "10.9.0.1",
        "allow",
        "partners",
        "redirects with 308 to https://www.example/x?y",
        &[],
    ),
    (
        "http://shop.example/",
        "192.0.2.1",
        "allow",
        "near",
        "answers 503 by itself",
        &[],
    ),
    (
        "http://shop.example/",
        "10.9.0.1",
        "allow",
        "partners",
        "to upstream \"app\"",
        &[],
    ),
];

#[test]
fn a_gateway_s_request_is_explained_with_its_route_and_judged_as_one() {
    let config = configured(TEXT);
    let at = "egret.toml:18:1";
    for &(url, from, verdict, rule, does, permitted) in REQUESTS {
        let said = explained(&config, &question(url, from)).expect(url);
        let route = said.route.as_ref().expect(url);
        assert_eq!((said.verdict, &*said.rule), (verdict, rule), "{said}");
        assert_eq!(route.does, does, "{url}");
        let to: Vec<String> = said.permitted.iter().map(ToString::to_string).collect();
        assert_eq!(to, permitted, "{said}");
        assert!(!said.reason.contains("unless"), "{said}");
        assert_eq!(said.request.listener, "web");
        if route.route == "api" {
            assert!(route.at.ends_with(at), "{}", route.at);
        }
    }
}

#[test]
fn what_has_no_route_never_comes_to_the_policy() {
    let config = configured(TEXT);
    let asked = Question {
        listener: Some("web".to_owned()),
        ..question("http://lost.example/", "10.9.0.1")
    };
    let said = explained(&config, &asked).expect("an explanation");
    assert_eq!((said.verdict, &*said.rule), ("none", ""));
    assert_eq!(
        said.reason,
        "404, no route leads anywhere for this host, path and method"
    );
    let change = said.smallest_change.expect("a change");
    assert_eq!(
        change,
        "add\n[[route]]\nhost = \"lost.example\"\nto = \"UPSTREAM\""
    );
    // With that change it is taken.
    let more = change.trim_start_matches("add").replace("UPSTREAM", "app");
    let config = configured(&format!("{TEXT}{more}\nlistener = \"web\"\n"));
    let said = explained(&config, &asked).expect("an explanation");
    assert_eq!(said.verdict, "allow");
    for (url, method, status) in [
        ("http://www.example/api/x", "TRACE", "405"),
        ("http://www.example/api%2Fx", "GET", "400"),
    ] {
        let asked = Question {
            method: Some(method.to_owned()),
            listener: Some("web".to_owned()),
            ..question(url, "10.9.0.1")
        };
        let said = explained(&config, &asked).expect(url);
        assert_eq!(said.verdict, "none", "{said}");
        assert!(said.reason.starts_with(status), "{said}");
    }
}

#[test]
fn a_question_is_for_the_first_listener_that_takes_it() {
    let config = configured(TEXT);
    for (url, listener) in [
        ("http://www.example/api/", "web"),
        ("http://open.example/", "open"),
        // No gateway takes these.
        ("http://lost.example/", "egress"),
        ("www.example:443", "egress"),
        // Neither gateway speaks TLS, and a tunnel is what a proxy is asked for by that.
        ("https://www.example/api/", "egress"),
    ] {
        let said = explained(&config, &question(url, "10.9.0.1")).expect(url);
        assert_eq!(said.request.listener, listener, "{url}");
        assert_eq!(said.route.is_some(), listener != "egress", "{url}");
    }
    // A proxy in front may have ended TLS.
    let alone = TEXT.replace("mode = \"forward\"", "mode = \"reverse\"");
    let config = configured(&alone);
    let said = explained(&config, &question("https://www.example/api/", "10.9.0.1"));
    let said = said.expect("an explanation");
    assert_eq!(
        (&*said.request.listener, said.request.scheme),
        ("web", "https")
    );
    let tunnel = explained(&config, &question("www.example:443", "10.9.0.1"));
    assert_eq!(
        tunnel.expect_err("no tunnel"),
        "listener \"web\" is a gateway's, which takes no tunnels"
    );
}

#[test]
fn who_the_client_is_trusted_proxies_say() {
    let config = configured(TEXT);
    for (from, client, rule) in [
        ("10.1.0.1", "10.9.0.1", "partners"),
        ("192.0.2.1", "192.0.2.1", "near"),
    ] {
        let asked = Question {
            headers: vec![
                "X-Forwarded-For: 10.9.0.1".to_owned(),
                "X-Forwarded-Proto: https".to_owned(),
                "X-Forwarded-Host: www.example".to_owned(),
            ],
            ..question("http://127.0.0.1:8443/api/", from)
        };
        let said = explained(&config, &asked).expect("an explanation");
        assert_eq!(said.request.client, client);
        assert_eq!(said.rule, rule, "{said}");
        let (scheme, authority) = match rule {
            "partners" => ("https", "www.example:8443"),
            _ => ("http", "127.0.0.1:8443"),
        };
        assert_eq!(said.request.scheme, scheme);
        assert_eq!(said.request.authority, authority);
    }
}

#[test]
fn endpoints_that_nobody_has_looked_up_are_named_where_their_addresses_matter() {
    let rule = "address = \"10.0.0.0/24\"";
    for (rules, unknown) in [
        (TEXT.to_owned(), &[][..]),
        (
            TEXT.replace("name = \"open\"", "name = \"open\"\npolicy = \"edge\""),
            &["app.internal:8080"],
        ),
        (
            TEXT.replace("name = \"open\"", "name = \"open\"\npolicy = \"edge\"")
                .replace(rule, "port = 80"),
            &[],
        ),
    ] {
        let config = configured(&rules);
        let asked = question("http://open.example/", "192.0.2.1");
        let said = explained(&config, &asked).expect("an explanation");
        let route = said.route.as_ref().expect("a route");
        assert_eq!(route.unknown, unknown, "{said}");
        assert_eq!(said.walks.len(), 1 + unknown.len(), "{said}");
        let asked = Question {
            addresses: vec!["10.0.0.9".parse().expect("an address")],
            ..asked
        };
        let said = explained(&config, &asked).expect("an explanation");
        assert_eq!(said.verdict, "allow", "{said}");
        let route = said.route.as_ref().expect("a route");
        assert!(route.unknown.is_empty(), "{said}");
        assert_eq!(said.permitted.len(), 1, "{said}");
    }
}
