//! One intercepted tunnel, in five steps: can it be, the origin's handshake, a certificate, the client's handshake, requests.
//! Not the requests themselves: each is an exchange like any other. Not the minting (tls) and not the decision (gate).
//! Start at [`Session::carry`].

mod inside;
mod landing;
mod means;
mod rejected;
mod serve;

pub use means::{Interception, LANDING, Settings};

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use super::Refusal;
use super::opening::{deny, unless_absent};
use super::tunnel::Tunnel;
use crate::addr::Authority;
use crate::auth::Principal;
use crate::policy::{ClientCertificate, Hello, Intercept, Otherwise, Permit};
use crate::pool::{Failure, Key};
use crate::report::RequestId;
use crate::stream::Stream;
use crate::tls::connector::Pins;
use crate::tls::mint::{MintError, Spec};
use inside::{Inside, Role};
use rejected::Who;
use serve::{accept, serve};

/// A tunnel that a rule intercepts, with all it needs.
pub(super) struct Session {
    pub(super) tunnel: Tunnel,
    pub(super) permit: Permit,
    pub(super) peer: SocketAddr,
    pub(super) intercept: Intercept,
    pub(super) means: Arc<Interception>,
    pub(super) hello: Option<Arc<Hello>>,
    /// Whom the requests inside are for.
    pub(super) authority: Authority,
    /// Why the origin can not be reached, where the cache may stand in for it.
    pub(super) absent: Option<Failure>,
}

/// Whom the requests inside a tunnel are for: by the name in the ClientHello, where it was asked for by address.
pub(super) fn authority_of(asked: &Authority, hello: Option<&Arc<Hello>>) -> Authority {
    match hello.and_then(|hello| hello.server_name.clone()) {
        Some(name) if asked.host.ip().is_some() => Authority::new(name, asked.port),
        Some(_) | None => asked.clone(),
    }
}

/// What requests inside a tunnel inherit from it.
#[derive(Debug)]
pub struct Within {
    pub(super) principal: Option<Principal>,
    pub(super) tunnel: Option<RequestId>,
}

/// Serves a tunnel to the proxy's own host: whoever trusts the authority sees the pages.
pub(super) async fn serve_own(tunnel: Tunnel, means: Arc<Interception>, client: Stream) {
    let authority = Authority::new(means.landing.host().clone(), 443);
    let leaf = match means.mint.leaf(Spec::plain(&authority.host)).await {
        Ok(leaf) => leaf,
        Err(error) => return tunnel.recording.cut(unminted(&error)),
    };
    match accept(&tunnel, client, &leaf).await {
        Ok(client) => {
            let inside = Inside::new(&tunnel, authority, Role::Own(means));
            serve(tunnel, client, inside).await;
        }
        Err(unaccepted) => unaccepted.record(tunnel),
    }
}

/// What the origin's side came to.
enum Origin {
    /// It is who it says it is, or failed in a way that each request will be told.
    Ready(Spec),
    /// It wants to see a certificate that only the client has.
    AsksCertificate,
}

impl Session {
    /// Carries the tunnel to its end; gives it back where it is to be relayed untouched.
    pub(super) async fn carry(self, client: Stream) -> Option<(Tunnel, Stream)> {
        match self.obstacle() {
            None => {}
            Some((Otherwise::Splice, _)) => return self.splice(client).await,
            Some((Otherwise::Deny, why)) => {
                let refusal = Refusal::Unmet(self.permit.rule().name.clone(), why);
                deny(self.tunnel, client, &refusal, self.hello.is_some()).await;
                return None;
            }
        }
        self.decrypt(client).await
    }

    /// Relays the tunnel untouched. It counts against the rule's rate now, as no request inside will.
    async fn splice(mut self, client: Stream) -> Option<(Tunnel, Stream)> {
        let (absent, tls) = (self.absent.take(), self.hello.is_some());
        let gate = &self.tunnel.service.gate;
        let intent = self.tunnel.recording.intent()?;
        match gate.charge(self.permit.allowance(), intent) {
            Ok(()) => unless_absent(absent, (self.tunnel, client), tls).await,
            Err(denial) => {
                deny(self.tunnel, client, &Refusal::Denied(denial), tls).await;
                None
            }
        }
    }

    /// Why the tunnel can not be decrypted, and what the rule says of that.
    fn obstacle(&self) -> Option<(Otherwise, &'static str)> {
        let not_http = self.intercept.not_http;
        let Some(hello) = &self.hello else {
            return Some((
                not_http,
                "the rule intercepts, but the tunnel does not begin with TLS",
            ));
        };
        let mut offered = hello.alpn.iter().map(|protocol| &**protocol);
        if !hello.alpn.is_empty() && !offered.any(|protocol| HTTP.contains(&protocol)) {
            return Some((
                not_http,
                "the rule intercepts, but the client does not offer HTTP",
            ));
        }
        let rejected = self.means.rejected.is_known(&self.who(hello));
        rejected.then_some((
            self.intercept.pinned,
            "the client has just rejected our certificate for this name: it pins the origin's, or does not trust the authority \
             (see `egret ca export`)",
        ))
    }

    async fn decrypt(mut self, client: Stream) -> Option<(Tunnel, Stream)> {
        let authority = self.authority.clone();
        self.state("handshaking with the origin");
        let mut refusal = None;
        let spec = match self.meet_origin(&authority).await {
            Origin::Ready(spec) => spec,
            Origin::AsksCertificate
                if self.intercept.client_certificate == ClientCertificate::Splice =>
            {
                return self.splice_anew(client).await;
            }
            Origin::AsksCertificate => {
                let rule = self.permit.rule().name.clone();
                refusal = Some(Refusal::Unmet(rule, ASKS_CERTIFICATE));
                Spec::plain(&authority.host)
            }
        };
        self.state("handshaking with the client");
        let leaf = match self.means.mint.leaf(spec).await {
            Ok(leaf) => leaf,
            Err(error) => {
                let refusal = Refusal::Unmet(self.permit.rule().name.clone(), unminted(&error));
                deny(self.tunnel, client, &refusal, true).await;
                return None;
            }
        };
        match accept(&self.tunnel, client, &leaf).await {
            Ok(client) => {
                let inside = Inside::new(&self.tunnel, authority, Role::Origin(refusal));
                serve(self.tunnel, client, inside).await;
            }
            Err(unaccepted) => {
                // Before it is recorded: whoever reads of it may try again at once.
                if unaccepted.rejected {
                    self.note_rejection();
                }
                unaccepted.record(self.tunnel);
            }
        }
        None
    }

    /// Handshakes with the origin first: its certificate decides ours, and a client is told nothing of an origin that fails.
    async fn meet_origin(&mut self, authority: &Authority) -> Origin {
        if self.absent.is_some() {
            // Each request inside tries for itself, unless something stored answers it.
            return Origin::Ready(Spec::plain(&authority.host));
        }
        let key = Key {
            secure: true,
            authority: authority.clone(),
            pins: Pins::from(self.intercept.pins.clone()),
            http1_only: false,
            terms: None,
        };
        let origin = self.tunnel.take_origin();
        let began = Instant::now();
        let pool = &self.tunnel.parts.pool;
        let met = pool.secure(origin, self.peer, &authority.host, &key).await;
        self.tunnel
            .recording
            .edit(|record| record.tls = Some(began.elapsed()));
        match met {
            Ok(met) if met.asked_for_certificate => match self.intercept.client_certificate {
                ClientCertificate::Deny | ClientCertificate::Splice => Origin::AsksCertificate,
                ClientCertificate::Without => Origin::Ready(mirror(authority, &met.certificates)),
            },
            Ok(met) => Origin::Ready(mirror(authority, &met.certificates)),
            // Each request inside tries again, and is answered with what is wrong then.
            Err(_told_inside) => Origin::Ready(Spec::plain(&authority.host)),
        }
    }

    /// Connects once more, as the first connection has spoken for itself, and relays the client's own handshake.
    async fn splice_anew(mut self, client: Stream) -> Option<(Tunnel, Stream)> {
        match self.tunnel.parts.pool.dial(&self.permit).await {
            Ok((origin, peer)) => {
                self.tunnel.recording.origin(peer);
                self.tunnel.origin = origin;
                self.splice(client).await
            }
            Err(failure) => {
                deny(self.tunnel, client, &Refusal::Failed(failure), true).await;
                None
            }
        }
    }

    /// Remembers a client that does not accept our certificate.
    fn note_rejection(&self) {
        if let Some(hello) = &self.hello {
            let splice = self.intercept.pinned == Otherwise::Splice;
            self.means.rejected.note(self.who(hello), splice);
        }
    }

    fn who(&self, hello: &Hello) -> Who {
        let intent = self.tunnel.recording.intent();
        let principal = intent.and_then(|intent| intent.principal.as_ref());
        Who {
            client: self.tunnel.client.ip(),
            principal: principal.map(|principal| principal.name.clone()),
            fingerprint: hello.fingerprint.clone(),
            host: self.authority.host.clone(),
        }
    }

    fn state(&self, state: &'static str) {
        if let Some(flow) = self.tunnel.recording.flow() {
            flow.state.set(state);
        }
    }
}

fn mirror(authority: &Authority, certificates: &[CertificateDer<'_>]) -> Spec {
    match certificates.first() {
        Some(leaf) => Spec::mirror(&authority.host, leaf),
        None => Spec::plain(&authority.host),
    }
}

fn unminted(error: &MintError) -> &'static str {
    match error {
        MintError::Forbidden(_) => {
            "the authority's name constraints do not let it sign for this name"
        }
        MintError::Busy => "too many certificates are being made",
        MintError::AuthorityExpired => "the authority's certificate is not valid now",
        MintError::Failed(_) | MintError::Ended => "no certificate could be made for this name",
    }
}

const ASKS_CERTIFICATE: &str = "the origin asks for a client certificate, which only the client has; a rule can say client-certificate = \"splice\" or \
                                \"without\"";

/// What an ALPN list names where a tunnel carries HTTP.
const HTTP: [&str; 2] = ["h2", "http/1.1"];
