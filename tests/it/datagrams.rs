//! The load balancer of datagrams: each client's flow to one endpoint, told apart, bounded, and ended.
//! Not connections, which are `balanced`.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::balanced::{balanced, listener};
use crate::support::{Config, Egret, PATIENCE, pattern, said, until};

/// A datagram, and who sent it.
type Seen = (SocketAddr, Vec<u8>);

/// Answers each datagram with what this makes of it. Stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    over: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn new(answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (seen, over) = (
            Arc::<Mutex<Vec<_>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (all, stop) = (seen.clone(), over.clone());
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                all.lock().unwrap().push((from, buffer[..length].to_vec()));
                for answer in answers(&buffer[..length]) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self {
            address,
            seen,
            over,
        }
    }

    /// Sends back what comes, after this name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::new(move |bytes| vec![[name.as_bytes(), bytes].concat()])
    }

    pub(crate) fn seen(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that receives.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = socket.send_to(b"", self.address);
    }
}

/// A client that has one address, and takes datagrams from one.
pub(crate) struct Client(UdpSocket);

impl Client {
    pub(crate) fn new(egret: &Egret) -> Self {
        Self::of(egret.address("lb"))
    }

    pub(crate) fn of(server: SocketAddr) -> Self {
        Self::at("127.0.0.1", server)
    }

    /// One with another loopback address.
    pub(crate) fn at(address: &str, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        self.0.send(bytes).unwrap();
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 16];
        let length = self.0.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    pub(crate) fn ask(&self, text: &str) -> String {
        self.send(text.as_bytes());
        String::from_utf8(self.receive()).unwrap()
    }

    /// Whether nothing comes for a while: only for what must not happen.
    pub(crate) fn hears_nothing(&self) -> bool {
        self.0
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let heard = self.0.recv(&mut [0; 100]);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

pub(crate) const UDP: &str = "transport = \"udp\"\nto = \"app\"";

fn start(lines: &str, endpoints: &[SocketAddr]) -> Egret {
    Egret::start(&balanced(&format!("{UDP}\n{lines}"), &[("app", endpoints)]))
}

pub(crate) fn ours(egret: &Egret) -> Vec<Value> {
    let records = egret.records().into_iter();
    records
        .filter(|record| record["listener"] == "lb")
        .collect()
}

/// A port of a socket that is closed again: datagrams to it are refused.
fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn each_client_has_its_own_answers() {
    let server = Server::named("");
    let egret = start("", &[server.address]);
    let clients: Vec<Client> = (0..100).map(|_| Client::new(&egret)).collect();
    for round in 0..3 {
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("{number} {round}").as_bytes());
        }
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(client.receive(), format!("{number} {round}").as_bytes());
        }
    }
    let mut sources: Vec<SocketAddr> = server.seen().into_iter().map(|(from, _)| from).collect();
    sources.sort();
    sources.dedup();
    assert_eq!(sources.len(), 100, "one socket for each client");
    let status = egret.status();
    let counters = status.to_string();
    assert!(counters.contains("\"datagrams_in\":300"), "{counters}");
}

#[test]
fn datagrams_of_every_size_pass_and_none_is_cut() {
    let server = Server::named("");
    let egret = start("", &[server.address]);
    let client = Client::new(&egret);
    for length in [0, 1, 512, 1472, 1473, 9000, 65_000, 65_507] {
        let bytes = pattern(length);
        client.send(&bytes);
        assert!(client.receive() == bytes, "{length}");
    }
}

#[test]
fn a_flow_ends_when_every_question_is_answered() {
    let server = Server::named("a:");
    let egret = start("udp = { replies = 1 }", &[server.address]);
    let client = Client::new(&egret);
    // As a resolver asks for both families: two questions from one port.
    client.send(b"A");
    client.send(b"AAAA");
    let mut answers = [client.receive(), client.receive()];
    answers.sort();
    assert_eq!(answers, [b"a:A".to_vec(), b"a:AAAA".to_vec()]);
    let record = egret.wait_record("the flow", |record| record["listener"] == "lb");
    assert_eq!(record["protocol"], "udp");
    assert_eq!(record["origin"], server.address.to_string());
    assert_eq!(record["client"], client.0.local_addr().unwrap().to_string());
    assert_eq!(record["reason"], Value::Null, "{record}");
    assert!(
        record["total_ms"].as_f64().unwrap_or_default() < 5000.0,
        "{record}"
    );
}

#[test]
fn a_silent_flow_ends_and_the_next_datagram_begins_another() {
    let server = Server::named("a:");
    let egret = start("udp = { idle = \"200ms\" }", &[server.address]);
    let client = Client::new(&egret);
    assert_eq!(client.ask("one"), "a:one");
    until("the end of the flow", || ours(&egret).len() == 1);
    assert_eq!(client.ask("two"), "a:two");
    until("the end of the other", || ours(&egret).len() == 2);
    let seen = server.seen();
    assert_ne!(seen[0].0, seen[1].0, "each flow has a port of its own");
    let silent = Server::new(|_| Vec::new());
    let egret = start("udp = { idle = \"200ms\" }", &[silent.address]);
    Client::new(&egret).send(b"anybody?");
    let record = egret.wait_record("the flow", |record| record["listener"] == "lb");
    assert_eq!(record["reason"], "no answer came within the idle limit");
}

#[test]
fn a_client_stays_with_its_endpoint() {
    let (one, two) = (Server::named("1"), Server::named("2"));
    let egret = start("", &[one.address, two.address]);
    let mut met = Vec::new();
    for _ in 0..8 {
        let client = Client::new(&egret);
        let first = client.ask("x");
        assert!((0..10).all(|_| client.ask("x") == first));
        met.push(first);
    }
    met.sort();
    met.dedup();
    assert_eq!(met, ["1x", "2x"], "and clients are spread");
}

#[test]
fn by_consistent_hashing_a_client_comes_back_to_its_endpoint() {
    let servers = [Server::named("1"), Server::named("2"), Server::named("3")];
    let endpoints: Vec<String> = servers.iter().map(|one| one.address.to_string()).collect();
    let upstream = format!("[upstream.app]\nbalance = \"maglev\"\nendpoints = {endpoints:?}\n");
    let lines = listener(&format!("{UDP}\nudp = {{ replies = 1 }}"), &[]);
    let egret = Egret::start(&Config::closed().more(&lines).more(&upstream));
    let first = Client::new(&egret).ask("x");
    assert!(
        (0..20).all(|_| Client::new(&egret).ask("x") == first),
        "one address, one endpoint"
    );
}

#[test]
fn where_nobody_is_at_an_endpoint_another_is_asked_before_the_client_notices() {
    let live = Server::named("live:");
    let egret = start("", &[nobody(), live.address]);
    for number in 0..6 {
        assert_eq!(
            Client::new(&egret).ask(&number.to_string()),
            format!("live:{number}")
        );
    }
    let egret = start("", &[nobody()]);
    Client::new(&egret).send(b"anybody?");
    let record = egret.wait_record("the failure", |record| record["listener"] == "lb");
    assert_eq!(record["error"], "connection_refused", "{record}");
}

#[test]
fn an_endpoint_that_goes_away_is_replaced_in_the_middle_of_a_flow() {
    let (one, two) = (Server::named("1"), Server::named("2"));
    let egret = start("", &[one.address, two.address]);
    let client = Client::new(&egret);
    let (gone, other) = match client.ask("x").as_str() {
        "1x" => (one, "2y"),
        _ => (two, "1y"),
    };
    drop(gone);
    // The first one goes to a closed port, where it is lost: the refusal comes back after it.
    until("the other endpoint", || {
        client.send(b"y");
        client
            .0
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let mut buffer = [0; 10];
        let length = client.0.recv(&mut buffer).unwrap_or_default();
        &buffer[..length] == other.as_bytes()
    });
    assert!(ours(&egret).is_empty(), "it is the same flow");
}

#[test]
fn there_are_as_many_flows_as_there_may_be() {
    let server = Server::named("a:");
    let egret = start("udp = { flows = 2, idle = \"1s\" }", &[server.address]);
    let first = Client::new(&egret);
    let second = Client::new(&egret);
    assert_eq!(first.ask("1"), "a:1");
    assert_eq!(second.ask("2"), "a:2");
    let third = Client::new(&egret);
    third.send(b"3");
    until("the refusal", || {
        first.ask("1");
        second.ask("2");
        egret
            .status()
            .to_string()
            .contains("\"connections_refused\":1")
    });
    assert!(third.hears_nothing());
    until("a place", || !ours(&egret).is_empty());
    assert_eq!(third.ask("3"), "a:3");
}

#[test]
fn one_client_has_as_many_flows_as_it_may() {
    let server = Server::named("a:");
    let egret = start("udp = { flows-per-client = 1 }", &[server.address]);
    assert_eq!(Client::new(&egret).ask("1"), "a:1");
    let second = Client::new(&egret);
    second.send(b"2");
    assert!(second.hears_nothing());
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn nobody_but_the_endpoint_can_answer() {
    let server = Server::named("a:");
    let egret = start("", &[server.address]);
    let client = Client::new(&egret);
    assert_eq!(client.ask("x"), "a:x");
    let (ours, _) = server.seen()[0];
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Refused or lost: in any case it does not arrive.
    let _ = stranger.send_to(b"forged", ours);
    assert!(client.hears_nothing());
    assert_eq!(client.ask("y"), "a:y");
}

#[test]
fn what_policy_denies_is_swallowed_and_recorded_once() {
    let server = Server::named("a:");
    let rules = "[policy.l4]\ndefault = \"allow\"\n[[policy.l4.rule]]\nname = \"not these\"\ndeny = {}\nclient = \"127.0.0.0/8\"";
    let lines = format!("{UDP}\npolicy = \"l4\"");
    let config = balanced(&lines, &[("app", &[server.address])]).more(rules);
    let egret = Egret::start(&config);
    let client = Client::new(&egret);
    for _ in 0..20 {
        client.send(b"x");
    }
    let record = egret.wait_record("the denial", |record| record["listener"] == "lb");
    assert_eq!(
        (&record["verdict"], &record["rule"]),
        (&"deny".into(), &"not these".into())
    );
    assert!(client.hears_nothing());
    assert_eq!(ours(&egret).len(), 1);
    assert!(server.seen().is_empty());
}

#[test]
fn each_datagram_says_who_the_client_is_where_that_is_wanted() {
    let server = Server::new(|_| vec![b"ok".to_vec()]);
    let egret = start("proxy-protocol = { send = \"v2\" }", &[server.address]);
    let client = Client::new(&egret);
    assert_eq!(client.ask("hello"), "ok");
    assert_eq!(client.ask("again"), "ok");
    for ((_, told), text) in server.seen().iter().zip(["hello", "again"]) {
        let port = client.0.local_addr().unwrap().port().to_be_bytes();
        let own = egret.address("lb").port().to_be_bytes();
        let expected = [
            &b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c\x7f\0\0\x01\x7f\0\0\x01"[..],
            &port,
            &own,
            text.as_bytes(),
        ];
        assert_eq!(*told, expected.concat());
    }
    // With the header in front of it this one is too large to be sent; the flow goes on.
    client.send(&pattern(65_500));
    assert_eq!(client.ask("still here"), "ok");
}

#[test]
fn a_flow_that_is_under_way_goes_on_in_the_drain_and_nothing_new_begins() {
    let server = Server::named("a:");
    let mut egret = start("udp = { replies = 2, idle = \"20s\" }", &[server.address]);
    let client = Client::new(&egret);
    assert_eq!(client.ask("one"), "a:one");
    egret.signal(Signal::TERM);
    egret.wait_line("the drain", |line| line.contains("draining"));
    // Told to all workers before this line.
    let bound = egret.address("lb");
    let late = Client::of(bound);
    until("the drain of all workers", || {
        let status = egret.status().to_string();
        status.contains("\"draining\":true")
    });
    assert_eq!(client.ask("two"), "a:two");
    assert!(egret.is_running());
    drop(late);
    drop(server);
    egret.signal(Signal::TERM);
    assert_eq!(egret.wait_exit().code(), Some(0));
}

#[test]
fn a_reload_that_takes_the_listener_away_ends_its_flows() {
    let server = Server::named("a:");
    let egret = start("", &[server.address]);
    let client = Client::new(&egret);
    assert_eq!(client.ask("x"), "a:x");
    egret.write("egret.toml", &Config::closed().text());
    let reloaded = egret.command(&["reload"]);
    assert!(reloaded.status.success(), "{}", said(&reloaded));
    let record = egret.wait_record("the flow", |record| record["listener"] == "lb");
    assert_eq!(record["reason"], "its listener is gone");
}

#[test]
fn a_flood_of_clients_is_carried_by_all_workers() {
    let server = Server::named("");
    let egret = start(
        "udp = { flows-per-client = 10000, replies = 1 }",
        &[server.address],
    );
    let bound = egret.address("lb");
    let answered = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let answered = answered.clone();
            thread::spawn(move || {
                for _ in 0..250 {
                    let client = Client::of(bound);
                    assert_eq!(client.ask("x"), "x");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(answered.load(Ordering::SeqCst), 1000);
    until("all records", || ours(&egret).len() == 1000);
    let mut workers: Vec<String> = ours(&egret)
        .iter()
        .map(|r| r["worker"].to_string())
        .collect();
    workers.sort();
    workers.dedup();
    assert_eq!(workers.len(), 2);
}

/// The process that took over; it goes with the test.
struct Successor(Pid);

impl Drop for Successor {
    fn drop(&mut self) {
        // It fails only where the process has ended already.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn a_process_that_has_handed_over_takes_no_datagram_of_a_new_client() {
    let server = Server::named("");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    // Both processes must find the socket by its address.
    let table = listener(
        "transport = \"udp\"\nto = \"app\"",
        &[("app", &[server.address])],
    )
    .replace("bind = \"127.0.0.1:0\"", &format!("bind = \"{address}\""));
    let egret = Egret::start(&Config::closed().more(&table));
    // A flow that the old process waits for.
    assert_eq!(Client::of(address).ask("old"), "old");
    let upgraded = said(&egret.command(&["upgrade"]));
    let pid = upgraded.split_whitespace().nth(1);
    let pid = pid.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    let _successor = Successor(pid.expect("the answer says which process serves"));
    for number in 0..40 {
        let text = format!("new {number}");
        assert_eq!(Client::of(address).ask(&text), text);
    }
}

#[test]
fn datagrams_do_not_go_round_in_circles() {
    let tables = "[upstream.app]\nendpoints = [{ file = \"app.endpoints\" }]";
    let config = balanced("to = \"app\"\ntransport = \"udp\"", &[]).more(tables);
    let egret = Egret::start(&config);
    let own = egret.address("lb");
    egret.write("app.endpoints", &format!("{own}\n"));
    egret.wait_line("the endpoint", |line| line.contains("has 1 endpoint"));
    let client = Client::of(own);
    client.0.send(b"round and round").unwrap();
    let record = egret.wait_record("the flow", |record| {
        record["error"] == "destination_ip_prohibited"
    });
    let client = client.0.local_addr().unwrap().to_string();
    assert_eq!(record["client"], client);
    assert!(
        record["reason"]
            .as_str()
            .unwrap()
            .contains("itself receives")
    );
    // Another one, so that there was time for the first to come back.
    assert_eq!(Client::of(own).0.send(b"and round").unwrap(), 9);
    until("both flows", || ours(&egret).len() == 2);
    let counters = egret.status().to_string();
    assert!(counters.contains("\"datagrams_in\":2"), "{counters}");
}

#[test]
fn an_endpoint_that_is_passed_over_was_not_tried() {
    let server = Server::named("a:");
    let tables = "[upstream.app]\nbalance = \"first\"\nretry = { tries = 1 }\nendpoints = [{ file = \"app.endpoints\" }]";
    let config = balanced("to = \"app\"\ntransport = \"udp\"", &[]).more(tables);
    let egret = Egret::start(&config);
    let own = egret.address("lb");
    egret.write("app.endpoints", &format!("{own}\n{}\n", server.address));
    egret.wait_line("the endpoints", |line| line.contains("has 2 endpoints"));
    assert_eq!(Client::new(&egret).ask("x"), "a:x");
}

#[test]
fn a_listener_that_is_its_own_endpoint_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    let listener = |name: &str, bind: &str, lines: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\nbind = \"{bind}\"\nmode = \"balanced\"\nto = \"app\"\n{lines}\n"
        )
    };
    let udp = "transport = \"udp\"";
    let upstream = |endpoint: &str| format!("[upstream.app]\nendpoints = [\"{endpoint}\"]\n");
    for (listeners, endpoint, what) in [
        (
            listener("a", "127.0.0.1:5399", udp),
            "127.0.0.1:5399",
            Some("datagrams"),
        ),
        (
            listener("a", "0.0.0.0:5399", udp),
            "127.0.0.9:5399",
            Some("datagrams"),
        ),
        (
            listener("a", "127.0.0.1:5398", udp) + &listener("b", "127.0.0.1:5399", udp),
            "127.0.0.1:5399",
            Some("datagrams"),
        ),
        (
            listener("a", "127.0.0.1:5399", ""),
            "127.0.0.1:5399",
            Some("connections"),
        ),
        (listener("a", "0.0.0.0:5399", udp), "192.0.2.1:5399", None),
        (listener("a", "127.0.0.1:5399", udp), "127.0.0.1:5398", None),
        // What comes by one transport does not go round by the other.
        (
            listener("a", "127.0.0.1:5399", udp).replace("to = \"app\"", "to = \"other\"")
                + &listener("b", "127.0.0.1:5398", "")
                + "[upstream.other]\nendpoints = [\"192.0.2.1:1\"]\n",
            "127.0.0.1:5399",
            None,
        ),
    ] {
        let config = Config::closed().more(&(listeners + &upstream(endpoint)));
        std::fs::write(&file, config.text()).unwrap();
        let output = crate::support::program()
            .args(["check", "-c"])
            .arg(&file)
            .output()
            .unwrap();
        let told = said(&output);
        match what {
            Some(what) => {
                assert_eq!(output.status.code(), Some(2), "{endpoint}: {told}");
                assert!(
                    told.contains(&format!("{what} would go round in circles")),
                    "{told}"
                );
            }
            None => assert_eq!(output.status.code(), Some(0), "{endpoint}: {told}"),
        }
    }
}

#[test]
fn listeners_of_datagrams_are_listed_with_the_others() {
    let server = Server::named("app ");
    let config = balanced(
        "to = \"app\"\ntransport = \"udp\"",
        &[("app", &[server.address])],
    );
    let egret = Egret::start(&config);
    let status = egret.status();
    let listeners = status["listeners"].as_array().unwrap();
    let of = |name: &str| {
        listeners
            .iter()
            .find(|one| one["listener"] == name)
            .unwrap()
    };
    assert_eq!(of("lb")["address"], egret.address("lb").to_string());
    assert_eq!(of("lb")["transport"], "udp");
    assert!(
        listeners
            .iter()
            .filter(|one| one["listener"] != "lb")
            .all(|one| one["transport"] == "tcp")
    );
}
