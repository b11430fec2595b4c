//! For a denial: the smallest single change that would allow the request, read off the walk that denied it.
//! Not advice that it should be allowed.
//! Start at [`smallest_change`].

use std::net::SocketAddr;

use ipnet::IpNet;

use super::condition::{Truth, quoted};
use super::rule::{Action, Clause, Rule};
use super::verdict::RuleRef;
use super::walk::{Held, Moment, Ruling, Walk};
use super::{Facts, Policy};
use crate::addr::AddrClass;

/// What one walk did.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) address: Option<SocketAddr>,
    pub(super) tries: Vec<Traced>,
    /// Of the rule that is being tried.
    pub(super) tested: Vec<Truth>,
}

/// A rule that was tried, and the outcome of each of its clauses.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) rule: usize,
    pub(super) held: Held,
    pub(super) truths: Vec<Truth>,
}

/// The change, as a sentence; a rule to be added stands in it as TOML.
///
/// In this order: name a guarded address in the rule that would allow it; complete the one condition that an allow rule
/// fails in; exempt the request from the rule that denies it; add a rule.
pub(super) fn smallest_change(
    policy: &Policy,
    facts: &Facts<'_>,
    trace: &Trace,
    own: &dyn Fn(SocketAddr) -> bool,
) -> String {
    let own = trace.address.filter(|address| own(*address));
    let guarded = own.is_some()
        || facts
            .address()
            .is_some_and(|ip| AddrClass::of(ip) != AddrClass::Public);
    name_address(policy, facts, trace)
        .or_else(|| complete(policy, facts, trace, guarded))
        .or_else(|| exempt(policy, facts, trace, own))
        .unwrap_or_else(|| add_rule(policy, facts, trace, guarded))
}

fn name_address(policy: &Policy, facts: &Facts<'_>, trace: &Trace) -> Option<String> {
    let held_back = trace
        .tries
        .iter()
        .find(|traced| traced.held == Held::Guarded)?;
    let rule = policy.rules.get(held_back.rule)?;
    let address = as_toml(facts)?;
    let clause = demanded(rule, "address");
    Some(match clause {
        Some(clause) => format!("in {}, add {address} to address", place(rule, clause)),
        // Without "public" the rule would lose all the addresses that it opens now.
        None => format!(
            "in {}, write address = [\"public\", {address}]",
            rule_place(&rule.id)
        ),
    })
}

fn complete(policy: &Policy, facts: &Facts<'_>, trace: &Trace, guarded: bool) -> Option<String> {
    let candidates = trace.tries.iter().filter_map(|traced| {
        let rule = policy.rules.get(traced.rule)?;
        let failing = only_failing(rule, traced, facts)?;
        let opens_guard = failing.key == "address" && !failing.negated;
        let named = facts.address().is_some_and(|ip| rule.names(ip));
        (!guarded || opens_guard || named).then_some((rule, failing))
    });
    candidates
        .map(|(rule, clause)| {
            let widened = clause.condition.widened(facts).filter(|_| !clause.negated);
            // A rule about another place is the least likely to be meant.
            let rank = match (widened.is_some() || clause.negated, clause.key) {
                (true, "host" | "address") => 1,
                (true, _) => 0,
                (false, _) => 2,
            };
            (rank, rule, clause, widened)
        })
        .min_by_key(|(rank, ..)| *rank)
        .map(|(_, rule, clause, widened)| {
            let (place, key, written) = (place(rule, clause), clause.key, &clause.written);
            match widened {
                Some(value) => format!("in {place}, add {value} to {key}"),
                None if clause.negated => format!("in {place}, take {key} = {written} out of not"),
                None => {
                    let saw = clause.condition.saw(facts);
                    let saw = saw.as_deref().unwrap_or("not known").escape_debug();
                    format!("{place} would allow it if {key} = {written} held, which saw: {saw}")
                }
            }
        })
}

/// The one clause that an allow rule fails in.
fn only_failing<'a>(rule: &'a Rule, traced: &Traced, facts: &Facts<'_>) -> Option<&'a Clause> {
    if traced.held != Held::No || matches!(rule.action, Action::Deny(_)) {
        return None;
    }
    let clauses = rule.clauses.iter().zip(&traced.truths);
    // What waits for the address is no failure before there is one.
    let open = |clause: &Clause| facts.address().is_none() && clause.condition.waits().address;
    let mut failing = clauses.filter(|(clause, truth)| match truth {
        Truth::Yes => false,
        Truth::No => true,
        Truth::Unknown => !open(clause),
    });
    match (failing.next(), failing.next()) {
        (Some((clause, _)), None) => Some(clause),
        (None | Some(_), _) => None,
    }
}

fn exempt(
    policy: &Policy,
    facts: &Facts<'_>,
    trace: &Trace,
    own: Option<SocketAddr>,
) -> Option<String> {
    let rule = denying(policy, trace)?;
    let moment = match trace.address {
        Some(_) => Moment::Address,
        None => Moment::Name,
    };
    let without = Walk::new(policy, facts, moment, own).run_without(rule.id.index?);
    if !matches!(without.ruling, Ruling::Allow(..)) {
        return None;
    }
    let host = quoted(&facts.authority.host.to_string());
    let place = rule_place(&rule.id);
    let has = |key| {
        rule.clauses
            .iter()
            .any(|c| c.negated && c.key == key && c.from.is_none())
    };
    Some(if has("host") {
        format!("in {place}, add {host} to host under not")
    } else if rule.clauses.iter().any(|c| c.negated && c.from.is_none()) {
        format!("in {place}, add host = {host} to not")
    } else {
        format!("in {place}, write not = {{ host = {host} }}")
    })
}

fn add_rule(policy: &Policy, facts: &Facts<'_>, trace: &Trace, guarded: bool) -> String {
    let place = match denying(policy, trace) {
        Some(rule) => format!("before {}, add", rule_place(&rule.id)),
        None => "add".to_owned(),
    };
    let authority = facts.authority;
    let who = match facts
        .principal
        .filter(|principal| !principal.name.is_empty())
    {
        Some(principal) => format!("principal = {}", quoted(&principal.name)),
        None => {
            let client = IpNet::from(facts.client.to_canonical());
            format!("client = {}", quoted(&client.to_string()))
        }
    };
    let host = match authority.host.name() {
        Some(name) => format!("host = {}\n", quoted(name)),
        None => String::new(),
    };
    let address = as_toml(facts).filter(|_| guarded || host.is_empty());
    let address = address.map_or_else(String::new, |ip| format!("address = {ip}\n"));
    let name = quoted(&format!("allow {authority}"));
    let port = authority.port;
    format!("{place}\n[[rule]]\nname = {name}\nallow = {{}}\n{who}\n{host}{address}port = {port}")
}

/// The deny rule that ended the walk.
fn denying<'a>(policy: &'a Policy, trace: &Trace) -> Option<&'a Rule> {
    let last = trace.tries.last()?;
    let rule = policy.rules.get(last.rule)?;
    let denies = matches!(rule.action, Action::Deny(_)) && !rule.report;
    (denies && last.held == Held::Yes).then_some(rule)
}

fn demanded<'a>(rule: &'a Rule, key: &str) -> Option<&'a Clause> {
    let mut clauses = rule.clauses.iter();
    clauses.find(|clause| clause.key == key && !clause.negated)
}

fn as_toml(facts: &Facts<'_>) -> Option<String> {
    let ip = facts.address()?.to_canonical();
    Some(quoted(&IpNet::from(ip).to_string()))
}

/// Where a clause is written: in the rule, or in a named condition.
fn place(rule: &Rule, clause: &Clause) -> String {
    match &clause.from {
        Some(named) => format!("condition \"{named}\" of {}", rule_place(&rule.id)),
        None => rule_place(&rule.id),
    }
}

fn rule_place(rule: &RuleRef) -> String {
    match &rule.at {
        Some(at) => format!("rule \"{}\" ({at})", rule.name),
        None => format!("rule \"{}\"", rule.name),
    }
}
