//! Limits of a listener, beside those that `hostile` and `http2` try: each ends with a clear answer and a recorded reason.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Config, Egret, Origin, Wire, get, ok, tunnel, until};

#[test]
fn a_connection_that_is_let_in_again_after_the_limit_was_reached_is_served() {
    let origin = Origin::http(|_| ok(b"answer"));
    let request = get(&origin.url("/"), "");
    for limit in ["connections = 3", "connections-per-client = 3"] {
        let egret = Egret::start(&Config::loopback().limits(limit));
        let mut held: Vec<Wire> = (0..3).map(|_| egret.connect()).collect();
        for wire in &mut held {
            wire.send(request.as_bytes());
            assert_eq!(wire.response("GET").status, 200, "{limit}");
        }
        let answer = egret.ask(&request);
        assert_eq!(answer.status, 503, "{limit}");
        let wait = answer.header("retry-after").unwrap().parse::<u32>();
        assert!(wait.is_ok(), "{limit}: {}", answer.head);
        assert_eq!(
            answer.proxy_error(),
            Some("connection_limit_reached"),
            "{limit}"
        );
        reason(&egret, limit, |record| record["authority"].is_null());
        held.pop();
        until("a free place", || egret.ask(&request).status == 200);
        // Those that were in are not troubled.
        for wire in &mut held {
            wire.send(request.as_bytes());
            assert_eq!(wire.response("GET").status, 200, "{limit}");
        }
        let status = egret.status();
        let refused = status["totals"]["connections_refused"].as_u64();
        assert!(refused.is_some_and(|count| count >= 1), "{limit}: {status}");
    }
}

#[test]
fn a_connection_that_is_idle_between_two_requests_is_closed_without_an_answer() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback().limits("idle = \"500ms\""));
    let mut wire = egret.connect();
    for _ in 0..2 {
        wire.send(get(&origin.url("/"), "").as_bytes());
        assert_eq!(wire.response("GET").status, 200);
    }
    let began = Instant::now();
    assert!(wire.read_to_end().is_empty());
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_silent_client_is_told_408_or_nothing_and_is_recorded_with_the_reason() {
    let egret =
        Egret::start(&Config::loopback().limits("first-byte = \"300ms\"\nheader-time = \"300ms\""));
    egret.connect().read_to_any_end();
    reason(&egret, "the first byte", |record| {
        record["authority"].is_null()
    });
    for (case, bytes) in [
        ("HTTP", &b"GET http://a.test/ HTTP/1.1\r\n"[..]),
        ("SOCKS5", &[5, 1]),
        ("SOCKS4", &[4, 1, 0]),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\n"),
    ] {
        let before = egret.records().len();
        let mut wire = egret.connect();
        wire.send(bytes);
        wire.read_to_any_end();
        until(case, || egret.records().len() > before);
        let last = egret.records().pop().unwrap();
        assert!(last["reason"].is_string(), "{case}: {last}");
    }
}

#[test]
fn of_thousands_of_silent_connections_each_is_recorded_and_none_is_left() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::loopback().limits("first-byte = \"1s\"");
    let egret = Egret::start(&config);
    let address = egret.address("egress");
    let silent: Vec<_> = (0..1000)
        .map(|_| std::net::TcpStream::connect(address).unwrap())
        .collect();
    assert_eq!(egret.ask(&get(&origin.url("/"), "")).status, 200);
    let told = || {
        let records = egret.records();
        let reasons = records.iter().filter(|record| record["reason"].is_string());
        reasons.count()
    };
    until("a record of each", || told() == silent.len());
    until("the end of each", || {
        egret.status()["totals"]["connections_open"] == 0
    });
}

#[test]
fn who_resets_or_leaves_in_the_middle_of_a_head_is_recorded_and_forgotten() {
    let egret = Egret::start(&Config::loopback());
    let heads: [&[u8]; 4] = [
        b"GET http://a.test/ HT",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[5, 1],
        &[4, 1, 0, 80],
    ];
    for reset in [true, false] {
        for head in heads {
            let before = egret.records().len();
            let mut wire = egret.connect();
            wire.send(head);
            if reset {
                wire.reset();
            } else {
                drop(wire);
            }
            // An HTTP/2 connection without a stream has nothing to record.
            if !head.starts_with(b"PRI") {
                until("a record", || egret.records().len() > before);
                let last = egret.records().pop().unwrap();
                assert!(last["reason"].is_string(), "{last}");
            }
        }
    }
    until("the end of each", || {
        egret.status()["totals"]["connections_open"] == 0
    });
}

#[test]
fn an_idle_tunnel_ends_whatever_opened_it_and_bytes_keep_it_alive() {
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback().limits("tunnel-idle = \"600ms\""));
    let mut connect = tunnel(&egret, &echo.address.to_string());
    let mut socks = egret.connect();
    let place = crate::socks::ipv4(echo.address);
    assert_eq!(crate::socks::open5(&mut socks, 1, &place), 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        for wire in [&mut connect, &mut socks] {
            wire.send(b"x");
            assert_eq!(wire.exact(1), b"x");
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    connect.read_to_any_end();
    socks.read_to_any_end();
    for protocol in ["connect", "socks5"] {
        reason(&egret, protocol, |record| record["protocol"] == protocol);
    }
}

#[test]
fn an_upgraded_connection_has_the_limits_of_a_tunnel() {
    let origin = Origin::scripted(|wire| {
        wire.head();
        wire.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback().limits("tunnel-idle = \"500ms\""));
    let mut wire = egret.connect();
    wire.send(
        get(
            &origin.url("/"),
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
        )
        .as_bytes(),
    );
    assert_eq!(wire.response("GET").status, 101);
    assert!(wire.read_to_any_end().is_empty());
    reason(&egret, "the upgrade", |record| record["status"] == 101);
}

#[test]
fn a_tunnel_that_is_never_idle_ends_at_its_total_time() {
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback().limits("tunnel-total = \"1s\""));
    let mut wire = tunnel(&egret, &echo.address.to_string());
    let began = Instant::now();
    while wire.try_send(b"x").is_ok() && wire.try_some().is_ok() {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "it goes on for ever"
        );
    }
    assert!(began.elapsed() > Duration::from_millis(900));
    reason(&egret, "the tunnel", |record| record["method"] == "CONNECT");
}

#[test]
fn a_client_that_takes_no_byte_of_its_answer_is_cut_off() {
    let origin = Origin::scripted(|wire| {
        wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\n\r\n");
        while wire.try_send(&[0; 1 << 16]).is_ok() {}
    });
    let egret = Egret::start(&Config::loopback().limits("body-idle = \"500ms\""));
    let mut wire = egret.connect();
    wire.send(get(&origin.url("/"), "").as_bytes());
    let record = egret.wait_record("the cut", |record| record["aborted"] == true);
    assert!(record["reason"].is_string(), "{record}");
}

#[test]
fn a_body_that_goes_silent_before_any_answer_gets_408() {
    let origin = Origin::scripted(|wire| {
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback().limits("body-idle = \"500ms\""));
    let mut wire = egret.connect();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        origin.url("/")
    );
    wire.send(head.as_bytes());
    let answer = wire.response("POST");
    assert_eq!(answer.status, 408, "{}", answer.head);
    assert!(answer.header("proxy-status").is_some(), "{}", answer.head);
    wire.read_to_any_end();
    reason(&egret, "the silence", |record| record["status"] == 408);
}

/// Waits for the record, which must name a reason.
fn reason(egret: &Egret, what: &str, wanted: impl Fn(&Value) -> bool) {
    let record = egret.wait_record(what, wanted);
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{what}: {record}");
}
