//! What happens between the proxy and an origin that does not behave as most do.
//! Not ambiguous bytes, which are `framing`. Start at any test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::support::{Config, Egret, Origin};

#[test]
fn an_early_answer_and_a_late_upload_flow_beside_each_other() {
    const ANSWER: usize = 4 << 20;
    const UPLOAD: usize = 32 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let origin = thread::spawn(move || {
        let (mut reading, _) = listener.accept().unwrap();
        let mut writing = reading.try_clone().unwrap();
        read_head(&mut reading);
        let answer = thread::spawn(move || {
            write!(
                writing,
                "HTTP/1.1 200 OK\r\nContent-Length: {ANSWER}\r\n\r\n"
            )
            .unwrap();
            writing.write_all(&vec![b'a'; ANSWER]).unwrap();
        });
        let mut body = vec![0; UPLOAD];
        reading.read_exact(&mut body).unwrap();
        answer.join().unwrap();
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    // All is sent before the first byte is read.
    wire.send(
        format!(
            "POST http://{address}/ HTTP/1.1\r\nHost: {address}\r\nContent-Length: {UPLOAD}\r\n\r\n"
        )
        .as_bytes(),
    );
    wire.send(&vec![b'u'; UPLOAD]);
    assert_eq!(wire.response("POST").body.len(), ANSWER);
    origin.join().unwrap();
}

#[test]
fn a_connection_that_took_half_a_request_is_not_used_again() {
    const UPLOAD: usize = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let egret = Egret::start(&Config::loopback().more("[pool]\nbody-idle = \"500ms\""));
    let origin = thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        read_head(&mut first);
        // The proxy gives up sending; only then comes the answer, whole and with the connection kept.
        thread::park_timeout(std::time::Duration::from_millis(1500));
        first
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .unwrap();
        let (mut second, _) = listener.accept().unwrap();
        let head = read_head(&mut second);
        second
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond")
            .unwrap();
        drop(first);
        head
    });
    let mut upload = egret.connect();
    let mut reader = TcpStream::connect(egret.address("egress")).unwrap();
    upload.send(
        format!(
            "POST http://{address}/ HTTP/1.1\r\nHost: {address}\r\nContent-Length: {UPLOAD}\r\n\r\n"
        )
        .as_bytes(),
    );
    let sender = thread::spawn(move || {
        let _ = upload.try_send(&vec![b'u'; UPLOAD]);
        upload
    });
    egret.wait_record("the half-sent request", |record| record["method"] == "POST");
    write!(
        reader,
        "GET http://{address}/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    reader.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("second"), "{answer}");
    assert!(origin.join().unwrap().starts_with(b"GET / HTTP/1.1\r\n"));
    drop(sender.join().unwrap());
}

#[test]
fn an_operator_ends_an_exchange_that_waits_for_its_origin() {
    let origin = Origin::scripted(|wire| {
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
            origin.url("/"),
            origin.address
        )
        .as_bytes(),
    );
    loop {
        let flows = egret.command(&["flows", "--json"]);
        if String::from_utf8_lossy(&flows.stdout).contains("\"waiting\"") {
            break;
        }
    }
    let ended = egret.command(&["flows", "kill", "--where", "kind=exchange"]);
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "1 ended\n");
    assert_eq!(wire.response("GET").status, 503);
    egret.wait_record("the end", |record| {
        record["reason"] == "ended by an operator"
    });
}

fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(
            stream.read(&mut byte).unwrap(),
            1,
            "the proxy closed inside a head"
        );
        head.extend(byte);
    }
    head
}
