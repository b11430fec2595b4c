//! A rule: a name, what it does, and the clauses that must all hold.
//! Not how rules follow each other (walk), nor how they are read (source).
//! Start at [`Rule`].

use std::net::IpAddr;
use std::sync::Arc;

use super::Facts;
use super::condition::{Condition, Truth, Waits};
use super::verdict::{Demands, DenyAction, Obligations, Reason, RuleRef};
use crate::cache::Control;

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: RuleRef,
    pub(super) action: Action,
    /// Only say what it would do: a denial is recorded and not made; an allowance lets through what would be denied.
    pub(super) report: bool,
    pub(super) clauses: Vec<Clause>,
}

/// What a rule does where it holds.
#[derive(Debug)]
pub(super) enum Action {
    Allow(Arc<Obligations>),
    Deny(Arc<DenyAction>),
}

/// A condition in a rule.
#[derive(Debug, Clone)]
pub(super) struct Clause {
    pub(super) key: &'static str,
    /// The value in the operator's words, on one line.
    pub(super) written: Arc<str>,
    /// It stands in `not`.
    pub(super) negated: bool,
    /// The named condition that it came from by `when`.
    pub(super) from: Option<Arc<str>>,
    pub(super) condition: Arc<dyn Condition>,
}

/// A named condition under `not`: its clauses hold together or not.
#[derive(Debug)]
pub(super) struct Group(pub(super) Vec<Clause>);

impl Rule {
    /// Whether the rule names the address, so that it may open it although it is guarded. Only what the rule demands
    /// can name; what it excludes can not.
    pub(super) fn names(&self, ip: IpAddr) -> bool {
        let mut demanded = self.clauses.iter().filter(|clause| !clause.negated);
        demanded.any(|clause| clause.condition.names(ip))
    }

    /// Whether the rule opens an address that is guarded for this reason. A listener of the proxy's own is not opened by
    /// a network that happens to hold it: whoever allows a network does not mean the proxy itself.
    pub(super) fn opens(&self, ip: IpAddr, guard: &Reason) -> bool {
        match guard {
            Reason::OwnListener(_) => {
                let mut demanded = self.clauses.iter().filter(|clause| !clause.negated);
                demanded.any(|clause| clause.condition.names_exactly(ip))
            }
            Reason::Guarded(..)
            | Reason::Rule
            | Reason::Default
            | Reason::Address(_)
            | Reason::Rate(_)
            | Reason::Hello(_) => self.names(ip),
        }
    }

    /// Whether a tunnel that it allows is decrypted, so that each request inside is judged by itself.
    pub(super) fn intercepts(&self) -> bool {
        match &self.action {
            Action::Allow(obligations) => obligations.intercept.is_some(),
            Action::Deny(_) => false,
        }
    }

    /// Whether a tunnel that it allows must begin in a certain way.
    pub(super) fn demands_hello(&self) -> bool {
        match &self.action {
            Action::Allow(obligations) => obligations.tls != Demands::default(),
            Action::Deny(_) => false,
        }
    }

    /// Whether it says what the cache is to do.
    pub(super) fn caches(&self) -> bool {
        match &self.action {
            Action::Allow(obligations) => {
                let cache = &*obligations.cache;
                cache.enabled && *cache != Control::default()
            }
            Action::Deny(_) => false,
        }
    }

    /// `allow` or `deny`.
    pub(super) fn word(&self) -> &'static str {
        match self.action {
            Action::Allow(_) => "allow",
            Action::Deny(_) => "deny",
        }
    }
}

impl Clause {
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Truth {
        let truth = self.condition.holds(facts);
        if self.negated { truth.negated() } else { truth }
    }
}

impl Condition for Group {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        let mut all = Truth::Yes;
        for clause in &self.0 {
            match clause.holds(facts) {
                Truth::Yes => {}
                Truth::No => return Truth::No,
                Truth::Unknown => all = Truth::Unknown,
            }
        }
        all
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        let seen = self.0.iter().map(|clause| {
            let saw = clause.condition.saw(facts);
            format!("{}: {}", clause.key, saw.as_deref().unwrap_or("not known"))
        });
        Some(seen.collect::<Vec<_>>().join("; "))
    }

    fn waits(&self) -> Waits {
        let waits = self.0.iter().map(|clause| clause.condition.waits());
        waits.fold(Waits::default(), Waits::or)
    }
}
