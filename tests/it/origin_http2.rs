//! Origins that speak HTTP/2 over TLS: one connection for many requests, and what may go wrong on it.
//! Not HTTP/2 from clients, which is `http2`. RFC 9113 §5.4, §6.8, §8; RFC 8297.

use std::cell::Cell;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::http2::{Peer, request, run};
use crate::support::{
    Ca, Config, Egret, Interception, PATIENCE, Wire, get, pattern, shake_hands, tunnel, until,
};
use crate::websocket_h2::{Way, tls_inside};

/// What an origin does with a connection after a stream was handed over.
enum Then {
    /// Goes on.
    Go,
    /// Takes no further streams, and says so.
    Leave,
    /// Closes without a word.
    Drop,
}

/// A stream that came.
struct Call {
    connection: usize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

/// An origin that speaks HTTP/2, and HTTP/1.1 where that is asked for: then it answers each request with `over 1.1`.
struct Http2 {
    address: SocketAddr,
    ca: Ca,
    connections: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    over_http1: Arc<Mutex<Vec<String>>>,
}

impl Http2 {
    fn start(play: impl Fn(Call) -> Then + Send + 'static) -> Self {
        Self::with(|_| {}, play)
    }

    fn with(
        settings: impl Fn(&mut Builder) + Send + 'static,
        play: impl Fn(Call) -> Then + Send + 'static,
    ) -> Self {
        let ca = Ca::mint();
        let mut config = ServerConfig::clone(&ca.server(&["127.0.0.1"]));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            ca,
            connections: Arc::default(),
            closed: Arc::default(),
            over_http1: Arc::default(),
        };
        let seen = (
            origin.connections.clone(),
            origin.closed.clone(),
            origin.over_http1.clone(),
        );
        thread::spawn(move || {
            let accept = async move {
                let acceptor = TlsAcceptor::from(Arc::new(config));
                let (settings, play) = (Rc::new(settings), Rc::new(play));
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let (connections, closed, over_http1) = seen;
                while let Ok((tcp, _)) = listener.accept().await {
                    tcp.set_nodelay(true).unwrap();
                    let number = connections.fetch_add(1, Ordering::SeqCst);
                    let (settings, play) = (settings.clone(), play.clone());
                    let (acceptor, closed) = (acceptor.clone(), closed.clone());
                    let over_http1 = over_http1.clone();
                    spawn(async move {
                        let Ok(mut stream) = acceptor.accept(tcp).await else {
                            return;
                        };
                        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                            serve(stream, number, &*settings, &*play).await;
                        } else {
                            serve_http1(&mut stream, &over_http1).await;
                        }
                        closed.fetch_add(1, Ordering::SeqCst);
                    });
                }
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, accept);
        });
        origin
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// A proxy with one worker, so with one pool, that trusts this origin.
    fn egret(&self, config: Config) -> Egret {
        Egret::start_with(&[("ca.pem", self.ca.pem())], &config.workers(1))
    }

    fn proxy(&self) -> Egret {
        self.egret(Config::loopback().roots())
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an origin stands outside the proxy, and its tasks end with the test"
)]
fn spawn(task: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(task);
}

async fn serve(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    connection: usize,
    settings: &impl Fn(&mut Builder),
    play: &impl Fn(Call) -> Then,
) {
    let mut builder = Builder::new();
    settings(&mut builder);
    let Ok(mut streams) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = streams.accept().await {
        match play(Call {
            connection,
            request,
            respond,
        }) {
            Then::Go => {}
            Then::Leave => streams.graceful_shutdown(),
            Then::Drop => return,
        }
    }
}

async fn serve_http1(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    seen: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
            let answer: &[u8] = if text.contains("upgrade: websocket") {
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nover 1.1"
            };
            seen.lock().unwrap().push(text);
            stream.write_all(answer).await.unwrap();
            stream.flush().await.unwrap();
        }
    }
}

/// Answers with a whole body.
fn answer(respond: &mut SendResponse<Bytes>, body: impl Into<Bytes>) {
    if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
        let _ = stream.send_data(body.into(), true);
    }
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

async fn send_all(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let granted = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let granted = granted.ok_or_else(|| h2::Error::from(Reason::CANCEL))??;
        stream.send_data(bytes.split_to(granted.min(bytes.len())), false)?;
    }
    Ok(())
}

#[test]
fn many_requests_share_one_connection_and_say_what_http_2_says() {
    const MANY: usize = 40;
    let (heads, seen) = mpsc::channel();
    let waiting = Mutex::new(Vec::new());
    // None is answered before all are there.
    let origin = Http2::start(move |call| {
        let mut waiting = waiting.lock().unwrap();
        heads.send(call.request.into_parts().0).unwrap();
        waiting.push(call.respond);
        if waiting.len() == MANY {
            for mut respond in waiting.drain(..) {
                answer(&mut respond, "together");
            }
        }
        Then::Go
    });
    let egret = origin.proxy();
    let mut wires: Vec<Wire> = (0..MANY).map(|_| egret.connect()).collect();
    let lines = "Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nCookie: a=1\r\n";
    for wire in &mut wires {
        wire.send(get(&origin.url("/a?b=c"), lines).as_bytes());
    }
    for wire in &mut wires {
        let response = wire.response("GET");
        assert_eq!((response.status, &*response.text()), (200, "together"));
        assert_eq!(response.header("via"), Some("2 egret"));
    }
    assert_eq!(origin.connections(), 1);
    let head = seen.recv().unwrap();
    assert_eq!(head.uri.to_string(), origin.url("/a?b=c"));
    assert_eq!(head.headers["cookie"], "a=1");
    assert_eq!(head.headers["via"], "1.1 egret");
    for absent in [
        "host",
        "connection",
        "x-hop",
        "keep-alive",
        "transfer-encoding",
    ] {
        assert!(!head.headers.contains_key(absent), "{head:?}");
    }
    let record = egret.wait_record("a reuse", |record| record["reused"] == true);
    assert_eq!(record["status"], 200);
}

#[test]
fn trailers_and_interim_responses_pass_in_both_directions() {
    let (trailers, seen) = mpsc::channel();
    let origin = Http2::start(move |mut call| {
        let trailers = trailers.clone();
        spawn(async move {
            let mut early = Response::new(());
            *early.status_mut() = StatusCode::EARLY_HINTS;
            early
                .headers_mut()
                .insert("link", "</a.css>".parse().unwrap());
            call.respond.send_informational(early).unwrap();
            let te = call.request.headers().get("te").cloned();
            let body = call.request.body_mut();
            let bytes = read(body).await.unwrap();
            trailers
                .send((te, bytes, body.trailers().await.unwrap()))
                .unwrap();
            let mut stream = call
                .respond
                .send_response(Response::new(()), false)
                .unwrap();
            stream.send_data("message".into(), false).unwrap();
            let mut end = HeaderMap::new();
            end.insert("grpc-status", "0".parse().unwrap());
            stream.send_trailers(end).unwrap();
        });
        Then::Go
    });
    let egret = origin.proxy();
    let mut wire = egret.connect();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\n\r\n",
        origin.url("/")
    );
    wire.send(format!("{head}5\r\nhello\r\n").as_bytes());
    let early = wire.head();
    assert!(early.starts_with("HTTP/1.1 103 "), "{early}");
    assert!(early.contains("link: </a.css>"), "{early}");
    wire.send(b"0\r\nx-sum: 1\r\n\r\n");
    let response = wire.response("POST");
    assert_eq!(response.text(), "message");
    assert_eq!(response.trailers, [("grpc-status".into(), "0".into())]);
    let (te, bytes, trailers) = seen.recv().unwrap();
    assert_eq!(te.unwrap(), "trailers");
    assert_eq!(bytes, b"hello");
    assert_eq!(trailers.unwrap()["x-sum"], "1");
}

#[test]
fn large_bodies_flow_both_ways_at_once() {
    const SIZE: usize = 16 << 20;
    let origin = Http2::start(|mut call| {
        spawn(async move {
            let mut stream = call
                .respond
                .send_response(Response::new(()), false)
                .unwrap();
            let mut body = call.request.into_body();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                let _ = body.flow_control().release_capacity(data.len());
                send_all(&mut stream, data).await.unwrap();
            }
            stream.send_data(Bytes::new(), true).unwrap();
        });
        Then::Go
    });
    let egret = origin.proxy();
    let tcp = TcpStream::connect(egret.address("egress")).unwrap();
    let mut writing = tcp.try_clone().unwrap();
    let mut reading = Wire::from_tcp(tcp);
    let sent = pattern(SIZE);
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n",
        origin.url("/")
    );
    reading.send(head.as_bytes());
    let sender = {
        let sent = sent.clone();
        thread::spawn(move || writing.write_all(&sent).unwrap())
    };
    let response = reading.response("POST");
    sender.join().unwrap();
    assert!(response.body == sent, "{} bytes came", response.body.len());
}

#[test]
fn a_client_that_leaves_resets_its_stream_and_the_connection_goes_on() {
    let (resets, reset) = mpsc::channel();
    let origin = Http2::start(move |mut call| {
        let resets = resets.clone();
        spawn(async move {
            if call.request.uri().path() == "/whole" {
                return answer(&mut call.respond, "whole");
            }
            let mut stream = call
                .respond
                .send_response(Response::new(()), false)
                .unwrap();
            stream.send_data("the beginning".into(), false).unwrap();
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            resets.send(reason.unwrap()).unwrap();
        });
        Then::Go
    });
    let egret = origin.proxy();
    let mut wire = egret.connect();
    wire.send(get(&origin.url("/endless"), "").as_bytes());
    wire.head();
    wire.reset();
    assert_eq!(reset.recv_timeout(PATIENCE).unwrap(), Reason::CANCEL);
    // And one that leaves before any answer.
    let answer = egret.ask(&get(&origin.url("/whole"), ""));
    assert_eq!(answer.text(), "whole");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_goaway_ends_nothing_that_is_under_way_and_the_next_takes_another_connection() {
    let held = Mutex::new(None);
    let origin = Http2::start(move |mut call| match call.request.uri().path() {
        "/held" => {
            *held.lock().unwrap() = Some(call.respond);
            Then::Go
        }
        "/leave" => {
            answer(&mut call.respond, format!("{}", call.connection));
            Then::Leave
        }
        _ => {
            if let Some(mut held) = held.lock().unwrap().take() {
                answer(&mut held, "held");
            }
            answer(&mut call.respond, format!("{}", call.connection));
            Then::Go
        }
    });
    let egret = origin.proxy();
    let mut held = egret.connect();
    held.send(get(&origin.url("/held"), "").as_bytes());
    until("the connection", || origin.connections() == 1);
    assert_eq!(egret.ask(&get(&origin.url("/leave"), "")).text(), "0");
    let mut rounds = 0;
    until("another connection", || {
        rounds += 1;
        egret.ask(&get(&origin.url("/"), "")).text() == "1"
    });
    assert_eq!(held.response("GET").text(), "held", "after {rounds}");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_refused_stream_is_sent_again_with_its_body() {
    let refusals = Cell::new(0);
    let origin = Http2::start(move |mut call| {
        if refusals.get() < 1 {
            refusals.set(refusals.get() + 1);
            call.respond.send_reset(Reason::REFUSED_STREAM);
            return Then::Go;
        }
        spawn(async move {
            let bytes = read(call.request.body_mut()).await.unwrap();
            answer(&mut call.respond, bytes);
        });
        Then::Go
    });
    let egret = origin.proxy();
    let url = origin.url("/");
    let response = egret.ask(&format!(
        "POST {url} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    ));
    assert_eq!((response.status, &*response.text()), (200, "hello"));
    // One that refuses for ever is given up.
    let never = Http2::start(|mut call| {
        call.respond.send_reset(Reason::REFUSED_STREAM);
        Then::Go
    });
    let egret = never.proxy();
    let response = egret.ask(&get(&never.url("/"), ""));
    assert_eq!(response.status, 502, "{}", response.head);
    assert_eq!(response.proxy_error(), Some("connection_terminated"));
}

#[test]
fn what_the_origin_wants_over_http_1_1_and_what_needs_it_goes_there() {
    let origin = Http2::start(|mut call| {
        call.respond.send_reset(Reason::HTTP_1_1_REQUIRED);
        Then::Go
    });
    let egret = origin.proxy();
    let response = egret.ask(&get(&origin.url("/"), ""));
    assert_eq!((response.status, &*response.text()), (200, "over 1.1"));
    assert_eq!(origin.connections(), 2);
    let refusing = Http2::start(|mut call| {
        answer(&mut call.respond, "over 2");
        Then::Go
    });
    let egret = refusing.proxy();
    let ntlm = "Authorization: NTLM TlRMTVNTUAAB\r\n";
    let response = egret.ask(&get(&refusing.url("/"), ntlm));
    assert_eq!(response.text(), "over 1.1");
    let response = egret.ask(&get(&refusing.url("/odd<>"), ""));
    assert!([400, 200].contains(&response.status), "{}", response.head);
    assert_ne!(response.text(), "over 2");
    let mut wire = egret.connect();
    let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    wire.send(get(&refusing.url("/socket"), lines).as_bytes());
    let head = wire.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(wire.exact(6), b"frames");
    assert_eq!(egret.ask(&get(&refusing.url("/"), "")).text(), "over 2");
}

#[test]
fn a_full_connection_gets_a_sibling() {
    let held = Mutex::new(Vec::new());
    let origin = Http2::with(
        |settings| {
            settings.max_concurrent_streams(2);
        },
        move |mut call| {
            let mut held = held.lock().unwrap();
            if call.request.uri().path() == "/first" {
                answer(&mut call.respond, "first");
                return Then::Go;
            }
            held.push(call.respond);
            if held.len() == 5 {
                for mut respond in held.drain(..) {
                    answer(&mut respond, "held");
                }
            }
            Then::Go
        },
    );
    let egret = origin.proxy();
    // Now it is known how many it takes.
    assert_eq!(egret.ask(&get(&origin.url("/first"), "")).text(), "first");
    let mut wires: Vec<Wire> = (0..5).map(|_| egret.connect()).collect();
    for wire in &mut wires {
        wire.send(get(&origin.url("/held"), "").as_bytes());
    }
    for wire in &mut wires {
        assert_eq!(wire.response("GET").text(), "held");
    }
    let connections = origin.connections();
    assert!((3..=5).contains(&connections), "{connections}");
}

#[test]
fn a_connection_that_dies_takes_its_streams_along_and_no_more() {
    let held = Mutex::new(Vec::new());
    let origin = Http2::start(move |mut call| match call.request.uri().path() {
        "/die" => Then::Drop,
        "/half" => {
            let mut response = Response::new(());
            response.headers_mut().insert("content-length", 10.into());
            let mut stream = call.respond.send_response(response, false).unwrap();
            stream.send_data("half".into(), false).unwrap();
            held.lock().unwrap().push(stream);
            Then::Go
        }
        _ => {
            answer(&mut call.respond, "alive");
            Then::Go
        }
    });
    let egret = origin.proxy();
    let mut half = egret.connect();
    half.send(get(&origin.url("/half"), "").as_bytes());
    half.head();
    assert_eq!(half.exact(4), b"half");
    let post = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        origin.url("/die")
    );
    let response = egret.ask(&post);
    assert_eq!(response.status, 502, "{}", response.head);
    assert_eq!(response.proxy_error(), Some("connection_terminated"));
    // What is not whole is not taken for whole.
    assert!(half.read_to_any_end().len() < 6);
    assert_eq!(egret.ask(&get(&origin.url("/"), "")).text(), "alive");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn an_origin_that_says_nothing_is_504_and_its_connection_is_left() {
    let silent = Mutex::new(Vec::new());
    let origin = Http2::start(move |mut call| {
        if call.connection == 0 {
            silent.lock().unwrap().push(call.respond);
        } else {
            answer(&mut call.respond, "awake");
        }
        Then::Go
    });
    let egret = origin.egret(
        Config::loopback()
            .roots()
            .more("[pool]\nresponse = \"300ms\""),
    );
    let response = egret.ask(&get(&origin.url("/"), ""));
    assert_eq!(response.status, 504, "{}", response.head);
    assert_eq!(response.proxy_error(), Some("connection_read_timeout"));
    assert_eq!(egret.ask(&get(&origin.url("/"), "")).text(), "awake");
}

#[test]
fn a_response_with_too_much_of_a_head_or_a_false_length_is_refused() {
    let origin = Http2::start(|mut call| {
        let mut response = Response::new(());
        *response.version_mut() = Version::HTTP_2;
        let headers = response.headers_mut();
        match call.request.uri().path() {
            "/many" => {
                for number in 0..300 {
                    let name = format!("x-{number}");
                    headers.insert(
                        http::HeaderName::try_from(name).unwrap(),
                        "1".parse().unwrap(),
                    );
                }
            }
            "/304" => {
                // The end comes in a frame of its own.
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response.headers_mut().insert("content-length", 7.into());
                let mut stream = call.respond.send_response(response, false).unwrap();
                let _ = stream.send_data(Bytes::new(), true);
                return Then::Go;
            }
            "/blank" => {
                headers.insert("x-blank", " value ".parse().unwrap());
            }
            _ => {
                headers.insert("content-length", 3.into());
            }
        }
        let mut stream = call.respond.send_response(response, false).unwrap();
        let _ = stream.send_data("longer".into(), true);
        Then::Go
    });
    let egret = origin.proxy();
    let response = egret.ask(&get(&origin.url("/many"), ""));
    assert_eq!(response.status, 502, "{}", response.head);
    assert_eq!(
        response.proxy_error(),
        Some("http_response_header_section_size")
    );
    let response = egret.ask(&get(&origin.url("/blank"), ""));
    assert_eq!(response.header("x-blank"), Some("value"));
    let response = egret.ask(&get(&origin.url("/304"), ""));
    assert_eq!(response.status, 304);
    assert_eq!(response.header("content-length"), Some("7"));
    let mut wire = egret.connect();
    wire.send(get(&origin.url("/long"), "").as_bytes());
    let all = String::from_utf8(wire.read_to_any_end()).unwrap();
    assert!(!all.contains("longer"), "{all}");
}

#[test]
fn an_idle_connection_is_closed_in_time_and_holds_up_no_drain() {
    let origin = Http2::start(|mut call| {
        answer(&mut call.respond, "answer");
        Then::Go
    });
    let closed = |count| origin.closed.load(Ordering::SeqCst) == count;
    let egret = origin.egret(Config::loopback().roots().more("[pool]\nidle = \"100ms\""));
    assert_eq!(egret.ask(&get(&origin.url("/"), "")).status, 200);
    until("the end of the idle connection", || closed(1));
    drop(egret);
    let egret = origin.proxy();
    assert_eq!(egret.ask(&get(&origin.url("/"), "")).status, 200);
    let began = Instant::now();
    assert!(egret.stop().success());
    assert!(began.elapsed() < Duration::from_secs(5));
    until("the end of the other", || closed(2));
}

#[test]
fn after_a_reload_that_changes_whom_we_trust_no_older_connection_is_used() {
    let origin = Http2::start(|mut call| {
        answer(&mut call.respond, format!("{}", call.connection));
        Then::Go
    });
    let egret = origin.proxy();
    let url = origin.url("/");
    for _ in 0..2 {
        assert_eq!(egret.ask(&get(&url, "")).text(), "0");
    }
    let both = format!("{}{}", origin.ca.pem(), Ca::mint().pem());
    egret.write("ca.pem", &both);
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!(egret.ask(&get(&url, "")).text(), "1");
    egret.write("ca.pem", Ca::mint().pem());
    assert!(egret.command(&["reload"]).status.success());
    let response = egret.ask(&get(&url, ""));
    assert_eq!(response.status, 502, "{}", response.head);
    assert_eq!(response.proxy_error(), Some("tls_certificate_error"));
}

#[test]
fn a_client_that_does_not_read_stops_nobody_else_on_its_connection() {
    const SIZE: usize = 16 << 20;
    let origin = Http2::start(|mut call| {
        if call.request.uri().path() == "/small" {
            answer(&mut call.respond, "small");
            return Then::Go;
        }
        spawn(async move {
            let mut stream = call
                .respond
                .send_response(Response::new(()), false)
                .unwrap();
            let _ = send_all(&mut stream, pattern(SIZE).into()).await;
            let _ = stream.send_data(Bytes::new(), true);
        });
        Then::Go
    });
    let egret = origin.proxy();
    let mut sleepers: Vec<Wire> = (0..8).map(|_| egret.connect()).collect();
    for sleeper in &mut sleepers {
        sleeper.send(get(&origin.url("/large"), "").as_bytes());
        sleeper.head();
    }
    for _ in 0..20 {
        assert_eq!(egret.ask(&get(&origin.url("/small"), "")).text(), "small");
    }
    assert_eq!(origin.connections(), 1);
    let (body, _) = sleepers[0].chunked();
    assert!(body == pattern(SIZE), "{} bytes came", body.len());
}

/// Sends back each message as it comes, and a status in the trailers, as gRPC does.
fn echo() -> Http2 {
    Http2::start(|mut call| {
        spawn(async move {
            let mut stream = call
                .respond
                .send_response(Response::new(()), false)
                .unwrap();
            let mut body = call.request.into_body();
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
                send_all(&mut stream, data).await.unwrap();
            }
            let mut end = HeaderMap::new();
            end.insert("grpc-status", "7".parse().unwrap());
            stream.send_trailers(end).unwrap();
        });
        Then::Go
    })
}

/// Messages to and fro on one stream, then trailers.
async fn converse(peer: &mut Peer, url: &str) {
    let (answer, mut sending) = peer.ask(request("POST", url), false).await;
    let mut body = answer.await.unwrap().into_body();
    for round in 0..20 {
        let message = format!("message {round}");
        send_all(&mut sending, message.clone().into())
            .await
            .unwrap();
        let mut came = Vec::new();
        while came.len() < message.len() {
            let data = body.data().await.unwrap().unwrap();
            let _ = body.flow_control().release_capacity(data.len());
            came.extend_from_slice(&data);
        }
        assert_eq!(came, message.as_bytes());
    }
    sending.send_data(Bytes::new(), true).unwrap();
    assert!(body.data().await.is_none());
    let trailers = body.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "7");
}

#[test]
fn messages_go_to_and_fro_on_one_stream_from_client_to_origin() {
    let origin = echo();
    let egret = origin.proxy();
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        converse(&mut peer, &origin.url("/Echo")).await;
    });
}

/// A proxy with one worker that intercepts, and trusts the origin.
fn intercepting(origin: &Http2) -> (Egret, Interception) {
    let authority = Interception::init();
    let files = [&authority.files()[..], &[("ca.pem", origin.ca.pem())]].concat();
    let config = Config::closed()
        .rule("name = \"seen\"\nallow = { intercept = true }\naddress = \"127.0.0.0/8\"")
        .roots()
        .more("[intercept]\nauthority = { cert = \"{dir}/intercept.pem\", key = { file = \"{dir}/intercept.key\" } }");
    let egret = Egret::start_with(&files, &config.workers(1));
    (egret, authority)
}

#[test]
fn a_conversation_with_trailers_passes_interception() {
    for way in [Way::Connect, Way::Socks] {
        let origin = echo();
        let (egret, authority) = intercepting(&origin);
        let place = origin.address.to_string();
        run(async {
            let to = (&*place, "127.0.0.1");
            let tls = tls_inside(&egret, way, to, &authority.cert).await;
            let mut peer = Peer::over(tls).await;
            converse(&mut peer, &origin.url("/Echo")).await;
            converse(&mut peer, &origin.url("/Again")).await;
        });
        // The handshake that decided our certificate serves the requests as well.
        assert_eq!(origin.connections(), 1, "{way:?}");
        let record = egret.wait_record("the exchange", |r| r["path"] == "/Again");
        assert_eq!(record["intercepted"], true);
        assert_eq!(record["protocol"], "http/2");
    }
}

#[test]
fn a_client_that_speaks_http_1_1_inside_a_tunnel_reaches_an_origin_that_speaks_http_2() {
    let versions = Arc::new(Mutex::new(Vec::new()));
    let seen = versions.clone();
    let origin = Http2::start(move |mut call| {
        seen.lock().unwrap().push(call.request.version());
        answer(&mut call.respond, "answer");
        Then::Go
    });
    let (egret, authority) = intercepting(&origin);
    let place = origin.address.to_string();
    for alpn in [&["http/1.1"][..], &[]] {
        let wire = tunnel(&egret, &place);
        let met = shake_hands(wire, "127.0.0.1", &[&authority.cert], alpn).expect("TLS");
        assert_eq!(met.alpn.is_some(), !alpn.is_empty());
        let mut wire = met.wire;
        wire.send(format!("GET / HTTP/1.1\r\nHost: {place}\r\n\r\n").as_bytes());
        let response = wire.response("GET");
        assert_eq!((response.status, &*response.text()), (200, "answer"));
        assert!(response.head.starts_with("HTTP/1.1 "), "{}", response.head);
        assert_eq!(response.header("via"), Some("2 egret"));
    }
    assert_eq!(*versions.lock().unwrap(), [Version::HTTP_2; 2]);
    assert!(origin.over_http1.lock().unwrap().is_empty());
}
