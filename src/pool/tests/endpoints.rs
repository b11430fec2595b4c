//! Endpoints of upstreams, in this process and over real sockets.

use std::cell::Cell;

use bytes::Bytes;
use h2::server::Builder;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::message::http1::framing::Length;
use crate::message::{Body, BodyError, Interim, ProxyError};
use crate::policy::{Facts, Lists, Look, NamedBy, Policy, Scheme, Verdict};

/// A permit for one address of this machine.
pub(super) fn permit(address: SocketAddr) -> Permit {
    let faults = Faults::new();
    let text =
        "default = \"deny\"\n[[rule]]\nname = \"own\"\nallow = {}\naddress = \"127.0.0.0/8\"";
    let table = Table::parse(&Source::new("p.toml", text), &faults);
    let policy = Policy::read("p", table, &Lists::new(), &faults);
    let policy = policy.ok_or(faults).expect("a policy");
    let authority = Authority::parse(&address.to_string(), None).expect("an authority");
    let facts = Facts {
        listener: "web",
        client: address.ip(),
        principal: None,
        authority: &authority,
        scheme: Scheme::Http,
        method: Some(&Method::GET),
        path: Some("/"),
        headers: None,
        now: jiff::Timestamp::UNIX_EPOCH,
        hello: Look::Nothing,
        named_by: NamedBy::Client,
        resolved: None,
    };
    let Verdict::Allow(grant) = policy.decide(&facts) else {
        unreachable!("the address is allowed");
    };
    policy
        .confirm(&grant, &facts, &[address], &|_| false)
        .expect("the address is allowed")
}

/// A pool, and whatever runs beside it.
struct Here {
    pool: Pool,
    life: Lifeline,
}

impl Here {
    fn new() -> Self {
        let faults = Faults::new();
        let life = Lifeline::new();
        let origin = Origin {
            settings: Settings::default(),
            trust: connector::read(None, &faults),
        };
        Self {
            pool: Pool::new(origin, life.clone()),
            life,
        }
    }

    fn terms(&self, text: &str) -> Arc<Terms> {
        let faults = Faults::new();
        let table = Table::parse(&Source::new("egret.toml", text), &faults);
        let base = self.pool.0.origin.borrow().clone();
        let terms = Terms::read(&table, &base, &faults);
        Arc::new(terms.ok_or(faults).expect("good settings"))
    }

    /// Hands each connection over with its number.
    async fn listen<F: Future<Output = ()> + 'static>(
        &self,
        play: impl Fn(TcpStream, usize) -> F + 'static,
    ) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let life = self.life.clone();
        self.life.spawn_background(async move {
            let number = Cell::new(0);
            while let Ok((tcp, _)) = listener.accept().await {
                life.spawn_background(play(tcp, number.replace(number.get() + 1)));
            }
        });
        address
    }

    /// Sends a request, and gives what came: status and body; over which connection is for the origin to say.
    async fn ask(&self, key: &Key, to: SocketAddr) -> Result<(Received, bool), Failure> {
        self.send(key, to, (&Method::GET, HeaderMap::new(), Body::Empty))
            .await
    }

    async fn send(
        &self,
        key: &Key,
        to: SocketAddr,
        (method, headers, body): (&Method, HeaderMap, Body),
    ) -> Result<(Received, bool), Failure> {
        let fresh = Some(Duration::MAX);
        let lease = self.pool.lease(&permit(to), key, fresh).await?;
        let outgoing = Outgoing {
            method,
            target: "/say",
            host: "app.internal",
            headers: &headers,
            length: if body.is_empty() {
                Length::Empty
            } else {
                Length::Chunked
            },
            patience: None,
        };
        let (reused, interim) = (lease.reused, Interim::default());
        let sent = lease
            .connection
            .send(&self.pool, key.clone(), &outgoing, body, false, &interim);
        match sent.await {
            Ok(received) => Ok((received, reused)),
            Err(SendError::Origin(failure, _)) => Err(failure),
            Err(SendError::Client(error)) => unreachable!("the test's own body failed: {error}"),
        }
    }
}

fn to_endpoint(terms: &Arc<Terms>) -> Key {
    let endpoint = Authority::parse("app.internal:8080", None).expect("an authority");
    Key::to_endpoint(terms.clone(), endpoint, false)
}

/// The whole of a body, and its trailers.
async fn whole(mut body: Body) -> (Vec<u8>, HeaderMap) {
    let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) =
        std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
    {
        match frame.expect("a frame").into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().expect("trailers"),
        }
    }
    (bytes, trailers)
}

/// Answers every request on a connection with these lines and the connection's number.
async fn http1(mut tcp: TcpStream, number: usize, lines: &str) {
    let mut head = Vec::new();
    while let Ok(byte) = tcp.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            let body = number.to_string();
            let text = format!(
                "HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if tcp.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// One frame after the other.
struct Frames(std::vec::IntoIter<Frame<Bytes>>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        std::task::Poll::Ready(self.0.next().map(Ok))
    }
}

fn field(name: &'static str, value: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, http::HeaderValue::from_static(value));
    headers
}

#[tokio::test]
async fn http_2_in_the_clear_carries_calls_with_trailers_both_ways() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let here = Here::new();
            let address = here
                .listen(|tcp, _| async move {
                    let mut streams = h2::server::handshake(tcp).await.expect("HTTP/2");
                    while let Some(Ok((mut request, mut respond))) = streams.accept().await {
                        assert_eq!(request.version(), Version::HTTP_2);
                        assert_eq!(request.uri().to_string(), "http://app.internal/say");
                        assert_eq!(request.headers()["te"], "trailers");
                        assert_eq!(request.headers()["grpc-timeout"], "5S");
                        // The rest of the request flows while the connection is driven by the next accept.
                        let mut stream = respond
                            .send_response(Response::new(()), false)
                            .expect("sent");
                        let body = request.body_mut();
                        let echo = async {
                            while let Some(Ok(data)) = body.data().await {
                                let _ = body.flow_control().release_capacity(data.len());
                                stream.send_data(data, false).expect("sent");
                            }
                            let mut trailers = body.trailers().await.expect("good").expect("some");
                            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                            stream.send_trailers(trailers).expect("sent");
                        };
                        tokio::select! {
                            biased;
                            () = echo => {}
                            _ = streams.accept() => unreachable!("one call at a time"),
                        }
                    }
                })
                .await;
            let key = to_endpoint(&here.terms("protocol = \"h2c\""));
            for reused in [false, true] {
                let mut headers = field("te", "trailers");
                headers.insert("grpc-timeout", http::HeaderValue::from_static("5S"));
                let frames = vec![
                    Frame::data(Bytes::from_static(b"call")),
                    Frame::trailers(field("x-sum", "7")),
                ];
                let body = Body::stream(Frames(frames.into_iter()));
                let sent = here
                    .send(&key, address, (&Method::POST, headers, body))
                    .await;
                let (received, was) = sent.expect("answered");
                assert_eq!(was, reused);
                assert_eq!(received.response.status(), StatusCode::OK);
                let (bytes, trailers) = whole(received.response.into_body()).await;
                assert_eq!(bytes, b"call");
                assert_eq!(
                    (&trailers["grpc-status"], &trailers["x-sum"]),
                    (
                        &http::HeaderValue::from_static("0"),
                        &http::HeaderValue::from_static("7")
                    )
                );
            }
        })
        .await;
}

#[tokio::test]
async fn a_websocket_is_opened_over_http_2_where_the_endpoint_says_that_it_can() {
    tokio::task::LocalSet::new()
        .run_until(async {
            for enabled in [true, false] {
                let here = Here::new();
                let address = here
                    .listen(move |tcp, _| async move {
                        let mut builder = Builder::new();
                        if enabled {
                            builder.enable_connect_protocol();
                        }
                        let mut streams = builder.handshake::<_, Bytes>(tcp).await.expect("HTTP/2");
                        let Some(Ok((mut request, mut respond))) = streams.accept().await else {
                            return;
                        };
                        assert_eq!(request.method(), Method::CONNECT);
                        let protocol = request.extensions().get::<h2::ext::Protocol>();
                        assert_eq!(protocol.map(h2::ext::Protocol::as_str), Some("websocket"));
                        assert!(!request.headers().contains_key("sec-websocket-key"));
                        let mut stream = respond
                            .send_response(Response::new(()), false)
                            .expect("sent");
                        let echo = async {
                            while let Some(Ok(data)) = request.body_mut().data().await {
                                stream.send_data(data, false).expect("sent");
                            }
                            stream.send_data(Bytes::new(), true).expect("sent");
                        };
                        tokio::join!(echo, async { while streams.accept().await.is_some() {} });
                    })
                    .await;
                let terms = here.terms("protocol = \"h2c\"");
                let mut headers = field("upgrade", "websocket");
                headers.insert("connection", http::HeaderValue::from_static("upgrade"));
                // The example of RFC 6455 §1.3.
                let nonce = http::HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
                headers.insert("sec-websocket-key", nonce);
                assert!(!terms.needs_http1("/say", "app.internal", &headers));
                let request = (&Method::GET, headers, Body::Empty);
                let sent = here.send(&to_endpoint(&terms), address, request).await;
                if !enabled {
                    let failure = sent.map(|_| ()).expect_err("it can not");
                    assert_eq!(failure.error, ProxyError::UpgradeFailed);
                    continue;
                }
                let (received, _) = sent.expect("answered");
                let head = received.response;
                assert_eq!(head.status(), StatusCode::SWITCHING_PROTOCOLS);
                assert_eq!(head.headers()["upgrade"], "websocket");
                let proof = &head.headers()["sec-websocket-accept"];
                assert_eq!(proof, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
                let mut stream = received.upgraded.expect("a stream");
                stream.write_all(b"frames").await.expect("written");
                let mut echoed = [0; 6];
                stream.read_exact(&mut echoed).await.expect("read");
                assert_eq!(&echoed, b"frames");
                stream.shutdown().await.expect("shut");
                assert_eq!(stream.read(&mut echoed).await.expect("the end"), 0);
            }
        })
        .await;
}

#[tokio::test]
async fn connections_are_shared_by_equal_terms_and_bounded_by_them() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let here = Here::new();
            let address = here
                .listen(|tcp, number| async move { http1(tcp, number, "").await })
                .await;
            let text = "connections = 1\ntimeouts = { connect = \"300ms\" }";
            let key = to_endpoint(&here.terms(text));
            let (first, _) = here.ask(&key, address).await.expect("answered");
            // While its body is not read, the only place is taken.
            let refused = here.ask(&key, address).await.map(|_| ());
            let refused = refused.expect_err("no place");
            assert_eq!(refused.error, ProxyError::ConnectionLimit);
            let (second, read) =
                tokio::join!(here.ask(&key, address), whole(first.response.into_body()));
            assert_eq!(read.0, b"0");
            let (second, reused) = second.expect("the place came free");
            assert!(reused);
            assert_eq!(whole(second.response.into_body()).await.0, b"0");
            // Other terms: no connection of theirs, and places of their own.
            let other = to_endpoint(&here.terms(text));
            let (third, reused) = here.ask(&other, address).await.expect("answered");
            assert!(!reused);
            assert_eq!(whole(third.response.into_body()).await.0, b"1");
            // The same terms after a reload.
            let kept = Terms::read(
                &Table::parse(&Source::new("egret.toml", text), &Faults::new()),
                &here.pool.0.origin.borrow(),
                &Faults::new(),
            );
            let kept = kept.expect("good settings").keeping(key.terms.as_ref());
            let (fourth, reused) = here
                .ask(&to_endpoint(&kept), address)
                .await
                .expect("answered");
            assert!(reused);
            assert_eq!(whole(fourth.response.into_body()).await.0, b"0");
            assert_eq!(here.pool.idle(), 2);
            here.pool.forget(address);
            assert_eq!(here.pool.idle(), 0);
            let (fifth, reused) = here.ask(&key, address).await.expect("answered");
            assert!(!reused);
            assert_eq!(whole(fifth.response.into_body()).await.0, b"2");
        })
        .await;
}

#[tokio::test]
async fn a_connection_is_used_as_its_origin_says() {
    tokio::task::LocalSet::new()
        .run_until(async {
            for (lines, reused) in [
                ("", true),
                ("Keep-Alive: timeout=5, max=100\r\n", true),
                ("Keep-Alive: timeout=0\r\n", false),
                ("Keep-Alive: timeout=5, max=0\r\n", false),
                ("Connection: close\r\n", false),
            ] {
                let here = Here::new();
                let address = here
                    .listen(move |tcp, number| async move { http1(tcp, number, lines).await })
                    .await;
                let key = to_endpoint(&here.terms(""));
                let (first, _) = here.ask(&key, address).await.expect("answered");
                whole(first.response.into_body()).await;
                let (_, was) = here.ask(&key, address).await.expect("answered");
                assert_eq!(was, reused, "{lines}");
            }
        })
        .await;
}

#[tokio::test]
async fn closes_of_idle_connections_teach_how_long_they_may_be_used() {
    const KEPT: Duration = Duration::from_millis(250);
    tokio::task::LocalSet::new()
        .run_until(async {
            let here = Here::new();
            let address = here
                .listen(|tcp, number| async move {
                    let mut tcp = tcp;
                    let mut byte = [0];
                    // It closes what is silent for longer.
                    while let Ok(Ok(_)) = tokio::time::timeout(KEPT, tcp.peek(&mut byte)).await {
                        let mut head = Vec::new();
                        while !head.ends_with(b"\r\n\r\n") {
                            let Ok(byte) = tcp.read_u8().await else {
                                return;
                            };
                            head.push(byte);
                        }
                        let text = format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}",
                            number % 10
                        );
                        if tcp.write_all(text.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                })
                .await;
            let key = to_endpoint(&here.terms(""));
            // No look at the clock: each round ends when the origin has closed.
            for _ in 0..20 {
                let (received, _) = here.ask(&key, address).await.expect("answered");
                whole(received.response.into_body()).await;
                while here.pool.idle() > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if here.pool.habits().patience(address).is_some() {
                    break;
                }
            }
            let patience = here.pool.habits().patience(address).expect("learned");
            assert!(patience < KEPT * 2, "{patience:?}");
            here.pool.forget(address);
            assert_eq!(here.pool.habits().patience(address), None);
        })
        .await;
}
