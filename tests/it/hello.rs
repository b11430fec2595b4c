//! What a tunnel begins with: read without decryption, held against what the tunnel was asked for and against the rules.
//! Not interception, which is `intercept`.

use std::sync::Arc;

use rustls::client::{EchGreaseConfig, EchMode};
use rustls::crypto::CryptoProvider;
use rustls::crypto::hpke::Hpke as _;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::support::{
    Ca, Config, Dns, Egret, Origin, Wire, connect, contains, ok, shake_hands, tunnel,
};

const LOOPBACK: &str = "address = \"127.0.0.0/8\"";

struct World {
    ca: Ca,
    egret: Egret,
    origin: Origin,
    _dns: Dns,
}

fn world(allow: &str, more: &str) -> World {
    let ca = Ca::mint();
    let origin = Origin::https(&ca, &["origin.test", "front.test"], |_| ok(b"reached"));
    let dns = Dns::start(&[("origin.test", "127.0.0.1"), ("front.test", "127.0.0.1")]);
    let config = Config::closed()
        .rule(&format!(
            "name = \"tunnels\"\nallow = {allow}\n{LOOPBACK}\n{more}"
        ))
        .dns(&dns);
    World {
        egret: Egret::start(&config),
        ca,
        origin,
        _dns: dns,
    }
}

impl World {
    fn tunnel(&self, host: &str) -> Wire {
        tunnel(&self.egret, &format!("{host}:{}", self.origin.port()))
    }

    /// Whether TLS for a name works in a tunnel for a host.
    fn passes(&self, host: &str, name: &str) -> bool {
        shake_hands(self.tunnel(host), name, &[self.ca.pem()], &["http/1.1"]).is_ok()
    }
}

#[test]
fn a_server_name_that_is_not_the_host_asked_for_is_domain_fronting() {
    let world = world("{}", "");
    assert!(world.passes("origin.test", "origin.test"));
    assert!(!world.passes("front.test", "origin.test"));
    let record = world
        .egret
        .wait_record("the refusal", |r| r["verdict"] == "deny");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("domain fronting"), "{reason}");
    assert_eq!(record["sni"], "origin.test");
    assert_eq!(record["rule"], "tunnels");
}

#[test]
fn a_client_that_is_refused_is_told_so_in_the_terms_of_tls() {
    let world = world("{}", "");
    let refused = shake_hands(
        world.tunnel("front.test"),
        "origin.test",
        &[world.ca.pem()],
        &[],
    );
    let error = refused.err().expect("it is refused").to_string();
    assert!(error.contains("AccessDenied"), "{error}");
}

#[test]
fn a_rule_may_let_any_name_pass_or_demand_one() {
    let any = world("{ tls = { sni = \"any\" } }", "");
    assert!(any.passes("front.test", "origin.test"));
    let required = world("{ tls = { sni = \"required\" } }", "");
    assert!(required.passes("origin.test", "origin.test"));
    // A client sends no server name where it asks for an address.
    assert!(!required.passes("origin.test", "127.0.0.1"));
    let record = required
        .egret
        .wait_record("the refusal", |r| r["verdict"] == "deny");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("names no server"), "{reason}");
    assert!(record["sni"].is_null(), "{record}");
}

#[test]
fn a_rule_may_refuse_a_hello_that_may_hide_another_name() {
    for (allow, condition, passes) in [
        ("{}", "", true),
        ("{}", "ech = true", true),
        ("{}", "ech = false", false),
        ("{ tls = { ech = \"deny\" } }", "", false),
    ] {
        let world = world(allow, condition);
        let mut wire = world.tunnel("origin.test");
        wire.send(&hello_with_ech("origin.test"));
        // A ServerHello, or the alert of a refusal.
        let first = wire.exact(1)[0];
        assert_eq!(first, if passes { 22 } else { 21 }, "{allow} {condition}");
        if allow.contains("deny") {
            let record = world
                .egret
                .wait_record("the refusal", |r| r["verdict"] == "deny");
            let reason = record["reason"].as_str().unwrap();
            assert!(reason.contains("encrypted client hello"), "{reason}");
            assert!(world.passes("origin.test", "origin.test"));
        }
    }
}

#[test]
fn a_tunnel_to_an_address_is_judged_by_the_name_in_its_hello_too() {
    let listed = "not = { host = \"origin.test\" }";
    let world = world("{}", listed);
    assert!(world.passes("127.0.0.1", "front.test"));
    assert!(!world.passes("127.0.0.1", "origin.test"));
}

#[test]
fn a_rule_may_demand_tls() {
    let strict = world("{ tls = { required = true } }", "");
    let mut wire = strict.tunnel("origin.test");
    wire.send(b"GET / HTTP/1.1\r\nhost: origin.test\r\n\r\n");
    assert!(wire.read_to_end().is_empty());
    let record = strict
        .egret
        .wait_record("the refusal", |r| r["verdict"] == "deny");
    assert!(
        record["reason"]
            .as_str()
            .unwrap()
            .contains("does not begin with TLS")
    );
    assert!(strict.passes("origin.test", "origin.test"));
}

#[test]
fn what_is_not_tls_passes_where_no_rule_minds() {
    let echo = Origin::echo();
    let speaks_first = Origin::scripted(|wire| {
        wire.send(b"220 ready\r\n");
        let line = wire.until(b"\r\n");
        wire.send(&line);
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = tunnel(&egret, &echo.address.to_string());
    wire.send(b"\x16");
    wire.send(b"\x02 not TLS");
    assert_eq!(wire.exact(10), b"\x16\x02 not TLS");
    let mut wire = tunnel(&egret, &speaks_first.address.to_string());
    assert_eq!(wire.exact(11), b"220 ready\r\n");
    wire.send(b"EHLO a\r\n");
    assert_eq!(wire.exact(8), b"EHLO a\r\n");
}

#[test]
fn conditions_on_the_hello_decide_when_it_has_come() {
    for (condition, alpn, passes) in [
        ("sni = \"*.test\"", "http/1.1", true),
        ("sni = \"other.test\"", "http/1.1", false),
        ("alpn = \"http/1.1\"", "http/1.1", true),
        ("alpn = \"h2\"", "http/1.1", false),
        ("tls-version = \"1.3\"", "http/1.1", true),
        ("tls-version = \"1.2\"", "http/1.1", false),
        ("fingerprint = \"t13d*\"", "http/1.1", true),
        ("fingerprint = \"t12*\"", "http/1.1", false),
        ("ech = false", "http/1.1", true),
        ("ech = true", "http/1.1", false),
    ] {
        let world = world("{}", condition);
        let wire = world.tunnel("origin.test");
        let met = shake_hands(wire, "origin.test", &[world.ca.pem()], &[alpn]);
        assert_eq!(met.is_ok(), passes, "{condition}");
    }
}

#[test]
fn a_hello_in_segments_of_one_byte_and_in_many_records_is_read_whole() {
    let world = world("{}", "sni = \"origin.test\"");
    let slow = |host: &str, bytes: Vec<u8>| {
        let mut wire = world.tunnel(host);
        for byte in bytes {
            if wire.try_send(&[byte]).is_err() {
                break;
            }
        }
        wire.try_some().unwrap_or_default()
    };
    for bytes_in_a_record in [usize::MAX, 100, 7] {
        let said = |name| in_records(&hello(name), bytes_in_a_record);
        // A ServerHello, or the alert of a refusal.
        for (name, first) in [("origin.test", 22), ("front.test", 21)] {
            let answer = slow(name, said(name));
            assert_eq!(answer.first(), Some(&first), "{name} {bytes_in_a_record}");
        }
    }
}

/// The same message in records that hold so many bytes of it at most (RFC 8446 §5.1).
fn in_records(hello: &[u8], most: usize) -> Vec<u8> {
    let (header, message) = hello.split_at(5);
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&header[..3], &length, part].concat()
    };
    message.chunks(most).flat_map(record).collect()
}

#[test]
fn a_record_before_the_hello_does_not_hide_it() {
    let world = world("{}", "");
    // A warning that servers pass over, one of no bytes, a change of keys: then a name that is not the tunnel's.
    let before: [&[u8]; 3] = [
        &[21, 3, 1, 0, 2, 1, 90],
        &[23, 3, 1, 0, 0],
        &[20, 3, 3, 0, 1, 1],
    ];
    for first in before {
        let mut wire = world.tunnel("front.test");
        wire.send(first);
        let _ = wire.try_send(&hello("origin.test"));
        let told = wire.read_to_any_end();
        assert!(told.starts_with(&[21, 3, 3, 0, 2, 2, 49]), "{told:?}");
    }
}

#[test]
fn a_hello_that_can_be_read_in_two_ways_is_refused() {
    let world = world("{}", "");
    let mut doubled = hello("origin.test");
    let name = b"origin.test";
    let at = doubled
        .windows(name.len())
        .position(|window| window == name)
        .expect("the name is in it");
    doubled[at] = 0;
    let mut wire = world.tunnel("origin.test");
    wire.send(&doubled);
    assert!(contains(&wire.read_to_end(), &[21, 3, 3, 0, 2, 2, 49]));
    let record = world
        .egret
        .wait_record("the refusal", |r| r["verdict"] == "deny");
    assert!(
        record["reason"]
            .as_str()
            .unwrap()
            .contains("can not be read")
    );
}

#[test]
fn a_silent_tunnel_ends_by_its_idle_limit_and_a_closed_one_at_once() {
    let origin = Origin::scripted(|wire| {
        wire.read_to_end();
    });
    let egret = Egret::start(&Config::loopback().limits("tunnel-idle = \"300ms\""));
    let mut wire = tunnel(&egret, &origin.address.to_string());
    assert!(wire.read_to_end().is_empty());
    egret.wait_record("idle", |r| {
        r["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("idle limit"))
    });
    let mut wire = egret.connect();
    wire.send(connect(&origin.address.to_string(), "").as_bytes());
    assert_eq!(wire.response("CONNECT").status, 200);
    wire.half_close();
    assert!(wire.read_to_end().is_empty());
}

#[test]
fn a_hello_that_has_begun_is_waited_for_whatever_the_origin_says() {
    let origin = Origin::scripted(|wire| {
        wire.send(b"hurry");
        wire.read_to_end();
    });
    let dns = Dns::start(&[("front.test", "127.0.0.1")]);
    let egret = Egret::start(&Config::loopback().dns(&dns));
    let place = format!("front.test:{}", origin.port());
    // The first bytes come with the request, before the origin can have spoken.
    let hello = hello("origin.test");
    let mut wire = egret.connect();
    let mut sent = connect(&place, "").into_bytes();
    sent.extend(&hello[..10]);
    wire.send(&sent);
    assert_eq!(wire.response("CONNECT").status, 200);
    wire.send(&hello[10..]);
    assert!(wire.read_to_end().ends_with(&[21, 3, 3, 0, 2, 2, 49]));
    let record = egret.wait_record("the refusal", |r| r["verdict"] == "deny");
    assert!(
        record["reason"]
            .as_str()
            .unwrap()
            .contains("domain fronting"),
        "{record}"
    );
    // One that never ends is not waited for longer than a header section.
    let hasty = Config::loopback().dns(&dns);
    let egret = Egret::start(&hasty.limits("header-time = \"300ms\""));
    let mut wire = egret.connect();
    wire.send(&sent);
    assert_eq!(wire.response("CONNECT").status, 200);
    assert!(wire.read_to_end().ends_with(&[21, 3, 3, 0, 2, 2, 49]));
    let record = egret.wait_record("the refusal", |r| r["verdict"] == "deny");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("did not arrive in time"), "{reason}");
}

/// The ClientHello of a real client.
fn hello(name: &str) -> Vec<u8> {
    let builder = ClientConfig::builder_with_provider(provider());
    said(builder.with_safe_default_protocol_versions().unwrap(), name)
}

/// The same, with an encrypted hello in it that holds nothing, as browsers send it (RFC 9849 §6.2).
fn hello_with_ech(name: &str) -> Vec<u8> {
    let suite = rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128;
    let (key, _) = suite.generate_key_pair().unwrap();
    let grease = EchMode::Grease(EchGreaseConfig::new(suite, key));
    let builder = ClientConfig::builder_with_provider(provider());
    said(builder.with_ech(grease).unwrap(), name)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn said(builder: ConfigBuilder<ClientConfig, WantsVerifier>, name: &str) -> Vec<u8> {
    let config = builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}
