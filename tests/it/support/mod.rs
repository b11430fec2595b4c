//! What the tests stand on: the real process (`egret`), origins, clients, DNS and a certificate authority.
//! Not a copy of anything under test: bytes are written and read here by hand. Start at [`Egret::start`].
#![allow(
    dead_code,
    reason = "a toolbox: not every tool is in use at every moment"
)]

mod certs;
mod config;
mod dns;
#[path = "../../../src/resolve/test_server.rs"]
pub(crate) mod dns_server;
mod egret;
mod load;
mod origin;
mod programs;
mod tls;
mod wire;

pub(crate) use certs::{Authority, Client};
pub(crate) use config::Config;
pub(crate) use dns::Dns;
pub(crate) use egret::{Egret, program};
pub(crate) use load::Load;
pub(crate) use origin::{Origin, Request, ok, read_request};
pub(crate) use programs::{Outcome, Papers, Served, WHEEL, python, run};
pub(crate) use tls::{Ca, Interception, Met, shake_hands};
pub(crate) use wire::{Response, Wire, fields};

use std::time::Duration;

/// How long anything that must happen may take before the test fails; what it waits for is an event, never this time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A port of the loopback address that is free just now, for connections and for datagrams: for what has to be told one.
pub(crate) fn free_port() -> u16 {
    loop {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Whether bytes hold other bytes.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Waits until this holds; panics where it does not in time.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A GET for a URL in absolute-form, with further lines.
pub(crate) fn get(url: &str, lines: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A CONNECT, with further lines.
pub(crate) fn connect(authority: &str, lines: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{lines}\r\n")
}

/// Opens a tunnel through the proxy, which must say 200.
pub(crate) fn tunnel(egret: &Egret, authority: &str) -> Wire {
    let mut wire = egret.connect();
    wire.send(connect(authority, "").as_bytes());
    let answer = wire.response("CONNECT");
    assert_eq!(answer.status, 200, "{}", answer.head);
    wire
}

/// Opens a tunnel by SOCKS5 (RFC 1928), for a host by name.
pub(crate) fn socks_tunnel(egret: &Egret, host: &str, port: u16) -> Wire {
    let mut wire = egret.connect();
    wire.send(&[5, 1, 0]);
    assert_eq!(wire.exact(2), [5, 0]);
    let length = u8::try_from(host.len()).unwrap();
    wire.send(&[&[5, 1, 0, 3, length], host.as_bytes(), &port.to_be_bytes()].concat());
    assert_eq!(wire.exact(10)[1], 0);
    wire
}

/// Both outputs of a program as text.
pub(crate) fn said(output: &std::process::Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text))
        .concat()
}

/// Base64 with padding, for credentials.
pub(crate) fn base64(text: &str) -> String {
    base64_of(text.as_bytes())
}

/// Base64 with padding.
pub(crate) fn base64_of(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Bytes that are not all alike, so that a shift or a hole in them shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at % 251) as u8 ^ (at / 251 % 256) as u8)
        .collect()
}

/// Standard input that holds this text.
pub(crate) fn pipe(text: &str) -> std::process::Stdio {
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    reader.into()
}
