//! Datagrams from clients that may be forged: whose flow ends for another one where a listener has as many as it may.
//! Not the order among many, which has its tests beside the code.

use std::net::SocketAddr;

use serde_json::Value;

use crate::balanced::{balanced, listener};
use crate::datagrams::{Client, Server, UDP, ours};
use crate::support::{Config, Egret, until};

/// Answers all but those that are forged.
fn server() -> Server {
    Server::new(|bytes| match bytes {
        b"forged" => vec![],
        _ => vec![[b"a:", bytes].concat()],
    })
}

/// A listener with these lines, whose flows do not end by themselves while this runs.
fn start(lines: &str, server: &Server) -> Egret {
    let lines = format!("{UDP}\nudp = {{ {lines}, idle = \"10m\" }}");
    Egret::start(&balanced(&lines, &[("app", &[server.address])]))
}

/// Sends until it is answered, as a client does that hears nothing.
fn insist(client: &Client) {
    until("a place", || {
        client.send(b"let me in");
        !client.hears_nothing()
    });
}

fn refused(egret: &Egret) -> Option<u64> {
    egret.status()["totals"]["connections_refused"].as_u64()
}

/// The record of the flow of this client.
fn record(egret: &Egret, client: &Client) -> Value {
    let address = client.address().to_string();
    egret.wait_record("the flow", |record| record["client"] == address)
}

#[test]
fn who_has_not_come_back_after_an_answer_makes_room_and_who_has_stays() {
    let server = server();
    let egret = start("flows = 4", &server);
    let known = Client::new(&egret);
    assert_eq!(known.ask("1"), "a:1");
    assert_eq!(known.ask("2"), "a:2");
    // As a forger sends for each address, to be taken for somebody.
    let twice = Client::new(&egret);
    twice.send(b"forged");
    twice.send(b"forged");
    until("the third flow", || server.seen().len() == 4);
    let answered = Client::new(&egret);
    assert_eq!(answered.ask("3"), "a:3");
    let silent = Client::new(&egret);
    silent.send(b"forged");
    until("four flows", || server.seen().len() == 6);

    let new: Vec<Client> = (0..3).map(|_| Client::new(&egret)).collect();
    for (new, gone, reason) in [
        (
            &new[0],
            &twice,
            "no answer came before another flow needed the place",
        ),
        (
            &new[1],
            &answered,
            "the client had been silent when another flow needed the place",
        ),
        (
            &new[2],
            &silent,
            "no answer came before another flow needed the place",
        ),
    ] {
        insist(new);
        assert_eq!(record(&egret, gone)["reason"], reason);
    }
    assert_eq!(ours(&egret).len(), 3);
    assert_eq!(known.ask("4"), "a:4");
    let seen = server.seen();
    assert_eq!(seen.last().unwrap().0, seen[0].0, "by the same socket");
}

#[test]
fn where_all_have_come_back_nobody_makes_room() {
    let server = server();
    let egret = start("flows = 2", &server);
    let known = [Client::new(&egret), Client::new(&egret)];
    for client in &known {
        assert_eq!(client.ask("1"), "a:1");
        assert_eq!(client.ask("2"), "a:2");
    }
    let new = Client::new(&egret);
    let before = refused(&egret);
    until("the refusals", || {
        new.send(b"3");
        assert!(new.hears_nothing());
        refused(&egret) > before.map(|before| before + 4)
    });
    for client in &known {
        assert_eq!(client.ask("4"), "a:4");
    }
    assert!(ours(&egret).is_empty());
}

#[test]
fn a_flood_over_one_address_of_a_listener_keeps_nobody_out_at_another() {
    let server = server();
    let lines = format!("{UDP}\nudp = {{ flows = 4, idle = \"10m\" }}");
    let table = listener(&lines, &[("app", &[server.address])]).replace(
        "bind = \"127.0.0.1:0\"",
        "bind = [\"127.0.0.1:0\", \"[::1]:0\"]",
    );
    let egret = Egret::start(&Config::closed().more(&table));
    let at = |family: &str| -> SocketAddr {
        let start = format!("listener=lb address={family}");
        let line = egret.wait_line(family, |line| line.contains(&start));
        let (_, address) = line.rsplit_once("address=").unwrap();
        address.trim().parse().unwrap()
    };
    let (four, six) = (at("127.0.0.1"), at("[::1]"));
    let flood: Vec<Client> = (0..4).map(|_| Client::of(four)).collect();
    for client in &flood {
        client.send(b"forged");
    }
    until("four flows", || server.seen().len() == 4);
    for _ in 0..2 {
        insist(&Client::at("::1", six));
    }
}

#[test]
fn a_flow_makes_room_for_one_of_another_worker() {
    let server = server();
    // Of one flow, one of the two workers has none.
    let egret = start("flows = 1", &server);
    Client::new(&egret).send(b"forged");
    until("the flow", || server.seen().len() == 1);
    for _ in 0..5 {
        insist(&Client::new(&egret));
    }
    until("their records", || ours(&egret).len() == 5);
}

#[test]
fn who_may_have_no_more_flows_takes_nobody_s_place() {
    let server = server();
    let egret = start("flows = 3, flows-per-client = 1", &server);
    let known = Client::new(&egret);
    assert_eq!(known.ask("1"), "a:1");
    assert_eq!(known.ask("2"), "a:2");
    let [first, second, third] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
        .map(|address| Client::at(address, egret.address("lb")));
    first.send(b"forged");
    until("the first flow", || server.seen().len() == 3);
    second.send(b"forged");
    until("the second flow", || server.seen().len() == 4);
    // It has the place of the first one once that may go, and so may the second one soon.
    insist(&third);
    let before = refused(&egret);
    let more = Client::new(&egret);
    until("the refusal", || {
        more.send(b"3");
        assert!(more.hears_nothing());
        refused(&egret) > before.map(|before| before + 3)
    });
    // The second one's flow is the same as it was: with the same socket towards the endpoint.
    second.send(b"still");
    assert_eq!(second.receive(), b"a:still");
    let seen = server.seen();
    let of_second = seen[3].0;
    assert_eq!(seen.last().unwrap(), &(of_second, b"still".to_vec()));
}
