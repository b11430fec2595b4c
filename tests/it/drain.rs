//! How the process ends, and what it does when its log can not be written.
//! RFC 9112 §9.6 for what a client sees of the end.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Config, Egret, Origin, contains, get, ok, tunnel, until};

#[test]
fn an_idle_connection_is_closed_at_once_and_the_process_ends_with_0() {
    let origin = Origin::http(|_| ok(b"answer"));
    let mut egret = Egret::start(&Config::loopback());
    let mut idle = egret.connect();
    idle.send(get(&origin.url("/"), "").as_bytes());
    assert_eq!(idle.response("GET").status, 200);
    let address = egret.address("egress");
    let began = Instant::now();
    egret.signal(Signal::TERM);
    assert!(idle.read_to_end().is_empty());
    assert_eq!(egret.wait_exit().code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn an_answer_that_is_under_way_says_that_the_connection_closes_and_finishes() {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let origin = Origin::scripted(move |wire| {
        wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        went.lock().unwrap().recv().unwrap();
        wire.send(b"6\r\nsecond\r\n0\r\n\r\n");
        wire.drain();
    });
    let mut egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(get(&origin.url("/"), "").as_bytes());
    wire.head();
    assert_eq!(wire.try_chunk().unwrap(), b"first");
    egret.signal(Signal::TERM);
    egret.wait_line("the drain", |line| line.contains("draining"));
    go.send(()).unwrap();
    let (rest, _) = wire.chunked();
    assert_eq!(rest, b"second");
    assert!(wire.read_to_end().is_empty());
    assert_eq!(egret.wait_exit().code(), Some(0));
    egret.wait_record("the exchange", |record| record["status"] == 200);
}

#[test]
fn an_answer_that_begins_in_the_drain_announces_the_end_of_the_connection() {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let origin = Origin::scripted(move |wire| {
        wire.head();
        went.lock().unwrap().recv().unwrap();
        wire.send(&ok(b"last"));
        wire.drain();
    });
    let mut egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(get(&origin.url("/"), "").as_bytes());
    until("the request", || origin.connections() == 1);
    egret.signal(Signal::TERM);
    // Both workers know of it once nobody accepts any more.
    let address = egret.address("egress");
    until("the end of the listener", || {
        std::net::TcpStream::connect(address).is_err()
    });
    go.send(()).unwrap();
    let answer = wire.response("GET");
    assert_eq!(
        answer.header("connection"),
        Some("close"),
        "{}",
        answer.head
    );
    assert!(wire.read_to_end().is_empty());
    assert_eq!(egret.wait_exit().code(), Some(0));
}

#[test]
fn a_tunnel_lives_on_until_the_limit_of_the_drain_and_says_why_it_ended() {
    let echo = Origin::echo();
    let mut egret = Egret::start(&Config::loopback().top("drain = \"1s\""));
    let mut wire = tunnel(&egret, &echo.address.to_string());
    let began = Instant::now();
    egret.signal(Signal::TERM);
    egret.wait_line("the drain", |line| line.contains("draining"));
    wire.send(b"still");
    assert_eq!(wire.exact(5), b"still");
    assert!(wire.read_to_any_end().is_empty());
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(4),
        "{took:?}"
    );
    assert_eq!(egret.wait_exit().code(), Some(0));
    let record = egret.wait_record("the tunnel", |record| record["method"] == "CONNECT");
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("stopped"), "{record}");
    assert_eq!(
        (&record["bytes_in"], &record["bytes_out"]),
        (&5.into(), &5.into()),
        "{record}"
    );
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let echo = Origin::echo();
    for second in [Signal::TERM, Signal::INT] {
        let mut egret = Egret::start(&Config::loopback());
        let mut wire = tunnel(&egret, &echo.address.to_string());
        egret.signal(Signal::TERM);
        egret.wait_line("the drain", |line| line.contains("draining"));
        wire.send(b"still");
        assert_eq!(wire.exact(5), b"still");
        egret.signal(second);
        assert!(wire.read_to_any_end().is_empty());
        assert_eq!(egret.wait_exit().code(), Some(0));
    }
}

#[test]
fn the_drain_command_is_the_same_as_the_signal() {
    let echo = Origin::echo();
    let mut egret = Egret::start(&Config::loopback());
    let mut wire = tunnel(&egret, &echo.address.to_string());
    let address = egret.address("egress");
    let drain = egret.command(&["drain"]);
    assert_eq!(drain.status.code(), Some(0), "{drain:?}");
    assert_eq!(egret.status()["draining"], true);
    until("the end of the listener", || {
        std::net::TcpStream::connect(address).is_err()
    });
    let reload = egret.command(&["reload"]);
    assert_eq!(reload.status.code(), Some(2), "{reload:?}");
    wire.send(b"still");
    assert_eq!(wire.exact(5), b"still");
    wire.half_close();
    wire.read_to_end();
    assert_eq!(egret.wait_exit().code(), Some(0));
    assert!(!egret.path("admin.sock").exists());
}

#[test]
fn records_of_the_last_moment_are_in_the_file() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::loopback().log("to = \"{dir}/access.log\"");
    let mut egret = Egret::start(&config);
    let mut wire = egret.connect();
    for number in 0..100 {
        wire.send(get(&origin.url(&format!("/{number}")), "").as_bytes());
        assert_eq!(wire.response("GET").status, 200);
    }
    egret.signal(Signal::TERM);
    assert_eq!(egret.wait_exit().code(), Some(0));
    let text = std::fs::read(egret.path("access.log")).unwrap();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 100);
    assert!(contains(&text, b"\"path\":\"/99\""));
}

#[test]
fn a_full_disk_under_the_log_costs_records_and_one_warning_but_no_traffic() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback().log("to = \"/dev/full\""));
    let ask = || assert_eq!(egret.ask(&get(&origin.url("/"), "")).status, 200);
    let lost = || {
        egret.status()["totals"]["records"]["lost"]
            .as_u64()
            .unwrap()
    };
    // Each round is a batch of its own, so that the second failure could warn again.
    for round in 1..=3 {
        ask();
        until("the count of a lost record", || lost() == round);
    }
    let log = egret.log();
    assert_eq!(
        log.matches("cannot write the access log").count(),
        1,
        "{log}"
    );
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert_eq!(egret.status()["totals"]["requests"], 3);
    assert_eq!(egret.status()["totals"]["records"]["written"], 0);
}

#[test]
fn a_log_that_can_not_be_opened_is_a_fault_at_the_start_and_refuses_a_reload() {
    let text = Config::loopback()
        .log("to = \"/nowhere/access.log\"")
        .text();
    let mut egret = Egret::spawn(&[], &text);
    assert_eq!(egret.wait_exit().code(), Some(2));
    egret.wait_line("the fault", |line| line.contains("/nowhere/access.log"));

    let origin = Origin::http(|_| ok(b"answer"));
    let running = Egret::start(&Config::loopback());
    running.write("egret.toml", &text);
    assert_eq!(running.command(&["reload"]).status.code(), Some(2));
    assert_eq!(running.ask(&get(&origin.url("/"), "")).status, 200);
    running.wait_record("still written", |record| record["status"] == 200);
}

#[test]
fn a_connection_that_has_said_nothing_does_not_hold_the_drain_up() {
    let mut egret = Egret::start(&Config::loopback());
    let mut silent = egret.connect();
    // Accepted, and not only in the kernel's queue, which ends with the socket.
    until("the connection", || {
        egret.status()["totals"]["connections_open"] == 1
    });
    let began = Instant::now();
    egret.signal(Signal::TERM);
    silent.read_to_any_end();
    assert_eq!(egret.wait_exit().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5));
}
