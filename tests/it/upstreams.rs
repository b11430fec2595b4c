//! What happens to the endpoints of upstreams beside requests: probes, names, files, commands, and what requests themselves show.
//! Not the algorithms of balancing, which have their tests beside the code, nor the routes that lead here.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record};
use http::{HeaderMap, Request, Response};
use serde_json::Value;

use crate::reverse::{self, reverse};
use crate::support::dns_server::{DnsServer, Reply};
use crate::support::{
    Ca, Config, Dns, Egret, Origin, PATIENCE, Wire, free_port, get, ok, read_request, said, until,
};

/// A gateway `web` with these tables, whose one route leads to upstream `app`.
fn gateway(tables: &str) -> Config {
    routed("[[route]]\nto = \"app\"", tables)
}

/// A gateway `web` with these routes and tables.
fn routed(routes: &str, tables: &str) -> Config {
    reverse("", &format!("{routes}\n{tables}"))
}

/// An upstream `app` with these endpoints, in turn.
fn app(endpoints: &[&dyn std::fmt::Display], lines: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    format!("[upstream.app]\nbalance = \"round-robin\"\nendpoints = {endpoints:?}\n{lines}")
}

/// Names are looked up there, and nowhere else.
pub(crate) fn dns(server: &DnsServer) -> String {
    format!("[dns]\nservers = [\"{}\"]\nhosts = false", server.addr())
}

/// Status and text of an answer to a request on a new connection.
fn ask(egret: &Egret, path: &str) -> (u16, String) {
    let response = reverse::ask(egret, &reverse::get("a.test", path, ""));
    (response.status, response.text())
}

/// Why a request is answered with 503: that is in its record. Its client learns nothing of it.
fn why_unavailable(egret: &Egret, path: &str) -> String {
    let response = reverse::ask(egret, &reverse::get("a.test", path, ""));
    assert_eq!(response.status, 503, "{}", response.text());
    let id = response.header("x-request-id").unwrap().to_owned();
    let record = egret.wait_record("the failure", |record| record["id"] == *id);
    let reason = record["reason"].as_str().unwrap().to_owned();
    assert!(!response.text().contains(&reason) && !response.head.contains(&reason));
    reason
}

/// Who answers so many requests, and how often each.
fn who(egret: &Egret, count: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let (status, text) = ask(egret, "/");
        let text = if status == 200 {
            text
        } else {
            status.to_string()
        };
        *answers.entry(text).or_default() += 1;
    }
    answers
}

/// How many of 40 requests somebody answers; an even spread of unequal weights may be off by a few.
fn assert_share(egret: &Egret, name: &str, expected: usize) {
    let answers = who(egret, 40);
    assert!(answers[name].abs_diff(expected) <= 3, "{answers:?}");
}

fn only(name: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(name.to_owned(), count)])
}

/// An origin that says its name.
fn origin(name: &'static str) -> Origin {
    Origin::http(move |_| ok(name.as_bytes()))
}

/// An origin that says its name, and is well as long as it is told so.
fn moody(name: &'static str, well: &Arc<AtomicBool>) -> Origin {
    let well = well.clone();
    Origin::http(move |request| match request.path() {
        "/health" if !well.load(Ordering::SeqCst) => {
            b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n".to_vec()
        }
        "/health" => ok(b"well"),
        _ => ok(name.as_bytes()),
    })
}

fn list(egret: &Egret) -> Value {
    let output = egret.command(&["upstream", "list", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An endpoint as the command lists it.
fn endpoint(egret: &Egret, upstream: &str, address: SocketAddr) -> Value {
    let all = list(egret);
    let upstreams = all.as_array().unwrap();
    let upstream = upstreams
        .iter()
        .find(|one| one["name"] == upstream)
        .unwrap();
    let endpoints = upstream["endpoints"].as_array().unwrap();
    let address = address.to_string();
    let found = endpoints.iter().find(|one| one["address"] == *address);
    found.cloned().unwrap_or_default()
}

fn health(egret: &Egret, upstream: &str, address: SocketAddr) -> String {
    let endpoint = endpoint(egret, upstream, address);
    endpoint["health"].as_str().unwrap_or_default().to_owned()
}

/// An address where nobody listens, for as long as the socket lives.
fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

const FAST: &str = "every = \"50ms\", timeout = \"5s\", rise = 2, fall = 2";

#[test]
fn an_endpoint_that_fails_its_probes_gets_no_requests_until_it_passes_again() {
    let well = Arc::new(AtomicBool::new(true));
    let (first, second) = (moody("first", &well), origin("second"));
    let lines = format!("health = {{ http = \"/health\", {FAST} }}");
    let egret = Egret::start(&gateway(&app(&[&first.address, &second.address], &lines)));
    let is = |word: &'static str| health(&egret, "app", first.address) == word;
    until("the first probe", || is("up"));
    assert_eq!(who(&egret, 10).len(), 2);
    well.store(false, Ordering::SeqCst);
    until("the fall", || is("down"));
    assert_eq!(who(&egret, 10), only("second", 10));
    let line = egret.wait_line("the news", |line| line.contains("is down"));
    assert!(line.contains("upstream app"), "{line}");
    assert!(line.contains(&first.address.to_string()), "{line}");
    assert!(line.contains("status 500"), "{line}");
    well.store(true, Ordering::SeqCst);
    until("the rise", || is("up"));
    assert_eq!(who(&egret, 10).len(), 2);
    egret.wait_line("the news", |line| line.contains("is up"));
    // Probes are not in the records: nobody asked for them.
    let paths = egret.records();
    assert!(paths.iter().all(|record| record["listener"] == "web"));
    let probe = first.requests();
    let probe = probe.iter().find(|request| request.target == "/health");
    let probe = probe.unwrap();
    assert_eq!(probe.header("host"), Some(&*first.address.to_string()));
    assert!(probe.header("user-agent").unwrap().starts_with("egret/"));
}

fn only_deep(request: &crate::support::Request) -> Vec<u8> {
    match &*request.target {
        "/deep?x=1" => ok(b"it is all well here"),
        _ => b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n".to_vec(),
    }
}

/// The log says of an endpoint that it is down, and why.
fn is_told(egret: &Egret, bad: SocketAddr, why: &str) {
    let bad = format!("{bad} is down");
    let line = egret.wait_line("the news", |line| line.contains(&bad));
    assert!(line.contains(why), "{line}");
}

#[test]
fn probes_of_every_kind_tell_the_well_from_the_unwell() {
    let ca = Ca::mint();
    let (_held, nobody) = nobody();
    let tcp = Origin::echo();
    let tls = Origin::https(&ca, &["127.0.0.1"], |_| ok(b""));
    let stranger = Origin::https(&Ca::mint(), &["127.0.0.1"], |_| ok(b""));
    let good = Origin::http(only_deep);
    let other = Origin::http(|_| ok(b"it is not"));
    let (pong, pang) = (answering(b"pong"), answering(b"pang"));
    let (serving, ailing) = (Grpc::start(1), Grpc::start(2));
    let table: &[(&str, &str, SocketAddr, SocketAddr)] = &[
        ("tcp", "health = { tcp = true, FAST }", tcp.address, nobody),
        (
            "tls",
            "tls = { roots = [\"{dir}/ca.pem\"] }\nhealth = { tls = true, FAST }",
            tls.address,
            stranger.address,
        ),
        (
            "body",
            "health = { http = { path = \"/deep?x=1\", status = [200], body = \"all well\" }, FAST }",
            good.address,
            other.address,
        ),
        (
            "udp",
            "health = { udp = { send = \"ping\", expect = \"on\" }, FAST }",
            pong,
            pang,
        ),
        (
            "grpc",
            "protocol = \"h2c\"\nhealth = { grpc = \"a.Service\", FAST }",
            serving.address,
            ailing.address,
        ),
    ];
    let tables = table.iter().map(|(name, lines, good, bad)| {
        let endpoints = [good.to_string(), bad.to_string()];
        let lines = lines.replace("FAST", FAST);
        format!("[upstream.{name}]\nendpoints = {endpoints:?}\n{lines}\n")
    });
    let config = routed("[[route]]\nto = \"tcp\"", &tables.collect::<String>());
    let egret = Egret::start_with(&[("ca.pem", ca.pem())], &config);
    for (name, _, good, bad) in table {
        until(name, || health(&egret, name, *good) == "up");
        until(name, || health(&egret, name, *bad) == "down");
    }
    let seen = serving.seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(seen.0, "/grpc.health.v1.Health/Check");
    assert_eq!(seen.1, b"\0\0\0\0\x0b\x0a\x09a.Service");
    for (bad, why) in [
        (nobody, "refused the connection"),
        (stranger.address, "certificate"),
        (other.address, "does not contain what is expected"),
        (pang, "does not contain what is expected"),
        (ailing.address, "it says that it does not serve"),
    ] {
        is_told(&egret, bad, why);
    }
}

#[test]
fn what_says_nothing_is_down_and_delays_no_other_probe() {
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let hole = (hole.local_addr().unwrap(), hole);
    let well = Arc::new(AtomicBool::new(true));
    let good = moody("good", &well);
    let lines = "health = { http = \"/health\", every = \"50ms\", timeout = \"1s\" }";
    let egret = Egret::start(&gateway(&app(&[&hole.0, &good.address], lines)));
    until("the well one", || {
        health(&egret, "app", good.address) == "up"
    });
    // The first probe of the other one is still under way.
    assert_eq!(health(&egret, "app", hole.0), "unknown");
    until("the silent one", || health(&egret, "app", hole.0) == "down");
    let line = egret.wait_line("the news", |line| line.contains("is down"));
    assert!(line.contains("did not answer within 1s"), "{line}");
}

#[test]
fn where_all_fail_all_are_used_and_the_log_says_so() {
    let well = Arc::new(AtomicBool::new(false));
    let (first, second) = (moody("first", &well), moody("second", &well));
    let lines = format!("health = {{ http = \"/health\", {FAST} }}");
    let egret = Egret::start(&gateway(&app(&[&first.address, &second.address], &lines)));
    until("the probes", || {
        let down = |origin: &Origin| health(&egret, "app", origin.address) == "down";
        down(&first) && down(&second)
    });
    assert_eq!(who(&egret, 10).len(), 2);
    let line = egret.wait_line("the news", |line| line.contains("PANIC"));
    assert!(line.contains("0 of 2"), "{line}");
    assert_eq!(egret.status()["upstreams"][0]["panic"], true);
    // Where panic is off, nobody is asked.
    let lines = format!("panic = false\n{lines}");
    let config = gateway(&app(&[&first.address, &second.address], &lines));
    egret.write("egret.toml", &config.text());
    let reload = egret.command(&["reload"]);
    assert!(reload.status.success(), "{}", said(&reload));
    let why = why_unavailable(&egret, "/");
    assert!(why.contains("no endpoint is healthy"), "{why}");
}

#[test]
fn an_endpoint_that_answers_with_errors_is_left_out() {
    let bad = Origin::http(|_| b"HTTP/1.1 503 Broken\r\nContent-Length: 0\r\n\r\n".to_vec());
    let good = origin("good");
    let lines = "outlier = { failures = 3 }\nretry = { tries = 1 }";
    let egret = Egret::start(&gateway(&app(&[&bad.address, &good.address], lines)));
    until("the ejection", || {
        ask(&egret, "/");
        endpoint(&egret, "app", bad.address)["ejected"].is_number()
    });
    assert_eq!(bad.requests().len(), 3);
    assert_eq!(who(&egret, 10), only("good", 10));
    let line = egret.wait_line("the news", |line| line.contains("left out"));
    assert!(line.contains(&bad.address.to_string()), "{line}");
}

#[test]
fn a_name_that_does_not_resolve_stops_neither_the_start_nor_other_routes() {
    let app = origin("app");
    let rest = origin("rest");
    let server = DnsServer::start();
    server.set("app.test", Reply::NoSuchName(0));
    let routes = "[[route]]\npath = \"/app/*\"\nto = \"app\"\n[[route]]\nto = \"rest\"";
    let tables = format!(
        "[upstream.app]\nendpoints = [\"app.test:{}\"]\n[upstream.rest]\nendpoints = [\"{}\"]\n{}",
        app.port(),
        rest.address,
        dns(&server)
    );
    let egret = Egret::start(&routed(routes, &tables));
    let why = why_unavailable(&egret, "/app/");
    assert!(why.contains("app.test"), "{why}");
    assert!(why.contains("the name does not exist"), "{why}");
    assert_eq!(ask(&egret, "/").1, "rest");
    let line = egret.wait_line("the log", |line| line.contains("does not exist"));
    assert!(line.contains("upstream app: app.test"), "{line}");
    let status = egret.status();
    let problems = &status["upstreams"][0]["problems"];
    assert!(problems.as_str().unwrap().contains("app.test"), "{status}");
    server.set("app.test", addresses(60, &["127.0.0.1"]));
    until("the name", || ask(&egret, "/app/").1 == "app");
    // A name server that fails takes nothing away.
    let list = list(&egret);
    assert_eq!(list[0]["problems"], serde_json::json!([]), "{list}");
}

#[test]
fn a_name_is_looked_up_again_when_its_time_is_over_and_connections_to_what_is_gone_end() {
    let (closed, is_closed) = mpsc::channel();
    let first = Origin::scripted(move |wire| {
        while read_request(wire, 0).is_ok() {
            wire.send(&ok(b"first"));
        }
        // The test may be over.
        let _ = closed.send(());
    });
    let second = Origin::http_on(("127.0.0.2", first.port()), |_| ok(b"second"));
    let server = DnsServer::start();
    server.set("app.test", addresses(1, &["127.0.0.1"]));
    let name = format!("app.test:{}", first.port());
    let tables = format!("{}\n{}", app(&[&name], ""), dns(&server));
    let egret = Egret::start(&gateway(&tables).workers(1));
    assert_eq!(who(&egret, 3), only("first", 3));
    server.set("app.test", addresses(1, &["127.0.0.2"]));
    until("the second address", || ask(&egret, "/").1 == "second");
    is_closed.recv_timeout(PATIENCE).unwrap();
    assert_eq!(who(&egret, 3), only("second", 3));
    assert!(second.connections() >= 1);
    // What fails keeps what it had.
    server.set(
        "app.test",
        Reply::Fail(hickory_resolver::proto::op::ResponseCode::ServFail),
    );
    egret.wait_line("the failure", |line| line.contains("keeps 1 endpoint"));
    assert_eq!(who(&egret, 3), only("second", 3));
}

#[test]
fn srv_records_say_ports_weights_and_priorities() {
    let (light, heavy, last) = (origin("light"), origin("heavy"), origin("last"));
    let server = DnsServer::start();
    let record = |priority, weight, port, target: &str| {
        let data = SRV::new(priority, weight, port, name(target));
        Record::from_rdata(name("_http._tcp.app.test"), 1, RData::SRV(data))
    };
    server.set(
        "_http._tcp.app.test",
        Reply::Records(vec![
            record(0, 1, light.port(), "one.test."),
            record(0, 3, heavy.port(), "two.test."),
            record(1, 100, last.port(), "one.test."),
            record(0, 100, 1, "missing.test."),
        ]),
    );
    server.set("one.test", addresses(60, &["127.0.0.1"]));
    server.set("two.test", addresses(60, &["127.0.0.1"]));
    let tables = format!(
        "[upstream.app]\nbalance = \"round-robin\"\nendpoints = [{{ srv = \"_http._tcp.app.test\" }}]\n{}",
        dns(&server)
    );
    let egret = Egret::start(&gateway(&tables));
    assert_share(&egret, "heavy", 30);
    assert_share(&egret, "light", 10);
    let of = endpoint(&egret, "app", heavy.address);
    assert_eq!(of["host"], "two.test");
    // The records change, and the service moves.
    server.set(
        "_http._tcp.app.test",
        Reply::Records(vec![record(0, 0, last.port(), "one.test.")]),
    );
    until("the other server", || ask(&egret, "/").1 == "last");
    assert_eq!(who(&egret, 5), only("last", 5));
}

#[test]
fn a_file_of_endpoints_is_followed_and_a_faulty_one_replaces_nothing() {
    let (first, second) = (origin("first"), origin("second"));
    let tables =
        "[upstream.app]\nbalance = \"round-robin\"\nendpoints = [{ file = \"app.endpoints\" }]";
    let egret = Egret::start(&gateway(tables));
    let why = why_unavailable(&egret, "/");
    assert!(why.contains("app.endpoints: it can not be read"), "{why}");
    egret.write("app.endpoints", &format!("# mine\n{}\n", first.address));
    until("the file", || ask(&egret, "/").1 == "first");
    egret.write(
        "app.endpoints",
        &format!("{} weight=1\n{} weight=3\n", first.address, second.address),
    );
    until("the second endpoint", || ask(&egret, "/").1 == "second");
    assert_share(&egret, "second", 30);
    egret.write("app.endpoints", &format!("{} wieght=1\n", first.address));
    let line = egret.wait_line("the fault", |line| line.contains("app.endpoints:1:"));
    assert!(line.contains("wieght"), "{line}");
    egret.wait_line("what is kept", |line| line.contains("keeps 2 endpoints"));
    assert_eq!(who(&egret, 8).len(), 2);
    egret.write("app.endpoints", "");
    egret.wait_line("the empty file", |line| line.contains("has no endpoint"));
    assert_eq!(who(&egret, 8).len(), 2);
    // A reload reads at once.
    egret.write("app.endpoints", &format!("{}\n", second.address));
    assert!(egret.command(&["reload"]).status.success());
    until("the last one", || {
        endpoint(&egret, "app", first.address).is_null()
    });
    assert_eq!(who(&egret, 5), only("second", 5));
}

#[test]
fn operators_drain_disable_weigh_and_enable_endpoints() {
    let (first, second) = (origin("first"), origin("second"));
    let config = gateway(&app(&[&first.address, &second.address], ""));
    let egret = Egret::start(&config);
    let at = first.address.to_string();
    let command = |words: &[&str]| {
        let output = egret.command(&[&["upstream"], words].concat());
        (output.status.code(), said(&output))
    };
    assert_eq!(who(&egret, 8)["first"], 4);
    let done = command(&["drain", "app", &at]);
    assert_eq!(done, (Some(0), format!("app {at}: drained\n")));
    assert_eq!(who(&egret, 8), only("second", 8));
    // It holds over a reload.
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!(who(&egret, 8), only("second", 8));
    assert_eq!(endpoint(&egret, "app", first.address)["admin"], "drained");
    assert_eq!(command(&["enable", "app", &at]).0, Some(0));
    assert_eq!(command(&["weight", "app", &at, "3"]).0, Some(0));
    assert_share(&egret, "first", 30);
    assert_eq!(command(&["weight", "app", &at, "0"]).0, Some(0));
    assert_eq!(who(&egret, 8), only("second", 8));
    assert_eq!(command(&["weight", "app", &at, "reset"]).0, Some(0));
    assert_eq!(who(&egret, 8)["first"], 4);
    assert_eq!(command(&["disable", "app", &at]).0, Some(0));
    let other = second.address.to_string();
    assert_eq!(command(&["disable", "app", &other]).0, Some(0));
    let why = why_unavailable(&egret, "/");
    assert!(why.contains("drained, disabled or of weight 0"), "{why}");
    for (words, part) in [
        (&["drain", "ap", &at][..], "Did you mean \"app\"?"),
        (&["drain", "app", "127.0.0.1:1"], "has no endpoint"),
        (&["weight", "app", &at, "1001"], "0 to 1000"),
        (&["list", "none"], "there is no upstream \"none\""),
    ] {
        let (code, text) = command(words);
        assert_eq!(code, Some(2), "{words:?}");
        assert!(text.contains(part), "{words:?}: {text}");
    }
    let (code, text) = command(&["list"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("app (round-robin)"), "{text}");
    assert!(text.contains(&at) && text.contains("disabled"), "{text}");
    let status = egret.status();
    assert_eq!(status["upstreams"][0]["usable"], 0, "{status}");
}

#[test]
fn what_is_under_way_at_an_endpoint_that_is_drained_ends_in_peace() {
    let (begun, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = std::sync::Mutex::new(may_go);
    let slow = Origin::http(move |_| {
        begun.send(()).unwrap();
        may_go.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        ok(b"slow")
    });
    let egret = Egret::start(&gateway(&app(&[&slow.address], "")));
    let mut wire = Wire::connect(egret.address("web"));
    wire.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    has_begun.recv_timeout(PATIENCE).unwrap();
    let at = slow.address.to_string();
    for action in ["drain", "disable"] {
        let output = egret.command(&["upstream", action, "app", &at]);
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(ask(&egret, "/").0, 503);
    assert_eq!(endpoint(&egret, "app", slow.address)["active"], 1);
    go.send(()).unwrap();
    assert_eq!(wire.response("GET").text(), "slow");
}

#[test]
fn a_reload_brings_upstreams_that_are_ready_and_forgets_those_that_are_gone() {
    let (first, second) = (origin("first"), origin("second"));
    let server = DnsServer::start();
    server.set("second.test", addresses(60, &["127.0.0.1"]));
    let egret = Egret::start(&gateway(&app(&[&first.address], "")));
    assert_eq!(ask(&egret, "/").1, "first");
    let tables = format!(
        "[upstream.new]\nendpoints = [\"second.test:{}\"]\nhealth = {{ tcp = true, {FAST} }}\n{}",
        second.port(),
        dns(&server)
    );
    let config = routed("[[route]]\nto = \"new\"", &tables);
    egret.write("egret.toml", &config.text());
    let reload = egret.command(&["reload"]);
    assert!(reload.status.success(), "{}", said(&reload));
    // Its name was looked up before it came into force.
    assert_eq!(ask(&egret, "/").1, "second");
    until("its probe", || {
        health(&egret, "new", second.address) == "up"
    });
    let names = list(&egret);
    assert_eq!(names.as_array().unwrap().len(), 1, "{names}");
    assert_eq!(names[0]["name"], "new");
}

#[test]
fn a_name_that_nobody_answers_holds_no_other_listener_back() {
    let origin = origin("here");
    let server = Dns::start(&[]);
    let config = || Config::loopback().dns(&server);
    let egret = Egret::start(&config());
    let warnings = || egret.log().matches("not all endpoints are known").count();
    // A machine that is busy may need more than one try.
    let was_served_first = (0..5).any(|number| {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let slow = format!(
            "[[listener]]\nname = \"slow\"\nbind = \"127.0.0.1:0\"\nmode = \"balanced\"\nto = \"slow\"\n\
            [upstream.slow]\nendpoints = [\"silent-{number}.test:80\"]\n"
        );
        let new = format!(
            "[[listener]]\nname = \"new{number}\"\nbind = \"{address}\"\nmode = \"forward\"\npolicy = \"test\"\n"
        );
        egret.write("egret.toml", &config().more(&slow).more(&new).text());
        thread::scope(|scope| {
            let reload = scope.spawn(|| egret.command(&["reload"]));
            until("the new socket", || TcpStream::connect(address).is_ok());
            let mut wire = Wire::connect(address);
            wire.send(get(&format!("http://{}/", origin.address), "").as_bytes());
            assert_eq!(wire.response("GET").status, 200);
            let is_first = warnings() == number;
            let reloaded = reload.join().unwrap();
            assert!(reloaded.status.success(), "{}", said(&reloaded));
            until("the warning that nobody answers", || {
                warnings() == number + 1
            });
            is_first
        })
    });
    assert!(was_served_first);
}

#[test]
fn a_limit_of_connections_that_a_gateway_would_not_keep_is_a_fault_that_names_the_one_it_does() {
    for (limit, routes) in [
        ("connections", "[[route]]\nto = \"app\""),
        (
            "endpoint-connections",
            "[[route]]\nto = \"rest\"\nmirror = { to = \"app\", share = \"1%\" }\n[upstream.rest]\nendpoints = [\"127.0.0.1:1\"]",
        ),
    ] {
        let tables =
            format!("[upstream.app]\nendpoints = [\"127.0.0.1:1\"]\nlimits = {{ {limit} = 5 }}");
        let mut egret = Egret::spawn(&[], &routed(routes, &tables).text());
        assert_eq!(egret.wait_exit().code(), Some(2));
        let log = egret.log();
        assert!(
            log.contains(&format!("limits.{limit} of upstream")),
            "{log}"
        );
        assert!(log.contains("connections = 100 in [upstream.app]"), "{log}");
    }
}

#[test]
fn a_probe_that_can_never_pass_is_a_fault() {
    let tables = "[upstream.app]\nendpoints = [\"127.0.0.1:1\"]\nhealth = \"grpc\"";
    let mut egret = Egret::spawn(&[], &gateway(tables).text());
    assert_eq!(egret.wait_exit().code(), Some(2));
    assert!(
        egret.log().contains("protocol = \"h2c\""),
        "{}",
        egret.log()
    );
}

/// An answer that lives for so many seconds.
pub(crate) fn addresses(ttl: u32, texts: &[&str]) -> Reply {
    let parse = |text: &&str| text.parse().unwrap();
    Reply::Addresses(ttl, texts.iter().map(parse).collect())
}

/// A name as it stands in records.
pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// Answers each datagram with these bytes, for as long as the test runs.
fn answering(bytes: &'static [u8]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut datagram = [0; 100];
        while let Ok((_, peer)) = socket.recv_from(&mut datagram) {
            // Who asked may have gone.
            let _ = socket.send_to(bytes, peer);
        }
    });
    address
}

/// A server of gRPC in the clear, with a health service that always says the same.
struct Grpc {
    address: SocketAddr,
    /// The path and the message of each call.
    seen: mpsc::Receiver<(String, Vec<u8>)>,
}

impl Grpc {
    fn start(status: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (saw, seen) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                // One after the other: each probe has a connection of its own.
                while let Ok((tcp, _)) = listener.accept().await {
                    let Ok(mut streams) = h2::server::handshake(tcp).await else {
                        continue;
                    };
                    while let Some(Ok((request, respond))) = streams.accept().await {
                        let call = answer(request, respond, status);
                        let seen = tokio::select! {
                            seen = call => seen,
                            // Nothing moves where the connection is not driven.
                            () = drive(&mut streams) => continue,
                        };
                        // The test may have seen enough.
                        let _ = saw.send(seen);
                    }
                }
            });
        });
        Self { address, seen }
    }
}

async fn drive<T>(streams: &mut h2::server::Connection<T, Bytes>)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // Its end is seen by who accepts next.
    let _ = std::future::poll_fn(|cx| streams.poll_closed(cx)).await;
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    status: u8,
) -> (String, Vec<u8>) {
    let path = request.uri().path().to_owned();
    let mut message = Vec::new();
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        message.extend_from_slice(&data);
    }
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let mut stream: SendStream<Bytes> = respond.send_response(response, false).unwrap();
    let content = Bytes::from(vec![0, 0, 0, 0, 2, 8, status]);
    stream.send_data(content, false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    stream.send_trailers(trailers).unwrap();
    (path, message)
}
