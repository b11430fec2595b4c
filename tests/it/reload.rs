//! What a reload changes and what it leaves alone: listeners, tunnels, limits, cases, lists.
//! Not start and stop, which are `lifecycle` and `drain`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::{Config, Egret, Origin, Wire, free_port, get, ok, said, tunnel, until};

const SECOND: &str = "[[listener]]\nname = \"second\"\nbind = \"127.0.0.1:0\"\nmode = \"forward\"\npolicy = \"test\"";

#[test]
fn clients_and_tunnels_of_every_kind_outlive_a_hundred_reloads_that_change_something() {
    let origin = Origin::http(|request| ok(format!("{}", request.body.len()).as_bytes()));
    let echo = Origin::echo();
    let one = Config::loopback();
    let other = Config::closed()
        .rule("name = \"another\"\nallow = {}\nhost = \"nowhere.test\"")
        .rule("name = \"loopback\"\nallow = {}\naddress = \"127.0.0.0/8\"")
        .limits("header-count = 50");
    let egret = Egret::start(&one);
    let mut tunnels: Vec<Wire> = (0..3)
        .map(|_| tunnel(&egret, &echo.address.to_string()))
        .collect();
    let mut socks = egret.connect();
    let place = crate::socks::ipv4(echo.address);
    assert_eq!(crate::socks::open5(&mut socks, 1, &place), 0);
    tunnels.push(socks);
    let address = egret.address("egress");
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (url, over, done) = (origin.url("/"), over.clone(), done.clone());
            thread::spawn(move || upload(address, number, &url, &over, &done))
        })
        .collect();
    for round in 0..100 {
        let config = if round % 2 == 0 { &other } else { &one };
        egret.write("egret.toml", &config.text());
        let reload = egret.command(&["reload"]);
        assert_eq!(
            reload.status.code(),
            Some(0),
            "round {round}: {}",
            said(&reload)
        );
        for tunnel in &mut tunnels {
            tunnel.send(b"still there");
            assert_eq!(tunnel.exact(11), b"still there", "round {round}");
        }
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    let done = done.load(Ordering::SeqCst);
    assert!(done > 100, "only {done} requests ran beside the reloads");
    let failed: Vec<_> = egret
        .records()
        .into_iter()
        .filter(|record| record["status"] != 200 && record["method"] == "POST")
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(egret.status()["reloads"], 100);
}

/// Uploads again and again until it is over; every answer must be the origin's. The first client comes anew each time.
fn upload(address: SocketAddr, number: usize, url: &str, over: &AtomicBool, done: &AtomicUsize) {
    let length = number * 50_000;
    let head = format!("POST {url} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let request = head + &"x".repeat(length);
    let mut wire = Wire::connect(address);
    while !over.load(Ordering::SeqCst) {
        if number == 0 {
            wire = Wire::connect(address);
        }
        wire.send(request.as_bytes());
        let answer = wire.response("POST");
        assert_eq!(answer.text(), length.to_string(), "{}", answer.head);
        done.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_listener_that_appears_is_served_and_one_that_vanishes_is_closed_and_the_kept_one_stays() {
    let origin = Origin::http(|_| ok(b"answer"));
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let first = egret.address("egress");
    let request = get(&origin.url("/"), "");
    let mut kept = egret.connect();
    kept.send(request.as_bytes());
    assert_eq!(kept.response("GET").status, 200);

    egret.write("egret.toml", &Config::loopback().more(SECOND).text());
    assert!(egret.command(&["reload"]).status.success());
    let addresses = listeners(&egret);
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    assert!(
        addresses.contains(&("egress".to_owned(), first)),
        "{addresses:?}"
    );
    let second = addresses.iter().find(|(name, _)| name == "second").unwrap();
    let mut wire = Wire::connect(second.1);
    wire.send(request.as_bytes());
    assert_eq!(wire.response("GET").status, 200);
    // A tunnel over the listener that is about to vanish.
    let mut through = Wire::connect(second.1);
    through.send(crate::support::connect(&echo.address.to_string(), "").as_bytes());
    assert_eq!(through.response("CONNECT").status, 200);

    egret.write("egret.toml", &Config::loopback().text());
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!(listeners(&egret), [("egress".to_owned(), first)]);
    let refused = || std::net::TcpStream::connect(second.1).is_err();
    until("the end of the second listener", refused);
    // Its terms are gone with it: a tunnel that nobody can judge any more ends.
    assert!(through.read_to_any_end().is_empty());
    let record = egret.wait_record("the tunnel", |record| record["method"] == "CONNECT");
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("listener is gone"), "{record}");
    // The very connection of before, and a new one.
    kept.send(request.as_bytes());
    assert_eq!(kept.response("GET").status, 200);
    assert_eq!(egret.ask(&request).status, 200);
}

#[test]
fn a_port_that_is_taken_refuses_the_reload_and_binds_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let egret = Egret::start(&Config::loopback());
    let before = listeners(&egret);
    let occupied = SECOND.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    egret.write("egret.toml", &Config::loopback().more(&occupied).text());
    let reload = egret.command(&["reload"]);
    assert_eq!(reload.status.code(), Some(2), "{}", said(&reload));
    assert!(said(&reload).contains("egret.toml:"), "{}", said(&reload));
    assert_eq!(listeners(&egret), before);
}

#[test]
fn a_faulty_reload_prints_every_fault_with_its_place_and_exits_with_2() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    let faulty = Config::closed()
        .listener("acept = [\"http\"]")
        .limits("header-time = \"soon\"")
        .rule("name = \"typo\"\nallow = {}\nhots = \"a.test\"")
        .rule("name = \"both\"\nallow = {}\ndeny = {}");
    egret.write("egret.toml", &faulty.text());
    let reload = egret.command(&["reload"]);
    assert_eq!(reload.status.code(), Some(2));
    let said = said(&reload);
    for part in [
        "acept",
        "\"accept\"",
        "soon",
        "hots",
        "\"host\"",
        "both allows and denies",
        "4 faults",
        "stays in force",
        "^^^^",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("egret.toml:").count(), 4, "{said}");
    assert_eq!(egret.ask(&get(&origin.url("/"), "")).status, 200);
    assert_eq!(egret.status()["reloads"], 0);
}

#[test]
fn a_reload_whose_cases_fail_is_refused_unless_told_to_ignore_them_and_that_is_recorded() {
    let origin = Origin::http(|_| ok(b"answer"));
    let case =
        "[[policy.test.expect]]\nrequest = { url = \"http://127.0.0.1/\" }\nverdict = \"allow\"";
    let egret = Egret::start(&Config::loopback().more(case));
    egret.write("egret.toml", &Config::closed().more(case).text());
    let reload = egret.command(&["reload"]);
    assert_eq!(reload.status.code(), Some(2), "{}", said(&reload));
    assert!(
        said(&reload).contains("expected allow"),
        "{}",
        said(&reload)
    );
    assert!(said(&reload).contains("egret.toml:"), "{}", said(&reload));
    let request = get(&origin.url("/"), "");
    assert_eq!(egret.ask(&request).status, 200, "the old one stays");

    let forced = egret.command(&["reload", "--ignore-expect"]);
    assert_eq!(forced.status.code(), Some(0), "{}", said(&forced));
    egret.wait_line("that cases were ignored", |line| {
        line.contains("[[expect]]")
    });
    assert_eq!(egret.ask(&request).status, 403, "the new one holds");
}

#[test]
fn a_start_whose_cases_fail_is_refused_with_2() {
    let case =
        "[[policy.test.expect]]\nrequest = { url = \"http://127.0.0.1/\" }\nverdict = \"allow\"";
    let mut egret = Egret::spawn(&[], &Config::closed().more(case).text());
    assert_eq!(egret.wait_exit().code(), Some(2));
    egret.wait_line("the case", |line| line.contains("expected allow"));
}

#[test]
fn a_tunnel_that_is_no_longer_permitted_says_which_policy_ended_it_and_the_others_go_on() {
    let (bad, good) = (Origin::echo(), Origin::echo());
    let egret = Egret::start(&Config::loopback());
    let mut ended = tunnel(&egret, &bad.address.to_string());
    let mut kept = tunnel(&egret, &good.address.to_string());
    let mut socks = egret.connect();
    let place = crate::socks::ipv4(bad.address);
    assert_eq!(crate::socks::open5(&mut socks, 1, &place), 0);
    let rule = format!("name = \"not there\"\ndeny = {{}}\nport = {}", bad.port());
    let config = Config::closed()
        .rule(&rule)
        .rule("name = \"loopback\"\nallow = {}\naddress = \"127.0.0.0/8\"");
    egret.write("egret.toml", &config.text());
    assert!(egret.command(&["reload"]).status.success());
    assert!(ended.read_to_any_end().is_empty());
    assert!(socks.read_to_any_end().is_empty());
    for protocol in ["connect", "socks5"] {
        let record = egret.wait_record("the ended tunnel", |r| r["protocol"] == protocol);
        let reason = record["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("not there"), "{record}");
        assert_eq!(record["aborted"], true, "{record}");
    }
    kept.send(b"goes on");
    assert_eq!(kept.exact(7), b"goes on");
}

#[test]
fn the_next_request_of_a_kept_connection_is_judged_by_the_new_policy() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    let request = get(&origin.url("/"), "");
    let mut wire = egret.connect();
    wire.send(request.as_bytes());
    assert_eq!(wire.response("GET").status, 200);
    crate::http2::run(async {
        let mut peer = crate::http2::Peer::connect(egret.address("egress")).await;
        assert_eq!(peer.get(&origin.url("/")).await.status, 200);
        egret.write("egret.toml", &Config::closed().text());
        assert!(egret.command(&["reload"]).status.success());
        assert_eq!(peer.get(&origin.url("/")).await.status, 403);
    });
    wire.send(request.as_bytes());
    assert_eq!(wire.response("GET").status, 403);
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn the_signal_reloads_as_the_command_does() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::closed());
    let request = get(&origin.url("/"), "");
    assert_eq!(egret.ask(&request).status, 403);
    egret.write("egret.toml", &Config::loopback().text());
    egret.signal(rustix::process::Signal::HUP);
    egret.wait_line("the reload", |line| line.contains("reloaded"));
    until("the new policy", || egret.ask(&request).status == 200);
}

#[test]
fn the_access_log_moves_with_a_reload_and_loses_nothing() {
    let origin = Origin::http(|_| ok(b"answer"));
    let first = Config::loopback().log("to = \"{dir}/first.log\"");
    let second = Config::loopback().log("format = \"squid\"\nto = \"{dir}/second.log\"");
    let egret = Egret::start(&first);
    assert_eq!(egret.ask(&get(&origin.url("/before"), "")).status, 200);
    egret.write("egret.toml", &second.text());
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!(egret.ask(&get(&origin.url("/after"), "")).status, 200);
    egret.wait_file("second.log", |text| text.contains("/after"));
    let (first, second) = ("first.log", "second.log");
    let both = egret.wait_file(first, |_| true) + &egret.wait_file(second, |_| true);
    assert_eq!(both.matches("/before").count(), 1, "{both}");
    assert_eq!(both.matches("/after").count(), 1, "{both}");
}

#[test]
fn limits_that_a_reload_changes_hold_for_new_connections() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    let body = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n{}",
        origin.url("/"),
        "x".repeat(2000)
    );
    assert_eq!(egret.ask(&body).status, 200);
    egret.write(
        "egret.toml",
        &Config::loopback().limits("body-size = \"1KiB\"").text(),
    );
    let reload = egret.command(&["reload"]);
    assert!(reload.status.success(), "{}", said(&reload));
    assert_eq!(egret.ask(&body).status, 413);
}

#[test]
fn an_exchange_over_a_listener_that_vanishes_finishes() {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let origin = Origin::scripted(move |wire| {
        wire.head();
        went.lock().unwrap().recv().unwrap();
        wire.send(&ok(b"finished"));
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback().more(SECOND));
    let mut wire = Wire::connect(egret.address("second"));
    wire.send(get(&origin.url("/"), "").as_bytes());
    until("the request", || origin.connections() == 1);
    egret.write("egret.toml", &Config::loopback().text());
    assert!(egret.command(&["reload"]).status.success());
    go.send(()).unwrap();
    assert_eq!(wire.response("GET").text(), "finished");
}

/// The configuration, with its listener at this address and by this name.
fn named(name: &str, address: SocketAddr, config: &Config) -> String {
    let (before, after) = (
        "name = \"egress\"\nbind = \"127.0.0.1:0\"",
        format!("name = \"{name}\"\nbind = \"{address}\""),
    );
    let text = config.text();
    assert!(text.contains(before), "{text}");
    text.replace(before, &after)
}

#[test]
fn what_is_open_of_a_listener_that_gets_another_name_is_served_and_judged_by_that_one() {
    let origin = Origin::http(|_| ok(b"answer"));
    let (echo, other) = (Origin::echo(), Origin::echo());
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let egret = Egret::spawn(&[], &named("old", address, &Config::loopback()));
    egret.wait_line("ready", |line| line.contains("ready"));
    let request = get(&origin.url("/"), "");
    let mut kept = Wire::connect(address);
    kept.send(request.as_bytes());
    assert_eq!(kept.response("GET").status, 200);
    let open = |to: &Origin| {
        let mut tunnel = Wire::connect(address);
        tunnel.send(crate::support::connect(&to.address.to_string(), "").as_bytes());
        assert_eq!(tunnel.response("CONNECT").status, 200);
        tunnel
    };
    let (mut tunnel, mut denied) = (open(&echo), open(&other));
    // A second time, too: the connection is older than the name that goes.
    for name in ["new", "newer"] {
        egret.write("egret.toml", &named(name, address, &Config::loopback()));
        let reload = egret.command(&["reload"]);
        assert!(reload.status.success(), "{}", said(&reload));
        kept.send(request.as_bytes());
        let answer = kept.response("GET");
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        egret.wait_record(name, |record| record["listener"] == name);
        tunnel.send(b"still there");
        assert_eq!(tunnel.exact(11), b"still there", "{name}");
    }
    let port = other.port();
    let config = Config::closed()
        .rule(&format!(
            "name = \"not there\"\ndeny = {{}}\nlistener = \"newest\"\nport = {port}"
        ))
        .rule("name = \"loopback\"\nallow = {}\naddress = \"127.0.0.0/8\"");
    egret.write("egret.toml", &named("newest", address, &config));
    assert!(egret.command(&["reload"]).status.success());
    assert!(denied.read_to_any_end().is_empty());
    let record = egret.wait_record("the tunnel", |record| record["aborted"] == true);
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("not there"), "{record}");
    tunnel.send(b"still there");
    assert_eq!(tunnel.exact(11), b"still there");
    // Nobody who has its place: it is gone.
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], free_port()));
    egret.write("egret.toml", &named("else", elsewhere, &Config::loopback()));
    assert!(egret.command(&["reload"]).status.success());
    kept.send(request.as_bytes());
    assert_eq!(kept.response("GET").status, 503);
    assert!(tunnel.read_to_any_end().is_empty());
}

#[test]
fn a_name_that_a_listener_of_another_kind_has_now_is_not_that_of_what_was_open() {
    let origin = Origin::http(|_| ok(b"answer"));
    for transport in ["tcp", "udp"] {
        let egret = Egret::start(&Config::closed().rule("name = \"nobody\"\ndeny = {}"));
        let request = get(&origin.url("/"), "");
        let mut wire = egret.connect();
        wire.send(request.as_bytes());
        assert_eq!(wire.response("GET").status, 403);
        // A balanced listener without a policy takes everybody.
        let balanced = format!(
            "[[listener]]\nname = \"egress\"\nmode = \"balanced\"\nbind = \"127.0.0.1:0\"\ntransport = \"{transport}\"\nto = \"app\"\n\
            [upstream.app]\nendpoints = [\"{}\"]\n",
            origin.address
        );
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = Config::loopback().more(&balanced);
        egret.write("egret.toml", &named("else", elsewhere, &config));
        let reload = egret.command(&["reload"]);
        assert!(reload.status.success(), "{}", said(&reload));
        wire.send(request.as_bytes());
        assert_eq!(wire.response("GET").status, 503, "{transport}");
        assert!(origin.requests().is_empty());
    }
}

#[test]
fn who_never_said_who_it_is_has_no_tunnel_any_more_where_that_is_asked_now() {
    let Some(users) = crate::socks::htpasswd() else {
        return;
    };
    let echo = Origin::echo();
    let egret = Egret::start_with(&[("users", &*users)], &Config::loopback());
    let mut wire = tunnel(&egret, &echo.address.to_string());
    let asks = Config::loopback().listener("auth = [{ basic = { file = \"users\" } }]");
    egret.write("egret.toml", &asks.text());
    assert!(egret.command(&["reload"]).status.success());
    assert!(wire.read_to_any_end().is_empty());
    let record = egret.wait_record("the tunnel", |record| record["aborted"] == true);
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("say who they are"), "{record}");
}

fn listeners(egret: &Egret) -> Vec<(String, SocketAddr)> {
    let status = egret.status();
    let list = status["listeners"].as_array().unwrap();
    list.iter()
        .map(|listener| {
            let text = |key: &str| listener[key].as_str().unwrap().to_owned();
            (text("listener"), text("address").parse().unwrap())
        })
        .collect()
}
