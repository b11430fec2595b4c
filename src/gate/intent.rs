//! What a client wants, in one vocabulary for HTTP, CONNECT and SOCKS.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};
use jiff::Timestamp;

use super::Judged;
use crate::addr::{Authority, Host};
use crate::auth::Principal;
use crate::policy::{Facts, Hello, Look, NamedBy, Scheme};
use crate::tls::acceptor::ClientTls;

/// One request or tunnel that a client asks for.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The client's address and port.
    pub client: SocketAddr,
    /// Who the client is, once that is known.
    pub principal: Option<Principal>,
    /// Where it wants to go.
    pub authority: Authority,
    /// What it wants to speak there.
    pub scheme: Scheme,
    /// The method; `None` for SOCKS.
    pub method: Option<Method>,
    /// The normalised path; `None` for tunnels.
    pub path: Option<Box<str>>,
    /// How the origin might read the path, where that is another one: both readings must be allowed.
    pub other_path: Option<Box<str>>,
    /// The first bytes of the tunnel, or of the one that the request came through.
    pub hello: Seen,
    /// When it asked.
    pub now: Timestamp,
    /// Who named the addresses that it may be sent to: the client for a proxy, the operator for a gateway.
    pub named_by: NamedBy,
    /// What the gate saw when it judged; empty before.
    pub judged: Judged,
}

/// What is known of a tunnel's first bytes, kept with the intent.
#[derive(Debug, Clone, Default)]
pub enum Seen {
    /// They are still to come.
    Later,
    /// There is nothing to see.
    #[default]
    Nothing,
    /// A ClientHello.
    Hello(Arc<Hello>),
}

impl Seen {
    /// What was agreed on in TLS that has ended here, which is all that is known of the hello: its highest version is the one that was
    /// chosen, and nothing was encrypted in it that would matter. What the client's library is like is not known.
    pub fn agreed(tls: &ClientTls) -> Self {
        let name = tls.sni.as_deref();
        Self::Hello(Arc::new(Hello {
            server_name: name.and_then(|name| Host::parse(name).ok()),
            alpn: tls.alpn.iter().map(|alpn| alpn.id().into()).collect(),
            version: match tls.version {
                Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
                Some(_) | None => "1.2",
            },
            ech: false,
            fingerprint: Box::default(),
        }))
    }

    /// The same, for a decision.
    pub fn look(&self) -> Look<'_> {
        match self {
            Self::Later => Look::Later,
            Self::Nothing => Look::Nothing,
            Self::Hello(hello) => Look::Hello(hello),
        }
    }
}

impl Intent {
    /// The facts for a decision.
    pub fn facts<'a>(&'a self, headers: Option<&'a HeaderMap>) -> Facts<'a> {
        Facts {
            listener: &self.listener,
            client: self.client.ip().to_canonical(),
            principal: self.principal.as_ref(),
            authority: &self.authority,
            scheme: self.scheme,
            method: self.method.as_ref(),
            path: self.path.as_deref(),
            headers,
            hello: self.hello.look(),
            now: self.now,
            resolved: None,
            named_by: self.named_by,
        }
    }

    /// The facts by the other reading of the path, where there is one.
    pub fn other_facts<'a>(&'a self, headers: Option<&'a HeaderMap>) -> Option<Facts<'a>> {
        let path = self.other_path.as_deref()?;
        Some(Facts {
            path: Some(path),
            ..self.facts(headers)
        })
    }
}
