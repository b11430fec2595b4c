//! A reverse proxy that ends TLS, and a policy that goes by what its connections began with. RFC 6066 §3; RFC 9110 §15.5.20.
//! Not the handshakes themselves, which are `listener_tls`.

use crate::reload_reverse::{open_websocket_over, serve_websocket};
use crate::reverse::{get, reverse, upstream};
use crate::support::{Authority, Client, Config, Egret, Origin, Response, Wire, ok, said};

const HOSTS: &[&str] = &["a.test", "b.test", "c.test", "127.0.0.1"];

fn authority() -> Authority {
    let authority = Authority::new();
    authority.server("web", HOSTS);
    authority
}

/// A gateway over TLS in front of one origin, with these rules.
fn gateway(authority: &Authority, origin: &Origin, rules: &[&str]) -> Config {
    let tls = authority.tls(&["web"], "");
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[origin.address], "")
    );
    let config = reverse(&format!("policy = \"test\"\n{tls}"), &tables);
    rules.iter().enumerate().fold(config, |config, (at, rule)| {
        config.rule(&format!("name = \"rule-{at}\"\n{rule}"))
    })
}

fn connect(authority: &Authority, egret: &Egret, sni: &str, alpn: &[&str]) -> Wire {
    Client::new(authority, None, alpn).connect(egret.address("web"), sni)
}

fn ask(wire: &mut Wire, host: &str) -> Response {
    wire.send(get(host, "/", "").as_bytes());
    wire.response("GET")
}

#[test]
fn policy_goes_by_what_a_connection_to_a_gateway_began_with() {
    let authority = authority();
    let origin = Origin::http(|_| ok(b"app"));
    let rules = [
        "allow = {}\nsni = \"a.test\"\nheader = { x = \"sni\" }",
        "allow = {}\nalpn = \"http/1.1\"\nheader = { x = \"alpn\" }",
        "allow = {}\ntls-version = \"1.3\"\nheader = { x = \"version\" }",
        "allow = {}\ntls-version = \"1.2\"\nheader = { x = \"old\" }",
        "allow = {}\nech = true\nheader = { x = \"ech\" }",
    ];
    let egret = Egret::start(&gateway(&authority, &origin, &rules));
    let http1: &[&str] = &["http/1.1"];
    for (sni, alpn, asked, status) in [
        ("a.test", &[][..], "sni", 200),
        ("b.test", &[], "sni", 403),
        ("127.0.0.1", &[], "sni", 403),
        ("b.test", http1, "alpn", 200),
        ("b.test", &[], "alpn", 403),
        ("b.test", &[], "version", 200),
        ("b.test", &[], "old", 403),
        ("b.test", &[], "ech", 403),
        ("b.test", &[], "nothing", 403),
    ] {
        let mut wire = connect(&authority, &egret, sni, alpn);
        wire.send(get(sni, "/", &format!("X: {asked}\r\n")).as_bytes());
        let response = wire.response("GET");
        assert_eq!(response.status, status, "{sni} {alpn:?} {asked}");
    }
    let record = egret.wait_record("the first", |record| record["rule"] == "rule-0");
    assert_eq!(record["sni"], "a.test", "{record}");
}

#[test]
fn a_gateway_without_tls_has_no_server_name_to_go_by() {
    let origin = Origin::http(|_| ok(b"app"));
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[origin.address], "")
    );
    let config = reverse("policy = \"test\"", &tables)
        .rule("name = \"named\"\nallow = {}\nsni = \"*\"")
        .rule("name = \"sealed\"\nallow = { tls = { required = true } }\npath = \"/sealed\"")
        .rule("name = \"open\"\nallow = {}\npath = \"/open\"");
    let egret = Egret::start(&config);
    for (path, status) in [("/", 403), ("/sealed", 403), ("/open", 200)] {
        let response = crate::reverse::ask(&egret, &get("a.test", path, ""));
        assert_eq!(response.status, status, "{path}");
    }
}

#[test]
fn a_request_for_another_host_than_its_connections_is_misdirected_where_a_rule_goes_by_that() {
    let authority = authority();
    let origin = Origin::http(|_| ok(b"app"));
    let by_name = "allow = {}\nsni = [\"a.test\", \"b.test\"]";
    let by_nothing = "allow = {}\nhost = \"*\"";
    let any = "allow = { tls = { sni = \"any\" } }\nsni = \"a.test\"";
    let required = "allow = { tls = { sni = \"required\" } }\nhost = \"*\"";
    for (rule, sni, host, status) in [
        (by_name, "a.test", "a.test", 200),
        (by_name, "a.test", "A.TEST:443", 200),
        (by_name, "a.test", "b.test", 421),
        (by_name, "b.test", "b.test", 200),
        (any, "a.test", "b.test", 200),
        (required, "a.test", "b.test", 421),
        (required, "127.0.0.1", "b.test", 403),
        // One connection is for all names that its certificate has, where nobody tells them apart by it.
        (by_nothing, "a.test", "b.test", 200),
        (by_nothing, "127.0.0.1", "b.test", 200),
    ] {
        let egret = Egret::start(&gateway(&authority, &origin, &[rule]));
        let mut wire = connect(&authority, &egret, sni, &[]);
        let response = ask(&mut wire, host);
        assert_eq!(response.status, status, "{rule}: {host} by {sni}");
        if status != 421 {
            continue;
        }
        // The connection is as good as before for what it is for.
        assert_eq!(ask(&mut wire, sni).status, 200, "{rule}");
        let record = egret.wait_record("the refusal", |record| record["status"] == 421);
        assert_eq!(record["sni"], sni, "{record}");
        let reason = record["reason"].as_str().unwrap();
        assert!(reason.contains("domain fronting"), "{reason}");
    }
    let by_others = origin
        .requests()
        .iter()
        .filter(|request| request.header("host") == Some("b.test"))
        .count();
    assert_eq!(by_others, 4, "what was misdirected came to nobody");
}

#[test]
fn a_websocket_stays_open_where_policy_begins_to_go_by_the_name_it_was_opened_by() {
    let authority = authority();
    let origin = Origin::scripted(serve_websocket);
    let with = |rule: &str| gateway(&authority, &origin, &[rule]);
    let egret = Egret::start(&with("allow = {}\nhost = \"*\""));
    let open = |sni: &str| {
        let wire = connect(&authority, &egret, sni, &[]);
        open_websocket_over(wire, "a.test")
    };
    let (mut own, mut other) = (open("a.test"), open("b.test"));
    let text = with("allow = {}\nsni = [\"a.test\", \"b.test\"]").text();
    egret.write("egret.toml", &text);
    let reload = egret.command(&["reload"]);
    assert!(reload.status.success(), "{}", said(&reload));
    // What was opened by another name would be misdirected now.
    assert!(other.read_to_any_end().is_empty());
    own.send(b"still here");
    assert_eq!(own.exact(10), b"still here");
}
