//! What leads back to where it came from: connections that would go round through this process's own listeners, for ever.
//! Not datagrams, which are `datagrams`, and not what a proxy's clients ask for, which the guard refuses.

use std::net::SocketAddr;

use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, Record};
use serde_json::Value;

use crate::reverse::{ask, get};
use crate::support::dns_server::{DnsServer, Reply};
use crate::support::{Config, Dns, Egret, Origin, Wire, ok, program, said, until};
use crate::upstreams::{addresses, dns, name};

/// Listeners as (name, mode, lines), and tables.
fn listeners(listeners: &[(&str, &str, &str)], tables: &str) -> Config {
    let listeners = listeners.iter().map(|(name, mode, lines)| {
        format!(
            "[[listener]]\nname = \"{name}\"\nbind = \"127.0.0.1:0\"\nmode = \"{mode}\"\n{lines}\n"
        )
    });
    Config::closed().more(&format!("{}{tables}", listeners.collect::<String>()))
}

/// An upstream whose endpoints stand in a file of its name.
fn filed(name: &str) -> String {
    format!("[upstream.{name}]\nendpoints = [{{ file = \"{name}.endpoints\" }}]\n")
}

fn fill(egret: &Egret, name: &str, endpoints: &[SocketAddr]) {
    let lines: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    egret.write(&format!("{name}.endpoints"), &(lines.join("\n") + "\n"));
    until("the endpoints", || {
        let known = endpoints_of(egret, name);
        let found = |address: &SocketAddr| {
            let mut known = known.iter();
            known.any(|one| one["address"] == address.to_string())
        };
        known.len() == endpoints.len() && endpoints.iter().all(found)
    });
}

fn endpoints_of(egret: &Egret, upstream: &str) -> Vec<Value> {
    let list = egret.command(&["upstream", "list", upstream, "--json"]);
    assert!(list.status.success(), "{}", said(&list));
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    list[0]["endpoints"].as_array().unwrap().clone()
}

fn is_circular(egret: &Egret, upstream: &str, address: SocketAddr) -> bool {
    let endpoints = endpoints_of(egret, upstream);
    let mut endpoints = endpoints.iter();
    let found = endpoints.find(|one| one["address"] == address.to_string());
    found.is_some_and(|one| one["circular"] == true)
}

/// What comes on a new connection to a listener, until its end.
fn taken(egret: &Egret, listener: &str) -> Vec<u8> {
    match std::net::TcpStream::connect(egret.address(listener)) {
        Ok(tcp) => Wire::from_tcp(tcp).read_to_any_end(),
        Err(_) => Vec::new(),
    }
}

fn greeter() -> Origin {
    Origin::scripted(|wire| wire.send(b"here"))
}

#[test]
fn connections_to_a_listener_that_a_file_names_as_its_own_endpoint_do_not_go_round() {
    let origin = greeter();
    let config = listeners(&[("lb", "balanced", "to = \"app\"")], &filed("app"));
    let egret = Egret::start(&config);
    let own = egret.address("lb");
    fill(&egret, "app", &[own]);
    until("the judgement", || is_circular(&egret, "app", own));
    assert_eq!(taken(&egret, "lb"), b"");
    let record = egret.wait_record("the refusal", |record| record["listener"] == "lb");
    assert_eq!(record["error"], "destination_unavailable", "{record}");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("go round in circles"), "{reason}");
    let line = egret.wait_line("the news", |line| line.contains("leads back"));
    assert!(line.contains(&own.to_string()), "{line}");
    let status = egret.status();
    assert_eq!(status["upstreams"][0]["usable"], 0, "{status}");
    let list = egret.command(&["upstream", "list"]);
    assert!(said(&list).contains("circle"), "{}", said(&list));
    // The others are used as if it were not there.
    fill(&egret, "app", &[own, origin.address]);
    until("the judgement", || is_circular(&egret, "app", own));
    for _ in 0..8 {
        assert_eq!(taken(&egret, "lb"), b"here");
    }
    assert!(!is_circular(&egret, "app", origin.address));
}

#[test]
fn a_name_or_its_srv_records_lead_back_only_while_they_say_so() {
    let server = DnsServer::start();
    let config = |tables: &str| {
        let lb = [("lb", "balanced", "to = \"app\"")];
        listeners(&lb, &(tables.to_owned() + &dns(&server)))
    };
    let egret = Egret::start(&config(&filed("app")));
    let own = egret.address("lb");
    // The same port at another address of this machine is somebody else.
    let origin = Origin::http_on(("127.0.0.2", own.port()), |_| ok(b"here"));
    let answers = || {
        let Ok(tcp) = std::net::TcpStream::connect(own) else {
            return false;
        };
        let mut wire = Wire::from_tcp(tcp);
        let sent = wire.try_send(get("a.test", "/", "").as_bytes());
        sent.is_ok() && wire.try_until(b"here").is_ok()
    };
    let service = name("_lb._tcp.app.test");
    let data = RData::SRV(SRV::new(0, 1, own.port(), name("app.test.")));
    let record = Record::from_rdata(service, 1, data);
    server.set("_lb._tcp.app.test", Reply::Records(vec![record]));
    let by_name = format!("\"app.test:{}\"", own.port());
    for endpoint in [&*by_name, "{ srv = \"_lb._tcp.app.test\" }"] {
        server.set("app.test", addresses(1, &["127.0.0.2"]));
        let table = format!("[upstream.app]\nendpoints = [{endpoint}]\n");
        egret.write("egret.toml", &config(&table).text());
        let reload = egret.command(&["reload"]);
        assert!(reload.status.success(), "{}", said(&reload));
        until("the origin", answers);
        server.set("app.test", addresses(1, &["127.0.0.1"]));
        until("the judgement", || is_circular(&egret, "app", own));
        let before = origin.connections();
        assert_eq!(taken(&egret, "lb"), b"", "{endpoint}");
        assert_eq!(origin.connections(), before, "{endpoint}");
        server.set("app.test", addresses(1, &["127.0.0.2"]));
        until("the origin again", answers);
    }
}

#[test]
fn there_and_back_is_a_circle_for_names_as_for_addresses_until_it_is_broken() {
    let origin = greeter();
    let both = [
        ("one", "balanced", "to = \"there\""),
        ("two", "balanced", "to = \"back\""),
    ];
    let config = listeners(&both, &(filed("there") + &filed("back")));
    let egret = Egret::start(&config);
    let (one, two) = (egret.address("one"), egret.address("two"));
    let dns = Dns::lasting(60, &[("own.test", vec![vec!["127.0.0.1"]])]);
    let by_name = |address: SocketAddr| format!("endpoints = [\"own.test:{}\"]", address.port());
    let reload = |tables: &str| {
        let config = listeners(&both, tables).dns(&dns);
        egret.write("egret.toml", &config.text());
        let reload = egret.command(&["reload"]);
        assert!(reload.status.success(), "{}", said(&reload));
    };
    let tables = format!(
        "[upstream.there]\n{}\n[upstream.back]\n{}\n",
        by_name(two),
        by_name(one)
    );
    reload(&tables);
    until("the judgement", || {
        is_circular(&egret, "there", two) && is_circular(&egret, "back", one)
    });
    for name in ["one", "two"] {
        assert_eq!(taken(&egret, name), b"");
        egret.wait_record("the refusal", |record| {
            let reason = record["reason"].as_str().unwrap_or_default();
            record["listener"] == name && reason.contains("go round in circles")
        });
    }
    // One listener behind the other is a way to do things.
    let tables = format!(
        "[upstream.there]\n{}\n[upstream.back]\nendpoints = [\"{}\"]\n",
        by_name(two),
        origin.address
    );
    reload(&tables);
    until("the way", || !is_circular(&egret, "there", two));
    assert_eq!(taken(&egret, "one"), b"here");
}

#[test]
fn a_gateway_stands_behind_a_balanced_listener_and_does_not_lead_back() {
    let origin = Origin::http(|_| ok(b"here"));
    let both = [
        ("lb", "balanced", "to = \"gateway\""),
        ("web", "reverse", ""),
    ];
    let route = "[[route]]\nto = \"app\"\n";
    let config = listeners(
        &both,
        &(route.to_owned() + &filed("gateway") + &filed("app")),
    );
    let egret = Egret::start(&config);
    let (lb, web) = (egret.address("lb"), egret.address("web"));
    fill(&egret, "gateway", &[web]);
    fill(&egret, "app", &[origin.address]);
    let mut wire = Wire::connect(lb);
    wire.send(get("a.test", "/", "Connection: close\r\n").as_bytes());
    assert_eq!(wire.response("GET").body, b"here");
    assert!(!is_circular(&egret, "gateway", web));
    // Now it leads back, or to itself.
    for (name, own) in [("lb", lb), ("web", web)] {
        fill(&egret, "app", &[own]);
        until("the judgement", || is_circular(&egret, "app", own));
        let response = ask(&egret, &get("a.test", "/", ""));
        assert_eq!(response.status, 503, "{name}");
        let id = response.header("x-request-id").unwrap().to_owned();
        let record = egret.wait_record("the refusal", |record| record["id"] == *id);
        let reason = record["reason"].as_str().unwrap();
        assert!(reason.contains("go round in circles"), "{name}: {reason}");
    }
    until("the rest of the circle", || {
        !is_circular(&egret, "gateway", web)
    });
}

#[test]
fn a_circle_of_addresses_is_a_fault_and_a_chain_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    let balanced = |port: u16, to: &str| {
        format!(
            "[[listener]]\nname = \"at-{port}\"\nbind = \"127.0.0.1:{port}\"\nmode = \"balanced\"\nto = \"{to}\"\n"
        )
    };
    let reverse = |port: u16, to: &str| {
        format!(
            "[[listener]]\nname = \"at-{port}\"\nbind = \"127.0.0.1:{port}\"\nmode = \"reverse\"\n[[route]]\nlistener = \"at-{port}\"\nto = \"{to}\"\n"
        )
    };
    let upstream =
        |name: &str, port: u16| format!("[upstream.{name}]\nendpoints = [\"127.0.0.1:{port}\"]\n");
    for (what, text, circle) in [
        (
            "there and back",
            balanced(5301, "x")
                + &balanced(5302, "y")
                + &upstream("x", 5302)
                + &upstream("y", 5301),
            true,
        ),
        (
            "a chain",
            balanced(5301, "x")
                + &balanced(5302, "y")
                + &upstream("x", 5302)
                + &upstream("y", 5303),
            false,
        ),
        (
            "a gateway to itself",
            reverse(5301, "x") + &upstream("x", 5301),
            true,
        ),
        (
            "a gateway and back",
            balanced(5301, "x") + &reverse(5302, "y") + &upstream("x", 5302) + &upstream("y", 5301),
            true,
        ),
        (
            "behind a gateway another one, of other routes",
            reverse(5301, "x") + &reverse(5302, "y") + &upstream("x", 5302) + &upstream("y", 5303),
            false,
        ),
    ] {
        std::fs::write(&file, Config::closed().more(&text).text()).unwrap();
        let output = program().args(["check", "-c"]).arg(&file).output().unwrap();
        let told = said(&output);
        let code = if circle { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{what}: {told}");
        assert_eq!(
            told.contains("go round in circles"),
            circle,
            "{what}: {told}"
        );
    }
}
