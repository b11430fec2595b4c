//! One client's connection of HTTP, as every mode that speaks HTTP has it: who calls, and the answers that need no destination.
//! Not what becomes of a request, which is each mode's own.
//! Start at [`serve`].

use std::net::SocketAddr;
use std::rc::Rc;

use http::{Request, Response, Version};

use super::Means;
use crate::addr::Authority;
use crate::gate::Seen;
use crate::lifeline::{Lifeline, Tail};
use crate::listener::http::{Exchange, Handler, Trouble};
use crate::listener::{Conn, Protocol, serve_http1, serve_http2};
use crate::message::http1::head::RequestHead;
use crate::message::{Body, Interim, Reply};
use crate::relay::{Caller, Refusal};
use crate::report;
use crate::tls::acceptor::ClientTls;

/// One client's connection.
pub(super) struct Client {
    pub(super) means: Means,
    pub(super) address: SocketAddr,
    /// The address that it connected to.
    pub(super) local: Option<SocketAddr>,
    pub(super) tls: Option<Rc<ClientTls>>,
    /// What was agreed on when a gateway's connection began with TLS.
    hello: Seen,
}

/// Serves the requests of a connection of HTTP, whichever version it has begun with.
pub(super) async fn serve<H: Handler + 'static>(
    means: Means,
    conn: Conn,
    life: Lifeline,
    requests: impl FnOnce(Client) -> H,
) -> Option<Tail> {
    let service = means.relay.service(&means.service);
    let limits = service.limits.clone();
    let hello = match &conn.tls {
        Some(tls) if service.gate.gateway => Seen::agreed(tls),
        Some(_) | None => Seen::Nothing,
    };
    let requests = requests(Client {
        hello,
        means,
        address: conn.client,
        local: conn.local,
        tls: conn.tls,
    });
    if conn.protocol == Protocol::Http1 {
        return serve_http1(conn.stream, &requests, &limits, &life).await;
    }
    serve_http2(conn.stream, Rc::new(requests), &limits, &life).await;
    None
}

impl Client {
    /// Who makes a request.
    pub(super) fn caller(&self, exchange: &Exchange, connect: bool) -> Caller {
        let protocol = if connect {
            report::Protocol::Connect
        } else {
            report::Protocol::of_version(exchange.version)
        };
        self.caller_of(protocol, exchange.interim.clone())
    }

    /// The caller where there is no request.
    fn caller_of_none(&self, version: Version) -> Caller {
        let protocol = report::Protocol::of_version(version);
        self.caller_of(protocol, Interim::default())
    }

    fn caller_of(&self, protocol: report::Protocol, interim: Interim) -> Caller {
        Caller {
            service: self.means.relay.service(&self.means.service),
            client: self.address,
            local: self.local,
            protocol,
            interim,
            within: None,
            hello: self.hello.clone(),
            tls: self.tls.clone(),
        }
    }

    /// Why nothing more is done for this connection, where that is so: its listener is gone, or does not trust it any more.
    pub(super) fn is_over(&self, caller: &Caller) -> Option<Refusal> {
        let relay = &self.means.relay;
        if relay.is_gone(&self.means.service) {
            return Some(Refusal::Ended("its listener is gone".to_owned()));
        }
        relay.lost(caller)
    }

    /// Answers what is asked of the proxy itself.
    pub(super) async fn answer(
        &self,
        caller: &Caller,
        request: &Request<Body>,
        target: &str,
        response: Response<Body>,
    ) -> Reply {
        let relay = &self.means.relay;
        Reply::new(relay.answer(caller, request, target, response).await)
    }

    /// Refuses a request.
    pub(super) fn refuse(
        &self,
        caller: &Caller,
        request: &Request<Body>,
        refusal: &Refusal,
    ) -> Reply {
        let relay = &self.means.relay;
        Reply::closing(relay.refuse(caller, refusal, Some(request.headers())))
    }

    /// Refuses a request of which it is known what it is for: the authority and the path.
    pub(super) fn refuse_for(
        &self,
        caller: &Caller,
        request: &Request<Body>,
        asked: (Option<&Authority>, &str),
        refusal: &Refusal,
    ) -> Reply {
        let relay = &self.means.relay;
        Reply::closing(relay.refuse_for(caller, request, asked, refusal))
    }

    /// Refuses what never became a request.
    pub(super) fn turn_away(
        &self,
        trouble: &Trouble,
        head: Option<&RequestHead>,
    ) -> Response<Body> {
        let version = head.map_or(Version::HTTP_11, |head| head.version);
        self.means.relay.refuse(
            &self.caller_of_none(version),
            &Refusal::Trouble(*trouble),
            head.map(|head| &head.headers),
        )
    }

    /// Records what never became a request and can not be answered.
    pub(super) fn abandoned(&self, trouble: &Trouble) {
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
        self.means.relay.abandoned(&caller, trouble);
    }
}
