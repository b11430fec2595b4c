//! Carries one exchange or one tunnel from a client to an origin. The only place that asks gate, pool and records in a row.
//! Speaks no client protocol (mode) and accepts no connection (listener).
//! Start at [`Relay::exchange`] and [`Relay::open`].

mod attempts;
mod balancing;
mod cached;
mod datagrams;
mod destination;
mod endpoint;
mod exchange;
mod filtered;
mod followed;
mod gateway;
mod intercept;
mod look;
mod masked;
mod mirror;
mod opening;
mod parts;
mod permission;
mod personal;
mod recording;
mod refusal;
mod retry;
mod retry_after;
mod throttle;
mod tries;
mod tunnel;
mod upgrade;
mod way;

pub use balancing::{Balancing, Choice, DatagramLimits};
pub use datagrams::{Association, Reply};
pub use destination::{Destination, Served};
pub use endpoint::Toward;
pub use gateway::{Request, Routes, allowed, find_route};
pub use intercept::{Interception, LANDING, Settings as InterceptSettings, Within};
pub use look::Unseen;
pub use opening::Opening;
pub use parts::{Decided, Parts, Service};
pub use refusal::Refusal;
pub use tunnel::{Offer, Refused};

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, Response};

use crate::addr::Authority;
use crate::auth::{Credentials, Outcome, Principal};
use crate::gate::{Certified, Seen};
use crate::listener::http::Trouble;
use crate::message::{Body, Interim, ProxyError};
use crate::policy::Scheme;
use crate::pool::Failure;
use crate::report::Protocol;
use crate::tls::acceptor::ClientTls;
use recording::Recording;

/// The only door that a mode knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Relay {
    parts: Rc<Parts>,
}

/// Who calls, and how: what is the same for every request of a protocol on a connection.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The listener's parts in force when the request came.
    pub service: Arc<Service>,
    /// The client's address.
    pub client: SocketAddr,
    /// The address that it connected to, where that is known.
    pub local: Option<SocketAddr>,
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// Where interim responses go.
    pub interim: Interim,
    /// The tunnel that the request came through, where one was decrypted.
    pub within: Option<Rc<Within>>,
    /// What that tunnel began with, or a gateway's connection: where a proxy is spoken to over TLS, that is none of what is asked for.
    pub hello: Seen,
    /// What the TLS handshake of its connection found out, where there was one.
    pub tls: Option<Rc<ClientTls>>,
}

impl Relay {
    /// A relay over a worker's parts.
    pub fn new(parts: Rc<Parts>) -> Self {
        Self { parts }
    }

    /// The worker's parts.
    pub fn parts(&self) -> &Rc<Parts> {
        &self.parts
    }

    /// The parts in force of a listener; the ones it had where it is gone.
    pub fn service(&self, had: &Arc<Service>) -> Arc<Service> {
        self.parts.successor(had).unwrap_or_else(|| had.clone())
    }

    /// Whether a reload took the listener away, or its name is one of another kind now: what it had permitted is not permitted any
    /// more.
    pub fn is_gone(&self, had: &Arc<Service>) -> bool {
        self.parts.successor(had).is_none()
    }

    /// Answers and records what a client asks of the proxy itself, once it has said who it is where that is asked. Policy is
    /// not: nothing leaves the process.
    pub async fn answer(
        &self,
        caller: &Caller,
        request: &http::Request<Body>,
        target: &str,
        response: Response<Body>,
    ) -> Response<Body> {
        let mut recording = Recording::begin(&self.parts, caller);
        recording.note_request(request.method(), request.headers(), Some(target));
        match self.known(caller, request.headers()).await {
            Ok(_) => recording.respond(response),
            Err(refusal) => recording.refuse(&refusal, None, Some(request.headers())),
        }
    }

    /// The page that the proxy itself has at a destination; `None` where that is not its own host.
    pub fn own_page(&self, to: &Destination) -> Option<Response<Body>> {
        let means = self.parts.own_host(&to.authority.host)?;
        Some(means.page(&to.path))
    }

    /// Answers and records a request that is refused before policy is asked.
    pub fn refuse(
        &self,
        caller: &Caller,
        refusal: &Refusal,
        asked: Option<&HeaderMap>,
    ) -> Response<Body> {
        let recording = Recording::begin(&self.parts, caller);
        recording.refuse(refusal, None, asked)
    }

    /// The same for one of which it is known what it is for: the authority and the path.
    pub fn refuse_for(
        &self,
        caller: &Caller,
        request: &http::Request<Body>,
        (authority, path): (Option<&Authority>, &str),
        refusal: &Refusal,
    ) -> Response<Body> {
        let mut recording = Recording::begin(&self.parts, caller);
        recording.note_request(request.method(), request.headers(), Some(path));
        recording.edit(|record| {
            record.authority = authority.cloned();
            if caller.tls.is_some() {
                record.scheme = Scheme::Https.word();
            }
        });
        recording.refuse(refusal, None, Some(request.headers()))
    }

    /// Records a connection that no upstream is for.
    pub fn unrouted(&self, caller: &Caller, seen: Seen, reason: String) {
        let mut recording = Recording::begin(&self.parts, caller);
        recording.saw(seen);
        let failure = Failure::new(ProxyError::DestinationUnavailable, reason);
        recording.note_refusal(&Refusal::Failed(failure));
        recording.finish();
    }

    /// Records a connection that ended before anything was asked, or was not let in.
    pub fn abandoned(&self, caller: &Caller, trouble: &Trouble) {
        Recording::begin(&self.parts, caller).close(trouble.to_string());
    }

    /// Records a connection that ended before anything was asked, for a reason of its protocol.
    pub fn broken_off(&self, caller: &Caller, reason: impl Into<std::borrow::Cow<'static, str>>) {
        Recording::begin(&self.parts, caller).close(reason);
    }

    /// Whether credentials are right, for protocols that must say so before anything is asked for.
    pub async fn knows(&self, caller: &Caller, offered: Option<&Credentials>) -> bool {
        self.identify(caller, offered).await.is_ok()
    }

    /// Who asks: by the fields of the request, or as was found out when its tunnel was opened. A reload may have taken it away.
    async fn known(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Option<Principal>, Refusal> {
        let Some(within) = &caller.within else {
            let credentials = self.credentials(caller, headers)?;
            return self.identify(caller, credentials.as_ref()).await;
        };
        self.recall(caller, within.principal.as_ref())
    }

    /// Who a client is now that was known before, or was not.
    fn recall(
        &self,
        caller: &Caller,
        before: Option<&Principal>,
    ) -> Result<Option<Principal>, Refusal> {
        let tls = caller.tls.as_deref();
        let gate = &caller.service.gate;
        gate.recall(before, caller.client.ip(), tls)
            .map_err(|why| Refusal::Ended(why.to_owned()))
    }

    /// Whether the client is known by its certificate, and need not say more.
    pub fn has_certificate(&self, caller: &Caller) -> bool {
        let certified = caller.service.gate.certified(caller.tls.as_deref());
        matches!(certified, Certified::Known(_))
    }

    /// Why a client's connection is no good any more, although its requests may be: its certificate is not trusted now.
    pub fn lost(&self, caller: &Caller) -> Option<Refusal> {
        let certified = caller.service.gate.certified(caller.tls.as_deref());
        (certified == Certified::Lost).then(|| Refusal::Ended(LOST.to_owned()))
    }

    async fn identify(
        &self,
        caller: &Caller,
        offered: Option<&Credentials>,
    ) -> Result<Option<Principal>, Refusal> {
        match caller.service.gate.certified(caller.tls.as_deref()) {
            Certified::Known(principal) => return Ok(Some(principal)),
            Certified::Lost => return Err(Refusal::Ended(LOST.to_owned())),
            Certified::No => {}
        }
        match caller
            .service
            .gate
            .identify(caller.client.ip(), offered)
            .await
        {
            Outcome::Known(principal) => Ok(Some(principal)),
            Outcome::Anonymous => Ok(None),
            Outcome::Challenge(challenges) => Err(Refusal::Challenge {
                challenges,
                gateway: caller.service.gate.gateway,
            }),
            Outcome::Busy => Err(Refusal::Busy),
        }
    }

    /// Credentials that stand in a request's fields.
    fn credentials(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Option<Credentials>, Refusal> {
        let gate = &caller.service.gate;
        // A certificate says who it is: what is offered beside it is not read, so that it can not do harm.
        if self.has_certificate(caller) {
            return Ok(None);
        }
        let challenges = || {
            gate.auth
                .as_ref()
                .map(|auth| auth.challenges().to_vec())
                .unwrap_or_default()
        };
        gate.credentials(headers).map_err(|_| Refusal::Challenge {
            challenges: challenges(),
            gateway: gate.gateway,
        })
    }
}

const LOST: &str =
    "the listener does not trust the client's certificate any more, or wants one now";
