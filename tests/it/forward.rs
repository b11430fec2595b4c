//! HTTP through the proxy, to the letter: what is sent on, what stops here, and when each byte moves.
//! Not what is refused, which is `framing`. RFC 9110 §7.6, §10.1.1, §15.2; RFC 9112 §6, §7, §9.

use std::io::Write as _;
use std::sync::mpsc;
use std::sync::{Arc, Barrier};

use crate::support::{Ca, Config, Dns, Egret, Origin, ok, pattern};

#[test]
fn a_request_arrives_in_origin_form_with_its_own_host() {
    let (egret, origin) = both(|_| ok(b"hello"));
    let answer = egret.ask(&get(&origin, "/a/b?c=d%20e", ""));
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let request = origin.wait_request(0);
    assert!(
        request.head.starts_with("GET /a/b?c=d%20e HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(request.header("host"), Some(&*origin.address.to_string()));
}

#[test]
fn fields_of_one_hop_stop_here() {
    // RFC 9110 §7.6.1: those of the list, and those that Connection names.
    let (egret, origin) = both(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Back, close\r\nX-Back: secret\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-End: stays\r\n\r\n".to_vec()
    });
    let own = "Connection: X-One, x-two, keep-alive\r\nX-One: 1\r\nX-Two: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nUpgrade: h2c\r\nProxy-Authorization: Basic eDp5\r\nX-End: stays\r\n";
    let answer = egret.ask(&get(&origin, "/", own));
    let request = origin.wait_request(0);
    for name in [
        "x-one",
        "x-two",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "proxy-authorization",
    ] {
        assert_eq!(request.header(name), None, "{name} in {}", request.head);
    }
    assert!(!request.head.contains("deflate"), "{}", request.head);
    assert_eq!(request.header("x-end"), Some("stays"));
    for name in ["x-back", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{name} in {}", answer.head);
    }
    assert_eq!(answer.header("x-end"), Some("stays"));
}

#[test]
fn what_is_no_token_in_connection_does_not_save_what_it_names() {
    let (egret, origin) = both(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Back, \xff\r\nX-Back: secret\r\n\r\n"
            .to_vec()
    });
    let head = get(&origin, "/", "Connection: X-One, close, ");
    let lines = head.strip_suffix("\r\n").unwrap();
    let sent = [lines.as_bytes(), b"\xe9\r\nX-One: 1\r\n\r\n"].concat();
    let mut wire = egret.connect();
    wire.send(&sent);
    let answer = wire.response("GET");
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(origin.wait_request(0).header("x-one"), None);
    assert_eq!(answer.header("x-back"), None, "{}", answer.head);
    // It has said close, too.
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn connection_can_not_remove_what_a_message_needs() {
    let (egret, origin) = both(|_| ok(b""));
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nConnection: Host, Content-Length\r\nContent-Length: 5\r\n\r\nhello",
        origin.url("/"),
        origin.address
    );
    let status = egret.ask(&request).status;
    // Refused or repaired, never sent on without framing.
    if status == 200 {
        let request = origin.wait_request(0);
        assert_eq!(request.body, b"hello");
        assert_eq!(request.header("host"), Some(&*origin.address.to_string()));
    } else {
        assert_eq!(status, 400);
        assert_eq!(origin.requests().len(), 0);
    }
}

#[test]
fn via_is_appended_both_ways() {
    // RFC 9110 §7.6.3.
    let (egret, origin) =
        both(|_| b"HTTP/1.1 200 OK\r\nVia: 1.1 behind\r\nContent-Length: 0\r\n\r\n".to_vec());
    let answer = egret.ask(&get(&origin, "/", "Via: 1.0 before\r\n"));
    let request = origin.wait_request(0);
    for (head, earlier) in [(request.head, "1.0 before"), (answer.head, "1.1 behind")] {
        let via: Vec<_> = head
            .split("\r\n")
            .filter_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("via:")
                    .map(str::to_owned)
            })
            .collect();
        let via = via.join(",");
        let members: Vec<_> = via.split(',').map(str::trim).collect();
        assert_eq!(members.len(), 2, "{head}");
        assert_eq!(members[0], earlier);
        assert!(members[1].starts_with("1.1 "), "{head}");
    }
}

#[test]
fn max_forwards_is_counted_down_and_ends_here() {
    // RFC 9110 §7.6.2.
    let (egret, origin) = both(|_| ok(b"from the origin"));
    for method in ["TRACE", "OPTIONS"] {
        let ask = |left: &str| {
            egret.ask(&format!(
                "{method} {} HTTP/1.1\r\nHost: x.example\r\nMax-Forwards: {left}\r\n\r\n",
                origin.url("/")
            ))
        };
        let before = origin.requests().len();
        let answer = ask("0");
        assert_eq!(answer.status, 200, "{method}: {}", answer.head);
        assert_ne!(answer.text(), "from the origin", "{method}");
        assert_eq!(origin.requests().len(), before, "{method}");
        assert_eq!(ask("3").text(), "from the origin", "{method}");
        let request = origin.wait_request(before);
        assert_eq!(request.header("max-forwards"), Some("2"), "{method}");
    }
    egret.ask(&get(&origin, "/", "Max-Forwards: 0\r\n"));
    let request = origin.requests().pop().unwrap();
    assert_eq!(request.method, "GET", "other methods are not counted");
}

#[test]
fn answers_without_a_body_have_none() {
    // RFC 9112 §6.3: whatever their fields say.
    let cases: &[(&str, &str)] = &[
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n",
        ),
    ];
    for (method, head) in cases {
        let (egret, origin) = both(|_| head.as_bytes().to_vec());
        let mut wire = egret.connect();
        for round in 0..2 {
            let request = get(&origin, "/", "").replacen("GET", method, 1);
            wire.send(request.as_bytes());
            let answer = wire.response(method);
            assert!(
                head.starts_with(&format!("HTTP/1.1 {} ", answer.status)),
                "round {round}: {head:?} became {}",
                answer.head
            );
        }
        assert_eq!(origin.requests().len(), 2, "{head:?}");
    }
}

#[test]
fn bodies_pass_both_ways_in_either_framing() {
    let (egret, origin) = both(|request| match request.path() {
        "/chunked" => chunked(&request.body),
        _ => ok(&request.body),
    });
    let body = pattern(300_000);
    let mut wire = egret.connect();
    for path in ["/length", "/chunked"] {
        for with_length in [true, false] {
            let framing = if with_length {
                format!("Content-Length: {}", body.len())
            } else {
                "Transfer-Encoding: chunked".to_owned()
            };
            let head = format!(
                "POST {} HTTP/1.1\r\nHost: {}\r\n{framing}\r\n\r\n",
                origin.url(path),
                origin.address
            );
            wire.send(head.as_bytes());
            if with_length {
                wire.send(&body);
            } else {
                for chunk in body.chunks(7777) {
                    wire.send(format!("{:x}\r\n", chunk.len()).as_bytes());
                    wire.send(chunk);
                    wire.send(b"\r\n");
                }
                wire.send(b"0\r\n\r\n");
            }
            let answer = wire.response("POST");
            assert!(answer.body == body, "{path} with length: {with_length}");
        }
    }
    assert!(origin.requests().iter().all(|request| request.body == body));
}

#[test]
fn trailers_stay_trailers() {
    // RFC 9110 §6.5.1: merged into the header section they could change what a message means.
    let (egret, origin) = both(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\nContent-Length: 99\r\n\r\n".to_vec()
    });
    let mut wire = egret.connect();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n5\r\nhello\r\n0\r\nX-Check: 1\r\nHost: evil.example\r\n\r\n",
        origin.url("/"),
        origin.address
    );
    wire.send(head.as_bytes());
    let answer = wire.response("POST");
    let request = origin.wait_request(0);
    assert_eq!(request.header("x-check"), None);
    assert_eq!(answer.header("x-sum"), None);
    let names = |fields: &[(String, String)]| -> Vec<String> {
        fields
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect()
    };
    assert_eq!(names(&request.trailers), ["x-check"]);
    assert_eq!(names(&answer.trailers), ["x-sum"]);
}

#[test]
fn interim_answers_pass_before_the_final_one() {
    // RFC 9110 §15.2.
    let (go, went) = mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let origin = Origin::scripted(move |wire| {
        wire.head();
        wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n");
        went.lock().unwrap().recv().unwrap();
        wire.send(&ok(b"done"));
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(get(&origin, "/", "").as_bytes());
    let hints = wire.response("GET");
    assert_eq!(hints.status, 103);
    assert_eq!(hints.header("link"), Some("</s.css>; rel=preload"));
    go.send(()).unwrap();
    assert_eq!(wire.response("GET").text(), "done");
}

#[test]
fn interim_answers_are_kept_from_http_1_0() {
    let origin = Origin::scripted(|wire| {
        wire.head();
        wire.send(b"HTTP/1.1 103 Early Hints\r\n\r\n");
        wire.send(&ok(b"done"));
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback());
    let answer = egret.ask(&get(&origin, "/", "").replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
}

#[test]
fn expect_reaches_the_origin_and_its_answer_decides() {
    // RFC 9110 §10.1.1.
    let (egret, origin) = both(|_| ok(b"taken"));
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        origin.url("/"),
        origin.address
    );
    let mut wire = egret.connect();
    wire.send(head.as_bytes());
    assert_eq!(wire.response("POST").status, 100);
    wire.send(b"hello");
    assert_eq!(wire.response("POST").text(), "taken");
    let request = origin.wait_request(0);
    assert_eq!(request.header("expect"), Some("100-continue"));
    assert_eq!(request.body, b"hello");

    let refusing = Origin::scripted(|wire| {
        wire.head();
        wire.send(
            b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        wire.half_close_quietly();
        wire.drain();
    });
    let mut wire = egret.connect();
    wire.send(
        head.replace(&origin.address.to_string(), &refusing.address.to_string())
            .as_bytes(),
    );
    assert_eq!(wire.response("POST").status, 417);
}

#[test]
fn an_answer_that_comes_early_is_passed_while_the_body_still_flows() {
    let origin = Origin::scripted(|wire| {
        wire.head();
        wire.send(
            b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop",
        );
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\n\r\nstart",
        origin.url("/"),
        origin.address
    );
    wire.send(head.as_bytes());
    let answer = wire.response("POST");
    assert_eq!((answer.status, answer.text().as_str()), (413, "stop"));
}

#[test]
fn each_event_of_a_stream_arrives_before_the_next_is_written() {
    let step = Arc::new(Barrier::new(2));
    let gate = step.clone();
    let origin = Origin::scripted(move |wire| {
        wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        for event in 0..5 {
            wire.send(format!("data: {event}\n\n").as_bytes());
            gate.wait();
        }
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(get(&origin, "/", "Accept: text/event-stream\r\n").as_bytes());
    let head = wire.head();
    let is_chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    for event in 0..5 {
        let expected = format!("data: {event}\n\n");
        let chunk = if is_chunked {
            wire.try_chunk().unwrap()
        } else {
            wire.exact(expected.len())
        };
        assert_eq!(String::from_utf8_lossy(&chunk), expected);
        step.wait();
    }
}

#[test]
fn an_upgrade_becomes_a_tunnel() {
    // RFC 9110 §7.8.
    let origin = Origin::scripted(|wire| {
        let head = wire.head().to_ascii_lowercase();
        assert!(head.contains("upgrade: websocket"), "{head}");
        assert!(head.contains("connection: upgrade"), "{head}");
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
        while let Ok(bytes) = wire.try_some() {
            wire.send(&bytes);
        }
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    let own = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    // Bytes right behind the head belong to the new protocol.
    wire.send(format!("{}\x01\x02", get(&origin, "/", own)).as_bytes());
    let answer = wire.response("GET");
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(wire.exact(7), b"first\x01\x02");
    let bytes = pattern(100_000);
    wire.send(&bytes);
    assert!(wire.exact(bytes.len()) == bytes);
    wire.half_close();
    wire.read_to_any_end();
    egret.wait_record("the upgrade's record", |record| record["status"] == 101);
}

#[test]
fn connections_are_kept_on_both_sides() {
    let (egret, origin) = both(|request| ok(request.target.as_bytes()));
    let mut wire = egret.connect();
    for path in ["/1", "/2", "/3"] {
        wire.send(get(&origin, path, "").as_bytes());
        assert_eq!(wire.response("GET").text(), path);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_pooled_connection_that_the_origin_closed_is_no_error_of_the_clients() {
    // RFC 9110 §9.2.2, RFC 9112 §9.3.1. Each connection answers one request and closes without having said so.
    let origin = Origin::scripted(|wire| {
        if wire.try_head().is_ok() {
            let _ = wire.try_send(&ok(b"once"));
        }
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    for round in 0..50 {
        wire.send(get(&origin, "/", "").as_bytes());
        let answer = wire.response("GET");
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    // RFC 9112 §9.3.2.
    let (egret, origin) = both(|request| ok(request.target.as_bytes()));
    let mut wire = egret.connect();
    let both = format!("{}{}", get(&origin, "/1", ""), get(&origin, "/2", ""));
    wire.send(both.as_bytes());
    assert_eq!(wire.response("GET").text(), "/1");
    assert_eq!(wire.response("GET").text(), "/2");
}

#[test]
fn an_http_1_0_client_gets_no_chunks_and_an_end() {
    let (egret, origin) = both(|_| chunked(b"hello"));
    let mut wire = egret.connect();
    let request = format!("GET {} HTTP/1.0\r\n\r\n", origin.url("/"));
    wire.send(request.as_bytes());
    let answer = wire.response("GET");
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.text(), "hello");
    assert!(wire.read_to_end().is_empty());
    assert!(origin.wait_request(0).head.contains(" HTTP/1.1\r\n"));
}

#[test]
fn an_http_1_0_origin_is_read_to_its_end() {
    let origin = Origin::replies(b"HTTP/1.0 200 OK\r\n\r\nuntil the end");
    let egret = Egret::start(&Config::loopback());
    assert_eq!(egret.ask(&get(&origin, "/", "")).text(), "until the end");
}

#[test]
fn an_encoded_body_is_not_touched() {
    let body = pattern(10_000);
    let sent = body.clone();
    let (egret, origin) = both(move |_| {
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nETag: \"strong\"\r\nContent-Length: {}\r\n\r\n",
            sent.len()
        )
        .into_bytes();
        answer.extend_from_slice(&sent);
        answer
    });
    let answer = egret.ask(&get(&origin, "/", "Accept-Encoding: gzip\r\n"));
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(answer.header("etag"), Some("\"strong\""));
    assert!(answer.body == body);
}

#[test]
fn a_hundred_megabytes_pass_without_growing_the_process() {
    const SIZE: usize = 100 << 20;
    let origin = Origin::scripted(|wire| {
        wire.head();
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes());
        let block = pattern(1 << 20);
        for _ in 0..SIZE / block.len() {
            wire.send(&block);
        }
        wire.drain();
    });
    let (sink_origin, upload) = counting_origin();
    let egret = Egret::start(&Config::loopback());
    let before = egret.resident();
    let mut wire = egret.connect();
    wire.send(get(&origin, "/", "Connection: close\r\n").as_bytes());
    wire.head();
    assert_eq!(wire.drain(), SIZE as u64);

    let mut wire = egret.connect();
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {SIZE}\r\n\r\n",
        sink_origin.url("/"),
        sink_origin.address
    );
    wire.send(head.as_bytes());
    let block = pattern(1 << 20);
    for _ in 0..SIZE / block.len() {
        wire.send(&block);
    }
    assert_eq!(wire.response("PUT").status, 200);
    assert_eq!(upload.recv().unwrap(), SIZE);
    let grown = egret.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "grew by {grown} bytes");
}

#[test]
fn a_slow_reader_slows_the_origin_down() {
    let (progress, written) = mpsc::channel();
    let origin = Origin::scripted(move |wire| {
        wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\n\r\n");
        let block = vec![0; 1 << 20];
        for count in 1..=200 {
            if wire.try_send(&block).is_err() {
                return;
            }
            let _ = progress.send(count);
        }
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(get(&origin, "/", "").as_bytes());
    wire.head();
    // The client reads no more: the origin's writes must stop long before their end.
    let mut blocks = 0;
    while let Ok(count) = written.recv_timeout(std::time::Duration::from_secs(1)) {
        blocks = count;
    }
    assert!(blocks < 100, "{blocks} MiB went nowhere");
    let resident = egret.resident();
    assert!(resident < 256 << 20, "{resident} bytes resident");
}

#[test]
fn an_https_target_is_fetched_over_tls() {
    let ca = Ca::mint();
    let origin = Origin::https(&ca, &["origin.test"], |_| ok(b"over TLS"));
    let dns = Dns::start(&[("origin.test", "127.0.0.1")]);
    let config = Config::loopback().dns(&dns).roots();
    let egret = Egret::start_with(&[("ca.pem", ca.pem())], &config);
    let request = format!(
        "GET https://origin.test:{}/x HTTP/1.1\r\nHost: a\r\n\r\n",
        origin.port()
    );
    assert_eq!(egret.ask(&request).text(), "over TLS");
    let host = format!("origin.test:{}", origin.port());
    assert_eq!(origin.wait_request(0).header("host"), Some(&*host));
}

#[test]
fn a_certificate_for_another_name_or_of_an_unknown_authority_is_refused() {
    let (known, unknown) = (Ca::mint(), Ca::mint());
    let dns = Dns::start(&[("origin.test", "127.0.0.1")]);
    let config = Config::loopback().dns(&dns).roots();
    let egret = Egret::start_with(&[("ca.pem", known.pem())], &config);
    for (ca, name) in [(&known, "other.test"), (&unknown, "origin.test")] {
        let origin = Origin::https(ca, &[name], |_| ok(b"POISON"));
        let answer = egret.ask(&format!(
            "GET https://origin.test:{}/ HTTP/1.1\r\nHost: a\r\n\r\n",
            origin.port()
        ));
        assert_eq!(answer.status, 502, "{name}");
        assert_eq!(
            answer.proxy_error(),
            Some("tls_certificate_error"),
            "{name}"
        );
        assert_eq!(origin.requests().len(), 0, "{name}");
    }
}

#[test]
fn an_exchange_is_recorded_once_without_its_query() {
    let (egret, origin) = both(|_| ok(b"hello"));
    egret.ask(&get(
        &origin,
        "/path?token=hidden",
        "Authorization: Bearer hidden\r\n",
    ));
    let record = egret.wait_record("the record", |record| record["status"] == 200);
    assert_eq!(record["listener"], "egress");
    assert_eq!(record["method"], "GET");
    assert_eq!(record["verdict"], "allow");
    assert_eq!(record["rule"], "loopback");
    assert_eq!(record["authority"], origin.address.to_string());
    assert_eq!(record["origin"], origin.address.to_string());
    assert_eq!(record["path"], "/path");
    assert!(record["bytes_out"].as_u64().is_some_and(|bytes| bytes >= 5));
    assert!(!egret.everything_written().contains("hidden"));
    assert_eq!(egret.records().len(), 1);
}

fn both(
    answer: impl Fn(&crate::support::Request) -> Vec<u8> + Send + Sync + 'static,
) -> (Egret, Origin) {
    (Egret::start(&Config::loopback()), Origin::http(answer))
}

/// A GET with these further lines, each with its CRLF.
fn get(origin: &Origin, path: &str, lines: &str) -> String {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n",
        origin.url(path),
        origin.address
    )
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(10_000) {
        write!(answer, "{:x};x=y\r\n", chunk.len()).unwrap();
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

/// Counts a body of known length without keeping it.
fn counting_origin() -> (Origin, mpsc::Receiver<usize>) {
    let (send, counted) = mpsc::channel();
    let origin = Origin::scripted(move |wire| {
        let head = wire.head().to_ascii_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut left = length;
        while left > 0 {
            left -= wire.try_some().unwrap().len();
        }
        wire.send(&ok(b""));
        send.send(length).unwrap();
    });
    (origin, counted)
}
