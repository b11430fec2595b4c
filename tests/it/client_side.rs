//! The listener's own rules: who counts as a client, what a broken client or a broken answer leads to, HTTP/2's corners.
//! Not the ordinary life of a request, which is `forward`, nor programs, which are `clients`.

use std::sync::mpsc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, StatusCode};

use crate::support::{Config, Egret, Origin, PATIENCE, ok, until};

#[test]
fn behind_a_balancer_each_client_has_its_own_places() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(
        &Config::loopback()
            .listener("proxy-protocol = { accept-from = [\"127.0.0.1\"] }")
            .limits("connections-per-client = 1"),
    );
    let from = |client: &str| {
        let mut wire = egret.connect();
        wire.send(format!("PROXY TCP4 {client} 127.0.0.1 1000 3128\r\n").as_bytes());
        wire.send(
            format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
                origin.url("/"),
                origin.address
            )
            .as_bytes(),
        );
        let status = wire.response("GET").status;
        (wire, status)
    };
    let (_first, one) = from("192.0.2.1");
    let (_second, other) = from("192.0.2.2");
    let (_third, again) = from("192.0.2.1");
    assert_eq!((one, other, again), (200, 200, 503));
    let record = egret.wait_record("the refusal", |record| record["status"] == 503);
    assert_eq!(record["client"], "192.0.2.1:1000", "{record}");
}

#[test]
fn a_refusal_says_what_the_port_accepts() {
    let egret = Egret::start(
        &Config::loopback().listener("accept = [\"socks5\", \"socks4\"]\nvia = \"gate-7\""),
    );
    let answer = egret.ask("GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert_eq!(answer.status, 403, "{}", answer.head);
    let text = answer.text();
    assert!(text.contains("only SOCKS4, SOCKS5"), "{text}");
    let status = answer.header("proxy-status").unwrap_or_default();
    assert!(status.starts_with("gate-7; "), "{status}");
}

#[test]
fn an_answer_that_ends_with_the_connection_breaks_visibly() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::scripted(move |wire| {
        wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        gone.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        // Ends without the last chunk.
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(format!("GET {} HTTP/1.0\r\n\r\n", origin.url("/")).as_bytes());
    wire.head();
    assert_eq!(wire.exact(5), b"hello");
    go.send(()).unwrap();
    let end = wire.try_some().unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset, "{end}");
}

/// An origin that begins an answer and then is silent; tells when its connection ends.
fn silent_origin() -> (Origin, mpsc::Receiver<()>) {
    let (ended, end) = mpsc::channel();
    let origin = Origin::scripted(move |wire| {
        wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        wire.read_to_any_end();
        ended.send(()).unwrap();
    });
    (origin, end)
}

#[test]
fn a_client_that_breaks_while_an_origin_is_silent_ends_the_exchange() {
    let (origin, end) = silent_origin();
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(format!("GET {} HTTP/1.0\r\n\r\n", origin.url("/")).as_bytes());
    wire.head();
    assert_eq!(wire.exact(5), b"hello");
    wire.reset();
    egret.wait_record("the aborted exchange", |record| record["aborted"] == true);
    end.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_reset_inside_a_head_is_recorded_and_one_between_requests_is_not() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
        origin.url("/"),
        origin.address
    );
    let mut idle = egret.connect();
    let mut inside = egret.connect();
    for wire in [&mut idle, &mut inside] {
        wire.send(request.as_bytes());
        assert_eq!(wire.response("GET").status, 200);
    }
    idle.reset();
    inside.send(b"GET http://half");
    inside.reset();
    egret.wait_record("the reset inside a head", |record| {
        record["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("broke before a request was whole"))
    });
    until("three records", || egret.records().len() == 3);
}

/// Plays a client of HTTP/2 with prior knowledge.
fn http2<T>(egret: &Egret, play: impl AsyncFnOnce(SendRequest<Bytes>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let address = egret.address("egress");
    runtime.block_on(async {
        let tcp = std::net::TcpStream::connect(address).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let tcp = tokio::net::TcpStream::from_std(tcp).unwrap();
        let (client, connection) = h2::client::handshake(tcp).await.unwrap();
        tokio::select! {
            played = tokio::time::timeout(PATIENCE, play(client)) => played.unwrap(),
            end = connection => panic!("the connection ended: {end:?}"),
        }
    })
}

/// Sends a request, with content where there is some, and waits for the head of its answer.
async fn ask(client: &mut SendRequest<Bytes>, request: Request<()>, content: &[u8]) -> StatusCode {
    let mut ready = client.clone().ready().await.unwrap();
    let (answer, mut stream) = ready.send_request(request, content.is_empty()).unwrap();
    if !content.is_empty() {
        stream
            .send_data(Bytes::copy_from_slice(content), true)
            .unwrap();
    }
    answer.await.unwrap().status()
}

#[test]
fn a_stream_that_is_reset_while_an_origin_is_silent_ends_at_once() {
    let (origin, end) = silent_origin();
    let egret = Egret::start(&Config::loopback());
    http2(&egret, async |mut client| {
        let request = Request::get(origin.url("/")).body(()).unwrap();
        let (answer, mut stream) = client.send_request(request, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "hello");
        stream.send_reset(h2::Reason::CANCEL);
        // The connection lives on and must not be what ends the exchange.
        while end.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    });
    egret.wait_record("the aborted exchange", |record| record["aborted"] == true);
}

#[test]
fn an_upload_over_http_2_keeps_its_length() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    http2(&egret, async |mut client| {
        let request = Request::post(origin.url("/"))
            .header("content-length", "5")
            .body(())
            .unwrap();
        assert_eq!(ask(&mut client, request, b"hello").await, 200);
    });
    let request = origin.wait_request(0);
    assert_eq!(request.header("content-length"), Some("5"));
    assert_eq!(request.header("transfer-encoding"), None);
    assert_eq!(request.body, b"hello");
}

#[test]
fn an_ambiguous_head_over_http_2_gets_400() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback());
    http2(&egret, async |mut client| {
        let request = Request::get(origin.url("/"))
            .header("host", "other.test")
            .body(())
            .unwrap();
        assert_eq!(ask(&mut client, request, b"").await, 400);
        let request = Request::trace(origin.url("/")).body(()).unwrap();
        assert_eq!(ask(&mut client, request, b"content").await, 400);
    });
    let record = egret.wait_record("the refusal", |record| record["status"] == 400);
    assert_eq!(record["protocol"], "http/2", "{record}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_client_that_breaks_http_2_is_recorded() {
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    // SETTINGS, then DATA on stream 0 (RFC 9113 §6.1).
    wire.send(b"\0\0\0\x04\0\0\0\0\0");
    wire.send(b"\0\0\x01\0\0\0\0\0\0a");
    wire.read_to_any_end();
    let record = egret.wait_record("the protocol error", |record| {
        record["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("broke HTTP/2"))
    });
    assert_eq!(record["protocol"], "http/2", "{record}");
}
