//! SOCKS 4, 4a and 5 on the same port as HTTP: the same decisions, told in reply codes.
//! Not programs that speak it, which are in `clients`. RFC 1928 §3 to §6; RFC 1929.

use std::net::{SocketAddr, TcpListener};

use crate::support::{Config, Dns, Egret, Origin, Wire};

const SUCCEEDED: u8 = 0x00;
const NOT_ALLOWED: u8 = 0x02;
const HOST_UNREACHABLE: u8 = 0x04;
const REFUSED: u8 = 0x05;
const COMMAND_NOT_SUPPORTED: u8 = 0x07;
const ADDRESS_NOT_SUPPORTED: u8 = 0x08;

#[test]
fn version_5_reaches_an_address_and_a_name() {
    let origin = Origin::echo();
    let dns = Dns::start(&[("origin.test", "127.0.0.1")]);
    let egret = Egret::start(&Config::loopback().dns(&dns));
    for place in [ipv4(origin.address), name("origin.test", origin.port())] {
        let mut wire = egret.connect();
        assert_eq!(open5(&mut wire, 1, &place), SUCCEEDED);
        wire.send(b"hello");
        assert_eq!(wire.exact(5), b"hello");
        wire.half_close();
        assert!(wire.read_to_end().is_empty());
    }
    let record = egret.wait_record("the record", |record| record["protocol"] == "socks5");
    assert_eq!(record["rule"], "loopback");
    assert_eq!(
        (&record["bytes_in"], &record["bytes_out"]),
        (&5.into(), &5.into())
    );
}

#[test]
fn bytes_sent_before_the_reply_belong_to_the_tunnel() {
    let origin = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    let mut all = vec![5, 1, 0, 5, 1];
    all.extend(ipv4(origin.address));
    all.extend(b"early");
    wire.send(&all);
    assert_eq!(wire.exact(2), [5, 0]);
    assert_eq!(reply5(&mut wire), SUCCEEDED);
    assert_eq!(wire.exact(5), b"early");
}

#[test]
fn version_4_reaches_an_address_and_4a_a_name() {
    let origin = Origin::echo();
    let dns = Dns::start(&[("origin.test", "127.0.0.1")]);
    let egret = Egret::start(&Config::loopback().dns(&dns));
    let port = origin.port().to_be_bytes();
    let v4 = [&[4, 1], &port[..], &[127, 0, 0, 1], b"someone\0"].concat();
    let v4a = [&[4, 1], &port[..], &[0, 0, 0, 1], b"\0origin.test\0"].concat();
    for (request, protocol) in [(v4, "socks4"), (v4a, "socks4a")] {
        let mut wire = egret.connect();
        wire.send(&request);
        let reply = wire.exact(8);
        assert_eq!(reply[..2], [0, 0x5a], "{protocol}");
        wire.send(b"hello");
        assert_eq!(wire.exact(5), b"hello", "{protocol}");
        drop(wire);
        egret.wait_record(protocol, |record| record["protocol"] == protocol);
    }
}

#[test]
fn reply_codes_tell_what_happened() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let dns = Dns::start(&[]);
    let config = Config::loopback()
        .rule("name = \"missing\"\nallow = {}\nhost = \"missing.test\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    let origin = Origin::echo();
    let cases = [
        ("refused by the origin", 1, ipv4(closed), REFUSED),
        (
            "no such name",
            1,
            name("missing.test", 80),
            HOST_UNREACHABLE,
        ),
        (
            "denied by address",
            1,
            ipv4("10.0.0.1:80".parse().unwrap()),
            NOT_ALLOWED,
        ),
        ("BIND", 2, ipv4(origin.address), COMMAND_NOT_SUPPORTED),
        (
            "UDP ASSOCIATE",
            3,
            ipv4(origin.address),
            COMMAND_NOT_SUPPORTED,
        ),
        ("no command", 9, ipv4(origin.address), COMMAND_NOT_SUPPORTED),
        (
            "no address type",
            1,
            vec![0, 7, 1, 2, 3, 4, 0, 80],
            ADDRESS_NOT_SUPPORTED,
        ),
    ];
    for (case, command, place, expected) in cases {
        let mut wire = egret.connect();
        assert_eq!(open5(&mut wire, command, &place), expected, "{case}");
        assert!(wire.read_to_any_end().is_empty(), "{case}");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn version_4_says_no_with_its_own_code() {
    let egret = Egret::start(&Config::closed());
    for command in [1, 2] {
        let mut wire = egret.connect();
        wire.send(&[4, command, 0, 80, 10, 0, 0, 1, 0]);
        let reply = wire.exact(8);
        assert_eq!(reply[..2], [0, 0x5b]);
        assert!(wire.read_to_any_end().is_empty());
    }
}

#[test]
fn a_denied_name_is_never_resolved() {
    let dns = Dns::start(&[("denied.test", "127.0.0.1")]);
    let config = Config::closed()
        .rule("name = \"other\"\nallow = {}\nhost = \"other.test\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    let mut wire = egret.connect();
    assert_eq!(open5(&mut wire, 1, &name("denied.test", 80)), NOT_ALLOWED);
    let mut wire = egret.connect();
    wire.send(b"\x04\x01\0\x50\0\0\0\x01\0denied.test\0");
    assert_eq!(wire.exact(8)[..2], [0, 0x5b]);
    assert!(dns.asked().is_empty(), "{:?}", dns.asked());
}

#[test]
fn what_is_malformed_is_refused_and_reaches_nobody() {
    let origin = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let port = origin.port().to_be_bytes();
    let long = [b"\x04\x01\0\x50\x7f\0\0\x01".to_vec(), vec![b'u'; 100_000]].concat();
    let cases: &[(&str, Vec<u8>)] = &[
        ("no methods", vec![5, 0]),
        ("only methods that are not spoken", vec![5, 2, 0x80, 0x81]),
        (
            "another version in the request",
            [&[5, 1, 0, 4, 1, 0, 1, 127, 0, 0, 1], &port[..]].concat(),
        ),
        (
            "an empty name",
            [&[5, 1, 0, 5, 1, 0, 3, 0], &port[..]].concat(),
        ),
        (
            "NUL in a name",
            [&[5, 1, 0, 5, 1, 0, 3, 3], &b"a\0b"[..], &port[..]].concat(),
        ),
        (
            "a name that is not ASCII",
            [&[5, 1, 0, 5, 1, 0, 3, 2], &b"\xff\xfe"[..], &port[..]].concat(),
        ),
        (
            "port 0",
            [&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 0][..]].concat(),
        ),
        ("a user name without an end", long),
    ];
    for (case, bytes) in cases {
        let mut wire = egret.connect();
        let _ = wire.try_send(bytes);
        wire.read_to_any_end();
        assert_eq!(origin.connections(), 0, "{case}");
    }
}

#[test]
fn user_and_password_are_asked_for_and_checked() {
    // RFC 1929.
    let origin = Origin::echo();
    let Some(users) = htpasswd() else { return };
    let config = Config::closed()
        .rule("name = \"alice\"\nallow = {}\nprincipal = \"alice\"\naddress = \"127.0.0.0/8\"")
        .listener("auth = [{ basic = { file = \"users\" } }]");
    let egret = Egret::start_with(&[("users", &users)], &config);

    let mut wire = egret.connect();
    wire.send(&[5, 2, 0, 2]);
    assert_eq!(wire.exact(2), [5, 2]);
    wire.send(b"\x01\x05alice\x06secret");
    assert_eq!(wire.exact(2), [1, 0]);
    wire.send(&[&[5, 1], &ipv4(origin.address)[..]].concat());
    assert_eq!(reply5(&mut wire), SUCCEEDED);
    drop(wire);
    egret.wait_record("alice's record", |record| record["principal"] == "alice");

    let mut wire = egret.connect();
    wire.send(&[5, 1, 2]);
    assert_eq!(wire.exact(2), [5, 2]);
    wire.send(b"\x01\x05alice\x05wrong");
    let answer = wire.exact(2);
    assert_eq!(answer[0], 1);
    assert_ne!(answer[1], 0);
    assert!(wire.read_to_any_end().is_empty());
    assert!(!egret.everything_written().contains("secret"));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn accept_can_leave_socks_out() {
    let origin = Origin::echo();
    let config = Config::loopback().listener("accept = [\"http\", \"connect\"]");
    let egret = Egret::start(&config);
    for bytes in [
        [&[5, 1, 0, 5, 1], &ipv4(origin.address)[..]].concat(),
        [
            &[4, 1],
            &origin.port().to_be_bytes()[..],
            &[127, 0, 0, 1, 0],
        ]
        .concat(),
    ] {
        let mut wire = egret.connect();
        let _ = wire.try_send(&bytes);
        wire.read_to_any_end();
        assert_eq!(origin.connections(), 0);
    }
}

/// Greets without authentication, asks, and gives the reply's code.
pub(crate) fn open5(wire: &mut Wire, command: u8, place: &[u8]) -> u8 {
    wire.send(&[5, 1, 0]);
    assert_eq!(wire.exact(2), [5, 0]);
    wire.send(&[&[5, command], place].concat());
    reply5(wire)
}

fn reply5(wire: &mut Wire) -> u8 {
    let reply = wire.exact(4);
    assert_eq!(reply[0], 5, "{reply:?}");
    let length = match reply[3] {
        1 => 4,
        4 => 16,
        other => panic!("address type {other} in a reply"),
    };
    wire.exact(length + 2);
    reply[1]
}

/// RSV, ATYP and the place.
pub(crate) fn ipv4(address: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(v4) = address else {
        panic!("{address} is not IPv4")
    };
    [&[0, 1], &v4.ip().octets()[..], &v4.port().to_be_bytes()].concat()
}

/// RSV, ATYP and the place.
pub(crate) fn name(name: &str, port: u16) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[0, 3, length], name.as_bytes(), &port.to_be_bytes()].concat()
}

/// A file with alice, whose password is `secret`, made by openssl: not by the code that reads it.
pub(crate) fn htpasswd() -> Option<String> {
    let mut openssl = std::process::Command::new("openssl");
    let hash = crate::support::run(openssl.args(["passwd", "-6", "secret"]))?.succeeded();
    Some(format!("alice:{}\n", hash.text().trim()))
}
