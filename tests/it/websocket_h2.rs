//! WebSockets over HTTP/2: extended CONNECT on the client's side, an upgrade of HTTP/1.1 on the origin's.
//! RFC 8441; RFC 6455 §4 for the handshake with the origin.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Poll;

use base64::Engine as _;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request};
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::http2::{Answer, run};
use crate::support::{
    Ca, Config, Dns, Egret, Interception, Origin, PATIENCE, Wire, base64_of, ok, pattern,
    socks_tunnel, tunnel,
};

/// A client that has been told that it may ask for WebSockets.
pub(crate) struct Client(SendRequest<Bytes>);

impl Client {
    async fn connect(egret: &Egret) -> Self {
        Self::over(dial(egret)).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a client stands outside the proxy, and its task ends with the test"
    )]
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, mut connection) = h2::client::handshake(stream).await.unwrap();
        poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            if send.is_extended_connect_protocol_enabled() {
                return Poll::Ready(());
            }
            assert!(ended.is_pending(), "it ended without SETTINGS");
            Poll::Pending
        })
        .await;
        tokio::spawn(async move {
            // How it ends shows in the streams.
            let _ = connection.await;
        });
        Self(send)
    }

    async fn ask(&mut self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        poll_fn(|cx| self.0.poll_ready(cx)).await.unwrap();
        self.0.send_request(request, false).unwrap()
    }

    /// A WebSocket that must open.
    pub(crate) async fn open(&mut self, url: &str) -> (HeaderMap, Socket) {
        let (answer, send) = self.ask(websocket(url)).await;
        let (head, receive) = answer.await.unwrap().into_parts();
        assert_eq!(head.status, 200);
        (head.headers, Socket { send, receive })
    }

    /// The answer to what must not open.
    async fn refused(&mut self, request: Request<()>) -> Answer {
        let (answer, _send) = self.ask(request).await;
        Answer::read(answer.await.unwrap()).await
    }
}

/// Both directions of an open stream.
pub(crate) struct Socket {
    pub(crate) send: SendStream<Bytes>,
    pub(crate) receive: RecvStream,
}

impl Socket {
    /// Sends and receives at once, as much of each.
    async fn exchange(&mut self, bytes: &[u8]) {
        let mut rest = Bytes::copy_from_slice(bytes);
        let send = &mut self.send;
        let sending = async {
            while !rest.is_empty() {
                send.reserve_capacity(rest.len());
                let granted = poll_fn(|cx| send.poll_capacity(cx)).await;
                let granted = granted.unwrap().unwrap().min(rest.len());
                send.send_data(rest.split_to(granted), false).unwrap();
            }
        };
        let receiving = receive(&mut self.receive, bytes.len());
        let ((), got) = tokio::join!(sending, receiving);
        assert!(got == bytes, "{} bytes came back", got.len());
    }

    /// Everything to the stream's end, or the reason of its reset.
    pub(crate) async fn end(&mut self) -> Result<Vec<u8>, Option<Reason>> {
        let mut got = Vec::new();
        while let Some(data) = self.receive.data().await {
            got.extend_from_slice(&data.map_err(|error| error.reason())?);
        }
        Ok(got)
    }
}

pub(crate) async fn receive(stream: &mut RecvStream, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        let data = stream.data().await.expect("more bytes").unwrap();
        let _ = stream.flow_control().release_capacity(data.len());
        got.extend_from_slice(&data);
    }
    got
}

fn dial(egret: &Egret) -> TcpStream {
    let tcp = std::net::TcpStream::connect(egret.address("egress")).unwrap();
    tcp.set_nonblocking(true).unwrap();
    TcpStream::from_std(tcp).unwrap()
}

fn extended(protocol: &'static str, url: &str) -> Request<()> {
    Request::builder()
        .method(Method::CONNECT)
        .uri(url)
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap()
}

fn websocket(url: &str) -> Request<()> {
    extended("websocket", url)
}

/// What an origin says that switches (RFC 6455 §4.2.2).
fn switch(head: &str, lines: &str) -> String {
    let accept = accept(&field(head, "sec-websocket-key"));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
    )
}

fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let algorithm = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    base64_of(aws_lc_rs::digest::digest(algorithm, text.as_bytes()).as_ref())
}

fn field(head: &str, name: &str) -> String {
    let value = head.lines().find_map(|line| {
        let (named, value) = line.split_once(':')?;
        named.eq_ignore_ascii_case(name).then(|| value.trim())
    });
    value.unwrap_or_default().to_owned()
}

/// Switches, then plays on.
fn origin(play: impl Fn(&mut Wire) + Send + Sync + 'static) -> Origin {
    Origin::scripted(move |wire| {
        let head = wire.head();
        wire.send(switch(&head, "").as_bytes());
        play(wire);
    })
}

fn echo(wire: &mut Wire) {
    while let Ok(bytes) = wire.try_some() {
        if wire.try_send(&bytes).is_err() {
            return;
        }
    }
}

#[test]
fn a_websocket_opens_on_a_stream_and_carries_bytes_both_ways() {
    let (heads, seen) = channel();
    let origin = Origin::scripted(move |wire| {
        let head = wire.head();
        let answer = switch(&head, "Sec-WebSocket-Protocol: chat\r\n");
        heads.send(head).unwrap();
        wire.send(format!("{answer}first").as_bytes());
        echo(wire);
        wire.send(b"last");
    });
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut client = Client::connect(&egret).await;
        let mut asking = websocket(&origin.url("/chat?room=1"));
        // One that a client has no use for, and that would be known beforehand.
        let fields = asking.headers_mut();
        fields.insert(
            "sec-websocket-key",
            "AAAAAAAAAAAAAAAAAAAAAA==".parse().unwrap(),
        );
        fields.insert("sec-websocket-protocol", "chat".parse().unwrap());
        fields.insert("origin", "http://page.test".parse().unwrap());
        let (answer, send) = client.ask(asking).await;
        let (head, receiving) = answer.await.unwrap().into_parts();
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["sec-websocket-protocol"], "chat");
        for name in [
            "sec-websocket-accept",
            "upgrade",
            "connection",
            "content-length",
        ] {
            assert!(!head.headers.contains_key(name), "{name}");
        }
        let mut socket = Socket {
            send,
            receive: receiving,
        };
        assert_eq!(receive(&mut socket.receive, 5).await, b"first");
        socket.exchange(&pattern(1_000_000)).await;
        // Another stream of the connection is another matter.
        let (_, mut other) = client.open(&origin.url("/chat?room=2")).await;
        assert_eq!(receive(&mut other.receive, 5).await, b"first");
        other.exchange(b"beside it").await;
        // Each half ends by itself.
        socket.send.send_data(Bytes::new(), true).unwrap();
        assert_eq!(socket.end().await, Ok(b"last".to_vec()));
    });
    let heads = [(); 2].map(|()| seen.recv_timeout(PATIENCE).unwrap());
    is_handshake(&heads[0], &origin);
    let keys = heads.map(|head| field(&head, "sec-websocket-key"));
    assert_ne!(keys[0], keys[1], "a key is used once");

    let large = |record: &serde_json::Value| record["bytes_in"] == 1_000_000;
    let record = egret.wait_record("the WebSocket's record", large);
    assert_eq!(record["bytes_out"], 1_000_009, "{record}");
    assert_eq!(record["protocol"], "http/2");
    assert_eq!(record["method"], "GET");
    assert_eq!(record["status"], 200);
    assert_eq!(record["path"], "/chat");
    assert!(record["aborted"].is_null(), "{record}");
    // The other one was left open by its client.
    egret.wait_record("the other record", |record| record["bytes_in"] == 9);
    assert_eq!(egret.records().len(), 2, "one for each");
}

/// What an origin is asked for the first WebSocket of the test above.
fn is_handshake(head: &str, origin: &Origin) {
    assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("host", &*origin.address.to_string()),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat"),
        ("origin", "http://page.test"),
    ] {
        assert_eq!(field(head, name), value, "{head}");
    }
    assert!(field(head, "via").starts_with('2'), "{head}");
    let key = field(head, "sec-websocket-key");
    assert_ne!(key, "AAAAAAAAAAAAAAAAAAAAAA==", "the client's own");
    let bytes = base64::engine::general_purpose::STANDARD.decode(key);
    assert_eq!(bytes.unwrap().len(), 16);
}

#[test]
fn a_broken_end_is_a_reset_on_the_other_side() {
    let (gone, left) = channel();
    let patient = origin(move |wire| {
        wire.read_to_any_end();
        let _ = gone.send(());
    });
    let rude = origin(|wire| {
        wire.exact(2);
        wire.reset_now();
    });
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut client = Client::connect(&egret).await;
        let (_, mut socket) = client.open(&patient.url("/")).await;
        socket.send.send_reset(Reason::CANCEL);
        let (_, mut socket) = client.open(&rude.url("/")).await;
        socket.send.send_data("hi".into(), false).unwrap();
        assert_eq!(socket.end().await, Err(Some(Reason::CANCEL)));
    });
    left.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn what_policy_denies_is_a_response_and_reaches_nobody() {
    let origin = origin(echo);
    let config = Config::closed()
        .rule("name = \"sockets\"\nallow = {}\naddress = \"127.0.0.0/8\"\nmethod = \"GET\"\npath = \"/public/*\"");
    let egret = Egret::start(&config);
    run(async {
        let mut client = Client::connect(&egret).await;
        for (path, status, error) in [
            ("/private", 403, "http_request_denied"),
            ("/public/../private", 400, "http_request_error"),
        ] {
            let answer = client.refused(websocket(&origin.url(path))).await;
            assert_eq!(answer.status, status, "{path}");
            let told = answer.header("proxy-status");
            assert!(told.contains(error), "{path}: {told}");
        }
        assert_eq!(origin.connections(), 0);
        let (_, mut socket) = client.open(&origin.url("/public/a")).await;
        socket.exchange(b"permitted").await;
    });
    let denied = egret.wait_record("the denial", |record| record["path"] == "/private");
    assert_eq!(denied["verdict"], "deny");
    assert_eq!(denied["method"], "GET");
}

#[test]
fn what_the_origin_does_not_open_is_not_open() {
    let by_path = |request: &crate::support::Request| {
        let switched = switch(&request.head, "");
        let wrong = |proof: &str| {
            let right = format!(
                "Sec-WebSocket-Accept: {}\r\n",
                field(&switched, "sec-websocket-accept")
            );
            switched.replace(&right, proof).into_bytes()
        };
        let right = field(&switched, "sec-websocket-accept");
        match request.path() {
            "/400" => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno".to_vec(),
            "/302" => b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/200" => ok(b"a page"),
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            "/none" => wrong(""),
            "/wrong" => wrong(&format!("Sec-WebSocket-Accept: {}\r\n", accept("other"))),
            "/twice" => wrong(&format!("Sec-WebSocket-Accept: {right}\r\n").repeat(2)),
            "/other" => {
                String::from_utf8_lossy(&wrong(&format!("Sec-WebSocket-Accept: {right}\r\n")))
                    .replace("Upgrade: websocket", "Upgrade: h2c")
                    .into_bytes()
            }
            path => panic!("{path}"),
        }
    };
    let origin = Origin::http(by_path);
    let egret = Egret::start(&Config::loopback());
    let cases = [
        ("/400", 400, ""),
        ("/302", 302, ""),
        ("/200", 502, "http_upgrade_failed"),
        ("/204", 502, "http_upgrade_failed"),
        ("/none", 502, "http_upgrade_failed"),
        ("/wrong", 502, "http_upgrade_failed"),
        ("/twice", 502, "http_upgrade_failed"),
        ("/other", 502, "http_upgrade_failed"),
    ];
    run(async {
        let mut client = Client::connect(&egret).await;
        for (path, status, error) in cases {
            let answer = client.refused(websocket(&origin.url(path))).await;
            assert_eq!(answer.status, status, "{path}");
            let told = answer.header("proxy-status");
            assert!(told.contains(error), "{path}: {told}");
            assert_eq!(answer.header("sec-websocket-accept"), "", "{path}");
            if path == "/400" {
                assert_eq!(answer.body, b"no");
            }
        }
    });
    for (path, status, _) in cases {
        let record = egret.wait_record(path, |record| record["path"] == path);
        assert_eq!(record["status"], status, "{record}");
    }
    assert_eq!(egret.records().len(), cases.len(), "one for each");
}

#[test]
fn another_protocol_and_content_are_refused() {
    let origin = origin(echo);
    let egret = Egret::start(&Config::loopback());
    run(async {
        let mut client = Client::connect(&egret).await;
        for protocol in ["connect-udp", "connect-ip", "webtransport", "h2c", ""] {
            let answer = client.refused(extended(protocol, &origin.url("/"))).await;
            assert_eq!(answer.status, 501, "{protocol}");
        }
        for length in [0, 5] {
            let mut asking = websocket(&origin.url("/"));
            asking.headers_mut().insert("content-length", length.into());
            assert_eq!(client.refused(asking).await.status, 400, "{length}");
        }
        let other_scheme = client.refused(websocket("ws://127.0.0.1:1/")).await;
        assert_eq!(other_scheme.status, 400);
        assert_eq!(origin.connections(), 0);
        // The connection is none the worse.
        let (_, mut socket) = client.open(&origin.url("/")).await;
        socket.exchange(b"still").await;
    });
}

/// How a tunnel is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Connect,
    Socks,
}

/// Opens a tunnel to `place` and TLS for `name` in it, as a client that prefers HTTP/2 and trusts `root`.
pub(crate) async fn tls_inside(
    egret: &Egret,
    way: Way,
    (place, name): (&str, &str),
    root: &str,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let wire = match way {
        Way::Connect => tunnel(egret, place),
        Way::Socks => {
            let (host, port) = place.rsplit_once(':').unwrap();
            socks_tunnel(egret, host, port.parse().unwrap())
        }
    };
    let tcp = wire.tcp();
    tcp.set_nonblocking(true).unwrap();
    let tcp = TcpStream::from_std(tcp).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let root = rustls::pki_types::CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let tls = connector.connect(name, tcp).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    tls
}

#[test]
fn a_websocket_inside_an_intercepted_tunnel_is_judged_and_opened_too() {
    let ca = Ca::mint();
    // Behind the switch, what looks like a request is a message.
    let origin = Origin::https(&ca, &["origin.test"], |request| {
        if request.header("upgrade").is_some() {
            return format!("{}first", switch(&request.head, "")).into_bytes();
        }
        request.head.clone().into_bytes()
    });
    let authority = Interception::init();
    let dns = Dns::start(&[("origin.test", "127.0.0.1")]);
    let files = [&authority.files()[..], &[("ca.pem", ca.pem())]].concat();
    let config = Config::closed()
        .rule("name = \"seen\"\nallow = { intercept = true }\naddress = \"127.0.0.0/8\"\npath = \"/public/*\"")
        .dns(&dns)
        .roots()
        .more("[intercept]\nauthority = { cert = \"{dir}/intercept.pem\", key = { file = \"{dir}/intercept.key\" } }");
    let egret = Egret::start_with(&files, &config);
    let place = format!("origin.test:{}", origin.port());
    run(async {
        let to = (&*place, "origin.test");
        let tls = tls_inside(&egret, Way::Connect, to, &authority.cert).await;
        let mut client = Client::over(tls).await;
        let denied = client
            .refused(websocket(&format!("https://{place}/x")))
            .await;
        assert_eq!(denied.status, 403);
        let elsewhere = client
            .refused(websocket("https://other.test/public/"))
            .await;
        assert_eq!(elsewhere.status, 421);
        let (_, mut socket) = client.open(&format!("https://{place}/public/a")).await;
        assert_eq!(receive(&mut socket.receive, 5).await, b"first");
        socket.exchange(b"a message\r\n\r\n").await;
        let tls = tls_inside(&egret, Way::Socks, to, &authority.cert).await;
        let mut client = Client::over(tls).await;
        let (_, mut socket) = client.open(&format!("https://{place}/public/b")).await;
        assert_eq!(receive(&mut socket.receive, 5).await, b"first");
        socket.exchange(b"a message\r\n\r\n").await;
        // A page of the proxy itself is no WebSocket, and must not look like one that opened.
        let mut outside = Client::connect(&egret).await;
        let page = outside.refused(websocket("http://egret.invalid/")).await;
        assert_eq!(page.status, 502);
    });
    let seen = origin.wait_request(0);
    assert!(seen.head.starts_with("GET /public/a HTTP/1.1\r\n"));
    for path in ["/public/a", "/public/b"] {
        let record = egret.wait_record("the WebSocket's record", |r| r["path"] == path);
        assert_eq!(record["intercepted"], true, "{record}");
        assert_eq!(record["scheme"], "https");
        assert_eq!(record["bytes_in"], 13, "{record}");
    }
}
