//! Names: how long answers hold, the hosts file, and which of several addresses is dialled first.
//! Not what policy makes of addresses, which is `policy_spellings`. RFC 8305; RFC 2308; RFC 1035 §3.2.1.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{Config, Dns, Egret, Origin, Wire, get, ok, tunnel, until};

/// Allows loopback of both families.
fn both() -> Config {
    Config::closed()
        .rule("name = \"loopback\"\nallow = {}\naddress = [\"127.0.0.0/8\", \"::1\"]")
        .workers(1)
}

fn ask(egret: &Egret, name: &str, port: u16) -> (u16, String) {
    let url = format!("http://{name}:{port}/");
    let answer = egret.ask(&get(&url, "Connection: close\r\n"));
    (answer.status, answer.text())
}

/// A listening socket that takes no connection any more: what is sent to it gets no answer.
struct Hole {
    socket: TcpListener,
    _full: Vec<TcpStream>,
}

impl Hole {
    fn open(address: SocketAddr) -> Self {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(0).unwrap();
        let socket = TcpListener::from(socket);
        let address = socket.local_addr().unwrap();
        let patience = Duration::from_millis(100);
        let connect = || TcpStream::connect_timeout(&address, patience);
        let full: Vec<_> = std::iter::from_fn(|| connect().ok()).take(100).collect();
        assert!(full.len() < 100, "the queue never fills");
        Self {
            socket,
            _full: full,
        }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }
}

#[test]
fn of_both_families_the_sixth_is_dialled_first() {
    let old = Origin::http(|_| ok(b"IPv4"));
    let _new = Origin::http_on(("::1", old.port()), |_| ok(b"IPv6"));
    let dns = Dns::changing(&[("both.test", vec![vec!["127.0.0.1", "::1"]])]);
    let egret = Egret::start(&both().dns(&dns));
    for _ in 0..3 {
        let answer = ask(&egret, "both.test", old.port());
        assert_eq!(answer, (200, "IPv6".to_owned()));
    }
}

#[test]
fn an_address_that_refuses_costs_no_time_and_the_next_is_dialled() {
    let origin = Origin::http(|_| ok(b"answer"));
    let addresses = vec!["::1", "127.0.0.9", "127.0.0.8", "127.0.0.1"];
    let dns = Dns::changing(&[("many.test", vec![addresses])]);
    let egret = Egret::start(&both().dns(&dns));
    let began = Instant::now();
    assert_eq!(ask(&egret, "many.test", origin.port()).0, 200);
    assert!(
        began.elapsed() < Duration::from_millis(700),
        "{:?}",
        began.elapsed()
    );
    let record = egret.wait_record("the exchange", |record| record["status"] == 200);
    assert_eq!(record["origin"], origin.address.to_string(), "{record}");
    // And in a tunnel.
    let mut wire = tunnel(&egret, &format!("many.test:{}", origin.port()));
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.response("GET").text(), "answer");
}

#[test]
fn an_address_that_says_nothing_is_overtaken_by_the_next() {
    let hole = Hole::open("[::1]:0".parse().unwrap());
    let _origin = Origin::http_on(("127.0.0.1", hole.port()), |_| ok(b"answer"));
    let dns = Dns::changing(&[("slow.test", vec![vec!["::1", "127.0.0.1"]])]);
    let egret = Egret::start(&both().dns(&dns));
    let began = Instant::now();
    assert_eq!(ask(&egret, "slow.test", hole.port()).0, 200);
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(90) && took < Duration::from_secs(2),
        "{took:?}"
    );
}

#[test]
fn an_address_that_says_nothing_is_504_in_the_end() {
    let hole = Hole::open("127.0.0.1:0".parse().unwrap());
    let egret = Egret::start(&both().more("[pool]\nconnect = \"500ms\""));
    let url = format!("http://127.0.0.1:{}/", hole.port());
    let answer = egret.ask(&get(&url, ""));
    assert_eq!(answer.status, 504, "{}", answer.head);
    assert_eq!(answer.proxy_error(), Some("connection_timeout"));
    let authority = format!("127.0.0.1:{}", hole.port());
    let answer = egret.ask(&crate::support::connect(&authority, ""));
    assert_eq!(answer.status, 504, "{}", answer.head);
}

#[test]
fn an_answer_is_asked_for_again_only_when_its_time_is_over() {
    let origin = Origin::http(|_| ok(b"answer"));
    let second = Origin::http_on(("127.0.0.2", origin.port()), |_| ok(b"another"));
    let dns = Dns::lasting(
        1,
        &[("one.test", vec![vec!["127.0.0.1"], vec!["127.0.0.2"]])],
    );
    let egret = Egret::start(&both().dns(&dns));
    let began = Instant::now();
    let mut asked = 0;
    while began.elapsed() < Duration::from_millis(600) {
        assert_eq!(ask(&egret, "one.test", origin.port()).1, "answer");
        asked += 1;
    }
    assert!(asked > 3);
    // One for each family.
    assert_eq!(dns.asked(), ["one.test", "one.test"]);
    until("the second answer", || {
        ask(&egret, "one.test", origin.port()).1 == "another"
    });
    assert!(
        began.elapsed() > Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(second.connections(), 1);
    until("the records", || egret.records().len() >= 2);
    let hits = egret.records();
    assert!(
        hits[0]["dns_ms"].is_number() && hits[1]["dns_ms"].is_null(),
        "{hits:?}"
    );
}

#[test]
fn bounds_of_the_configuration_hold_over_the_answer_s_own_time() {
    let origin = Origin::http(|_| ok(b"answer"));
    let answers = vec![vec!["127.0.0.1"]];
    for (ttl, bound, most) in [(0, "min-ttl = \"30s\"", 2), (3600, "max-ttl = \"0s\"", 200)] {
        let dns = Dns::lasting(ttl, &[("one.test", answers.clone())]);
        let address = dns.address;
        let config = both().more(&format!("[dns]\nservers = [\"{address}\"]\n{bound}"));
        let egret = Egret::start(&config);
        for _ in 0..5 {
            assert_eq!(ask(&egret, "one.test", origin.port()).0, 200);
        }
        let asked = dns.asked().len();
        assert!(
            asked <= most && (most == 2 || asked >= 10),
            "{bound}: {asked}"
        );
    }
}

#[test]
fn that_a_name_does_not_exist_or_has_no_address_is_remembered_too() {
    let dns = Dns::lasting(30, &[("empty.test", vec![vec![]])]);
    let egret = Egret::start(&both().dns(&dns));
    for name in ["missing.test", "empty.test"] {
        for _ in 0..5 {
            assert_eq!(ask(&egret, name, 80).0, 502, "{name}");
        }
        let asked = dns.asked().iter().filter(|asked| *asked == name).count();
        assert!(asked <= 2, "{name} was asked for {asked} times");
    }
    // Where a nothing lives for no time, it is asked for each time.
    let dns = Dns::lasting(0, &[]);
    let egret = Egret::start(&both().dns(&dns));
    for _ in 0..5 {
        assert_eq!(ask(&egret, "missing.test", 80).0, 502);
    }
    assert!(dns.asked().len() >= 5, "{:?}", dns.asked());
}

#[test]
fn many_who_ask_at_once_share_one_question() {
    let origin = Origin::http(|_| ok(b"answer"));
    let dns = Dns::lasting(30, &[("one.test", vec![vec!["127.0.0.1"]])]);
    let egret = Egret::start(&both().dns(&dns));
    let url = format!("http://one.test:{}/", origin.port());
    let mut wires: Vec<_> = (0..20).map(|_| egret.connect()).collect();
    for wire in &mut wires {
        wire.send(get(&url, "").as_bytes());
    }
    for wire in &mut wires {
        assert_eq!(wire.response("GET").status, 200);
    }
    assert_eq!(dns.asked().len(), 2, "{:?}", dns.asked());
}

#[test]
fn the_hosts_file_comes_before_dns_and_is_judged_like_any_answer() {
    let origin = Origin::http(|_| ok(b"answer"));
    let dns = Dns::start(&[("static.test", "127.0.0.9")]);
    let hosts = "# mine\n127.0.0.1 static.test Alias.Test # two names\n10.0.0.1 inside.test\n";
    let address = dns.address;
    let config = both().more(&format!(
        "[dns]\nservers = [\"{address}\"]\nhosts = \"{{dir}}/hosts\""
    ));
    let egret = Egret::start_with(&[("hosts", hosts)], &config);
    for name in ["static.test", "STATIC.test", "alias.test", "static.test."] {
        assert_eq!(ask(&egret, name, origin.port()).0, 200, "{name}");
    }
    let (status, text) = ask(&egret, "inside.test", origin.port());
    assert_eq!(status, 403, "{text}");
    assert!(dns.asked().is_empty(), "{:?}", dns.asked());
    // A reload reads it again.
    egret.write("hosts", "127.0.0.9 static.test\n");
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!(ask(&egret, "static.test", origin.port()).0, 502);
}

#[test]
fn a_server_that_says_nothing_is_passed_over() {
    let origin = Origin::http(|_| ok(b"answer"));
    let silent = loopback_socket();
    let dns = Dns::start(&[("one.test", "127.0.0.1")]);
    let (first, second) = (silent.local_addr().unwrap(), dns.address);
    let config = both().more(&format!(
        "[dns]\nservers = [\"{first}\", \"{second}\"]\ntimeout = \"4s\""
    ));
    let egret = Egret::start(&config);
    assert_eq!(ask(&egret, "one.test", origin.port()).0, 200);
}

#[test]
fn families_can_be_narrowed() {
    let old = Origin::http(|_| ok(b"IPv4"));
    let _new = Origin::http_on(("::1", old.port()), |_| ok(b"IPv6"));
    let dns = Dns::changing(&[("both.test", vec![vec!["127.0.0.1", "::1"]])]);
    for (family, body, questions) in [("ipv4", "IPv4", 1), ("ipv6", "IPv6", 1)] {
        let before = dns.asked().len();
        let address = dns.address;
        let config = both().more(&format!(
            "[dns]\nservers = [\"{address}\"]\nfamilies = \"{family}\""
        ));
        let egret = Egret::start(&config);
        assert_eq!(ask(&egret, "both.test", old.port()).1, body);
        assert_eq!(dns.asked().len() - before, questions, "{family}");
    }
}

#[test]
fn a_family_that_gets_no_answer_does_not_hold_the_other_up() {
    // RFC 8305 §3: a broken server must not cost more than the Resolution Delay.
    let origin = Origin::http(|_| ok(b"answer"));
    let dns = Dns::start(&[("one.test", "127.0.0.1")]);
    let (server, behind) = (Arc::new(loopback_socket()), dns.address);
    let address = server.local_addr().unwrap();
    let relay = server.clone();
    std::thread::spawn(move || {
        let ahead = loopback_socket();
        let mut packet = [0; 1500];
        while let Ok((length, peer)) = relay.recv_from(&mut packet) {
            let query = &packet[..length];
            // AAAA, class IN: swallowed. An empty packet is the end of the test.
            if query.is_empty() || query.windows(5).any(|end| end == [0, 0, 28, 0, 1]) {
                if query.is_empty() {
                    return;
                }
                continue;
            }
            ahead.send_to(query, behind).unwrap();
            let length = ahead.recv(&mut packet).unwrap();
            relay.send_to(&packet[..length], peer).unwrap();
        }
    });
    let egret = Egret::start(&both().more(&format!("[dns]\nservers = [\"{address}\"]")));
    let began = Instant::now();
    assert_eq!(ask(&egret, "one.test", origin.port()).0, 200);
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    loopback_socket().send_to(&[], address).unwrap();
}

fn loopback_socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[test]
fn names_that_nobody_answers_for_do_not_keep_others_from_being_looked_up() {
    let origin = Origin::http(|_| ok(b"found"));
    let dns = Dns::start(&[("known.test", "127.0.0.1")]);
    let egret = Egret::start(&both().dns(&dns));
    let request = |name: &str| get(&format!("http://{name}:{}/", origin.port()), "");
    let flood = |number: usize| {
        let kind = socket2::Type::STREAM;
        let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
        let from: SocketAddr = "127.0.0.2:0".parse().unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&egret.address("egress").into()).unwrap();
        let mut wire = Wire::from_tcp(socket.into());
        wire.send(request(&format!("silent-{number}.test")).as_bytes());
        wire
    };
    let _waiting: Vec<Wire> = (0..300).map(flood).collect();
    // One too many: all those before it wait, or were told the same.
    let refused = flood(300).response("GET");
    assert!(
        refused.text().contains("too many names"),
        "{}",
        refused.head
    );
    let answer = egret.ask(&request("known.test"));
    assert_eq!((answer.status, answer.text()), (200, "found".to_owned()));
}
