//! What a policy answers: a grant (by name), a permit (by address), or a denial. Only the policy can make the first two:
//! a dialler that demands a [`Permit`] can not be asked to dial what was not judged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::NamedBy;
use crate::addr::{AddrClass, Host};
use crate::cache::Control;
use crate::fault::Location;
use crate::filter::Filters;
use crate::settings::ByteSize;

/// Which rule decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    /// Its name; `default` where no rule held.
    pub name: Arc<str>,
    /// Its place among the rules, from 0; `None` for the default.
    pub index: Option<usize>,
    /// Where it stands.
    pub at: Option<Location>,
}

/// So many in a time, evenly or all at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// How many.
    pub count: f64,
    /// In which time.
    pub window: Duration,
}

/// What must be done if a request is allowed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Obligations {
    /// Decrypt the tunnel and decide each request inside it.
    pub intercept: Option<Intercept>,
    /// What a tunnel's first bytes must be.
    pub tls: Demands,
    /// At most so many requests or tunnels in a time, for each principal or client address.
    pub rate: Option<Rate>,
    /// At most so many bytes per second each way, for each exchange or tunnel.
    pub bandwidth: Option<ByteSize>,
    /// Changes to requests and responses.
    pub filters: Filters,
    /// What the cache does with responses, where there is one.
    pub cache: Arc<Control>,
}

/// How a tunnel is intercepted, and what becomes of one that can not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intercept {
    /// What becomes of a client that has rejected our certificate for the name.
    pub pinned: Otherwise,
    /// What becomes of a tunnel to an origin that asks for a client certificate.
    pub client_certificate: ClientCertificate,
    /// What becomes of a tunnel that carries no HTTP over TLS.
    pub not_http: Otherwise,
    /// SHA-256 of the public keys of which the origin's chain must have one; none for any.
    pub pins: Arc<[[u8; 32]]>,
}

/// What becomes of a tunnel that can not be decrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// It is refused.
    #[default]
    Deny,
    /// It is relayed untouched.
    Splice,
}

/// What becomes of a tunnel to an origin that asks for a client certificate, which only the client has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// It is refused.
    #[default]
    Deny,
    /// It is relayed untouched, so that the client can show its own.
    Splice,
    /// None is shown: an origin that only offers to look at one goes on without.
    Without,
}

/// What a tunnel's first bytes must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demands {
    /// Whether they must be TLS.
    pub required: bool,
    /// What the server name must be.
    pub sni: Sni,
    /// Whether an encrypted client hello, or a decoy of one, is refused.
    pub no_ech: bool,
}

/// What a ClientHello's server name must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sni {
    /// The host that the tunnel was asked for, where there is a name at all.
    #[default]
    Agree,
    /// That host, and it must be there.
    Required,
    /// Anything: who serves many names can be reached under any of them.
    Any,
}

/// What allows, and on what terms. No permission: a [`Grant`] or a [`Permit`] is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Allowance {
    /// The rule that allows.
    pub rule: RuleRef,
    /// What must be done.
    pub obligations: Arc<Obligations>,
    /// The denial that only the report mode kept from being one.
    pub would_deny: Option<Arc<Denial>>,
}

/// Allowed by name: may be resolved; may be answered from cache if settled.
#[must_use]
#[derive(Debug)]
pub struct Grant {
    pub(super) allowance: Allowance,
    pub(super) settled: bool,
    /// Who says which addresses are dialled: what a proxy's client named is guarded, whatever was settled.
    pub(super) named_by: NamedBy,
}

/// Allowed by address: exactly these socket addresses may be dialled.
///
/// No other module can make one:
///
/// ```compile_fail
/// let permit = egret::policy::Permit { addresses: vec![] };
/// ```
#[must_use]
#[derive(Debug)]
pub struct Permit {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) allowance: Allowance,
}

/// The answer of the first moment.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Allow(Grant),
    /// Stop here; nothing has been resolved.
    Deny(Denial),
}

/// Policy said no: an outcome, not an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// The rule that said so.
    pub rule: RuleRef,
    /// Why.
    pub reason: Reason,
    /// What the client is told.
    pub action: Arc<DenyAction>,
}

/// Why a request is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A deny rule held.
    Rule,
    /// No rule held, and the default is deny.
    Default,
    /// The name is allowed, but not this address: it is guarded and no rule names it.
    Guarded(IpAddr, AddrClass),
    /// The address is one of the proxy's own listeners.
    OwnListener(SocketAddr),
    /// The name is allowed, but no rule allows any of its addresses.
    Address(IpAddr),
    /// More requests than the rule's rate; how long until there is one again.
    Rate(Duration),
    /// The tunnel's first bytes are not what the rule demands.
    Hello(HelloProblem),
}

/// What is wrong with a tunnel's first bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloProblem {
    /// The server name is another one: the front of another service would be used to reach it unseen.
    #[error(
        "the server name in the TLS handshake is {name}, but what is asked for is {host} (domain fronting)"
    )]
    OtherName {
        /// The server name.
        name: Host,
        /// The host of the tunnel, or of the request.
        host: Host,
    },
    /// There is no server name.
    #[error("the TLS handshake names no server, which the rule demands")]
    NoName,
    /// The true name may be encrypted.
    #[error(
        "the TLS handshake may hide another one (encrypted client hello), which the rule refuses"
    )]
    Hidden,
    /// It is not TLS.
    #[error("it does not begin with TLS, which the rule demands")]
    NotTls,
    /// It begins like TLS and goes on otherwise.
    #[error("the TLS handshake can not be read: {0}")]
    Malformed(Box<str>),
}

/// How a denial answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyAction {
    /// The status, 403 where the rule names none.
    pub status: u16,
    /// A message to the user, in the operator's words.
    pub message: Option<String>,
    /// Where to send the user instead.
    pub redirect: Option<String>,
}

impl Default for DenyAction {
    fn default() -> Self {
        Self {
            status: 403,
            message: None,
            redirect: None,
        }
    }
}

impl Obligations {
    /// Whether nothing is asked for.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Grant {
    /// The rule that allows, as far as is known yet, and its terms.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Whether no condition was left open: the second moment can not change the rule.
    pub fn is_settled(&self) -> bool {
        self.settled
    }
}

impl Permit {
    /// The addresses that may be dialled, in the order of the answer.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The rule that allows, and its terms.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// The rule that allows.
    pub fn rule(&self) -> &RuleRef {
        &self.allowance.rule
    }

    /// What must be done.
    pub fn obligations(&self) -> &Arc<Obligations> {
        &self.allowance.obligations
    }

    /// The denial that only the report mode kept from being one.
    pub fn would_deny(&self) -> Option<&Arc<Denial>> {
        self.allowance.would_deny.as_ref()
    }
}
