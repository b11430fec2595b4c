//! HTTP/2 with prior knowledge, spoken by a client that sees each frame's meaning: the same proxy as over HTTP/1.1.
//! RFC 9113 §8; RFC 8297 for early hints.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::support::{Config, Egret, Origin, PATIENCE, contains, ok, pattern};

/// A client's connection, which runs as a task of its own.
pub(crate) struct Peer(SendRequest<Bytes>);

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(dial(address)).await
    }

    /// Over a stream that is there already, as where ALPN agreed on HTTP/2.
    #[expect(
        clippy::disallowed_methods,
        reason = "a client stands outside the proxy, and its task ends with the test"
    )]
    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            // How it ends shows in the streams.
            let _ = connection.await;
        });
        Self(send)
    }

    pub(crate) async fn ask(
        &mut self,
        request: Request<()>,
        whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        poll_fn(|cx| self.0.poll_ready(cx)).await.unwrap();
        self.0.send_request(request, whole).unwrap()
    }

    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        let (answer, _) = self.ask(request("GET", url), true).await;
        Answer::read(answer.await.unwrap()).await
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) async fn read(answer: Response<RecvStream>) -> Self {
        let (head, mut stream) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.unwrap();
            let _ = stream.flow_control().release_capacity(data.len());
            body.extend_from_slice(&data);
        }
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            trailers: stream.trailers().await.unwrap(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn request(method: &str, url: &str) -> Request<()> {
    Request::builder().method(method).uri(url).body(()).unwrap()
}

/// Runs a test's client, which may take a while but not for ever.
pub(crate) fn run(client: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let whole = async { tokio::time::timeout(PATIENCE, client).await };
    runtime.block_on(whole).expect("the client ends in time");
}

/// A connection, opened as `Wire` opens its own: blocking, because nothing else runs here yet.
pub(crate) fn dial(address: SocketAddr) -> TcpStream {
    let tcp = std::net::TcpStream::connect(address).unwrap();
    tcp.set_nonblocking(true).unwrap();
    TcpStream::from_std(tcp).unwrap()
}

async fn send_all(stream: &mut SendStream<Bytes>, mut bytes: Bytes, end: bool) {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let granted = poll_fn(|cx| stream.poll_capacity(cx))
            .await
            .unwrap()
            .unwrap();
        let part = bytes.split_to(granted.min(bytes.len()));
        let last = end && bytes.is_empty();
        stream.send_data(part, last).unwrap();
    }
}

#[test]
fn requests_with_and_without_a_body_arrive_as_http_1_1() {
    let origin = Origin::http(|request| ok(&request.body));
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let answer = peer.get(&origin.url("/a?b=c")).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert!(
            answer.header("via").starts_with("1.1 "),
            "{:?}",
            answer.headers
        );

        let body = pattern(300_000);
        let (answer, mut stream) = peer.ask(request("POST", &origin.url("/p")), false).await;
        send_all(&mut stream, body.clone().into(), true).await;
        let answer = Answer::read(answer.await.unwrap()).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == body);
        for name in ["connection", "transfer-encoding", "keep-alive"] {
            assert!(!answer.headers.contains_key(name), "{name}");
        }
    });
    let first = origin.wait_request(0);
    assert!(
        first.head.starts_with("GET /a?b=c HTTP/1.1\r\n"),
        "{}",
        first.head
    );
    assert_eq!(first.header("host"), Some(&*origin.address.to_string()));
    assert!(
        first.header("via").unwrap().starts_with("2"),
        "{}",
        first.head
    );
    egret.wait_record("the request", |record| {
        record["protocol"] == "http/2" && record["path"] == "/p" && record["bytes_in"] == 300_000
    });
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let slow = Origin::scripted(move |wire| {
        wire.head();
        went.lock().unwrap().recv().unwrap();
        wire.send(&ok(b"slow"));
        wire.drain();
    });
    let fast = Origin::http(|_| ok(b"fast"));
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let (waiting, _) = peer.ask(request("GET", &slow.url("/")), true).await;
        for _ in 0..50 {
            assert_eq!(peer.get(&fast.url("/")).await.body, b"fast");
        }
        let mut many = Vec::new();
        for _ in 0..50 {
            many.push(peer.ask(request("GET", &fast.url("/")), true).await.0);
        }
        for answer in many {
            assert_eq!(Answer::read(answer.await.unwrap()).await.body, b"fast");
        }
        go.send(()).unwrap();
        let answer = Answer::read(waiting.await.unwrap()).await;
        assert_eq!(answer.body, b"slow");
    });
}

#[test]
fn a_tunnel_keeps_its_halves_and_a_large_answer_arrives_whole() {
    let large = pattern(2_000_000);
    let expected = large.clone();
    let origin = Origin::scripted(move |wire| {
        // Answers only when the client's half has ended.
        let asked = wire.read_to_end();
        wire.send(&asked);
        wire.send(&large);
    });
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let connect = Request::builder()
            .method(Method::CONNECT)
            .uri(origin.address.to_string())
            .body(())
            .unwrap();
        let (answer, mut stream) = peer.ask(connect, false).await;
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        for name in ["content-length", "transfer-encoding"] {
            assert!(!answer.headers().contains_key(name), "{name}");
        }
        send_all(&mut stream, Bytes::from_static(b"the question"), false).await;
        stream.send_data(Bytes::new(), true).unwrap();
        let got = Answer::read(answer).await.body;
        assert!(got.starts_with(b"the question"));
        assert!(got[12..] == expected, "{} bytes", got.len());
    });
    let record = egret.wait_record("the tunnel", |record| record["method"] == "CONNECT");
    assert_eq!(record["bytes_in"], 12, "{record}");
    assert_eq!(record["bytes_out"], 2_000_012, "{record}");
    assert!(record["aborted"].is_null(), "{record}");
}

#[test]
fn a_tunnel_that_the_client_resets_frees_the_origin_and_one_that_the_origin_resets_is_reset() {
    let (gone, left) = std::sync::mpsc::channel();
    let patient = Origin::scripted(move |wire| {
        wire.read_to_any_end();
        let _ = gone.send(());
    });
    let rude = Origin::scripted(|wire| {
        wire.exact(2);
        wire.reset_now();
    });
    let egret = Egret::start(&Config::loopback());
    let connect = |origin: &Origin| {
        let authority = origin.address.to_string();
        Request::builder()
            .method(Method::CONNECT)
            .uri(authority)
            .body(())
            .unwrap()
    };
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let (answer, mut stream) = peer.ask(connect(&patient), false).await;
        assert_eq!(answer.await.unwrap().status(), 200);
        stream.send_reset(h2::Reason::CANCEL);
        let (answer, mut stream) = peer.ask(connect(&rude), false).await;
        let mut answer = answer.await.unwrap().into_body();
        send_all(&mut stream, Bytes::from_static(b"hi"), false).await;
        let end = answer.data().await;
        let reason = end
            .and_then(|end| end.err())
            .and_then(|error| error.reason());
        assert_eq!(reason, Some(h2::Reason::CONNECT_ERROR));
    });
    left.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn early_hints_pass_before_the_answer() {
    let origin = Origin::replies(
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone",
    );
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let (mut answer, _) = peer.ask(request("GET", &origin.url("/")), true).await;
        let hints = poll_fn(|cx| answer.poll_informational(cx)).await;
        let hints = hints.expect("an interim answer").unwrap();
        assert_eq!(hints.status(), 103);
        assert_eq!(hints.headers()["link"], "</style.css>; rel=preload");
        assert_eq!(Answer::read(answer.await.unwrap()).await.body, b"done");
    });
}

#[test]
fn options_for_a_whole_server_is_what_it_is_in_http_1_1() {
    // RFC 9113 §8.3.1: an asterisk stands in the place of the path.
    let origin = Origin::http(|_| ok(b"all of it"));
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let whole = http::Uri::builder()
            .scheme("http")
            .authority(origin.address.to_string())
            .path_and_query("*");
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri(whole.build().unwrap())
            .body(())
            .unwrap();
        let (answer, _) = peer.ask(request, true).await;
        let answer = Answer::read(answer.await.unwrap()).await;
        assert_eq!((answer.status, &*answer.body), (200, &b"all of it"[..]));
        assert_eq!(origin.wait_request(0).target, "*");
    });
}

#[test]
fn an_answer_ends_with_the_last_frame_of_its_content() {
    let origin = Origin::http(|_| ok(b"content"));
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let (answer, _) = peer.ask(request("GET", &origin.url("/")), true).await;
        let mut stream = answer.await.unwrap().into_body();
        assert_eq!(stream.data().await.unwrap().unwrap(), "content");
        assert!(stream.is_end_stream(), "the frame says that it is the last");
    });
    let record = egret.wait_record("the exchange", |record| record["status"] == 200);
    assert_eq!(record["bytes_out"], 7, "{record}");
    assert!(record["aborted"].is_null(), "{record}");
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::http(|request| {
        let trailer = &request.trailers[0].1;
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n";
        format!("{head}X-Back: {trailer}\r\n\r\n").into_bytes()
    });
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let (answer, mut stream) = peer.ask(request("POST", &origin.url("/")), false).await;
        send_all(&mut stream, Bytes::from_static(b"body"), false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        let answer = Answer::read(answer.await.unwrap()).await;
        assert_eq!(answer.body, b"hi");
        assert_eq!(answer.trailers.unwrap()["x-back"], "42");
    });
    let seen = origin.wait_request(0);
    assert_eq!(seen.body, b"body");
    assert_eq!(seen.header("x-sum"), None, "a trailer is no field");
}

#[test]
fn a_denial_is_told_on_its_stream_and_the_connection_lives_on() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        for (method, url) in [("GET", "http://10.0.0.1/"), ("CONNECT", "10.0.0.1:443")] {
            let (answer, _) = peer.ask(request(method, url), true).await;
            let answer = Answer::read(answer.await.unwrap()).await;
            assert_eq!(answer.status, 403, "{method}");
            let status = answer.header("proxy-status");
            assert!(status.contains("http_request_denied"), "{status}");
            assert!(contains(&answer.body, b"Request id: "), "{method}");
            assert_eq!(peer.get(&origin.url("/")).await.body, b"answer");
        }
    });
}

#[test]
fn head_and_304_have_no_body() {
    let origin = Origin::http(|request| {
        if request.path() == "/304" {
            return b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\n"
                .to_vec();
        }
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec()
    });
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        for (method, path, status) in [("HEAD", "/", 200), ("GET", "/304", 304)] {
            let (answer, _) = peer.ask(request(method, &origin.url(path)), true).await;
            let answer = Answer::read(answer.await.unwrap()).await;
            assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
        }
    });
}

#[test]
fn limits_hold_for_streams_too() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config =
        Config::loopback().limits("body-size = \"1KiB\"\nheader-count = 20\nbody-idle = \"500ms\"");
    let egret = Egret::start(&config);
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        // Too large, known before and found out on the way.
        let mut declared = request("POST", &origin.url("/"));
        declared.headers_mut().insert("content-length", 2000.into());
        let (answer, _stream) = peer.ask(declared, false).await;
        assert_eq!(answer.await.unwrap().status(), 413);
        let (answer, mut stream) = peer.ask(request("POST", &origin.url("/")), false).await;
        send_all(&mut stream, vec![b'x'; 2000].into(), true).await;
        assert_eq!(answer.await.unwrap().status(), 413);
        // Silence in a body.
        let (answer, mut stream) = peer.ask(request("POST", &origin.url("/")), false).await;
        send_all(&mut stream, Bytes::from_static(b"x"), false).await;
        assert_eq!(answer.await.unwrap().status(), 408);
        // Too many fields.
        let mut many = request("GET", &origin.url("/"));
        for number in 0..30 {
            let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
            many.headers_mut().insert(name, number.into());
        }
        let (answer, _) = peer.ask(many, true).await;
        assert_eq!(answer.await.unwrap().status(), 431);
        assert_eq!(peer.get(&origin.url("/")).await.status, 200);
    });
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn what_is_ambiguous_is_refused_and_reaches_nobody() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback());
    run(async {
        for (name, value) in [
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
        ] {
            let mut peer = Peer::connect(egret.address("egress")).await;
            let mut bad = request("GET", &origin.url("/"));
            bad.headers_mut().insert(name, value.parse().unwrap());
            poll_fn(|cx| peer.0.poll_ready(cx)).await.unwrap();
            // The client's own library may refuse it first.
            let Ok((answer, _)) = peer.0.send_request(bad, true) else {
                continue;
            };
            if let Ok(answer) = answer.await {
                assert_eq!(answer.status(), 400, "{name}");
            }
        }
        // A body that is not as long as it says.
        let mut peer = Peer::connect(egret.address("egress")).await;
        let mut short = request("POST", &origin.url("/"));
        short.headers_mut().insert("content-length", 10.into());
        poll_fn(|cx| peer.0.poll_ready(cx)).await.unwrap();
        if let Ok((answer, mut stream)) = peer.0.send_request(short, false)
            && stream.send_data(Bytes::from_static(b"short"), true).is_ok()
            && let Ok(answer) = answer.await
        {
            assert_ne!(answer.status(), 200);
        }
    });
    assert!(origin.requests().is_empty());
}

#[test]
fn the_end_of_the_process_lets_streams_finish() {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let (arrived, mut came) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::scripted(move |wire| {
        wire.head();
        arrived.send(()).unwrap();
        went.lock().unwrap().recv().unwrap();
        wire.send(&ok(b"finished"));
        wire.drain();
    });
    let mut egret = Egret::start(&Config::loopback());
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        let (answer, _) = peer.ask(request("GET", &origin.url("/")), true).await;
        came.recv().await.unwrap();
        egret.signal(rustix::process::Signal::TERM);
        egret.wait_line("the drain", |line| line.contains("draining"));
        go.send(()).unwrap();
        let answer = Answer::read(answer.await.unwrap()).await;
        assert_eq!(answer.body, b"finished");
    });
    assert_eq!(egret.wait_exit().code(), Some(0));
}

#[test]
fn accept_can_leave_http_2_out() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::loopback().listener("accept = [\"http\", \"connect\"]");
    let egret = Egret::start(&config);
    run(async {
        let mut peer = Peer::connect(egret.address("egress")).await;
        if poll_fn(|cx| peer.0.poll_ready(cx)).await.is_ok()
            && let Ok((answer, _)) = peer.0.send_request(request("GET", &origin.url("/")), true)
        {
            assert!(answer.await.is_err());
        }
    });
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_connection_without_a_stream_is_closed_when_it_is_idle_and_one_with_a_stream_is_not() {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let origin = Origin::scripted(move |wire| {
        wire.head();
        went.lock().unwrap().recv().unwrap();
        wire.send(&ok(b"late"));
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback().limits("idle = \"500ms\""));
    run(async {
        let mut busy = Peer::connect(egret.address("egress")).await;
        let (answer, _) = busy.ask(request("GET", &origin.url("/")), true).await;
        let tcp = dial(egret.address("egress"));
        let (_send, idle) = h2::client::handshake(tcp).await.unwrap();
        // The connection's own future ends with the connection.
        let _ = idle.await;
        go.send(()).unwrap();
        assert_eq!(Answer::read(answer.await.unwrap()).await.body, b"late");
    });
}

#[test]
fn fields_without_an_end_are_cut_off() {
    let config = Config::loopback().limits("header-time = \"500ms\"\nidle = \"1s\"");
    let egret = Egret::start(&config);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // HEADERS on stream 1 without END_HEADERS, then nothing, or CONTINUATION for ever. RFC 9113 §6.10.
    let headers = b"\0\0\x01\x01\0\0\0\0\x01\x82";
    let more = b"\0\0\0\x09\0\0\0\0\x01";
    let mut wire = egret.connect();
    wire.send(&[&preface[..], headers].concat());
    wire.read_to_any_end();
    let mut wire = egret.connect();
    wire.send(&[&preface[..], headers].concat());
    let block = more.repeat(1000);
    let cut = (0..10_000).any(|_| wire.try_send(&block).is_err());
    assert!(cut, "it went on for ever");
}
