//! The requests inside an intercepted tunnel: each one becomes an exchange with the authority that the tunnel was opened for.
//! Not a mode: there is nothing to choose, whom the client speaks to was decided with the tunnel.
//! Start at [`Inside`].

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, Request, Response, Version};

use super::{Interception, Within};
use crate::addr::Authority;
use crate::gate::Seen;
use crate::listener::http::{Exchange, Handler, Trouble};
use crate::message::http1::head::RequestHead;
use crate::message::{Body, Interim, Reply, Target, default_port};
use crate::relay::tunnel::Tunnel;
use crate::relay::{Caller, Destination, Refusal, Relay, Service};
use crate::report::Protocol;
use crate::tls::acceptor::ClientTls;

/// Answers what comes out of one tunnel.
pub(super) struct Inside {
    pub(super) relay: Relay,
    pub(super) service: Arc<Service>,
    pub(super) client: SocketAddr,
    pub(super) authority: Authority,
    pub(super) within: Rc<Within>,
    hello: Seen,
    pub(super) tls: Option<Rc<ClientTls>>,
    pub(super) role: Role,
}

/// Who answers the requests.
pub(super) enum Role {
    /// The origin; or the proxy with a refusal, where the origin can not be asked.
    Origin(Option<Refusal>),
    /// The proxy, with its own pages.
    Own(Arc<Interception>),
}

impl Handler for Inside {
    async fn handle(&self, request: Request<Body>, exchange: Exchange) -> Reply {
        let caller = self.caller(exchange.version, exchange.interim);
        if self.relay.is_gone(&self.service) {
            let gone = Refusal::Ended("its listener is gone".to_owned());
            return self.refuse_with(&caller, request.headers(), &gone);
        }
        if let Role::Origin(Some(refusal)) = &self.role {
            return self.refuse_with(&caller, request.headers(), refusal);
        }
        let text = std::str::from_utf8(&exchange.target).unwrap_or_default();
        let path = match Target::parse(request.method(), text) {
            Ok(target) => self.path(target, request.headers()),
            Err(error) => Err(Refusal::Target(error)),
        };
        match (path, &self.role) {
            (Ok(path), Role::Own(means)) => {
                let page = means.page(&path);
                Reply::new(self.relay.answer(&caller, &request, &path, page).await)
            }
            (Ok(path), Role::Origin(_)) => {
                let to = Destination {
                    own: None,
                    secure: true,
                    authority: self.authority.clone(),
                    path,
                    by: None,
                };
                let (mut head, body) = request.into_parts();
                self.relay.exchange((&mut head, body), &caller, &to).await
            }
            (Err(refusal), _) => self.refuse_with(&caller, request.headers(), &refusal),
        }
    }

    fn refuse(&self, trouble: &Trouble, head: Option<&RequestHead>) -> Response<Body> {
        let version = head.map_or(Version::HTTP_11, |head| head.version);
        let caller = self.caller(version, Interim::default());
        let headers = head.map(|head| &head.headers);
        self.relay
            .refuse(&caller, &Refusal::Trouble(*trouble), headers)
    }

    fn abandoned(&self, trouble: &Trouble) {
        let caller = self.caller(Version::HTTP_11, Interim::default());
        self.relay.abandoned(&caller, trouble);
    }
}

impl Inside {
    pub(super) fn new(tunnel: &Tunnel, authority: Authority, role: Role) -> Self {
        let (principal, hello) = tunnel
            .recording
            .intent()
            .map(|intent| (intent.principal.clone(), intent.hello.clone()))
            .unwrap_or_default();
        Self {
            relay: Relay::new(tunnel.parts.clone()),
            service: tunnel.service.clone(),
            client: tunnel.client,
            authority,
            tls: tunnel.recording.tls().cloned(),
            within: Rc::new(Within {
                principal,
                tunnel: tunnel.recording.id(),
            }),
            hello,
            role,
        }
    }

    fn caller(&self, version: Version, interim: Interim) -> Caller {
        Caller {
            service: self.relay.service(&self.service),
            client: self.client,
            local: None,
            protocol: Protocol::of_version(version),
            interim,
            within: Some(self.within.clone()),
            hello: self.hello.clone(),
            tls: self.tls.clone(),
        }
    }

    /// The path to ask for, where the request is for this tunnel's authority. RFC 9110 §7.4: what is meant for another origin
    /// is misdirected, and the client opens a connection of its own for it.
    fn path(&self, target: Target, headers: &HeaderMap) -> Result<String, Refusal> {
        let (authority, path) = match target {
            Target::Origin(path) => (self.named(headers)?, path),
            Target::Asterisk => (self.named(headers)?, "*".to_owned()),
            Target::Absolute {
                secure: true,
                authority,
                path,
            } => (Some(authority), path),
            Target::Absolute { secure: false, .. } | Target::Authority(_) => {
                return Err(Refusal::Misdirected(
                    "inside a tunnel requests are for its own origin, over TLS",
                ));
            }
        };
        match authority {
            Some(other) if other != self.authority => Err(Refusal::OtherOrigin {
                asked: other,
                tunnel: self.authority.clone(),
            }),
            // HTTP/1.0 names no host.
            Some(_) | None => Ok(path),
        }
    }

    /// The authority in the Host field; the codec has seen to it that there is at most one.
    fn named(&self, headers: &HeaderMap) -> Result<Option<Authority>, Refusal> {
        let Some(host) = headers.get(HOST) else {
            return Ok(None);
        };
        let text = host.to_str().unwrap_or_default();
        Authority::parse(text, Some(default_port(true)))
            .map(Some)
            .map_err(|_| Refusal::Misdirected("the Host field names no authority"))
    }

    fn refuse_with(&self, caller: &Caller, headers: &HeaderMap, refusal: &Refusal) -> Reply {
        Reply::closing(self.relay.refuse(caller, refusal, Some(headers)))
    }
}
