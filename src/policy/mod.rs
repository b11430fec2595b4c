//! The policy decision point: ordered rules over facts, first match wins, default deny. Pure: no socket, no DNS, no clock.
//! Not the enforcement (gate), which authenticates, resolves and asks twice.
//! Start at [`Policy::decide`].
//!
//! # The guard
//!
//! An address that is not public ([`AddrClass`](crate::addr::AddrClass)), or that is one of the proxy's own listeners,
//! is opened only by an allow rule that *names* it: by a condition `address` (outside of `not`) that holds by a network
//! (not by one of everything, `/0`), by the word of the address's class, or by a list that has it. The word `public`
//! names nothing. A listener of the proxy's own is opened only by its very address. Any other allow rule does not hold for such an address, and the walk goes on. Neither
//! `default = "allow"` nor report mode opens what is guarded.
//!
//! The guard is about addresses that a client brought in. An endpoint of an upstream was named by the operator, in the
//! configuration: it is not guarded, whatever its address ([`NamedBy`], [`Policy::confirm_endpoint`]). Rules about
//! addresses hold for it as for any other.
//!
//! # What is not known
//!
//! The address of a name is not known at the first moment, and is then taken in the client's favour. Any other fact that
//! is missing (who an anonymous client is, the path inside a tunnel, the method of SOCKS) stays missing, and is taken
//! against the client at both moments where a rule allows by it: an allow rule does not hold by a condition on it, plain
//! or under `not`. A deny rule does not hold by a plain condition on it, but does by one under `not`: "deny all but
//! staff" denies the anonymous.
//!
//! A tunnel has a third moment. Its ClientHello comes only once it is open: until then conditions on it are in the client's
//! favour, then the same question is asked again with what was seen. And where the rule that allows a tunnel intercepts it,
//! conditions on requests (method, path, header, scheme) are left to the requests inside, each judged by itself: such a
//! tunnel is never relayed unseen.
//!
//! # Report mode
//!
//! A deny rule with `report = true` does not deny: it is noted, and the walk goes on. An allow rule with `report = true`
//! lets through what the rest of the rules deny, and notes that; where they allow, they decide. A policy with
//! `report = true` turns each denial into a note, except the guard's.

mod action;
mod change;
pub mod condition;
mod demand;
mod expect;
mod explain;
mod facts;
mod index;
pub mod list;
mod lookup;
mod render;
mod rule;
mod source;
#[cfg(test)]
mod tests;
mod verdict;
mod walk;

pub(crate) use action::read_shared_obligations;
pub use expect::{Expectation, Outcome};
pub use explain::{Asked, Explanation, Routed, Tested, Tried, Walked};
pub use facts::{Facts, Hello, Look, NamedBy, Scheme};
pub use lookup::{ListLookup, Lists};
pub use verdict::{
    Allowance, ClientCertificate, Demands, Denial, DenyAction, Grant, HelloProblem, Intercept,
    Obligations, Otherwise, Permit, Rate, Reason, RuleRef, Sni, Verdict,
};

use std::net::SocketAddr;
use std::sync::Arc;

use index::Index;
use rule::Rule;
use walk::{Moment, Observer, Ruling, Walk};

/// A policy, ready to decide. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Policy {
    name: Arc<str>,
    rules: Vec<Rule>,
    index: Index,
    default: Fallback,
    report: bool,
    expectations: Vec<Expectation>,
    default_rule: RuleRef,
    default_action: Arc<DenyAction>,
    no_obligations: Arc<Obligations>,
}

/// What becomes of a request that no rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fallback {
    Allow,
    Deny,
}

impl Policy {
    /// A policy without a rule that allows everything, for a gateway whose operator named none: what it has routes for is
    /// all that it can reach.
    pub fn open(name: &str) -> Self {
        Self {
            name: name.into(),
            rules: Vec::new(),
            index: Index::default(),
            default: Fallback::Allow,
            report: false,
            expectations: Vec::new(),
            default_rule: RuleRef {
                name: source::DEFAULT.into(),
                index: None,
                at: None,
            },
            default_action: Arc::default(),
            no_obligations: Arc::default(),
        }
    }

    /// The policy's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether any rule asks for a request's fields.
    pub fn asks_fields(&self) -> bool {
        let mut clauses = self.rules.iter().flat_map(|rule| &rule.clauses);
        clauses.any(|clause| clause.key == condition::FIELDS)
    }

    /// Whether any rule asks what a tunnel begins with.
    pub fn asks_hello(&self) -> bool {
        let mut clauses = self.rules.iter().flat_map(|rule| &rule.clauses);
        clauses.any(|clause| clause.condition.waits().hello)
    }

    /// Whether any rule demands something of what a tunnel begins with, beyond that a name agrees.
    pub fn demands_hello(&self) -> bool {
        self.rules.iter().any(Rule::demands_hello)
    }

    /// The rules that say what the cache is to do; not those that keep it off.
    pub fn caches(&self) -> impl Iterator<Item = &RuleRef> {
        let rules = self.rules.iter();
        rules.filter(|rule| rule.caches()).map(|rule| &rule.id)
    }

    /// The first rule that intercepts.
    pub fn intercepts(&self) -> Option<&RuleRef> {
        let mut rules = self.rules.iter();
        rules.find(|rule| rule.intercepts()).map(|rule| &rule.id)
    }

    /// The cases that the operator wrote beside the rules.
    pub fn expectations(&self) -> &[Expectation] {
        &self.expectations
    }

    /// The first moment, before the name is resolved: could anything allow this?
    ///
    /// What the address would decide is taken in the client's favour: an allow rule that depends on it allows, a deny
    /// rule that depends on it is passed over, and either leaves the grant unsettled. A name that the second moment must
    /// deny for another reason is denied here, and never resolved.
    ///
    /// A denial here is a denial at the second moment, whatever the addresses.
    pub fn decide(&self, facts: &Facts<'_>) -> Verdict {
        self.decide_observed(facts, Moment::Name, &mut ())
    }

    /// The second moment, before dialling: is this allowed to these addresses? Asked again for the dialled address, it
    /// tells whether an open tunnel is still permitted.
    ///
    /// Each address is judged by a walk of its own in which nothing is unknown in the client's favour. The first
    /// permitted address names the rule, and the permit holds every address that the same rule permits, in canonical
    /// form and in the order given; what another rule would allow under other obligations is left out.
    ///
    /// `own` says whether an address and port is one of the proxy's own listeners. The grant is a proof: no address is
    /// judged for a name that was not allowed.
    ///
    /// Errors: the first address's denial where none is permitted. Without any address nothing is permitted.
    pub fn confirm(
        &self,
        grant: &Grant,
        facts: &Facts<'_>,
        addresses: &[SocketAddr],
        own: &dyn Fn(SocketAddr) -> bool,
    ) -> Result<Permit, Denial> {
        let facts = Facts {
            named_by: NamedBy::Client,
            ..*facts
        };
        self.confirm_observed(grant, &facts, addresses, own, &mut ())
    }

    /// The second moment for addresses that the operator named in the configuration: as [`Policy::confirm`], without the
    /// guard. Never for an address that came from a client.
    pub fn confirm_endpoint(
        &self,
        grant: &Grant,
        facts: &Facts<'_>,
        endpoints: &[SocketAddr],
    ) -> Result<Permit, Denial> {
        let facts = Facts {
            named_by: NamedBy::Operator,
            ..*facts
        };
        self.confirm_observed(grant, &facts, endpoints, &|_| false, &mut ())
    }

    /// The second moment for endpoints of the operator's, where no condition was left open: no address could change the ruling,
    /// so the rules are not asked again. `None` where one could.
    pub fn confirm_settled(&self, grant: &Grant, addresses: &[SocketAddr]) -> Option<Permit> {
        (grant.settled && grant.named_by == NamedBy::Operator).then(|| Permit {
            addresses: addresses.iter().copied().map(canonical).collect(),
            allowance: grant.allowance.clone(),
        })
    }

    fn decide_observed<O: Observer>(
        &self,
        facts: &Facts<'_>,
        moment: Moment,
        observer: &mut O,
    ) -> Verdict {
        observer.begin(None);
        let outcome = Walk::new(self, facts, moment, None).run(observer);
        match outcome.ruling {
            Ruling::Allow(rule, obligations) => Verdict::Allow(Grant {
                allowance: Allowance {
                    rule,
                    obligations,
                    would_deny: outcome.would_deny,
                },
                settled: outcome.settled,
                named_by: facts.named_by,
            }),
            Ruling::Deny(denial) => Verdict::Deny(denial),
        }
    }

    fn confirm_observed<O: Observer>(
        &self,
        _proof: &Grant,
        facts: &Facts<'_>,
        addresses: &[SocketAddr],
        own: &dyn Fn(SocketAddr) -> bool,
        observer: &mut O,
    ) -> Result<Permit, Denial> {
        let mut permit: Option<Permit> = None;
        let mut first_denial = None;
        for address in addresses {
            let address = canonical(*address);
            let facts = Facts {
                resolved: Some(address.ip()),
                ..*facts
            };
            observer.begin(Some(address));
            let own = Some(address).filter(|address| own(*address));
            let outcome = Walk::new(self, &facts, Moment::Address, own).run(observer);
            match outcome.ruling {
                Ruling::Allow(rule, obligations) => {
                    let permit = permit.get_or_insert_with(|| Permit {
                        addresses: Vec::with_capacity(addresses.len()),
                        allowance: Allowance {
                            rule: rule.clone(),
                            obligations,
                            would_deny: None,
                        },
                    });
                    let allowance = &mut permit.allowance;
                    if allowance.rule.index == rule.index {
                        permit.addresses.push(address);
                        allowance.would_deny = allowance.would_deny.take().or(outcome.would_deny);
                    }
                }
                Ruling::Deny(denial) => {
                    first_denial.get_or_insert((address, denial));
                }
            }
        }
        permit.ok_or_else(|| self.refusal(first_denial, facts))
    }

    /// The denial where no address is permitted.
    fn refusal(&self, first: Option<(SocketAddr, Denial)>, facts: &Facts<'_>) -> Denial {
        let Some((address, mut denial)) = first else {
            return Denial {
                rule: self.default_rule.clone(),
                reason: Reason::Default,
                action: self.default_action.clone(),
            };
        };
        // It was granted without an address: where the default refuses now, the address made the difference.
        let unnamed = facts.authority.host.ip().is_none() || facts.named_by == NamedBy::Operator;
        if denial.reason == Reason::Default && unnamed {
            denial.reason = Reason::Address(address.ip());
        }
        denial
    }
}

/// The address as it is judged: an IPv4-mapped one is dialled as the IPv4 one that it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        // Kept whole: a link-local address needs its scope.
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}
