//! Origins that close idle connections after a short time, without a word before. RFC 9112 §9.3.1, §9.5.
//! Not what a close in the middle of an exchange means, which is `origin_side`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::reverse::{reverse, upstream};
use crate::support::{Config, Egret, Origin, Wire, read_request};

/// An origin whose connections are closed after this silence, and which does not answer a request that comes then.
fn closes_after(silence: Duration) -> Origin {
    Origin::scripted(move |wire| {
        wire.set_patience(silence);
        while let Ok(request) = read_request(wire, 0) {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
                request.method.len(),
                request.method
            );
            match wire.try_send(answer.as_bytes()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return,
                Err(error) => panic!("{error}"),
            }
        }
    })
}

/// Clients that pause for about as long as it takes the origin to close, each a little beside the others, and then ask so
/// often in a row. Every request must be answered.
fn press(address: SocketAddr, url: &str, host: &str, in_a_row: usize) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut wire = Wire::connect(address);
                for gap in GAPS {
                    thread::park_timeout(Duration::from_millis(gap + client as u64));
                    for (method, body) in KINDS.iter().cycle().take(in_a_row) {
                        wire.send(
                            format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\n{body}").as_bytes(),
                        );
                        let response = wire.response(method);
                        assert_eq!((response.status, &*response.text()), (200, *method));
                    }
                }
            });
        }
    });
}

fn none_failed(egret: &Egret, origin: &Origin, requests: usize) {
    let records = egret.records();
    assert!(records.iter().any(|record| record["reused"] == true));
    assert!(records.iter().all(|record| record["status"] == 200));
    // Connections are used again where that is safe.
    assert!(origin.connections() < requests / 2);
}

#[test]
fn an_origin_that_closes_idle_connections_costs_no_request_repeatable_or_not() {
    let origin = closes_after(Duration::from_secs(1));
    let egret = Egret::start(&Config::loopback().workers(1));
    let host = origin.address.to_string();
    press(egret.address("egress"), &origin.url("/"), &host, 3);
    none_failed(&egret, &origin, CLIENTS * GAPS.len() * 3);
}

#[test]
fn an_endpoint_that_closes_idle_connections_costs_no_request_of_thousands_a_second() {
    let origin = closes_after(Duration::from_secs(1));
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[origin.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    press(egret.address("web"), "/", "app.example", 150);
    none_failed(&egret, &origin, CLIENTS * GAPS.len() * 150);
}

const CLIENTS: usize = 12;
/// In milliseconds.
const GAPS: [u64; 8] = [0, 940, 970, 990, 1000, 1005, 0, 3];
const KINDS: [(&str, &str); 3] = [
    ("POST", "Content-Length: 4\r\n\r\nonce"),
    ("GET", "\r\n"),
    (
        "POST",
        "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ),
];
