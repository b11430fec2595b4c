//! One walk over the rules: the first that holds decides. Every answer and every explanation comes from here.
//! Not which address is asked about, nor what becomes of the answers for several (mod).
//! Start at [`Walk::run`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::condition::Truth;
use super::rule::{Action, Clause, Rule};
use super::verdict::{Denial, Obligations, Reason, RuleRef};
use super::{Facts, Fallback, Look, NamedBy, Policy, Scheme};
use crate::addr::AddrClass;

/// What may still be learned about a request, and is therefore taken in the client's favour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the name is resolved: its address.
    Name,
    /// Before dialling: nothing.
    Address,
}

/// How a rule came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
    /// It depends on a fact that is still to be learned.
    Open,
    /// It would, but the address is guarded and the rule does not name it.
    Guarded,
}

/// Watches a walk. What it demands costs nothing where it is `()`.
pub(super) trait Observer {
    /// Ask every rule and every clause up to the decision, also those whose outcome can not matter any more.
    const EVERY: bool;
    /// A walk begins, about one address or about a name.
    fn begin(&mut self, _address: Option<SocketAddr>) {}
    /// A clause of the rule that comes next was asked.
    fn tested(&mut self, _clause: &Clause, _truth: Truth) {}
    /// All clauses of a rule were asked.
    fn tried(&mut self, _rule: usize, _held: Held) {}
}

impl Observer for () {
    const EVERY: bool = false;
}

/// What a walk found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ruling: Ruling,
    /// No fact that is still to be learned could have changed the ruling.
    pub(super) settled: bool,
    pub(super) would_deny: Option<Arc<Denial>>,
}

#[derive(Debug)]
pub(super) enum Ruling {
    Allow(RuleRef, Arc<Obligations>),
    Deny(Denial),
}

/// One walk for one set of facts.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    policy: &'a Policy,
    facts: &'a Facts<'a>,
    moment: Moment,
    /// The guarded address, and the denial that stands unless a rule names it.
    guard: Option<(IpAddr, Reason)>,
}

/// What is remembered from rule to rule.
#[derive(Debug, Default)]
struct Memory<'a> {
    open: bool,
    held_back: bool,
    noted: Option<Arc<Denial>>,
    /// The rule in report mode that lets through what the rest denies.
    reporting: Option<(&'a RuleRef, &'a Arc<Obligations>)>,
}

impl<'a> Walk<'a> {
    /// A walk over a policy; `own` is the address to be dialled where it is one of the proxy's own. What the operator named
    /// is not guarded.
    pub(super) fn new(
        policy: &'a Policy,
        facts: &'a Facts<'a>,
        moment: Moment,
        own: Option<SocketAddr>,
    ) -> Self {
        let guarded = facts.named_by == NamedBy::Client;
        let guard = match (own, facts.address()) {
            _ if !guarded => None,
            (Some(own), _) => Some((own.ip(), Reason::OwnListener(own))),
            (None, Some(ip)) => Some((ip, AddrClass::of(ip)))
                .filter(|(_, class)| *class != AddrClass::Public)
                .map(|(ip, class)| (ip, Reason::Guarded(ip, class))),
            (None, None) => None,
        };
        Self {
            policy,
            facts,
            moment,
            guard,
        }
    }

    /// Walks until a rule decides, or to the default.
    pub(super) fn run<O: Observer>(&self, observer: &mut O) -> Outcome {
        if O::EVERY {
            return self.through(0..self.policy.rules.len(), observer);
        }
        let (host, client) = (&self.facts.authority.host, self.facts.client);
        self.through(self.policy.index.candidates(host, client), observer)
    }

    /// The same without the index, for the proof that the index changes nothing.
    #[cfg(test)]
    pub(super) fn run_naively(&self) -> Outcome {
        self.through(0..self.policy.rules.len(), &mut ())
    }

    /// As if one rule were not there.
    pub(super) fn run_without(&self, rule: usize) -> Outcome {
        let others = (0..self.policy.rules.len()).filter(|at| *at != rule);
        self.through(others, &mut ())
    }

    fn through<O: Observer>(
        &self,
        places: impl Iterator<Item = usize>,
        observer: &mut O,
    ) -> Outcome {
        let mut memory = Memory::default();
        for at in places {
            let Some(rule) = self.policy.rules.get(at) else {
                continue;
            };
            let held = self.try_rule(rule, observer);
            observer.tried(at, held);
            memory.held_back |= held == Held::Guarded;
            memory.open |= held == Held::Open;
            // Under a reporting policy only the guard can still deny: a later rule may open it.
            let reports = rule.report || self.policy.report && self.guard.is_some();
            if let Some(ruling) = decided(rule, held, reports, &mut memory) {
                return self.conclude(ruling, memory);
            }
        }
        let ruling = self.by_default(&memory);
        self.conclude(ruling, memory)
    }

    fn try_rule<O: Observer>(&self, rule: &Rule, observer: &mut O) -> Held {
        let allows = matches!(rule.action, Action::Allow(_));
        let mut held = Held::Yes;
        for clause in &rule.clauses {
            let truth = clause.holds(self.facts);
            observer.tested(clause, truth);
            match truth {
                Truth::Yes => {}
                Truth::No if self.is_seen_inside(rule, clause) => {
                    held = if held == Held::No { held } else { Held::Open };
                }
                Truth::Unknown if self.is_open(clause) || self.is_seen_inside(rule, clause) => {
                    held = if held == Held::No { held } else { Held::Open };
                }
                // "Deny all but staff" denies who may be staff or not.
                Truth::Unknown if clause.negated && !allows => {}
                Truth::Unknown | Truth::No if O::EVERY => held = Held::No,
                Truth::Unknown | Truth::No => return Held::No,
            }
        }
        let stopped = self
            .guard
            .as_ref()
            .is_some_and(|(ip, reason)| !rule.opens(*ip, reason));
        match held {
            Held::Yes | Held::Open if allows && stopped => Held::Guarded,
            Held::Yes | Held::Open | Held::No | Held::Guarded => held,
        }
    }

    /// Whether the fact that a clause misses is still to be learned. Any other is as good as told: it stays unknown,
    /// and to look up a name for a rule that can not hold would tell the name to DNS for nothing.
    fn is_open(&self, clause: &Clause) -> bool {
        let waits = clause.condition.waits();
        let later = matches!(self.facts.hello, Look::Later);
        waits.address && self.moment == Moment::Name || waits.hello && later
    }

    /// Whether a clause is about requests, and the rule lets a tunnel through only to judge the requests inside it: what it
    /// says of the tunnel itself is no answer.
    fn is_seen_inside(&self, rule: &Rule, clause: &Clause) -> bool {
        let tunnel = self.facts.scheme == Scheme::Tunnel;
        tunnel && clause.condition.waits().request && rule.intercepts()
    }

    fn by_default(&self, memory: &Memory<'_>) -> Ruling {
        let reason = match (&self.guard, self.policy.default) {
            (Some((_, reason)), Fallback::Allow) => reason.clone(),
            (Some((_, reason)), Fallback::Deny) if memory.held_back => reason.clone(),
            (None, Fallback::Allow) => {
                let obligations = self.policy.no_obligations.clone();
                return Ruling::Allow(self.policy.default_rule.clone(), obligations);
            }
            (_, Fallback::Deny) => Reason::Default,
        };
        Ruling::Deny(Denial {
            rule: self.policy.default_rule.clone(),
            reason,
            action: self.policy.default_action.clone(),
        })
    }

    /// Applies report mode: what is only reported does not stop a request, except by the guard.
    fn conclude(&self, ruling: Ruling, memory: Memory<'_>) -> Outcome {
        let settled = !memory.open;
        let outcome = |ruling, would_deny| Outcome {
            ruling,
            settled,
            would_deny,
        };
        let denial = match ruling {
            Ruling::Allow(..) => return outcome(ruling, memory.noted),
            Ruling::Deny(denial) => denial,
        };
        if let Some((rule, obligations)) = memory.reporting {
            // That rule passed the guard itself, so nothing guarded is opened here.
            let ruling = Ruling::Allow(rule.clone(), obligations.clone());
            return outcome(ruling, memory.noted.or_else(|| Some(Arc::new(denial))));
        }
        match (&self.guard, self.policy.report) {
            (None, true) => {
                let rule = denial.rule.clone();
                let noted = memory.noted.or_else(|| Some(Arc::new(denial)));
                outcome(
                    Ruling::Allow(rule, self.policy.no_obligations.clone()),
                    noted,
                )
            }
            (Some((_, reason)), true) => {
                let reason = reason.clone();
                outcome(Ruling::Deny(Denial { reason, ..denial }), memory.noted)
            }
            (_, false) => outcome(Ruling::Deny(denial), memory.noted),
        }
    }
}

/// What a rule that was tried decides; `None` where the walk goes on.
fn decided<'a>(
    rule: &'a Rule,
    held: Held,
    reports: bool,
    memory: &mut Memory<'a>,
) -> Option<Ruling> {
    match (&rule.action, held) {
        (_, Held::No | Held::Guarded) => None,
        // A deny rule that may not hold is passed over: the second moment will know.
        (Action::Deny(_), Held::Open) => None,
        (Action::Deny(action), Held::Yes) => {
            let denial = Denial {
                rule: rule.id.clone(),
                reason: Reason::Rule,
                action: action.clone(),
            };
            if reports {
                memory.noted.get_or_insert_with(|| Arc::new(denial));
                return None;
            }
            Some(Ruling::Deny(denial))
        }
        (Action::Allow(obligations), Held::Yes | Held::Open) => {
            if rule.report {
                memory.reporting.get_or_insert((&rule.id, obligations));
                return None;
            }
            Some(Ruling::Allow(rule.id.clone(), obligations.clone()))
        }
    }
}
