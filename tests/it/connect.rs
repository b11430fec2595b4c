//! CONNECT: the origin is reached before the answer, the answer tells the truth, and then bytes flow until both ends are done.
//! Not SOCKS, which is `socks`. RFC 9110 §9.3.6; RFC 9931 §8.

use std::net::TcpListener;

use crate::support::{Config, Dns, Egret, Origin, contains, pattern};

#[test]
fn a_tunnel_carries_bytes_both_ways_unchanged() {
    let origin = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    // What follows the head at once belongs to the tunnel.
    let head = connect(&origin.address.to_string());
    wire.send(format!("{head}early").as_bytes());
    let answer = wire.response("CONNECT");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(wire.exact(5), b"early");
    for size in [1, 1000, 100_000] {
        let bytes = pattern(size);
        wire.send(&bytes);
        assert!(wire.exact(size) == bytes, "{size} bytes");
    }
    wire.half_close();
    assert!(wire.read_to_end().is_empty());
    let record = egret.wait_record("the tunnel's record", |r| r["method"] == "CONNECT");
    assert_eq!(record["bytes_in"], 101_006);
    assert_eq!(record["bytes_out"], 101_006);
    assert_eq!(record["rule"], "loopback");
}

#[test]
fn either_side_may_end_first_and_the_other_still_speaks() {
    let origin = Origin::scripted(|wire| {
        let all = wire.read_to_end();
        wire.send(format!("{} bytes", all.len()).as_bytes());
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = tunnel(&egret, &origin);
    wire.send(b"hello");
    wire.half_close();
    assert_eq!(wire.read_to_end(), b"5 bytes");

    let (heard, last_words) = std::sync::mpsc::channel();
    let origin = Origin::scripted(move |wire| {
        wire.send(b"done here");
        wire.half_close();
        heard.send(wire.read_to_end()).unwrap();
    });
    let mut wire = tunnel(&egret, &origin);
    assert_eq!(wire.read_to_end(), b"done here");
    wire.send(b"thank you");
    wire.half_close();
    assert_eq!(last_words.recv().unwrap(), b"thank you");
}

#[test]
fn a_denied_name_is_never_resolved() {
    let dns = Dns::start(&[("denied.test", "127.0.0.1"), ("allowed.test", "127.0.0.1")]);
    let origin = Origin::echo();
    let config = Config::closed()
        .rule("name = \"one name\"\nallow = {}\nhost = \"allowed.test\"\naddress = \"127.0.0.0/8\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    let mut wire = egret.connect();
    wire.send(connect(&format!("denied.test:{}", origin.port())).as_bytes());
    let answer = wire.response("CONNECT");
    assert_eq!(answer.status, 403);
    assert_eq!(answer.proxy_error(), Some("http_request_denied"));
    let mut wire = egret.connect();
    wire.send(connect(&format!("allowed.test:{}", origin.port())).as_bytes());
    assert_eq!(wire.response("CONNECT").status, 200);
    wire.send(b"through");
    assert_eq!(wire.exact(7), b"through");
    let asked = dns.asked();
    assert!(asked.iter().any(|name| name == "allowed.test"), "{asked:?}");
    assert!(
        asked.iter().all(|name| !name.contains("denied")),
        "{asked:?}"
    );
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_rejected_connect_closes_the_connection() {
    // RFC 9931 §8: what the client sent after it may be meant for the tunnel.
    let origin = Origin::http(|_| crate::support::ok(b"smuggled"));
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    let smuggled = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", origin.url("/"));
    let _ = wire.try_send(format!("{}{smuggled}", connect("10.0.0.1:443")).as_bytes());
    let all = wire.read_to_any_end();
    assert!(
        all.starts_with(b"HTTP/1.1 403 "),
        "{}",
        String::from_utf8_lossy(&all)
    );
    assert!(!contains(&all, b"smuggled"));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn failures_are_told_by_status_and_proxy_status() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (_full, silent) = full_backlog();
    let dns = Dns::changing(&[("empty.test", vec![vec![]])]);
    let config = Config::loopback()
        .rule("name = \"tests\"\nallow = {}\nhost = \"*.test\"")
        .more("[pool]\nconnect = \"1s\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    let cases = [
        (closed.to_string(), 502, &["connection_refused"][..]),
        (silent.to_string(), 504, &["connection_timeout"]),
        ("missing.test:443".to_owned(), 502, &["dns_error"]),
        ("empty.test:443".to_owned(), 502, &["dns_error"]),
    ];
    for (authority, status, errors) in cases {
        let mut wire = egret.connect();
        wire.send(connect(&authority).as_bytes());
        let answer = wire.response("CONNECT");
        assert_eq!(answer.status, status, "{authority}: {}", answer.text());
        let error = answer.proxy_error().unwrap_or_default();
        assert!(errors.contains(&error), "{authority}: {}", answer.head);
        egret.wait_record("the failure's record", |record| {
            record["authority"] == authority && record["error"] == error
        });
    }
}

#[test]
fn a_silent_dns_server_is_a_timeout() {
    // Bound, so that no ICMP answers for it, and never read.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let config = Config::loopback().more(&format!(
        "[dns]\nservers = [\"{address}\"]\ntimeout = \"1s\""
    ));
    let egret = Egret::start(&config);
    let mut wire = egret.connect();
    wire.send(connect("origin.test:443").as_bytes());
    let answer = wire.response("CONNECT");
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(answer.proxy_error(), Some("dns_timeout"));
}

#[test]
fn an_idle_tunnel_ends_and_says_why() {
    let origin = Origin::echo();
    let egret = Egret::start(&Config::loopback().limits("tunnel-idle = \"1s\""));
    let mut wire = tunnel(&egret, &origin);
    wire.send(b"hello");
    assert_eq!(wire.exact(5), b"hello");
    assert!(wire.read_to_any_end().is_empty());
    let record = egret.wait_record("the record", |record| record["method"] == "CONNECT");
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("idle"), "{record}");
}

#[test]
fn a_tunnel_has_a_longest_life() {
    let origin = Origin::scripted(|wire| while wire.try_send(b"tick").is_ok() {});
    let egret = Egret::start(&Config::loopback().limits("tunnel-total = \"1s\""));
    let mut wire = tunnel(&egret, &origin);
    assert!(wire.drain() > 0);
    egret.wait_record("the record", |record| record["reason"].is_string());
}

#[test]
fn accept_can_leave_connect_out() {
    let origin = Origin::echo();
    let egret = Egret::start(&Config::loopback().listener("accept = [\"http\"]"));
    let mut wire = egret.connect();
    wire.send(connect(&origin.address.to_string()).as_bytes());
    let status = wire.response("CONNECT").status;
    assert!([403, 405, 501].contains(&status), "{status}");
    assert_eq!(origin.connections(), 0);
}

fn connect(authority: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
}

fn tunnel(egret: &Egret, origin: &Origin) -> crate::support::Wire {
    let mut wire = egret.connect();
    wire.send(connect(&origin.address.to_string()).as_bytes());
    let answer = wire.response("CONNECT");
    assert_eq!(answer.status, 200, "{}", answer.head);
    wire
}

/// A socket whose backlog is full: SYNs to it are dropped, so that connecting to it waits.
pub(crate) fn full_backlog() -> (Vec<socket2::Socket>, std::net::SocketAddr) {
    use socket2::{Domain, Socket, Type};
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = vec![listener];
    for _ in 0..4 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        // In progress, or dropped: both fill.
        let _ = filler.connect(&address);
        held.push(filler);
    }
    (held, address.as_socket().unwrap())
}
