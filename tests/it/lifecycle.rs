//! Start, reload, drain and stop: what runs goes on, what is wrong changes nothing.
//! Not what each setting means. Start at the first test.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::support::{Config, Egret, Origin, Wire, ok};

#[test]
fn a_wrong_configuration_ends_with_2_and_every_fault() {
    let text = Config::loopback().text();
    let text = text.replace("workers = 2", "workers = \"many\"\nwrokers = 2");
    let mut egret = Egret::spawn(&[], &text);
    assert_eq!(egret.wait_exit().code(), Some(2));
    for part in ["egret.toml:1:", "egret.toml:2:", "wrokers", "workers"] {
        egret.wait_line(part, |line| line.contains(part));
    }
}

#[test]
fn sigterm_lets_an_exchange_finish_and_exits_with_0() {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let origin = Origin::scripted(move |wire| {
        wire.head();
        went.lock().unwrap().recv().unwrap();
        wire.send(&ok(b"finished"));
        wire.drain();
    });
    let mut egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", origin.url("/")).as_bytes());
    while origin.connections() == 0 {
        thread::yield_now();
    }
    egret.signal(Signal::TERM);
    go.send(()).unwrap();
    assert_eq!(wire.response("GET").text(), "finished");
    assert_eq!(egret.wait_exit().code(), Some(0));
}

#[test]
fn a_hundred_reloads_under_load_fail_nobody() {
    let origin = Origin::http(|_| ok(b"answer"));
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let mut through = tunnel(&egret, &echo);
    let address = egret.address("egress");
    let url = origin.url("/");
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (url, over, done) = (url.clone(), over.clone(), done.clone());
            thread::spawn(move || {
                let request = format!("GET {url} HTTP/1.1\r\nHost: a\r\n\r\n");
                let mut wire = Wire::connect(address);
                while !over.load(Ordering::SeqCst) {
                    // Half of the clients come anew each time, half keep their connection.
                    if number % 2 == 0 {
                        wire = Wire::connect(address);
                    }
                    wire.send(request.as_bytes());
                    let answer = wire.response("GET");
                    assert_eq!(answer.text(), "answer", "{}", answer.head);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for round in 0..100 {
        let reload = egret.command(&["reload"]);
        assert!(reload.status.success(), "round {round}: {reload:?}");
        through.send(b"still there");
        assert_eq!(through.exact(11), b"still there", "round {round}");
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    assert!(done.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_listener_that_gets_another_name_keeps_its_address() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    let address = egret.address("egress");
    let ask = || {
        let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", origin.url("/"));
        let mut wire = Wire::connect(address);
        wire.send(request.as_bytes());
        wire.response("GET").status
    };
    for name in ["first", "second"] {
        let text = Config::loopback().text();
        let text = text.replace("127.0.0.1:0", &address.to_string());
        egret.write(
            "egret.toml",
            &text.replace("\"egress\"", &format!("\"{name}\"")),
        );
        let reload = egret.command(&["reload"]);
        assert!(reload.status.success(), "{name}: {reload:?}");
        assert_eq!(ask(), 200, "{name}");
        egret.wait_record(name, |record| record["listener"] == name);
    }
}

#[test]
fn a_reload_says_what_only_a_restart_changes() {
    let egret = Egret::start(&Config::loopback());
    let text = Config::loopback().text();
    let text = text.replace("workers = 2", "workers = 3");
    egret.write("egret.toml", &text.replace("admin.sock", "other.sock"));
    let reload = egret.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    let said = String::from_utf8_lossy(&reload.stderr);
    for part in ["3 workers", "other.sock", "restart the process"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn slow_and_silent_callers_of_the_admin_socket_disturb_nobody() {
    let egret = Egret::start(&Config::loopback());
    let call = || UnixStream::connect(egret.path("admin.sock")).unwrap();
    let _silent = call();
    let mut slow = call();
    slow.write_all(b"{\"command\":").unwrap();
    let deaf = call();
    (&deaf).write_all(b"{\"command\": \"status\"}\n").unwrap();
    assert!(egret.command(&["status"]).status.success());
    assert!(egret.command(&["reload"]).status.success());
    slow.write_all(b" \"status\"}\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"reloads\":1"), "{answer}");
}

#[test]
fn a_reload_with_faults_keeps_what_runs() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    egret.write(
        "egret.toml",
        &Config::loopback().more("nonsense = 1").text(),
    );
    let reload = egret.command(&["reload"]);
    assert!(!reload.status.success());
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&reload.stdout),
        String::from_utf8_lossy(&reload.stderr)
    );
    assert!(said.contains("nonsense"), "{said}");
    egret.signal(Signal::HUP);
    egret.wait_line("the fault", |line| line.contains("nonsense"));
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", origin.url("/"));
    assert_eq!(egret.ask(&request).status, 200);
}

#[test]
fn a_tunnel_that_is_no_longer_permitted_ends_with_the_reload() {
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let mut wire = tunnel(&egret, &echo);
    // A reload keeps the listener, though it binds port 0.
    egret.write("egret.toml", &Config::closed().text());
    let reload = egret.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    assert!(wire.read_to_any_end().is_empty());
    let record = egret.wait_record("the tunnel's record", |r| r["method"] == "CONNECT");
    assert!(record["reason"].is_string(), "{record}");
}

#[test]
fn the_log_is_reopened_on_sigusr1() {
    let origin = Origin::http(|_| ok(b""));
    let text = Config::loopback().text();
    let text = text.replace("to = \"stdout\"", "to = \"{dir}/access.log\"");
    let egret = Egret::spawn(&[], &text);
    egret.wait_line("ready", |line| line.contains("ready"));
    let (log, old) = (egret.path("access.log"), egret.path("access.log.1"));
    let ask = |path: &str| {
        let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", origin.url(path));
        assert_eq!(egret.ask(&request).status, 200);
    };
    let holds = |file: &std::path::Path, part: &str| {
        let until = std::time::Instant::now() + crate::support::PATIENCE;
        while !std::fs::read_to_string(file).is_ok_and(|text| text.contains(part)) {
            assert!(
                std::time::Instant::now() < until,
                "{part} is not in {file:?}"
            );
            thread::yield_now();
        }
    };
    ask("/before");
    holds(&log, "/before");
    std::fs::rename(&log, &old).unwrap();
    egret.signal(Signal::USR1);
    // The file is there again as soon as the signal was heard.
    holds(&log, "");
    ask("/after");
    holds(&log, "/after");
    holds(&old, "/before");
}

#[test]
fn status_and_flows_tell_what_is_open_and_kill_ends_it() {
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let mut wire = tunnel(&egret, &echo);
    let status = egret.command(&["status"]);
    assert!(status.status.success(), "{status:?}");
    let flows = egret.command(&["flows"]);
    let said = String::from_utf8_lossy(&flows.stdout);
    assert!(said.contains(&echo.address.to_string()), "{said}");
    let kill = egret.command(&["flows", "kill", "--where", "rule=loopback"]);
    assert!(kill.status.success(), "{kill:?}");
    assert!(wire.read_to_any_end().is_empty());
}

fn tunnel(egret: &Egret, origin: &Origin) -> Wire {
    let mut wire = egret.connect();
    let authority = origin.address;
    wire.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes());
    assert_eq!(wire.response("CONNECT").status, 200);
    wire
}
