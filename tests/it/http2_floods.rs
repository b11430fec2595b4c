//! Floods over HTTP/2, frame by frame as h2's own client would not send them: each ends its connection, in bounded memory, and
//! others are served meanwhile. RFC 9113 §10.5; CVE-2019-9512, -9514, -9515, -9517, -9518, CVE-2023-44487, CVE-2024-27316.
//! Not malformed HTTP/2, which is `client_side`.

use std::io::Read;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::http2::{Peer, request, run};
use crate::support::{Config, Egret, Origin, PATIENCE, Wire, get, ok, pattern, until};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const NO_ERROR: u32 = 0;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

/// A GET, spelt with the static table and one literal that is not put into a table (RFC 7541 §6.1, §6.2.2).
fn headers(stream: u32, flags: u8, authority: &str) -> Vec<u8> {
    let mut block = vec![
        0x82,
        0x86,
        0x84,
        0x01,
        u8::try_from(authority.len()).unwrap(),
    ];
    block.extend(authority.as_bytes());
    frame(1, flags, stream, &block)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

fn ping() -> Vec<u8> {
    frame(6, 0, 0, b"12345678")
}

/// A client that writes frames, while a thread reads what comes back: an answer that nobody reads would end the flood too.
struct Flooder {
    wire: Wire,
    reader: JoinHandle<Vec<u8>>,
}

impl Flooder {
    fn connect(egret: &Egret) -> Self {
        let mut wire = egret.connect();
        wire.send(PREFACE);
        wire.send(&frame(4, 0, 0, &[]));
        let mut tcp = wire.tcp();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = thread::spawn(move || {
            let (mut all, mut part) = (Vec::new(), [0; 1 << 14]);
            while let Ok(length @ 1..) = tcp.read(&mut part) {
                all.extend_from_slice(&part[..length]);
            }
            all
        });
        Self { wire, reader }
    }

    /// Sends the frames of each number until the connection is closed; panics where it never is.
    fn flood(mut self, frames: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
        let mut number = 0;
        // More than the kernel keeps for a process that has not read yet.
        for _ in 0..10_000 {
            let mut block = Vec::new();
            for _ in 0..200 {
                block.extend(frames(number));
                number += 1;
            }
            if self.wire.try_send(&block).is_err() {
                return self.reader.join().unwrap();
            }
        }
        panic!("the flood went on: {number} times");
    }
}

/// The reason of a GOAWAY that came. A reset of TCP may have thrown it away, when bytes of the flood were still on their way.
fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = rest;
    }
    None
}

/// Floods a proxy of its own with frames, and sees that it ends and that others are served.
fn ends(name: &str, origin: &Origin, frames: impl Fn(u32) -> Vec<u8>) -> Egret {
    let egret = Egret::start(&Config::loopback().workers(1));
    serves(&egret, origin);
    let before = egret.resident();
    let mut bystander = egret.connect();
    bystander.send(b"GET ");
    let came = Flooder::connect(&egret).flood(frames);
    let reason = goaway(&came);
    assert!(
        reason.is_none_or(|reason| reason != NO_ERROR),
        "{name}: {reason:?}"
    );
    egret.wait_record(name, |record| {
        let reason = record["reason"].as_str();
        reason.is_some_and(|reason| reason.contains("broke HTTP/2"))
    });
    bystander.send(
        get(&origin.url("/"), "")
            .strip_prefix("GET ")
            .unwrap()
            .as_bytes(),
    );
    assert_eq!(bystander.response("GET").status, 200, "{name}");
    serves(&egret, origin);
    let grown = egret.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{name}: grew by {grown} bytes");
    egret
}

/// Over both versions.
fn serves(egret: &Egret, origin: &Origin) {
    let request = get(&origin.url("/"), "Connection: close\r\n");
    assert_eq!(egret.ask(&request).status, 200);
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        assert_eq!(peer.get(&origin.url("/")).await.status, 200);
    });
}

#[test]
fn frames_that_ask_for_nothing_but_an_answer_end_their_connection() {
    let origin = Origin::http(|_| ok(b"served"));
    ends("pings", &origin, |_| ping());
    ends("settings", &origin, |_| frame(4, 0, 0, &[]));
    ends("priorities", &origin, |_| frame(2, 0, 1, &[0, 0, 0, 0, 1]));
    ends("unknown frames", &origin, |_| frame(0xfa, 0, 0, b""));
}

#[test]
fn requests_that_are_begun_and_reset_end_their_connection() {
    let origin = Origin::http(|_| ok(b"served"));
    let authority = origin.address.to_string();
    ends("rapid reset", &origin, |number| {
        let stream = 2 * number + 1;
        let request = headers(stream, END_STREAM | END_HEADERS, &authority);
        [request, reset(stream)].concat()
    });
    let asked = origin.requests().len();
    assert!(asked < 2_000, "{asked} requests reached the origin");
}

#[test]
fn streams_beyond_the_limit_end_their_connection() {
    let origin = Origin::http(|_| ok(b"served"));
    let authority = origin.address.to_string();
    ends("too many streams", &origin, |number| {
        headers(2 * number + 1, END_HEADERS, &authority)
    });
}

#[test]
fn a_header_section_without_an_end_ends_its_connection() {
    let origin = Origin::http(|_| ok(b"served"));
    let authority = origin.address.to_string();
    let continued = |fragment: &'static [u8]| {
        let authority = authority.clone();
        move |number: u32| match number {
            0 => headers(1, 0, &authority),
            _ => frame(9, 0, 1, fragment),
        }
    };
    // Nothing at all; and a field again and again, out of the static table.
    ends("empty CONTINUATION", &origin, continued(b""));
    ends("CONTINUATION", &origin, continued(&[0x90; 1_000]));
}

#[test]
fn data_without_content_ends_its_connection() {
    let origin = Origin::scripted(|wire| {
        let head = wire.head();
        if head.contains("transfer-encoding") || head.contains("Transfer-Encoding") {
            wire.read_to_any_end();
        } else {
            wire.send(&ok(b"served"));
        }
    });
    let authority = origin.address.to_string();
    ends("empty DATA", &origin, |number| match number {
        0 => headers(1, END_HEADERS, &authority),
        _ => data(1, 0, b""),
    });
}

#[test]
fn readers_that_take_nothing_are_cut_off_and_hold_little() {
    let body = pattern(1 << 20);
    let origin = Origin::http(move |request| match request.path() {
        "/" => ok(b"served"),
        _ => ok(&body),
    });
    let config = Config::loopback()
        .workers(1)
        .limits("body-idle = \"1s\"\nidle = \"1s\"");
    let egret = Egret::start(&config);
    serves(&egret, &origin);
    let before = egret.resident();
    let mut wire = egret.connect();
    wire.send(PREFACE);
    // Windows as large as they can be: nothing but TCP holds the answers back.
    let most: u32 = (1 << 31) - 1;
    let window = [&[0, 4][..], &most.to_be_bytes()].concat();
    wire.send(&frame(4, 0, 0, &window));
    wire.send(&frame(8, 0, 0, &(most - 65_535).to_be_bytes()));
    let large = origin.address.to_string();
    for number in 0..100 {
        // The path is a literal too: `/large`.
        let mut block = vec![0x82, 0x86, 0x04, 6];
        block.extend(b"/large");
        block.extend([0x01, u8::try_from(large.len()).unwrap()]);
        block.extend(large.as_bytes());
        wire.send(&frame(1, END_STREAM | END_HEADERS, 2 * number + 1, &block));
    }
    // Whether it is closed is seen by writing: reading would make it a reader that takes something.
    until("the end of a reader that takes nothing", || {
        thread::park_timeout(Duration::from_millis(20));
        wire.try_send(&frame(6, ACK, 0, b"12345678")).is_err()
    });
    let grown = egret.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
    serves(&egret, &origin);
}

#[test]
fn a_busy_client_that_cancels_and_pings_is_not_cut_off() {
    let origin = Origin::http(|_| ok(b"served"));
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        for number in 0..600 {
            let (answer, mut stream) = peer.ask(request("GET", &origin.url("/")), true).await;
            if number % 3 == 0 {
                stream.send_reset(h2::Reason::CANCEL);
            } else {
                assert_eq!(answer.await.unwrap().status(), 200, "{number}");
            }
        }
    });
    let mut wire = egret.connect();
    wire.send(PREFACE);
    wire.send(&frame(4, 0, 0, &[]));
    for _ in 0..900 {
        wire.send(&ping());
    }
    let request = headers(1, END_STREAM | END_HEADERS, &origin.address.to_string());
    wire.send(&request);
    let served = wire.until(b"served");
    assert_eq!(goaway(&served), None);
}

#[test]
fn a_client_that_takes_nothing_loses_its_streams_and_then_its_connection() {
    let origin = Origin::http(|_| ok(&pattern(8 << 20)));
    let config = Config::loopback().limits("idle = \"1s\"\nbody-idle = \"1s\"");
    let egret = Egret::start(&config);
    let mut wire = egret.connect();
    wire.send(PREFACE);
    let (initial_window, most) = (4_u16, (1_u32 << 31) - 1);
    let setting = [&initial_window.to_be_bytes()[..], &most.to_be_bytes()].concat();
    wire.send(&frame(4, 0, 0, &setting));
    wire.send(&frame(8, 0, 0, &(most - 65_535).to_be_bytes()));
    let authority = origin.address.to_string();
    for number in 0..4 {
        wire.send(&headers(
            2 * number + 1,
            END_STREAM | END_HEADERS,
            &authority,
        ));
    }
    until("all streams", || origin.requests().len() == 4);
    until("the end of the connection", || {
        egret.status()["totals"]["connections_open"] == 0
    });
}
