//! Corners of an exchange beside those in `forward`: what must not be sent twice, what must not be switched to, who leaves when.
//! RFC 9110 §7.8, §9.2.2; RFC 9113 §3.1 has no upgrade to HTTP/2 any more.

use crate::support::{Ca, Config, Egret, Origin, get, ok, pattern, until};

#[test]
fn an_upgrade_to_another_http_or_to_tls_is_not_passed_on() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    for protocol in [
        "h2c",
        "H2C",
        "h2",
        "HTTP/2.0",
        "TLS/1.2",
        "websocket, h2c",
        "h2c, websocket",
    ] {
        let lines = format!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        );
        let answer = egret.ask(&get(&origin.url("/"), &lines));
        assert_eq!(answer.status, 200, "{protocol}: {}", answer.head);
        let seen = origin.requests().pop().unwrap();
        for name in ["upgrade", "http2-settings"] {
            assert_eq!(seen.header(name), None, "{protocol}: {}", seen.head);
        }
    }
}

#[test]
fn an_origin_that_switches_unasked_or_to_something_else_is_refused() {
    for (lines, switched) in [
        ("", "websocket"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", "h2c"),
        ("Connection: Upgrade\r\nUpgrade: h2c\r\n", "h2c"),
    ] {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {switched}\r\n\r\nraw"
        );
        let origin = Origin::replies(head.as_bytes());
        let egret = Egret::start(&Config::loopback());
        let answer = egret.ask(&get(&origin.url("/"), lines));
        assert_eq!(answer.status, 502, "{lines:?} {switched}: {}", answer.head);
        assert!(answer.proxy_error().is_some(), "{}", answer.head);
        assert!(!answer.text().contains("raw"));
    }
}

#[test]
fn a_post_after_the_origin_closed_a_kept_connection_is_sent_once_and_answered() {
    let (closed, was_closed) = std::sync::mpsc::channel();
    let origin = Origin::scripted(move |wire| {
        if crate::support::read_request(wire, 0).is_ok() {
            let _ = wire.try_send(&ok(b"once"));
            wire.half_close_quietly();
            let _ = closed.send(());
            wire.drain();
        }
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    for round in 0..30 {
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            origin.url("/")
        );
        wire.send(request.as_bytes());
        let answer = wire.response("POST");
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
        was_closed.recv_timeout(crate::support::PATIENCE).unwrap();
    }
    assert_eq!(origin.connections(), 30);
}

#[test]
fn a_post_that_the_origin_read_and_did_not_answer_is_502_and_never_sent_twice() {
    for (method, most) in [("POST", 1), ("PATCH", 1)] {
        let origin = Origin::http(|_| Vec::new());
        let dropping = Origin::scripted(move |wire| {
            let _ = crate::support::read_request(wire, 0);
            wire.reset_now();
        });
        drop(origin);
        let egret = Egret::start(&Config::loopback());
        let answer = egret.ask(&format!(
            "{method} {} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            dropping.url("/")
        ));
        assert_eq!(answer.status, 502, "{method}: {}", answer.head);
        assert_eq!(dropping.connections(), most, "{method}");
    }
}

#[test]
fn a_refusal_in_the_middle_of_an_upload_reaches_the_client() {
    // RFC 9112 §9.3: the answer may come before the request has ended.
    let origin = Origin::scripted(|wire| {
        wire.head();
        wire.exact(1000);
        wire.send(
            b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        );
        wire.half_close();
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n",
        origin.url("/")
    );
    wire.send(head.as_bytes());
    let _ = wire.try_send(&pattern(100_000));
    let answer = wire.response("POST");
    assert_eq!((answer.status, &*answer.text()), (413, "no"));
}

#[test]
fn an_https_target_is_judged_as_https_and_never_sent_in_the_clear() {
    let ca = Ca::mint();
    let origin = Origin::https(&ca, &["127.0.0.1"], |request| ok(request.head.as_bytes()));
    let config = Config::closed()
        .rule("name = \"secure\"\nallow = {}\nscheme = \"https\"\npath = \"/seen/*\"\naddress = \"127.0.0.0/8\"")
        .roots();
    let egret = Egret::start_with(&[("ca.pem", ca.pem())], &config);
    let ask = |path: &str| egret.ask(&get(&format!("https://{}{path}", origin.address), ""));
    let answer = ask("/seen/a?b");
    assert_eq!(answer.status, 200);
    assert!(
        answer.text().starts_with("GET /seen/a?b HTTP/1.1\r\n"),
        "{}",
        answer.text()
    );
    assert_eq!(ask("/other").status, 403);
    let plain = egret.ask(&get(&format!("http://{}/seen/a", origin.address), ""));
    assert_eq!(plain.status, 403);
    // A plain origin behind https:// is a TLS failure, and gets nothing.
    let clear = Origin::scripted(|wire| {
        wire.exact(5);
        wire.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
    let answer = egret.ask(&get(&format!("https://{}/seen/a", clear.address), ""));
    assert_eq!(answer.status, 502, "{}", answer.head);
    assert!(
        answer
            .proxy_error()
            .is_some_and(|error| error.starts_with("tls_")),
        "{}",
        answer.head
    );
}

#[test]
fn max_forwards_of_zero_is_answered_here_and_reaches_nobody() {
    // RFC 9110 §7.6.2, §9.3.8.
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    for method in ["OPTIONS", "TRACE"] {
        let lines = "Max-Forwards: 0\r\nAuthorization: Basic c2VjcmV0\r\nCookie: a=secret\r\n";
        let answer = egret.ask(&format!(
            "{method} {} HTTP/1.1\r\nHost: a\r\n{lines}\r\n",
            origin.url("/")
        ));
        assert!(answer.status < 500, "{method}: {}", answer.head);
        assert!(
            !answer.text().contains("secret"),
            "{method}: {}",
            answer.text()
        );
    }
    assert_eq!(origin.connections(), 0);
    // Other methods do not know the field.
    assert_eq!(
        egret
            .ask(&get(&origin.url("/"), "Max-Forwards: 0\r\n"))
            .status,
        200
    );
}

#[test]
fn a_client_that_has_gone_before_the_answer_lets_go_of_the_origin() {
    let (gone, left) = std::sync::mpsc::channel();
    let origin = Origin::scripted(move |wire| {
        wire.head();
        wire.read_to_any_end();
        let _ = gone.send(());
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(get(&origin.url("/"), "").as_bytes());
    until("the request", || origin.connections() == 1);
    wire.reset();
    left.recv_timeout(crate::support::PATIENCE).unwrap();
    let record = egret.wait_record("the record", |record| record["aborted"] == true);
    assert!(record["reason"].is_string(), "{record}");
}

#[test]
fn a_client_that_only_ends_its_half_still_gets_its_answer() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(get(&origin.url("/"), "").as_bytes());
    wire.half_close();
    assert_eq!(wire.response("GET").text(), "answer");
    assert!(wire.read_to_end().is_empty());
}

#[test]
fn via_can_be_a_pseudonym_or_nothing() {
    for (listener, expected) in [
        ("via = \"gate-7\"", Some("1.1 gate-7")),
        ("via = false", None),
        ("", Some("1.1 egret")),
    ] {
        let origin = Origin::http(|_| ok(b"answer"));
        let egret = Egret::start(&Config::loopback().listener(listener));
        let answer = egret.ask(&get(&origin.url("/"), ""));
        assert_eq!(origin.wait_request(0).header("via"), expected, "{listener}");
        assert_eq!(answer.header("via"), expected, "{listener}");
    }
}
