//! What ends a flow from outside, for each kind of flow alike: an operator, a reload, the end of a drain, silence, its time.
//! Each leaves the client with an end and the record with a reason.

use std::time::Duration;

use bytes::Bytes;

use crate::http2::{Peer, request, run};
use crate::socks::{ipv4, open5};
use crate::support::{Config, Egret, Origin, Wire, contains, get, said, tunnel};

/// Echoes, behind an upgrade where it is asked for one.
fn origin() -> Origin {
    Origin::scripted(|wire| {
        let Ok(mut bytes) = wire.try_some() else {
            return;
        };
        if contains(&bytes, b"pgrade: websocket") {
            wire.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            );
            bytes = b"".to_vec();
        }
        loop {
            if wire.try_send(&bytes).is_err() {
                return;
            }
            match wire.try_some() {
                Ok(more) => bytes = more,
                Err(_) => return,
            }
        }
    })
}

/// A CONNECT tunnel, a SOCKS tunnel and an upgraded connection, each in use.
fn flows(egret: &Egret, origin: &Origin) -> Vec<Wire> {
    let connect = tunnel(egret, &origin.address.to_string());
    let mut socks = egret.connect();
    assert_eq!(open5(&mut socks, 1, &ipv4(origin.address)), 0);
    let mut upgraded = egret.connect();
    let lines = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    upgraded.send(get(&origin.url("/"), lines).as_bytes());
    assert_eq!(upgraded.response("GET").status, 101);
    let mut all = vec![connect, socks, upgraded];
    for wire in &mut all {
        wire.send(b"hello");
        assert_eq!(wire.exact(5), b"hello");
    }
    all
}

/// Opens all of them and one over HTTP/2, does something, and expects that all end with this reason.
fn all_end(config: &Config, act: impl Fn(&Egret), reason: &str) {
    let origin = origin();
    let egret = Egret::start(config);
    let mut wires = flows(&egret, &origin);
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let authority = origin.address.to_string();
        let (answer, mut stream) = peer.ask(request("CONNECT", &authority), false).await;
        let mut body = answer.await.unwrap().into_body();
        stream
            .send_data(Bytes::from_static(b"hello"), false)
            .unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "hello");
        act(&egret);
        let end = body.data().await;
        // Cut off is no proper end. RFC 9113 §8.5.
        assert!(end.is_none_or(|end| end.is_err()), "more came");
    });
    for wire in &mut wires {
        assert!(wire.read_to_any_end().is_empty());
    }
    let records = || {
        let records = egret.records();
        records
            .into_iter()
            .filter(|record| record["reason"].is_string())
    };
    crate::support::until("four records", || records().count() == 4);
    for record in records() {
        let said = record["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{record}");
        assert_eq!(record["bytes_in"], 5, "{record}");
    }
}

#[test]
fn an_operator_ends_every_kind_of_flow() {
    let act = |egret: &Egret| {
        let kill = egret.command(&["flows", "kill", "--where", "rule=loopback"]);
        assert!(said(&kill).contains("4 ended"), "{}", said(&kill));
    };
    all_end(&Config::loopback(), act, "operator");
}

#[test]
fn a_reload_ends_every_kind_of_flow_that_is_no_longer_permitted() {
    let act = |egret: &Egret| {
        egret.write("egret.toml", &Config::closed().text());
        assert!(egret.command(&["reload"]).status.success());
    };
    all_end(&Config::loopback(), act, "no rule allows it");
}

#[test]
fn the_end_of_a_drain_ends_every_kind_of_flow() {
    let act = |egret: &Egret| egret.signal(rustix::process::Signal::TERM);
    let config = Config::loopback().top("drain = \"500ms\"");
    all_end(&config, act, "stopped");
}

#[test]
fn silence_ends_every_kind_of_flow() {
    let config = Config::loopback().limits("tunnel-idle = \"1s\"");
    all_end(&config, |_| {}, "idle limit");
}

#[test]
fn the_longest_life_ends_every_kind_of_flow() {
    let config = Config::loopback().limits("tunnel-total = \"1s\"");
    all_end(&config, |_| {}, "tunnel's life");
}

#[test]
fn a_bandwidth_slows_every_kind_of_flow() {
    let rule = "name = \"narrow\"\nallow = { bandwidth = \"50KB/s\" }\naddress = \"127.0.0.0/8\"";
    let origin = origin();
    let egret = Egret::start(&Config::closed().rule(rule));
    let mut wires = flows(&egret, &origin);
    let began = std::time::Instant::now();
    for wire in &mut wires {
        wire.send(&[7; 60_000]);
    }
    for wire in &mut wires {
        assert_eq!(wire.exact(60_000), [7; 60_000]);
        let took = began.elapsed();
        assert!(took > Duration::from_millis(150), "{took:?}");
    }
}
