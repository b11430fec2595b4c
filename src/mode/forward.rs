//! The forward proxy: HTTP requests in absolute-form, CONNECT, SOCKS, on one port.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use http::header::{ALLOW, CONTENT_TYPE, COOKIE, MAX_FORWARDS, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};

use super::Entry;
use super::{Means, Mode, socks};
use crate::addr::Authority;
use crate::lifeline::{Lifeline, Tail};
use crate::listener::http::{Exchange, Handler, Trouble};
use crate::listener::{Conn, Protocol, serve_http1, serve_http2};
use crate::message::http1::head::RequestHead;
use crate::message::{Body, Interim, Reply, Target};
use crate::relay::{Caller, Destination, Offer, Refusal};
use crate::report;
use crate::tls::acceptor::ClientTls;

pub(super) const ENTRY: Entry = Entry {
    name: "forward",
    summary: "clients name their destination: HTTP proxy requests, CONNECT, SOCKS4, 4a and 5",
    opaque: false,
    build: |means| Rc::new(Forward { means }),
};

struct Forward {
    means: Means,
}

impl Mode for Forward {
    fn serve(
        self: Rc<Self>,
        conn: Conn,
        life: Lifeline,
    ) -> Pin<Box<dyn Future<Output = Option<Tail>>>> {
        Box::pin(async move {
            let protocol = conn.protocol;
            if matches!(protocol, Protocol::Socks4 | Protocol::Socks5) {
                return socks::serve(&self.means, conn).await;
            }
            let limits = self.means.relay.service(&self.means.service).limits.clone();
            let client = Client {
                mode: self,
                address: conn.client,
                tls: conn.tls,
            };
            if protocol == Protocol::Http1 {
                return serve_http1(conn.stream, &client, &limits, &life).await;
            }
            serve_http2(conn.stream, Rc::new(client), &limits, &life).await;
            None
        })
    }
}

/// One client's connection.
struct Client {
    mode: Rc<Forward>,
    address: SocketAddr,
    tls: Option<Rc<ClientTls>>,
}

impl Handler for Client {
    async fn handle(&self, request: Request<Body>, exchange: Exchange) -> Reply {
        let caller = self.caller(&exchange, request.method() == Method::CONNECT);
        let text = std::str::from_utf8(&exchange.target).unwrap_or_default();
        if self.mode.means.relay.is_gone(&self.mode.means.service) {
            return self.refuse_with(
                &caller,
                &request,
                &Refusal::Ended("its listener is gone".to_owned()),
            );
        }
        if let Some(lost) = self.mode.means.relay.lost(&caller) {
            return self.refuse_with(&caller, &request, &lost);
        }
        let accepted = caller.service.accepted;
        match Target::parse(request.method(), text) {
            Ok(Target::Authority(authority)) if accepted.connect => {
                self.connect(request, &caller, authority).await
            }
            Ok(Target::Absolute {
                secure,
                authority,
                path,
            }) if accepted.http => {
                self.forward(
                    request,
                    &caller,
                    Destination {
                        secure,
                        authority,
                        path,
                    },
                )
                .await
            }
            Ok(Target::Asterisk) if accepted.http => {
                self.answer(&caller, &request, "*", options()).await
            }
            Ok(Target::Origin(_)) => {
                self.refuse_with(&caller, &request, &Refusal::Misdirected(NOT_FOR_A_PROXY))
            }
            Ok(Target::Authority(_) | Target::Absolute { .. } | Target::Asterisk) => self
                .refuse_with(
                    &caller,
                    &request,
                    &Refusal::Trouble(Trouble::Protocol(accepted)),
                ),
            Err(error) => self.refuse_with(&caller, &request, &Refusal::Target(error)),
        }
    }

    fn refuse(&self, trouble: &Trouble, head: Option<&RequestHead>) -> Response<Body> {
        let version = head.map_or(Version::HTTP_11, |head| head.version);
        self.mode.means.relay.refuse(
            &self.caller_of_none(version),
            &Refusal::Trouble(*trouble),
            head.map(|head| &head.headers),
        )
    }

    fn abandoned(&self, trouble: &Trouble) {
        let version = match trouble {
            Trouble::Http2(_) | Trouble::SlowHttp2 | Trouble::OtherProtocol => Version::HTTP_2,
            Trouble::Malformed(_)
            | Trouble::Truncated
            | Trouble::Broken
            | Trouble::SlowHead
            | Trouble::SlowBody
            | Trouble::LargeBody
            | Trouble::Silent
            | Trouble::Connections
            | Trouble::PlainText
            | Trouble::Protocol(_) => Version::HTTP_11,
        };
        let caller = self.caller_of_none(version);
        self.mode.means.relay.abandoned(&caller, trouble);
    }
}

impl Client {
    fn caller(&self, exchange: &Exchange, connect: bool) -> Caller {
        self.caller_of(
            report_protocol(exchange.version, connect),
            exchange.interim.clone(),
        )
    }

    /// The caller where there is no request.
    fn caller_of_none(&self, version: Version) -> Caller {
        self.caller_of(report_protocol(version, false), Interim::default())
    }

    fn caller_of(&self, protocol: report::Protocol, interim: Interim) -> Caller {
        let means = &self.mode.means;
        Caller {
            service: means.relay.service(&means.service),
            client: self.address,
            protocol,
            interim,
            within: None,
            tls: self.tls.clone(),
        }
    }

    async fn connect(
        &self,
        request: Request<Body>,
        caller: &Caller,
        authority: Authority,
    ) -> Reply {
        let headers = request.into_parts().0.headers;
        let offer = Offer {
            authority,
            headers: Some(headers),
            credentials: None,
        };
        match self.mode.means.relay.open(caller, offer).await {
            Ok(opening) => Reply {
                response: Response::new(Body::Empty),
                takeover: Some(Box::new(move |client| {
                    Box::pin(opening.carry(client, Some(StatusCode::OK)))
                })),
                close: true,
            },
            // The client may have sent bytes for the tunnel already: what follows is not a request (RFC 9931 §8).
            Err(refused) => Reply::closing(refused.into_response()),
        }
    }

    async fn forward(&self, mut request: Request<Body>, caller: &Caller, to: Destination) -> Reply {
        if let Some(page) = self.mode.means.relay.own_page(&to) {
            return self.answer(caller, &request, &to.path, page).await;
        }
        match max_forwards(&mut request) {
            Some(0) if *request.method() == Method::TRACE => {
                let echo = trace(&request, &to);
                self.answer(caller, &request, &to.path, echo).await
            }
            Some(0) => self.answer(caller, &request, &to.path, options()).await,
            Some(_) | None => self.mode.means.relay.exchange(request, caller, &to).await,
        }
    }

    async fn answer(
        &self,
        caller: &Caller,
        request: &Request<Body>,
        target: &str,
        response: Response<Body>,
    ) -> Reply {
        Reply::new(
            self.mode
                .means
                .relay
                .answer(caller, request, target, response)
                .await,
        )
    }

    fn refuse_with(&self, caller: &Caller, request: &Request<Body>, refusal: &Refusal) -> Reply {
        Reply::closing(
            self.mode
                .means
                .relay
                .refuse(caller, refusal, Some(request.headers())),
        )
    }
}

fn report_protocol(version: Version, connect: bool) -> report::Protocol {
    if connect {
        report::Protocol::Connect
    } else {
        report::Protocol::of_version(version)
    }
}

/// Counts a hop of TRACE and OPTIONS (RFC 9110 §7.6.2); `Some(0)` means that we are the last.
fn max_forwards(request: &mut Request<Body>) -> Option<u32> {
    if !matches!(*request.method(), Method::TRACE | Method::OPTIONS) {
        return None;
    }
    let left: u32 = request
        .headers()
        .get(MAX_FORWARDS)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    if left > 0 {
        request
            .headers_mut()
            .insert(MAX_FORWARDS, HeaderValue::from(left - 1));
    }
    Some(left)
}

fn options() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    response.headers_mut().insert(
        ALLOW,
        HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH"),
    );
    response
}

/// The request as it arrived, without what it keeps secret (RFC 9110 §9.3.8).
fn trace(request: &Request<Body>, to: &Destination) -> Response<Body> {
    let scheme = if to.secure { "https" } else { "http" };
    let mut text =
        format!("TRACE {scheme}://{}{} HTTP/1.1\r\n", to.authority, to.path).into_bytes();
    for (name, value) in request.headers() {
        if [PROXY_AUTHORIZATION, COOKIE, http::header::AUTHORIZATION].contains(name) {
            continue;
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    let mut response = Response::new(Body::Full(text.into()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
    response
}

const NOT_FOR_A_PROXY: &str = "this is a proxy: requests name their destination in full (http://…), or use CONNECT; set HTTP_PROXY to this address";
