//! Peers that mean harm or are broken: each is cut off, each is recorded with its reason, and others are served meanwhile.
//! Not ambiguity, which is `framing`. RFC 9110 §15.5.9, §15.5.14; RFC 6585 §5.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Config, Egret, Origin, Wire, ok, pattern};

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let egret = Egret::start(&Config::loopback().limits("first-byte = \"1s\""));
    let mut wire = egret.connect();
    // An answer would be to a question that nobody asked; a 408 is allowed by RFC 9110 §15.5.9.
    let all = wire.read_to_any_end();
    assert!(
        all.is_empty() || all.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&all)
    );
}

#[test]
fn a_header_that_drips_gets_408() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback().limits("header-time = \"1s\""));
    let mut wire = egret.connect();
    wire.send(b"GET http://");
    // One byte at a time: no gap is long, the whole takes for ever.
    let mut drops = 0;
    while wire.is_silent_for(Duration::from_millis(50)) && drops < 200 {
        if wire.try_send(b"a").is_err() {
            break;
        }
        drops += 1;
    }
    assert!(drops < 200, "it was let drip");
    let answer = wire.response("GET");
    assert_eq!(answer.status, 408, "{}", answer.head);
    wire.read_to_any_end();
    recorded(&egret, "the slow header", |record| record["status"] == 408);
    serves(&egret, &origin);
}

#[test]
fn a_body_that_stops_is_cut_off() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback().limits("body-idle = \"1s\""));
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut wire = egret.connect();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\n{framing}\r\n\r\n5\r\nhe",
            origin.url("/slow"),
            origin.address
        );
        wire.send(head.as_bytes());
        let all = wire.read_to_any_end();
        assert!(!all.starts_with(b"HTTP/1.1 2"), "{framing}");
    }
    assert!(origin.requests().is_empty());
    recorded(&egret, "the slow body", |record| record["path"] == "/slow");
    serves(&egret, &origin);
}

#[test]
fn a_client_that_leaves_in_its_head_or_body_is_recorded() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\nhello",
        origin.url("/left"),
        origin.address
    );
    let mut closed = egret.connect();
    closed.send(head.as_bytes());
    closed.half_close();
    closed.read_to_any_end();
    recorded(&egret, "the end inside a body", |record| {
        record["path"] == "/left"
    });

    let mut reset = egret.connect();
    reset.send(head.replace("/left", "/reset").as_bytes());
    reset.reset();
    recorded(&egret, "the reset inside a body", |record| {
        record["path"] == "/reset"
    });
    assert!(origin.requests().is_empty());
    serves(&egret, &origin);
}

#[test]
fn a_client_that_leaves_in_its_answer_is_recorded_and_frees_the_origin() {
    let (gone, left) = std::sync::mpsc::channel();
    let origin = Origin::scripted(move |wire| {
        wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\n\r\n");
        while wire.try_send(&pattern(1 << 16)).is_ok() {}
        gone.send(()).unwrap();
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", origin.url("/")).as_bytes());
    wire.head();
    wire.reset();
    left.recv_timeout(crate::support::PATIENCE).unwrap();
    let record = egret.wait_record("the aborted answer", |record| record["aborted"] == true);
    assert!(record["reason"].is_string(), "{record}");
}

#[test]
fn an_origin_that_resets_in_its_answer_is_recorded() {
    let origin = Origin::scripted(|wire| {
        wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
        wire.reset_now();
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", origin.url("/")).as_bytes());
    // A reset may overtake the head: then it is a 502.
    let all = wire.try_head().unwrap_or_default();
    if all.starts_with("HTTP/1.1 200 ") {
        assert!(wire.try_exact(100).is_err());
    }
    recorded(&egret, "the reset", |record| {
        record["authority"].is_string()
    });
}

#[test]
fn an_origin_that_says_nothing_is_504() {
    let origin = Origin::scripted(|wire| {
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback().more("[pool]\nresponse = \"1s\""));
    let answer = egret.ask(&format!(
        "GET {} HTTP/1.1\r\nHost: a\r\n\r\n",
        origin.url("/")
    ));
    assert_eq!(answer.status, 504, "{}", answer.head);
    assert_eq!(answer.proxy_error(), Some("connection_read_timeout"));
    recorded(&egret, "the silence", |record| record["status"] == 504);
}

#[test]
fn a_header_of_a_hundred_megabytes_is_431_and_is_not_kept() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    let before = egret.resident();
    let long_value = [b"GET http://127.0.0.1/ HTTP/1.1\r\nX: ".to_vec()].concat();
    let long_target = b"GET http://127.0.0.1/".to_vec();
    for start in [long_value, long_target] {
        let mut wire = egret.connect();
        wire.send(&start);
        flood(&mut wire, &vec![b'x'; 1 << 20], 100);
        // The answer may be lost where the flood ran into the closed connection.
        let head = wire.try_head();
        let head = head.unwrap_or_else(|_| "HTTP/1.1 431 lost".to_owned());
        let status = &head[..12];
        assert!(["HTTP/1.1 431", "HTTP/1.1 414"].contains(&status), "{head}");
    }
    recorded(&egret, "the long header", |record| {
        record["status"] == 431 || record["status"] == 414
    });
    assert_bounded(&egret, before);
    serves(&egret, &origin);
}

#[test]
fn limits_on_the_head_are_those_of_the_configuration() {
    let origin = Origin::http(|_| ok(b""));
    let config = Config::loopback().limits("header-count = 20\nheader-size = \"4KiB\"");
    let egret = Egret::start(&config);
    let with = |lines: &str| {
        let url = origin.url("/");
        egret.ask(&format!("GET {url} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
    };
    let fields = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: y\r\n")).collect() };
    assert_eq!(with(&fields(10)).status, 200);
    assert_eq!(with(&fields(30)).status, 431);
    assert_eq!(with(&format!("X: {}\r\n", "y".repeat(2000))).status, 200);
    assert_eq!(with(&format!("X: {}\r\n", "y".repeat(5000))).status, 431);
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_body_beyond_the_limit_is_413() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback().limits("body-size = \"1KiB\""));
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\n",
        origin.url("/"),
        origin.address
    );
    let mut wire = egret.connect();
    wire.send(format!("{head}Content-Length: 1025\r\n\r\n").as_bytes());
    assert_eq!(wire.response("POST").status, 413);
    assert_eq!(origin.connections(), 0, "known before anything is dialled");

    let mut wire = egret.connect();
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let body = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    wire.send(body.as_bytes());
    assert_eq!(wire.response("POST").status, 413);
    assert!(origin.requests().is_empty());
    recorded(&egret, "the large body", |record| record["status"] == 413);
}

#[test]
fn what_has_no_end_in_a_chunked_body_is_cut_off() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    let before = egret.resident();
    let cases: &[(&str, &[u8], &[u8])] = &[
        ("an extension", b"5;x=", b"yyyyyyyy"),
        ("extensions", b"5", b";xxxx=yy"),
        ("zeros before a size", b"0", b"00000000"),
        ("trailers", b"0\r\n", b"X: yyy\r\n"),
        ("one trailer", b"0\r\nX: ", b"yyyyyyyy"),
        (
            "chunks of one byte with an extension",
            b"",
            b"1;xxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n",
        ),
    ];
    for (case, start, piece) in cases {
        let mut wire = egret.connect();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            origin.url("/"),
            origin.address
        );
        wire.send(head.as_bytes());
        let _ = wire.try_send(start);
        let cut = flood(&mut wire, &piece.repeat((1 << 18) / piece.len()), 64);
        assert!(cut, "{case} went on for ever");
        wire.read_to_any_end();
    }
    assert!(origin.requests().is_empty());
    recorded(&egret, "the endless body", |record| {
        record["reason"].is_string()
    });
    assert_bounded(&egret, before);
    serves(&egret, &origin);
}

#[test]
fn what_has_no_end_in_an_answer_is_cut_off() {
    let egret = Egret::start(&Config::loopback());
    let before = egret.resident();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases = [
        ("a field", "HTTP/1.1 200 OK\r\nX: ".to_owned(), "yyyyyyyy"),
        ("fields", "HTTP/1.1 200 OK\r\n".to_owned(), "X: yyy\r\n"),
        ("a status line", "HTTP/1.1 200 ".to_owned(), "yyyyyyyy"),
        (
            "interim answers",
            String::new(),
            "HTTP/1.1 102 Processing\r\n\r\n",
        ),
        ("an extension", format!("{chunked}5;x="), "yyyyyyyy"),
        ("trailers", format!("{chunked}0\r\n"), "X: yyy\r\n"),
    ];
    for (case, start, piece) in cases {
        let (cut, was_cut) = std::sync::mpsc::channel();
        let origin = Origin::scripted(move |wire| {
            wire.head();
            let _ = wire.try_send(start.as_bytes());
            let block = piece.repeat((1 << 18) / piece.len());
            let _ = cut.send(flood(wire, block.as_bytes(), 64));
        });
        let mut wire = egret.connect();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            origin.url("/")
        );
        wire.send(request.as_bytes());
        wire.drain();
        let cut = was_cut.recv_timeout(crate::support::PATIENCE).unwrap();
        assert!(cut, "{case} went on for ever");
    }
    recorded(&egret, "the endless answer", |record| {
        record["error"].is_string()
    });
    assert_bounded(&egret, before);
}

#[test]
fn thousands_of_silent_connections_keep_nobody_out() {
    let origin = Origin::http(|_| ok(b"served"));
    let config = Config::loopback()
        .limits("connections = 20000\nconnections-per-client = 20000\nfirst-byte = \"60s\"");
    let egret = Egret::start(&config);
    // Two descriptors a connection where both ends were in one process; some are left for everybody else.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let count = if limit.current.is_some_and(|most| most < 12_000) {
        (limit.current.unwrap_or(4096) / 2).min(2_000)
    } else {
        10_000
    };
    let before = egret.resident();
    let address = egret.address("egress");
    let mut silent = Vec::new();
    for number in 0..count {
        silent.push(std::net::TcpStream::connect(address).unwrap());
        if number % 1000 == 0 {
            serves(&egret, &origin);
        }
    }
    serves(&egret, &origin);
    let each = egret.resident().saturating_sub(before) / count;
    assert!(
        each < 32 << 10,
        "{each} bytes for a connection that says nothing"
    );
    drop(silent);
    serves(&egret, &origin);
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let origin = Origin::http(|_| ok(b""));
    for limit in ["connections = 4", "connections-per-client = 4"] {
        let egret = Egret::start(&Config::loopback().limits(limit));
        let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", origin.url("/"));
        let mut held = Vec::new();
        let mut refused = None;
        // Each worker may count for itself, so that a few more than the limit get in.
        for _ in 0..40 {
            let mut wire = egret.connect();
            let _ = wire.try_send(request.as_bytes());
            let answer = wire.response("GET");
            if answer.status != 200 {
                refused = Some(answer);
                break;
            }
            held.push(wire);
        }
        let answer = refused.unwrap_or_else(|| panic!("{limit}: all 40 got in"));
        assert_eq!(answer.status, 503, "{limit}");
        assert!(
            answer.header("retry-after").is_some(),
            "{limit}: {}",
            answer.head
        );
        assert!(held.len() >= 4, "{limit}: only {} got in", held.len());
    }
}

#[test]
fn the_proxy_serves_on_after_noise() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    for first in 0..=255_u8 {
        let mut wire = egret.connect();
        let mut bytes = vec![first];
        for _ in 0..200 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            bytes.push(noise as u8);
        }
        let _ = wire.try_send(&bytes);
        wire.half_close_quietly();
        wire.read_to_any_end();
    }
    assert_eq!(origin.connections(), 0);
    serves(&egret, &origin);
}

/// Sends a block again and again; whether the peer put an end to it.
fn flood(wire: &mut Wire, block: &[u8], times: usize) -> bool {
    (0..times).any(|_| wire.try_send(block).is_err())
}

fn serves(egret: &Egret, origin: &Origin) {
    let answer = egret.ask(&format!(
        "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        origin.url("/served")
    ));
    assert_eq!(answer.status, 200, "{}", answer.head);
}

/// Waits for the record, which must name a reason.
fn recorded(egret: &Egret, what: &str, wanted: impl Fn(&Value) -> bool) {
    let record = egret.wait_record(what, wanted);
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{what}: {record}");
}

fn assert_bounded(egret: &Egret, before: u64) {
    let grown = egret.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "grew by {grown} bytes");
}
