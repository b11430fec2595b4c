//! What a rule asks for beside allowing: changed fields, a rate, a bandwidth. And which address of a name is dialled.

use std::time::{Duration, Instant};

use crate::support::{Config, Dns, Egret, Origin, ok};

fn get(origin: &Origin, more: &str) -> String {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n{more}\r\n",
        origin.url("/"),
        origin.address
    )
}

#[test]
fn a_rule_sets_and_removes_fields_both_ways() {
    let origin = Origin::http(|_| {
        b"HTTP/1.1 200 OK\r\nServer: secret/1.0\r\nX-Kept: yes\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    });
    let rule = "name = \"changed\"\naddress = \"127.0.0.0/8\"\nallow = { headers = { request = { set = { x-team = \"ci\" }, \
                remove = [\"x-debug\"] }, response = { remove = [\"server\"] } } }";
    let egret = Egret::start(&Config::closed().rule(rule));
    let mut wire = egret.connect();
    wire.send(get(&origin, "X-Debug: 1\r\nX-Team: forged\r\n").as_bytes());
    let answer = wire.response("GET");
    assert_eq!(answer.status, 200);
    assert_eq!(
        (answer.header("server"), answer.header("x-kept")),
        (None, Some("yes"))
    );
    let seen = origin.wait_request(0);
    assert_eq!(seen.header("x-team"), Some("ci"));
    assert_eq!(seen.header("x-debug"), None);
}

#[test]
fn fields_say_of_the_request_what_the_proxy_knows_and_not_what_the_client_claims() {
    let origin = Origin::http(|_| ok(b""));
    let rule = "name = \"told\"\naddress = \"127.0.0.0/8\"\nallow = { headers = { request = { \
                set = { x-client = \"{client}\", x-asked = \"{method} {scheme}://{host}{path} {listener}\", x-id = \"{id}\", x-who = \"{principal}\" }, \
                add = { x-tag = \"{host}\" } }, response = { set = { x-id = \"{id}\" } } } }";
    let egret = Egret::start(&Config::closed().rule(rule));
    let mut wire = egret.connect();
    wire.send(
        get(
            &origin,
            "X-Client: 192.0.2.1\r\nX-Who: root\r\nX-Tag: mine\r\n",
        )
        .as_bytes(),
    );
    let answer = wire.response("GET");
    assert_eq!(answer.status, 200);
    let seen = origin.wait_request(0);
    assert_eq!(seen.header("x-client"), Some("127.0.0.1"));
    let asked = seen.header("x-asked").unwrap();
    assert!(asked.starts_with("GET http://127.0.0.1/ "), "{asked}");
    // Nobody has said who it is: then nothing may look as if somebody had.
    assert_eq!(seen.header("x-who"), None);
    let tags = seen.headers.iter().filter(|(name, _)| name == "x-tag");
    let tags: Vec<&str> = tags.map(|(_, value)| value.as_str()).collect();
    assert_eq!(tags, ["mine", "127.0.0.1"]);
    let record = egret.wait_record("the exchange", |record| record["rule"] == "told");
    assert_eq!(record["id"].as_str(), seen.header("x-id"));
    assert_eq!(answer.header("x-id"), seen.header("x-id"));
}

#[test]
fn a_tunnel_is_denied_where_the_rule_changes_fields() {
    let origin = Origin::echo();
    let rule = "name = \"changed\"\naddress = \"127.0.0.0/8\"\nallow = { headers = { request = { remove = [\"x\"] } } }";
    let egret = Egret::start(&Config::closed().rule(rule));
    let mut wire = egret.connect();
    wire.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address).as_bytes());
    assert_eq!(wire.response("CONNECT").status, 403);
    assert_eq!(origin.connections(), 0);
    egret.wait_record("the denial", |record| record["verdict"] == "deny");
}

#[test]
fn a_rate_denies_what_is_too_much_and_says_when_to_come_back() {
    let origin = Origin::http(|_| ok(b""));
    let rule = "name = \"slow down\"\naddress = \"127.0.0.0/8\"\nallow = { rate = \"3/h\" }";
    let egret = Egret::start(&Config::closed().rule(rule));
    let mut wire = egret.connect();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        wire.send(get(&origin, "").as_bytes());
        let answer = wire.response("GET");
        if answer.status == 429 {
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!(
                (1100..=1200).contains(&seconds),
                "a third of an hour: {seconds}"
            );
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[test]
fn a_bandwidth_slows_answers_and_tunnels_alike() {
    let body = vec![b'x'; 60_000];
    let origin = Origin::http(move |_| ok(&body));
    let rule = "name = \"narrow\"\naddress = \"127.0.0.0/8\"\nallow = { bandwidth = \"50KB/s\" }";
    let egret = Egret::start(&Config::closed().rule(rule));
    let mut plain = egret.connect();
    let mut tunnel = egret.connect();
    tunnel.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address).as_bytes());
    assert_eq!(tunnel.response("CONNECT").status, 200);
    let started = Instant::now();
    plain.send(get(&origin, "").as_bytes());
    tunnel.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(plain.response("GET").body.len(), 60_000);
    assert_eq!(tunnel.response("GET").body.len(), 60_000);
    let took = started.elapsed();
    assert!(took > Duration::from_millis(800), "{took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn the_addresses_of_a_name_take_turns() {
    let first = Origin::http(|_| ok(b"one"));
    let port = first.port();
    let second = Origin::http_on(("127.0.0.2", port), |_| ok(b"two"));
    let dns = Dns::changing(&[("both.test", vec![vec!["127.0.0.1", "127.0.0.2"]])]);
    let rule = "name = \"both\"\nhost = \"both.test\"\naddress = \"127.0.0.0/8\"\nallow = {}";
    let egret = Egret::start(&Config::closed().rule(rule).dns(&dns));
    for _ in 0..12 {
        let mut wire = egret.connect();
        wire.send(format!("CONNECT both.test:{port} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(wire.response("CONNECT").status, 200);
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.response("GET").status, 200);
    }
    // Each of the two workers has a turn of its own.
    let (first, second) = (first.connections(), second.connections());
    assert_eq!(first + second, 12);
    assert!(first.abs_diff(second) <= 2, "{first} and {second}");
}
