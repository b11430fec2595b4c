//! What a connection can be used for, and so what it is looked up by.
//! Holds no connection.
//! Start at [`Key`].

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::terms::{Protocol, Terms};
use crate::addr::{Authority, Host};
use crate::tls::connector::{Offered, Pins};

/// What a connection can be used for: only the same origin over the same kind of transport, verified in the same way. Cheap to
/// clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Whether it is under TLS.
    pub secure: bool,
    /// The origin, by the name that it was judged and verified by.
    pub authority: Authority,
    /// The keys of which one must be in the origin's chain.
    pub pins: Pins,
    /// Whether HTTP/2 is not offered; see [`needs_http1`](super::needs_http1).
    pub http1_only: bool,
    /// How the upstream that the origin is an endpoint of is spoken to; then `secure` and `pins` are what it says.
    pub terms: Option<Arc<Terms>>,
}

impl Hash for Key {
    /// By the origin alone: all of an origin's keys are few, and each request is looked up twice.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.authority.hash(state);
    }
}

impl Key {
    /// A key for an endpoint of an upstream, by its configured name. `http1_only` is what [`Terms::needs_http1`] says.
    pub fn to_endpoint(terms: Arc<Terms>, endpoint: Authority, http1_only: bool) -> Self {
        Self {
            secure: terms.is_secure(),
            authority: endpoint,
            pins: terms
                .trust()
                .map_or_else(Pins::default, |(_, pins)| pins.clone()),
            // What is always so makes no difference.
            http1_only: http1_only && terms.protocol() != Protocol::Http1,
            terms: Some(terms),
        }
    }

    /// The name that a certificate must be valid for.
    pub(super) fn host(&self) -> &Host {
        match &self.terms {
            Some(terms) => terms.host(&self.authority),
            None => &self.authority.host,
        }
    }

    /// The key to the same endpoint under which other requests' connections may be kept.
    pub(super) fn twin(&self) -> Self {
        Self {
            http1_only: !self.http1_only,
            ..self.clone()
        }
    }

    /// Whether HTTP/2 is spoken in the clear.
    pub(super) fn is_http2_clear(&self) -> bool {
        let terms = self.terms.as_ref();
        terms.is_some_and(|terms| terms.protocol() == Protocol::Http2Clear)
    }

    /// Whether HTTP/2 is spoken, or nothing.
    pub(super) fn demands_http2(&self) -> bool {
        let terms = self.terms.as_ref();
        terms.is_some_and(|terms| terms.demands_http2())
    }

    /// What is offered in TLS.
    pub(super) fn offered(&self) -> Offered {
        if let Some(terms) = &self.terms {
            return terms.offered(self.http1_only);
        }
        if self.http1_only {
            Offered::Http1
        } else {
            Offered::Any
        }
    }

    /// Whether HTTP/2 may come of it.
    pub(super) fn may_share(&self) -> bool {
        if let Some(terms) = &self.terms {
            return terms.may_share(self.http1_only);
        }
        self.secure && !self.http1_only
    }
}
