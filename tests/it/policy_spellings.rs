//! A guarded address can not be reached by writing it another way, by a name that answers differently the second time,
//! or through the proxy itself. Not the policy's rules, which have their own tests. RFC 6890; RFC 3986 §7.4.

use crate::socks::{name, open5};
use crate::support::{Config, Dns, Egret, Origin, ok};

/// Ways to write 127.0.0.1, or places that end there.
const LOOPBACK: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.000.000.001",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f.1",
    "0x7f000001",
    "0X7F000001",
    "017700000001",
    "2130706433",
    "127.255.255.254",
    "0.0.0.0",
    "0",
    "0x0",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "LocalHost.LocalDomain",
    "sub.localhost",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[::1%25lo]",
    "[::1%lo]",
    "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "\u{2460}27.0.0.1",
    "named.test",
    "mixed.test",
];

/// The same for the metadata service and other places that are nobody's business.
const ELSEWHERE: &[&str] = &[
    "169.254.169.254",
    "169.254.43518",
    "0xa9.0xfe.0xa9.0xfe",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "10.0.0.1",
    "192.168.0.1",
    "172.16.0.1",
    "100.64.0.1",
    "[fe80::1]",
    "[fc00::1]",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "metadata.test",
];

/// All names and all ports are allowed; only the guard stands between.
fn open_policy() -> Config {
    Config::closed().rule("name = \"everything by name\"\nallow = {}")
}

fn dns() -> Dns {
    Dns::changing(&[
        ("named.test", vec![vec!["127.0.0.1"]]),
        ("mixed.test", vec![vec!["127.0.0.1", "::1"]]),
        ("metadata.test", vec![vec!["169.254.169.254"]]),
        ("localhost.localdomain", vec![vec!["127.0.0.1"]]),
        ("sub.localhost", vec![vec!["127.0.0.1"]]),
    ])
}

#[test]
fn no_spelling_of_a_guarded_place_is_reached_with_http() {
    each_spelling(|egret, host, port| {
        let mut wire = egret.connect();
        let request = format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: a.example\r\n\r\n");
        wire.send(request.as_bytes());
        refused_status(wire.response("GET").status)
    });
}

#[test]
fn no_spelling_of_a_guarded_place_is_reached_with_connect() {
    each_spelling(|egret, host, port| {
        let mut wire = egret.connect();
        let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        wire.send(request.as_bytes());
        refused_status(wire.response("CONNECT").status)
    });
}

#[test]
fn no_spelling_of_a_guarded_place_is_reached_with_socks() {
    each_spelling(|egret, host, port| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        for spelling in [host, bare] {
            let mut wire = egret.connect();
            let reply = open5(&mut wire, 1, &name(spelling, port));
            // Not allowed, or a name that is none: never "refused by the origin", which would mean that it was asked.
            if ![0x01, 0x02, 0x04].contains(&reply) {
                return Err(format!("reply {reply}"));
            }
        }
        Ok(())
    });
}

fn each_spelling(try_one: impl Fn(&Egret, &str, u16) -> Result<(), String>) {
    let origin = Origin::http(|_| ok(b"inside"));
    let dns = dns();
    let egret = Egret::start(&open_policy().dns(&dns));
    let mut faults = Vec::new();
    for host in LOOPBACK.iter().chain(ELSEWHERE) {
        if let Err(fault) = try_one(&egret, host, origin.port()) {
            faults.push(format!("{host}: {fault}"));
        }
        assert_eq!(origin.connections(), 0, "{host} reached the origin");
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// 403 where it was understood, 400 where it was not, 502 where it was a name that does not exist.
fn refused_status(status: u16) -> Result<(), String> {
    match status {
        400 | 403 | 502 => Ok(()),
        other => Err(format!("status {other}")),
    }
}

#[test]
fn a_guarded_literal_is_denied_and_the_record_says_by_what() {
    let egret = Egret::start(&open_policy());
    let answer =
        egret.ask("GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 403);
    let record = egret.wait_record("the denial", |record| record["verdict"] == "deny");
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{record}");
    assert_eq!(record["authority"], "169.254.169.254:80");
}

#[test]
fn a_name_that_changes_its_answer_is_judged_by_the_address_that_is_dialled() {
    // 127.0.0.2 is permitted, 127.0.0.1 is not: what a public and a private address would be outside a test.
    let (inside, outside) = at_one_port();
    let dns = Dns::changing(&[(
        "rebind.test",
        vec![
            vec!["127.0.0.2"],
            vec!["127.0.0.1"],
            vec!["127.0.0.2"],
            vec!["127.0.0.1"],
        ],
    )]);
    let config = Config::closed()
        .rule("name = \"outside\"\nallow = {}\nhost = \"rebind.test\"\naddress = \"127.0.0.2/32\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    let url = format!("http://rebind.test:{}/", inside.port());
    for round in 0..6 {
        let answer = egret.ask(&format!("GET {url} HTTP/1.1\r\nHost: a\r\n\r\n"));
        match answer.status {
            200 => assert_eq!(answer.text(), "outside", "round {round}"),
            status => assert_eq!(status, 403, "round {round}: {}", answer.text()),
        }
        let mut wire = egret.connect();
        let reply = open5(&mut wire, 1, &name("rebind.test", inside.port()));
        assert!([0, 2].contains(&reply), "round {round}: {reply}");
    }
    assert_eq!(inside.connections(), 0);
    assert!(outside.connections() > 0);
}

#[test]
fn of_several_addresses_only_the_permitted_are_dialled() {
    let (inside, outside) = at_one_port();
    let dns = Dns::changing(&[("both.test", vec![vec!["127.0.0.1", "127.0.0.2"]])]);
    let config = Config::closed()
        .rule("name = \"outside\"\nallow = {}\nhost = \"both.test\"\naddress = \"127.0.0.2/32\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    for _ in 0..4 {
        let answer = egret.ask(&format!(
            "GET http://both.test:{}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            inside.port()
        ));
        // To deny a name that answers with a guarded address at all is strict, and right as well.
        assert!([200, 403].contains(&answer.status), "{}", answer.head);
        assert_ne!(answer.text(), "inside");
    }
    assert_eq!(inside.connections(), 0);
    drop(outside);
}

#[test]
fn the_proxy_does_not_reach_its_own_listener() {
    let dns = Dns::start(&[("self.test", "127.0.0.1")]);
    let config = Config::closed()
        .rule("name = \"everything by name\"\nallow = {}\nhost = [\"self.test\", \"127.0.0.1\"]")
        .dns(&dns);
    let egret = Egret::start(&config);
    let port = egret.address("egress").port();
    for host in ["127.0.0.1", "127.1", "self.test", "[::ffff:127.0.0.1]"] {
        let mut wire = egret.connect();
        let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: a\r\n\r\n");
        wire.send(request.as_bytes());
        let status = wire.response("CONNECT").status;
        assert!([400, 403].contains(&status), "{host}: {status}");
    }
}

#[test]
fn a_host_rule_holds_for_every_spelling_of_the_name() {
    let origin = Origin::http(|_| ok(b"denied"));
    let dns = Dns::changing(&[
        ("bad.test", vec![vec!["127.0.0.1"]]),
        ("xn--bcher-kva.test", vec![vec!["127.0.0.1"]]),
    ]);
    let config = Config::closed()
        .rule("name = \"bad\"\ndeny = {}\nhost = [\"bad.test\", \"b\u{fc}cher.test\"]")
        .rule("name = \"rest\"\nallow = {}\naddress = \"127.0.0.0/8\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    for host in [
        "bad.test",
        "BAD.test",
        "bad.test.",
        "BaD.TeSt.",
        "b%61d.test",
        "xn--bcher-kva.test",
        "XN--BCHER-KVA.test",
        "b\u{fc}cher.test",
        "B\u{dc}CHER.test",
        "b\u{fc}cher\u{3002}test",
    ] {
        let request = format!(
            "GET http://{host}:{}/ HTTP/1.1\r\nHost: a\r\n\r\n",
            origin.port()
        );
        let status = egret.ask(&request).status;
        assert!([400, 403].contains(&status), "{host}: {status}");
        assert_eq!(origin.connections(), 0, "{host}");
    }
    assert!(dns.asked().is_empty(), "{:?}", dns.asked());
}

/// Two origins at one port: one at 127.0.0.1 that answers `inside`, and one at 127.0.0.2 that answers `outside`.
fn at_one_port() -> (Origin, Origin) {
    for _ in 0..100 {
        let inside = Origin::http(|_| ok(b"inside"));
        // Some other connection may have the port there.
        if std::net::TcpListener::bind(("127.0.0.2", inside.port())).is_ok() {
            let place = ("127.0.0.2", inside.port());
            return (inside, Origin::http_on(place, |_| ok(b"outside")));
        }
    }
    panic!("no port is free at both addresses");
}
