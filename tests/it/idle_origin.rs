//! Origins that close idle connections after a short time, without a word before. RFC 9112 §9.3.1, §9.5.
//! Not what a close in the middle of an exchange means, which is `origin_side`.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use crate::support::{Config, Egret, Origin, read_request};

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

#[test]
fn an_origin_that_closes_idle_connections_costs_no_request_repeatable_or_not() {
    const CLIENTS: usize = 12;
    let silence = Duration::from_secs(1);
    let origin = closes_after(silence);
    let egret = Egret::start(&Config::loopback().workers(1));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (origin, egret) = (&origin, &egret);
            scope.spawn(move || {
                let mut wire = egret.connect();
                // Gaps about the time at which the origin closes, each client a little beside the others.
                for gap in [0, 940, 970, 990, 1000, 1005, 0, 3] {
                    thread::park_timeout(Duration::from_millis(gap + client as u64));
                    for (method, body) in [
                        ("POST", "Content-Length: 4\r\n\r\nonce"),
                        ("GET", "\r\n"),
                        (
                            "POST",
                            "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
                        ),
                    ] {
                        let url = origin.url("/");
                        let host = origin.address;
                        wire.send(
                            format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\n{body}").as_bytes(),
                        );
                        let response = wire.response(method);
                        assert_eq!((response.status, &*response.text()), (200, method));
                    }
                }
            });
        }
    });
    let records = egret.records();
    assert!(records.iter().any(|record| record["reused"] == true));
    assert!(records.iter().all(|record| record["status"] == 200));
    // Connections are used again where that is safe.
    assert!(origin.connections() < CLIENTS * 8 * 3 / 2);
}
