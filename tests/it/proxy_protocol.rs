//! The PROXY protocol on a listener: who is behind a balancer, believed from named sources only.
//! Not the grammar, which has its tests beside the code.

use crate::support::{Config, Egret, Origin, get, ok};

const BALANCER: &str = "proxy-protocol = { accept-from = [\"127.0.0.1\"] }";

/// Version 2, TCP over IPv4: from 192.0.2.7:1000 to 192.0.2.1:3128.
fn version_2() -> Vec<u8> {
    [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..],
        &[192, 0, 2, 7, 192, 0, 2, 1, 3, 232, 12, 56],
    ]
    .concat()
}

#[test]
fn a_named_source_says_who_the_client_is_in_policy_and_records() {
    let origin = Origin::http(|_| ok(b"answer"));
    let rule = |client: &str| {
        format!(
            "name = \"{client}\"\nallow = {{}}\nclient = \"{client}\"\naddress = \"127.0.0.0/8\""
        )
    };
    let config = Config::closed()
        .listener(BALANCER)
        .rule(&rule("192.0.2.0/24"))
        .rule(&rule("2001:db8::/32"));
    let egret = Egret::start(&config);
    let request = get(&origin.url("/"), "");
    let cases: &[(&str, Vec<u8>, u16, &str)] = &[
        (
            "version 1",
            b"PROXY TCP4 192.0.2.9 192.0.2.1 999 3128\r\n".to_vec(),
            200,
            "192.0.2.9:999",
        ),
        (
            "version 1, IPv6",
            b"PROXY TCP6 2001:db8::1 2001:db8::2 998 3128\r\n".to_vec(),
            200,
            "[2001:db8::1]:998",
        ),
        ("version 2", version_2(), 200, "192.0.2.7:1000"),
        (
            "somebody who may not",
            b"PROXY TCP4 198.51.100.1 192.0.2.1 997 3128\r\n".to_vec(),
            403,
            "198.51.100.1:997",
        ),
    ];
    for (case, header, status, client) in cases {
        let mut wire = egret.connect();
        wire.send(&[header, request.as_bytes()].concat());
        let answer = wire.response("GET");
        assert_eq!(answer.status, *status, "{case}: {}", answer.head);
        egret.wait_record(case, |record| {
            record["client"] == *client && record["status"] == *status
        });
    }
    // The header may come byte by byte; the connection goes on as that client's.
    let mut wire = egret.connect();
    for byte in version_2() {
        wire.send(&[byte]);
    }
    for _ in 0..2 {
        wire.send(request.as_bytes());
        assert_eq!(wire.response("GET").status, 200);
    }
    assert!(!origin.wait_request(0).head.contains("192.0.2"));
}

#[test]
fn a_balancer_that_speaks_for_itself_is_the_client() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback().listener(BALANCER));
    for header in [
        &b"PROXY UNKNOWN\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
    ] {
        let mut wire = egret.connect();
        let client = wire.local().to_string();
        wire.send(&[header, get(&origin.url("/"), "").as_bytes()].concat());
        assert_eq!(wire.response("GET").status, 200);
        egret.wait_record("the balancer's own", |record| record["client"] == client);
    }
}

#[test]
fn socks_and_http_2_follow_a_header_as_well() {
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback().listener(BALANCER));
    let mut wire = egret.connect();
    wire.send(&version_2());
    let place = crate::socks::ipv4(echo.address);
    assert_eq!(crate::socks::open5(&mut wire, 1, &place), 0);
    drop(wire);
    egret.wait_record("the client behind", |record| {
        record["protocol"] == "socks5" && record["client"] == "192.0.2.7:1000"
    });
    let mut wire = egret.connect();
    wire.send(&version_2());
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    // A SETTINGS frame is the first that a server sends. RFC 9113 §3.4.
    assert_eq!(wire.exact(9)[3], 4);
}

#[test]
fn a_header_from_anybody_else_is_refused() {
    let origin = Origin::http(|_| ok(b"answer"));
    let elsewhere = "proxy-protocol = { accept-from = [\"10.0.0.0/8\"] }";
    for listener in ["", elsewhere] {
        let egret = Egret::start(&Config::loopback().listener(listener));
        let request = get(&origin.url("/"), "");
        for header in [
            b"PROXY TCP4 192.0.2.9 192.0.2.1 999 3128\r\n".to_vec(),
            version_2(),
        ] {
            let mut wire = egret.connect();
            let _ = wire.try_send(&[&header, request.as_bytes()].concat());
            let answer = wire.read_to_any_end();
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
                "{}",
                String::from_utf8_lossy(&answer)
            );
        }
        assert_eq!(egret.ask(&request).status, 200, "without one it is served");
        assert!(!egret.everything_written().contains("192.0.2.9:999"));
    }
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_named_source_must_send_a_header_and_a_good_one() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::loopback()
        .listener(BALANCER)
        .limits("first-byte = \"1s\"\nheader-time = \"1s\"");
    let egret = Egret::start(&config);
    let request = get(&origin.url("/"), "");
    let cases: &[(&str, &[u8])] = &[
        ("none", b""),
        ("a malformed line", b"PROXY TCP4 nonsense\r\n"),
        ("a line without end", &[b'P'; 200]),
        (
            "an unknown version",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c",
        ),
        ("two headers", b"PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n"),
    ];
    for (case, header) in cases {
        let mut wire = egret.connect();
        let _ = wire.try_send(&[*header, request.as_bytes()].concat());
        let answer = wire.read_to_any_end();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
            "{case}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    // One that stops in the middle.
    let mut wire = egret.connect();
    wire.send(b"PROXY TCP4 192.");
    wire.read_to_any_end();
    assert_eq!(origin.connections(), 0);
    let refused = |record: &serde_json::Value| record["reason"].is_string();
    egret.wait_record("a record of the refusal", refused);
}
