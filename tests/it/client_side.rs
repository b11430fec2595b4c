//! The listener's own rules: who counts as a client, what a broken client or a broken answer leads to, HTTP/2's corners.
//! Not the ordinary life of a request, which is `forward`, nor programs, which are `clients`.

use crate::support::{Config, Egret, Origin, ok};

#[test]
fn behind_a_balancer_each_client_has_its_own_places() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(
        &Config::loopback()
            .listener("proxy-protocol = { accept-from = [\"127.0.0.1\"] }")
            .limits("connections-per-client = 1"),
    );
    let from = |client: &str| {
        let mut wire = egret.connect();
        wire.send(format!("PROXY TCP4 {client} 127.0.0.1 1000 3128\r\n").as_bytes());
        wire.send(
            format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
                origin.url("/"),
                origin.address
            )
            .as_bytes(),
        );
        let status = wire.response("GET").status;
        (wire, status)
    };
    let (_first, one) = from("192.0.2.1");
    let (_second, other) = from("192.0.2.2");
    let (_third, again) = from("192.0.2.1");
    assert_eq!((one, other, again), (200, 200, 503));
    let record = egret.wait_record("the refusal", |record| record["status"] == 503);
    assert_eq!(record["client"], "192.0.2.1:1000", "{record}");
}

#[test]
fn a_refusal_says_what_the_port_accepts() {
    let egret = Egret::start(
        &Config::loopback().listener("accept = [\"socks5\", \"socks4\"]\nvia = \"gate-7\""),
    );
    let answer = egret.ask("GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert_eq!(answer.status, 403, "{}", answer.head);
    let text = answer.text();
    assert!(text.contains("only SOCKS4, SOCKS5"), "{text}");
    let status = answer.header("proxy-status").unwrap_or_default();
    assert!(status.starts_with("gate-7; "), "{status}");
}
