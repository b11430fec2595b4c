//! What a policy answers: a grant (by name), a permit (by address), or a denial. Only the policy can make the first two:
//! a dialler that demands a [`Permit`] can not be asked to dial what was not judged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::addr::AddrClass;
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
    pub intercept: bool,
    /// At most so many requests or tunnels in a time, for each principal or client address.
    pub rate: Option<Rate>,
    /// At most so many bytes per second each way, for each exchange or tunnel.
    pub bandwidth: Option<ByteSize>,
    /// Changes to requests and responses.
    pub filters: Filters,
}

/// Allowed by name: may be resolved; may be answered from cache if settled.
#[must_use]
#[derive(Debug)]
pub struct Grant {
    pub(super) rule: RuleRef,
    pub(super) obligations: Arc<Obligations>,
    pub(super) settled: bool,
    pub(super) would_deny: Option<Arc<Denial>>,
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
    pub(super) rule: RuleRef,
    pub(super) obligations: Arc<Obligations>,
    pub(super) would_deny: Option<Arc<Denial>>,
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

impl Grant {
    /// The rule that allows, as far as is known yet.
    pub fn rule(&self) -> &RuleRef {
        &self.rule
    }

    /// What must be done.
    pub fn obligations(&self) -> &Arc<Obligations> {
        &self.obligations
    }

    /// Whether no condition was left open: the second moment can not change the rule.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The denial that only the report mode kept from being one.
    pub fn would_deny(&self) -> Option<&Arc<Denial>> {
        self.would_deny.as_ref()
    }
}

impl Permit {
    /// The addresses that may be dialled, in the order of the answer.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The rule that allows.
    pub fn rule(&self) -> &RuleRef {
        &self.rule
    }

    /// What must be done.
    pub fn obligations(&self) -> &Arc<Obligations> {
        &self.obligations
    }

    /// The denial that only the report mode kept from being one.
    pub fn would_deny(&self) -> Option<&Arc<Denial>> {
        self.would_deny.as_ref()
    }
}
