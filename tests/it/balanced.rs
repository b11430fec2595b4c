//! The load balancer of connections: bytes to an endpoint of an upstream, by name where they begin with TLS, or as they come.
//! Not datagrams, which are `datagrams`, and not the algorithms of balancing, which have their tests beside the code.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::connect::full_backlog;
use crate::support::{
    Authority, Ca, Client, Config, Egret, Origin, Wire, ok, program, run, said, shake_hands, until,
};

/// A listener `lb` with these lines, and upstreams by name with their endpoints.
pub(crate) fn balanced(lines: &str, upstreams: &[(&str, &[SocketAddr])]) -> Config {
    Config::closed().more(&listener(lines, upstreams))
}

pub(crate) fn listener(lines: &str, upstreams: &[(&str, &[SocketAddr])]) -> String {
    let upstreams = upstreams.iter().map(|(name, endpoints)| {
        let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        format!("[upstream.{name}]\nbalance = \"round-robin\"\nendpoints = {endpoints:?}\n")
    });
    let upstreams: String = upstreams.collect();
    format!(
        "[[listener]]\nname = \"lb\"\nbind = \"127.0.0.1:0\"\nmode = \"balanced\"\n{lines}\n{upstreams}"
    )
}

fn connect(egret: &Egret) -> Wire {
    Wire::connect(egret.address("lb"))
}

/// Whether a new connection is cut off without a byte: it may be before its client has heard that it is there.
fn is_cut_off(egret: &Egret) -> bool {
    match std::net::TcpStream::connect(egret.address("lb")) {
        Ok(tcp) => Wire::from_tcp(tcp).read_to_any_end().is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// An address where nobody listens, for as long as the socket lives.
fn nobody() -> (socket2::Socket, SocketAddr) {
    let kind = socket2::Type::STREAM;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Says its name as soon as somebody connects, as SMTP and MySQL do, then sends back what comes.
fn greeter(name: &'static str) -> Origin {
    Origin::scripted(move |wire| {
        wire.send(format!("220 {name} ready\r\n").as_bytes());
        while let Ok(bytes) = wire.try_some() {
            if wire.try_send(&bytes).is_err() {
                break;
            }
        }
    })
}

fn greeting(wire: &mut Wire) -> String {
    let line = wire.until(b"\r\n");
    String::from_utf8(line).unwrap()
}

fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key].as_str().unwrap_or_default()
}

#[test]
fn the_server_may_speak_first() {
    let origin = greeter("mail");
    let egret = Egret::start(&balanced("to = \"mail\"", &[("mail", &[origin.address])]));
    let mut wire = connect(&egret);
    assert_eq!(greeting(&mut wire), "220 mail ready\r\n");
    wire.send(b"EHLO a.example\r\n");
    assert_eq!(wire.until(b"\r\n"), b"EHLO a.example\r\n");
    wire.half_close();
    assert!(wire.read_to_end().is_empty());
    let record = egret.wait_record("the tunnel", |record| record["listener"] == "lb");
    assert_eq!(record["protocol"], "tcp");
    assert_eq!(record["origin"], origin.address.to_string());
    assert_eq!(record["authority"], egret.address("lb").to_string());
    assert_eq!(record["bytes_in"], 16);
    assert_eq!(record["aborted"], Value::Null, "{record}");
}

#[test]
fn whatever_a_client_says_first_is_passed_on_untouched() {
    let origin = Origin::echo();
    let egret = Egret::start(&balanced("to = \"any\"", &[("any", &[origin.address])]));
    for first in [
        &b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x05\x01\x00",
        b"\x04\x01",
        b"\x16\x03\x01\x00\x05hello",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\xff",
    ] {
        let mut wire = connect(&egret);
        wire.send(first);
        assert_eq!(wire.exact(first.len()), first);
    }
}

/// Says who it is, over TLS with a certificate for these names.
fn site(ca: &Ca, names: &[&str], who: &'static str) -> Origin {
    Origin::https(ca, names, move |_| ok(who.as_bytes()))
}

fn who_is(wire: Wire, name: &str, ca: &Ca, alpn: &[&str]) -> String {
    let mut met = shake_hands(wire, name, &[ca.pem()], alpn).unwrap();
    met.wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    String::from_utf8(met.wire.response("GET").body).unwrap()
}

const BY_NAME: &str = r#"to = [
    { upstream = "rest" },
    { sni = "*.b.test", upstream = "below" },
    { sni = ["a.test", "exact.b.test"], upstream = "exact" },
]"#;

#[test]
fn tls_goes_by_the_name_that_the_client_asks_for_and_is_not_opened() {
    let ca = Ca::mint();
    let exact = site(&ca, &["a.test", "exact.b.test"], "exact");
    let below = site(&ca, &["x.b.test", "y.x.b.test"], "below");
    let rest = site(&ca, &["c.test", "b.test", "127.0.0.1"], "rest");
    let upstreams: &[(&str, &[SocketAddr])] = &[
        ("exact", &[exact.address]),
        ("below", &[below.address]),
        ("rest", &[rest.address]),
    ];
    let egret = Egret::start(&balanced(BY_NAME, upstreams));
    for (name, expected) in [
        ("a.test", "exact"),
        ("exact.b.test", "exact"),
        ("x.b.test", "below"),
        ("y.x.b.test", "below"),
        ("b.test", "rest"),
        ("c.test", "rest"),
        // Clients send no name where they ask for an address (RFC 6066 §3).
        ("127.0.0.1", "rest"),
    ] {
        assert_eq!(who_is(connect(&egret), name, &ca, &[]), expected, "{name}");
    }
    let record = egret.wait_record("a record", |record| record["sni"] == "y.x.b.test");
    let port = egret.address("lb").port();
    assert_eq!(record["authority"], format!("y.x.b.test:{port}"));
    assert_eq!(record["origin"], below.address.to_string());
    let address = egret.address("lb").to_string();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "s_client",
        "-connect",
        &address,
        "-servername",
        "a.test",
        "-brief",
    ]);
    if let Some(outcome) = run(&mut openssl) {
        let said = outcome.text() + &outcome.stderr;
        assert!(said.contains("CONNECTION ESTABLISHED"), "{said}");
        egret.wait_record("openssl", |record| record["sni"] == "a.test");
    }
}

#[test]
fn tls_goes_by_the_protocol_that_the_client_likes_best() {
    let ca = Ca::mint();
    let names = &["a.test"][..];
    let (old, new, rest) = (
        site(&ca, names, "old"),
        site(&ca, names, "new"),
        site(&ca, names, "rest"),
    );
    let lines = r#"to = [
        { alpn = ["http/1.1"], upstream = "old" },
        { alpn = ["acme-tls/1", "http/1.0"], upstream = "new" },
        { upstream = "rest" },
    ]"#;
    let upstreams: &[(&str, &[SocketAddr])] = &[
        ("old", &[old.address]),
        ("new", &[new.address]),
        ("rest", &[rest.address]),
    ];
    let egret = Egret::start(&balanced(lines, upstreams));
    for (alpn, expected) in [
        (&["http/1.1", "http/1.0"][..], "old"),
        (&["http/1.0", "http/1.1"], "new"),
        (&[], "rest"),
    ] {
        assert_eq!(
            who_is(connect(&egret), "a.test", &ca, alpn),
            expected,
            "{alpn:?}"
        );
    }
}

#[test]
fn what_no_upstream_is_for_is_refused_in_its_own_terms_and_recorded() {
    let ca = Ca::mint();
    let origin = site(&ca, &["a.test"], "a");
    let lines = "to = [{ sni = \"a.test\", upstream = \"a\" }]";
    let egret = Egret::start(&balanced(lines, &[("a", &[origin.address])]));
    let refused = shake_hands(connect(&egret), "b.test", &[ca.pem()], &[]);
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("UnrecognisedName"), "{error}");
    let record = egret.wait_record("the name", |record| record["sni"] == "b.test");
    assert!(
        text(&record, "reason").contains("no upstream is for b.test"),
        "{record}"
    );
    let mut plain = connect(&egret);
    plain.send(b"GET / HTTP/1.1\r\n\r\n");
    assert!(plain.read_to_any_end().is_empty());
    egret.wait_record("plain text", |record| {
        text(record, "reason").contains("not begin with TLS")
    });
    // A hello that two readers might read as two things goes nowhere.
    let mut broken = connect(&egret);
    broken.send(b"\x16\x03\x01\x00\x00");
    assert!(broken.read_to_any_end().is_empty());
    egret.wait_record("the broken hello", |record| {
        text(record, "reason").contains("can not be read")
    });
    assert_eq!(who_is(connect(&egret), "a.test", &ca, &[]), "a");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_endpoint_that_is_down_is_passed_over() {
    let (_held, dead) = nobody();
    let live = greeter("live");
    let egret = Egret::start(&balanced("to = \"app\"", &[("app", &[dead, live.address])]));
    for _ in 0..8 {
        assert_eq!(greeting(&mut connect(&egret)), "220 live ready\r\n");
    }
    let is_ours = |record: &Value| record["listener"] == "lb";
    let ours = || egret.records().into_iter().filter(is_ours).count();
    until("all records", || ours() == 8);
    let all = egret.records();
    let origins = all.iter().filter(|record| is_ours(record));
    assert!(
        origins
            .clone()
            .all(|record| record["origin"] == live.address.to_string())
    );
    assert!(origins.clone().all(|record| record["error"] == Value::Null));
}

#[test]
fn where_every_endpoint_is_down_the_client_is_cut_off_and_the_record_says_why() {
    let ((_one, first), (_two, second)) = (nobody(), nobody());
    let egret = Egret::start(&balanced("to = \"app\"", &[("app", &[first, second])]));
    assert!(is_cut_off(&egret));
    let record = egret.wait_record("the failure", |record| record["listener"] == "lb");
    assert_eq!(record["error"], "connection_refused");
    assert!(
        text(&record, "reason").contains("refused the connection"),
        "{record}"
    );
}

#[test]
fn an_endpoint_has_the_time_to_answer_that_its_upstream_gives() {
    let (_full, silent) = full_backlog();
    let config = balanced("to = \"app\"", &[("app", &[silent])])
        .more("[upstream.app.timeouts]\nconnect = \"70ms\"");
    let egret = Egret::start(&config);
    assert!(is_cut_off(&egret));
    let record = egret.wait_record("the failure", |record| record["listener"] == "lb");
    assert_eq!(record["error"], "connection_timeout", "{record}");
    assert!(text(&record, "reason").contains("within 70ms"), "{record}");
}

#[test]
fn endpoints_under_tls_are_spoken_to_under_tls_once_they_know_who_the_client_is() {
    let ca = Ca::mint();
    let origin = site(&ca, &["app.test"], "sealed");
    let tls = "[upstream.app.tls]\nroots = [\"{dir}/ca.pem\"]\nserver-name = \"app.test\"";
    let upstreams: &[(&str, &[SocketAddr])] = &[("app", &[origin.address])];
    let files = [("ca.pem", ca.pem())];
    let egret = Egret::start_with(&files, &balanced("to = \"app\"", upstreams).more(tls));
    let mut wire = connect(&egret);
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(wire.response("GET").body, b"sealed");
    drop(wire);
    let record = egret.wait_record("the tunnel", |record| record["listener"] == "lb");
    assert!(record["tls_ms"].is_number(), "{record}");
    // One whose certificate convinces nobody is not spoken to.
    let strange = site(&Ca::mint(), &["app.test"], "never");
    let upstreams: &[(&str, &[SocketAddr])] = &[("app", &[strange.address])];
    let egret = Egret::start_with(&files, &balanced("to = \"app\"", upstreams).more(tls));
    assert!(is_cut_off(&egret));
    egret.wait_record("the failure", |record| {
        record["error"] == "tls_certificate_error"
    });
    assert!(strange.requests().is_empty());
    let (sender, kept) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let told = Origin::scripted(move |wire| {
        let header = wire.until(b"\r\n");
        sender
            .lock()
            .unwrap()
            .send((header, wire.exact(1)))
            .unwrap();
    });
    let lines = "to = \"app\"\nproxy-protocol = { send = \"v1\" }";
    let upstreams: &[(&str, &[SocketAddr])] = &[("app", &[told.address])];
    let egret = Egret::start_with(&files, &balanced(lines, upstreams).more(tls));
    let _wire = connect(&egret);
    let (header, first) = kept.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(header.starts_with(b"PROXY TCP4 "));
    assert_eq!(first, [22], "a ClientHello comes after it");
}

#[test]
fn what_is_agreed_on_with_the_client_is_what_the_endpoint_is_asked_for() {
    let ca = Ca::mint();
    let origin = site(&ca, &["app.test"], "sealed");
    let authority = Authority::new();
    authority.server("proxy", &["a.test"]);
    let listener = authority.tls(&["proxy"], ", alpn = [\"h2\", \"http/1.1\"]");
    let lines = format!("{listener}\nto = \"app\"");
    let tls = "[upstream.app.tls]\nroots = [\"{dir}/ca.pem\"]\nserver-name = \"app.test\"";
    let config = balanced(&lines, &[("app", &[origin.address])]).more(tls);
    let egret = Egret::start_with(&[("ca.pem", ca.pem())], &config);
    let old = Client::new(&authority, None, &["http/1.1"]);
    let mut wire = old.connect(egret.address("lb"), "a.test");
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.response("GET").body, b"sealed");
    // The origin speaks no HTTP/2: it is not given what it would take for something else.
    let new = Client::new(&authority, None, &["h2"]);
    let mut wire = new.connect(egret.address("lb"), "a.test");
    assert!(wire.read_to_any_end().is_empty());
    let failure = egret.wait_record("the failure", |record| record["error"] != Value::Null);
    assert_eq!(failure["error"], "tls_alert_received", "{failure}");
    let reason = "app.test refused TLS: NoApplicationProtocol";
    assert_eq!(failure["reason"], reason);
}

#[test]
fn what_can_not_be_put_under_tls_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    let upstream: SocketAddr = "192.0.2.1:1".parse().unwrap();
    for (lines, expected) in [
        (
            "to = [{ sni = \"a.test\", upstream = \"app\" }]",
            "would put it into another TLS",
        ),
        ("to = \"app\"\ntransport = \"udp\"", "datagrams have none"),
    ] {
        let config = balanced(lines, &[("app", &[upstream])]).more("[upstream.app.tls]");
        std::fs::write(&file, config.text()).unwrap();
        let output = program().args(["check", "-c"]).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{lines}");
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}

/// Takes what comes up to a mark, and keeps it.
fn keeper() -> (Origin, std::sync::mpsc::Receiver<Vec<u8>>) {
    let (sender, kept) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let origin = Origin::scripted(move |wire| {
        let bytes = wire.until(b"hello");
        sender.lock().unwrap().send(bytes).unwrap();
        wire.send(b"welcome");
    });
    (origin, kept)
}

/// The header of version 2 for two IPv4 addresses.
fn version_2(source: SocketAddr, destination: SocketAddr, family: u8) -> Vec<u8> {
    let octets = |address: SocketAddr| match address {
        SocketAddr::V4(four) => four.ip().octets(),
        SocketAddr::V6(_) => panic!("an IPv4 address"),
    };
    [
        &b"\r\n\r\n\0\r\nQUIT\n\x21"[..],
        &[family, 0, 12],
        &octets(source),
        &octets(destination),
        &source.port().to_be_bytes(),
        &destination.port().to_be_bytes(),
    ]
    .concat()
}

#[test]
fn the_origin_is_told_who_the_client_is() {
    for version in ["v1", "v2"] {
        let (origin, kept) = keeper();
        let lines = format!("to = \"app\"\nproxy-protocol = {{ send = \"{version}\" }}");
        let egret = Egret::start(&balanced(&lines, &[("app", &[origin.address])]));
        let mut wire = connect(&egret);
        wire.send(b"hello");
        assert_eq!(wire.exact(7), b"welcome");
        let (client, local) = (wire.local(), egret.address("lb"));
        let expected = if version == "v1" {
            let (from, to) = (client.port(), local.port());
            format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n").into_bytes()
        } else {
            version_2(client, local, 0x11)
        };
        let told = kept.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(told, [&expected[..], b"hello"].concat(), "{version}");
    }
}

#[test]
fn a_client_behind_two_balancers_is_still_the_client() {
    let (origin, kept) = keeper();
    let lines = "to = \"app\"\nproxy-protocol = { accept-from = \"127.0.0.1\", send = \"v1\" }";
    let egret = Egret::start(&balanced(lines, &[("app", &[origin.address])]));
    let mut wire = connect(&egret);
    wire.send(b"PROXY TCP4 192.0.2.7 198.51.100.2 1000 5432\r\nhello");
    assert_eq!(wire.exact(7), b"welcome");
    let told = kept.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(
        told,
        b"PROXY TCP4 192.0.2.7 198.51.100.2 1000 5432\r\nhello"
    );
    drop(wire);
    let record = egret.wait_record("the client", |record| record["listener"] == "lb");
    assert_eq!(record["client"], "192.0.2.7:1000");
    assert_eq!(record["authority"], "198.51.100.2:5432");
}

#[test]
fn version_2_tells_the_name_that_the_client_asked_for() {
    let (sender, kept) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let origin = Origin::scripted(move |wire| {
        let fixed = wire.exact(16);
        let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        let body = wire.exact(length);
        let first = wire.exact(1);
        sender.lock().unwrap().send((body, first)).unwrap();
    });
    let lines = "to = [{ sni = \"a.test\", upstream = \"a\" }]\nproxy-protocol = { send = \"v2\" }";
    let egret = Egret::start(&balanced(lines, &[("a", &[origin.address])]));
    let ca = Ca::mint();
    let shaken = shake_hands(connect(&egret), "a.test", &[ca.pem()], &[]);
    assert!(shaken.is_err(), "the origin speaks no TLS");
    let (body, first) = kept.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(&body[12..], b"\x02\x00\x06a.test");
    assert_eq!(first, [22], "then the hello itself");
}

#[test]
fn tls_may_end_at_the_listener() {
    let origin = Origin::http(|_| ok(b"in the clear"));
    let authority = Authority::new();
    authority.server("proxy", &["a.test", "b.test"]);
    let tls = authority.tls(&["proxy"], "");
    let lines = format!("{tls}\nto = [{{ sni = \"a.test\", upstream = \"a\" }}]");
    let egret = Egret::start(&balanced(&lines, &[("a", &[origin.address])]));
    let client = Client::new(&authority, None, &[]);
    let mut wire = client.connect(egret.address("lb"), "a.test");
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.response("GET").body, b"in the clear");
    let mut other = client.connect(egret.address("lb"), "b.test");
    // The connection may be cut before or after it is written to.
    let _ = other.try_send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(other.read_to_any_end().is_empty());
    egret.wait_record("the other name", |record| {
        text(record, "reason").contains("no upstream is for b.test")
    });
}

#[test]
fn policy_sees_what_was_agreed_on_where_tls_ends_at_the_listener() {
    let origin = Origin::http(|_| ok(b"in the clear"));
    let authority = Authority::new();
    authority.server("proxy", &["a.test", "b.test"]);
    let tls = authority.tls(&["proxy"], "");
    let lines = format!("{tls}\npolicy = \"l4\"\nto = \"app\"");
    let rules = policy(&[
        "name = \"by library\"\ndeny = {}\nfingerprint = \"*\"",
        "name = \"hidden\"\ndeny = {}\nech = true",
        "name = \"a\"\nallow = { tls = { required = true, sni = \"required\" } }\nsni = \"a.test\"\ntls-version = \"1.3\"",
    ]);
    let egret = Egret::start(&balanced(&lines, &[("app", &[origin.address])]).more(&rules));
    let client = Client::new(&authority, None, &[]);
    let mut wire = client.connect(egret.address("lb"), "a.test");
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.response("GET").body, b"in the clear");
    drop(wire);
    let record = egret.wait_record("the tunnel", |record| record["rule"] == "a");
    assert_eq!(record["sni"], "a.test");
    assert_eq!(record["fingerprint"], Value::Null, "it is not known");
    // Nothing that only TLS would understand is written into what was decrypted.
    let mut other = client.connect(egret.address("lb"), "b.test");
    assert!(other.read_to_any_end().is_empty());
    let denied = egret.wait_record("the other name", |record| record["sni"] == "b.test");
    assert_eq!(denied["verdict"], "deny");
}

/// A policy `l4` with these rules.
fn policy(rules: &[&str]) -> String {
    let rules: String = rules
        .iter()
        .map(|rule| format!("[[policy.l4.rule]]\n{rule}\n"))
        .collect();
    format!("[policy.l4]\ndefault = \"deny\"\n{rules}")
}

#[test]
fn policy_judges_the_client_the_name_and_the_endpoint() {
    let ca = Ca::mint();
    let origin = site(&ca, &["a.test", "secret.test"], "reached");
    let other = site(&ca, &["a.test"], "never");
    let lines = "policy = \"l4\"\nto = \"app\"";
    // The endpoint is this machine's, which nothing would open for a client's own destination.
    let rules = policy(&[
        "name = \"no secrets\"\ndeny = {}\nsni = \"secret.test\"",
        &format!(
            "name = \"not there\"\ndeny = {{}}\naddress = \"{}\"",
            "127.0.0.9"
        ),
        "name = \"ours\"\nallow = {}\nclient = \"127.0.0.0/8\"",
    ]);
    let unreachable: SocketAddr = format!("127.0.0.9:{}", other.port()).parse().unwrap();
    let config = balanced(lines, &[("app", &[unreachable, origin.address])]).more(&rules);
    let egret = Egret::start(&config);
    for _ in 0..4 {
        assert_eq!(who_is(connect(&egret), "a.test", &ca, &[]), "reached");
    }
    let refused = shake_hands(connect(&egret), "secret.test", &[ca.pem()], &[]);
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("AccessDenied"), "{error}");
    let record = egret.wait_record("the denial", |record| record["verdict"] == "deny");
    assert_eq!(record["rule"], "no secrets");
    assert_eq!(other.connections(), 0);
}

#[test]
fn an_upstream_has_as_many_connections_as_it_may() {
    let origin = greeter("one");
    let config = balanced("to = \"app\"", &[("app", &[origin.address])])
        .more("[upstream.app.limits]\nconnections = 1");
    let egret = Egret::start(&config);
    let mut first = connect(&egret);
    assert_eq!(greeting(&mut first), "220 one ready\r\n");
    assert!(is_cut_off(&egret));
    let record = egret.wait_record("the refusal", |record| record["error"] != Value::Null);
    assert_eq!(record["error"], "connection_limit_reached");
    first.half_close();
    assert!(first.read_to_end().is_empty());
    egret.wait_record("the first", |record| record["bytes_out"] == 15);
    assert_eq!(greeting(&mut connect(&egret)), "220 one ready\r\n");
}

#[test]
fn a_connection_that_is_under_way_goes_on_in_the_drain() {
    let origin = greeter("app");
    let mut egret = Egret::start(&balanced("to = \"app\"", &[("app", &[origin.address])]));
    let mut wire = connect(&egret);
    greeting(&mut wire);
    egret.signal(Signal::TERM);
    egret.wait_line("the drain", |line| line.contains("draining"));
    let address = egret.address("lb");
    until("the end of the listener", || {
        std::net::TcpStream::connect(address).is_err()
    });
    wire.send(b"still here");
    assert_eq!(wire.exact(10), b"still here");
    wire.half_close();
    assert!(wire.read_to_end().is_empty());
    assert_eq!(egret.wait_exit().code(), Some(0));
}

#[test]
fn a_reload_leads_new_connections_elsewhere_and_leaves_the_others_alone() {
    let (old, new) = (greeter("old"), greeter("new"));
    let upstreams: &[(&str, &[SocketAddr])] = &[("old", &[old.address]), ("new", &[new.address])];
    let egret = Egret::start(&balanced("to = \"old\"", upstreams));
    let mut before = connect(&egret);
    assert_eq!(greeting(&mut before), "220 old ready\r\n");
    let bound = egret.address("lb");
    egret.write("egret.toml", &balanced("to = \"new\"", upstreams).text());
    let reloaded = egret.command(&["reload"]);
    assert!(reloaded.status.success(), "{}", said(&reloaded));
    let mut after = Wire::connect(bound);
    assert_eq!(greeting(&mut after), "220 new ready\r\n");
    before.send(b"unharmed");
    assert_eq!(before.exact(8), b"unharmed");
}

/// Lines of a listener that can not be meant, and what is said of them.
const MISTAKES: &[(&str, &str)] = &[
    ("to = \"ap\"", "there is no upstream \"ap\""),
    ("to = \"ap\"", "Did you mean \"app\"?"),
    ("", "\"to\" is missing"),
    ("to = []", "\"to\" names no upstream"),
    ("to = 7", "expected the name of an upstream"),
    ("to = [{ sni = \"a.test\" }]", "\"upstream\" is missing"),
    (
        "to = [{ sni = \"10.0.0.1\", upstream = \"app\" }]",
        "not a name that a client asks for",
    ),
    (
        "to = [{ sni = \"*\", upstream = \"app\" }]",
        "leave \"sni\" out",
    ),
    (
        "to = [{ sni = [], upstream = \"app\" }]",
        "would never hold",
    ),
    (
        "to = [{ alpn = \"\", upstream = \"app\" }]",
        "1 to 255 bytes",
    ),
    (
        "to = [\"app\", \"app\"]",
        "another choice is for whatever comes already",
    ),
    (
        "to = [{ sni = \"A.test\", upstream = \"app\" }, { sni = [\"b.test\", \"a.test\"], upstream = \"app\" }]",
        "another choice is for \"a.test\" already",
    ),
    (
        "to = \"app\"\nudp = { replies = 1 }",
        "write transport = \"udp\"",
    ),
    ("to = \"app\"\ntransport = \"udq\"", "Did you mean \"udp\"?"),
    (
        "to = [{ sni = \"a.test\", upstream = \"app\" }]\ntransport = \"udp\"",
        "datagrams do not begin with",
    ),
    (
        "to = \"app\"\ntransport = \"udp\"\nudp = { replies = 0 }",
        "with replies at 0",
    ),
    (
        "to = \"app\"\ntransport = \"udp\"\nudp = { flows = 0 }",
        "with flows at 0",
    ),
    (
        "to = \"app\"\ntransport = \"udp\"\nproxy-protocol = { send = \"v1\" }",
        "write send = \"v2\"",
    ),
    (
        "to = \"app\"\ntransport = \"udp\"\nproxy-protocol = { accept-from = \"10.0.0.0/8\" }",
        "not read from datagrams",
    ),
    (
        "to = \"app\"\nproxy-protocol = {}",
        "\"accept-from\" is missing",
    ),
    (
        "to = \"app\"\nproxy-protocol = { send = \"v3\" }",
        "\"v3\" is not known here",
    ),
    (
        "to = \"app\"\ntransport = \"udp\"\n[listener.limits]\nconnections = 5",
        "these limits are of connections",
    ),
];

#[test]
fn a_listener_that_can_not_be_meant_is_a_fault_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    let certificate = {
        let authority = Authority::new();
        authority.server("proxy", &["a.test"]);
        (authority.tls(&["proxy"], ""), authority)
    };
    let upstream: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let check = |text: &str| {
        std::fs::write(
            &file,
            text.replace("{dir}", &folder.path().display().to_string()),
        )
        .unwrap();
        let output = program().args(["check", "-c"]).arg(&file).output().unwrap();
        (output.status.code(), said(&output))
    };
    for (lines, expected) in MISTAKES {
        let (code, told) = check(&balanced(lines, &[("app", &[upstream])]).text());
        assert_eq!(code, Some(2), "{lines}: {told}");
        assert!(told.contains(expected), "{lines}: {told}");
    }
    let udp_with_tls = format!("to = \"app\"\ntransport = \"udp\"\n{}", certificate.0);
    let (code, told) = check(&balanced(&udp_with_tls, &[("app", &[upstream])]).text());
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("over datagrams there is no TLS"), "{told}");
    for (lines, expected) in [
        (
            "to = \"app\"",
            "a listener of mode \"forward\" has no \"to\"",
        ),
        (
            "transport = \"udp\"",
            "a listener of mode \"forward\" has no \"transport\"",
        ),
        ("proxy-protocol = { send = \"v1\" }", "sends PROXY headers"),
    ] {
        let (code, told) = check(&Config::closed().listener(lines).text());
        assert_eq!(code, Some(2), "{lines}: {told}");
        assert!(told.contains(expected), "{lines}: {told}");
    }
    // One port for both transports is what DNS has.
    let both = "[[listener]]\nname = \"udp\"\nbind = \"127.0.0.1:5300\"\nmode = \"balanced\"\ntransport = \"udp\"\nto = \"app\"\n\
                [[listener]]\nname = \"tcp\"\nbind = \"127.0.0.1:5300\"\nmode = \"balanced\"\nto = \"app\"\n";
    let (code, told) = check(
        &balanced("to = \"app\"", &[("app", &[upstream])])
            .more(both)
            .text(),
    );
    assert_eq!(code, Some(0), "{told}");
}
