//! Why a request is allowed or denied: the same walk as the decision's, watched.
//! Not a second opinion: nothing here decides, and values of credential fields never come in (`condition/header.rs`).
//! Start at [`Policy::explain`].

use std::net::SocketAddr;

use serde::Serialize;

use super::change::{Trace, Traced, smallest_change};
use super::condition::Truth;
use super::render::in_words;
use super::rule::{Clause, Rule};
use super::walk::{Held, Moment, Observer};
use super::{
    Allowance, Demands, Denial, Facts, Grant, NamedBy, Obligations, Permit, Policy, RuleRef,
    Verdict,
};
use crate::cache::Control;

/// How a verdict came about; for people by `Display`, for programs by `serde`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The policy's name.
    pub policy: String,
    /// The request.
    pub request: Asked,
    /// Where a gateway's request goes from there; `None` for a proxy's, and where it was not asked.
    pub route: Option<Routed>,
    /// `allow` or `deny`; `none` where the request is refused before the policy is asked.
    pub verdict: &'static str,
    /// The rule that decided, or `default`; empty where none was asked.
    pub rule: String,
    /// Where it stands, `file:line:column`.
    pub at: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// What must be done if it is allowed, in the words of the policy.
    pub obligations: Vec<String>,
    /// The addresses that may be dialled, where addresses were asked about.
    pub permitted: Vec<SocketAddr>,
    /// What only report mode kept from being a denial.
    pub would_deny: Option<String>,
    /// For what is not allowed: the smallest single change that would allow the request.
    pub smallest_change: Option<String>,
    /// The walks: one by name, then one for each address that was asked about.
    pub walks: Vec<Walked>,
}

/// The request that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The listener's name.
    pub listener: String,
    /// The client's address.
    pub client: String,
    /// Who the client is.
    pub principal: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// `http`, `https` or `tunnel`.
    pub scheme: &'static str,
    /// The method, unless it came by SOCKS.
    pub method: Option<String>,
    /// Host and port.
    pub authority: String,
    /// The path, where it is seen.
    pub path: Option<String>,
    /// When, in RFC 3339.
    pub time: String,
}

/// What a gateway does with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Routed {
    /// The route that takes it.
    pub route: String,
    /// Where that stands, `file:line:column`.
    pub at: String,
    /// What the route does with it, in words.
    pub does: String,
    /// The upstreams that it may go to; none where the gateway answers by itself.
    pub upstreams: Vec<String>,
    /// Endpoints of these whose addresses matter and are not known, as the configuration names them.
    pub unknown: Vec<String>,
}

/// One walk over the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Walked {
    /// The address; `None` for the walk by name.
    pub address: Option<SocketAddr>,
    /// The rules that were tried, in order, up to the one that decided.
    pub rules: Vec<Tried>,
}

/// One rule that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Its name.
    pub rule: String,
    /// Where it stands.
    pub at: Option<String>,
    /// `allow` or `deny`.
    pub action: &'static str,
    /// Whether it only reports.
    pub report: bool,
    /// `yes`, `no`, `open` (it depends on the address, which is not known yet), `guarded` (it does not name the address).
    pub holds: &'static str,
    /// Its conditions, all of them.
    pub conditions: Vec<Tested>,
}

/// One condition that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tested {
    /// Its key.
    pub condition: &'static str,
    /// Its value as the policy writes it.
    pub written: String,
    /// Whether it stands under `not`: the outcome is of the whole.
    pub negated: bool,
    /// The named condition that it came from.
    pub named: Option<String>,
    /// Whether it holds.
    pub outcome: Truth,
    /// The fact that it saw; `None` where that is not known.
    pub saw: Option<String>,
}

impl Policy {
    /// Explains the decision for these facts: by name alone, or with addresses as they would be dialled. `own` as in
    /// [`Policy::confirm`].
    pub fn explain(
        &self,
        facts: &Facts<'_>,
        addresses: Option<&[SocketAddr]>,
        own: &dyn Fn(SocketAddr) -> bool,
    ) -> Explanation {
        let mut watch = Watch::default();
        let mut explanation = self.opening(facts);
        let mut unmet = None;
        match self.decide_observed(facts, Moment::Name, &mut watch) {
            Verdict::Deny(denial) => explanation.deny(&denial),
            Verdict::Allow(grant) => match addresses {
                None => {
                    unmet = self.unmet(grant.allowance(), facts);
                    explanation.allow(grant.allowance());
                    if !grant.settled {
                        explanation.reason += OPEN;
                    }
                }
                Some(addresses) => {
                    match self.confirm_each(&grant, facts, addresses, own, &mut watch) {
                        Ok(permits) => {
                            let first = permits.first();
                            unmet = first.and_then(|first| self.unmet(first.allowance(), facts));
                            explanation.permit(permits);
                        }
                        Err(denial) => explanation.deny(&denial),
                    }
                }
            },
        }
        explanation.smallest_change = self.change(&explanation, facts, &watch, own);
        if let Some(denial) = unmet {
            // The rules allow it: what it lacks is the client's to bring.
            explanation = self.opening(facts);
            explanation.deny(&denial);
        }
        explanation.walks = watch
            .0
            .iter()
            .map(|trace| self.show(trace, facts))
            .collect();
        explanation
    }

    /// The explanation of a request that is refused before this policy is asked.
    pub fn unasked(&self, facts: &Facts<'_>, reason: String) -> Explanation {
        Explanation {
            verdict: "none",
            reason,
            ..self.opening(facts)
        }
    }

    /// The second moment, as it is asked for: about the addresses of a name at once, about endpoints one by one.
    ///
    /// Errors: the first denial where nothing is permitted.
    fn confirm_each(
        &self,
        grant: &Grant,
        facts: &Facts<'_>,
        addresses: &[SocketAddr],
        own: &dyn Fn(SocketAddr) -> bool,
        watch: &mut Watch,
    ) -> Result<Vec<Permit>, Denial> {
        if facts.named_by == NamedBy::Client || addresses.is_empty() {
            let permit = self.confirm_observed(grant, facts, addresses, own, watch);
            return permit.map(|permit| vec![permit]);
        }
        let mut permits = Vec::new();
        let mut denied = None;
        for endpoint in addresses.chunks(1) {
            match self.confirm_observed(grant, facts, endpoint, own, watch) {
                Ok(permit) => permits.push(permit),
                Err(denial) => {
                    denied.get_or_insert(denial);
                }
            }
        }
        match denied {
            Some(denial) if permits.is_empty() => Err(denial),
            Some(_) | None => Ok(permits),
        }
    }

    fn opening(&self, facts: &Facts<'_>) -> Explanation {
        let groups = facts.principal.map(|principal| principal.groups.iter());
        Explanation {
            policy: self.name.to_string(),
            request: Asked {
                listener: facts.listener.to_owned(),
                client: facts.client.to_canonical().to_string(),
                principal: facts.principal.map(|principal| principal.name.to_string()),
                groups: groups
                    .into_iter()
                    .flatten()
                    .map(ToString::to_string)
                    .collect(),
                scheme: facts.scheme.word(),
                method: facts.method.map(ToString::to_string),
                authority: facts.authority.to_string(),
                path: facts.path.map(str::to_owned),
                time: facts.now.to_string(),
            },
            route: None,
            verdict: "deny",
            rule: String::new(),
            at: None,
            reason: String::new(),
            obligations: Vec::new(),
            permitted: Vec::new(),
            would_deny: None,
            smallest_change: None,
            walks: Vec::new(),
        }
    }

    /// The change for the walk that denied: by name, or about the first address.
    fn change(
        &self,
        explanation: &Explanation,
        facts: &Facts<'_>,
        watch: &Watch,
        own: &dyn Fn(SocketAddr) -> bool,
    ) -> Option<String> {
        if explanation.verdict == "allow" {
            return None;
        }
        let trace = watch.0.iter().find(|trace| trace.address.is_some());
        let trace = trace.or_else(|| watch.0.first())?;
        Some(smallest_change(self, &about(facts, trace), trace, own))
    }

    fn show(&self, trace: &Trace, facts: &Facts<'_>) -> Walked {
        let facts = about(facts, trace);
        let rules = trace.tries.iter().filter_map(|traced| {
            let rule = self.rules.get(traced.rule)?;
            Some(show_rule(rule, traced, &facts))
        });
        Walked {
            address: trace.address,
            rules: rules.collect(),
        }
    }
}

/// Keeps what a walk did.
#[derive(Debug, Default)]
struct Watch(Vec<Trace>);

impl Observer for Watch {
    const EVERY: bool = true;

    fn begin(&mut self, address: Option<SocketAddr>) {
        self.0.push(Trace {
            address,
            ..Trace::default()
        });
    }

    fn tested(&mut self, _clause: &Clause, truth: Truth) {
        if let Some(trace) = self.0.last_mut() {
            trace.tested.push(truth);
        }
    }

    fn tried(&mut self, rule: usize, held: Held) {
        if let Some(trace) = self.0.last_mut() {
            let truths = std::mem::take(&mut trace.tested);
            trace.tries.push(Traced { rule, held, truths });
        }
    }
}

fn about<'a>(facts: &Facts<'a>, trace: &Trace) -> Facts<'a> {
    Facts {
        resolved: trace.address.map(|address| address.ip()).or(facts.resolved),
        ..*facts
    }
}

fn show_rule(rule: &Rule, traced: &Traced, facts: &Facts<'_>) -> Tried {
    let clauses = rule.clauses.iter().zip(&traced.truths);
    let conditions = clauses.map(|(clause, outcome)| Tested {
        condition: clause.key,
        written: clause.written.to_string(),
        negated: clause.negated,
        named: clause.from.as_ref().map(ToString::to_string),
        outcome: *outcome,
        saw: clause.condition.saw(facts),
    });
    Tried {
        rule: rule.id.name.to_string(),
        at: rule.id.at.as_ref().map(ToString::to_string),
        action: rule.word(),
        report: rule.report,
        holds: match traced.held {
            Held::Yes => "yes",
            Held::No => "no",
            Held::Open => "open",
            Held::Guarded => "guarded",
        },
        conditions: conditions.collect(),
    }
}

impl Explanation {
    /// The same of what is answered here, once it is allowed by name: no address decides any more.
    pub fn answered_here(mut self) -> Self {
        if let Some(reason) = self.reason.strip_suffix(OPEN) {
            self.reason = reason.to_owned();
        }
        self
    }

    /// The first decides; addresses of the others are permitted too.
    fn permit(&mut self, permits: Vec<Permit>) {
        if let Some(first) = permits.first() {
            self.allow(first.allowance());
        }
        let addresses = permits.into_iter().flat_map(|permit| permit.addresses);
        self.permitted = addresses.collect();
    }

    fn allow(&mut self, allowance: &Allowance) {
        let rule = &allowance.rule;
        let noted = allowance.would_deny.as_deref();
        self.verdict = "allow";
        self.decided_by(rule);
        self.reason = match (noted, rule.index) {
            (Some(_), _) => "a denial is only reported".to_owned(),
            (None, Some(_)) => "the rule holds".to_owned(),
            (None, None) => "no rule decides, and the default is allow".to_owned(),
        };
        self.would_deny = noted.map(|denial| {
            let (rule, why) = (&denial.rule.name, in_words(&denial.reason));
            format!("\"{rule}\": {why}")
        });
        let Obligations {
            intercept,
            tls,
            rate,
            bandwidth,
            filters,
            cache,
        } = allowance.obligations.as_ref();
        let intercept = intercept.as_ref().map(|_| "intercept".to_owned());
        let tls = (*tls != Demands::default()).then(|| "tls".to_owned());
        let rate = rate.map(|rate| {
            let window = match rate.window.as_secs() {
                1 => "second",
                60 => "minute",
                _ => "hour",
            };
            format!("rate = {} each {window}", rate.count)
        });
        let bandwidth = bandwidth.map(|size| format!("bandwidth = {size} each second"));
        let filters = filters.names().map(str::to_owned);
        let cache = (**cache != Control::default()).then(|| format!("cache = {cache}"));
        self.obligations = [intercept, tls, rate, bandwidth, cache]
            .into_iter()
            .flatten()
            .chain(filters)
            .collect();
    }

    fn deny(&mut self, denial: &Denial) {
        self.verdict = "deny";
        self.decided_by(&denial.rule);
        self.reason = in_words(&denial.reason);
    }

    fn decided_by(&mut self, rule: &RuleRef) {
        self.rule = rule.name.to_string();
        self.at = rule.at.as_ref().map(ToString::to_string);
    }
}

/// How the reason of what is allowed by name ends, where a condition was left open.
const OPEN: &str = ", unless the address decides otherwise";
