//! Cases beside the rules: a request, and what the policy must say of it.
//! Not a simulation of the whole proxy: nothing is resolved, a name has the addresses that the case gives it.
//! Start at [`Expectation::run`].

mod request;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;

use self::request::Request;
use super::{Allowance, Explanation, Facts, Look, NamedBy, Policy, RuleRef, Scheme, Verdict};
use crate::auth::Principal;
use crate::fault::{Fault, Faults};
use crate::settings::{Located, Table, one_of};

/// One `[[expect]]` case: `request = { url, mode, client, method, user, groups, listener, at, address, headers, hello }`, `verdict`,
/// and, if it matters, `rule` (`default` where none may hold). Without `client` it comes from 127.0.0.1, without
/// `listener` from one without a name, without `mode` (`"forward"`, `"reverse"`) to a proxy.
#[derive(Debug)]
pub struct Expectation {
    at: Located<()>,
    request: Request,
    allow: bool,
    rule: Option<Located<String>>,
}

/// How a case came out.
#[derive(Debug)]
pub struct Outcome {
    /// Whether the policy said what it must.
    pub passed: bool,
    /// What it must say, in words.
    pub expected: String,
    /// What it said, in words.
    pub got: String,
    /// How it came to that.
    pub explanation: Explanation,
}

impl Expectation {
    /// Where the case stands.
    pub fn at(&self) -> &crate::fault::Location {
        &self.at.at
    }

    /// The rule that must decide, if the case names one.
    pub(super) fn rule(&self) -> Option<&Located<String>> {
        self.rule.as_ref()
    }

    /// Asks the policy. Without `address` in the case the first moment's verdict counts, with it the second's.
    ///
    /// `now` is the time of cases that name none. `identify` says who a client address is (as the listener's
    /// `network` method would) where a case names neither user nor groups; answer `None` to leave it anonymous.
    ///
    /// Report mode: a request that is let through and noted passes as what the note says, so that a policy under trial
    /// can be tested; it passes as allowed too, as that is what happens.
    pub fn run(
        &self,
        policy: &Policy,
        now: Timestamp,
        identify: &dyn Fn(IpAddr) -> Option<Principal>,
    ) -> Outcome {
        let request = &self.request;
        let identified = match &request.principal {
            Some(_) => None,
            None => identify(request.client),
        };
        let facts = Facts {
            listener: &request.listener,
            client: request.client,
            principal: request.principal.as_ref().or(identified.as_ref()),
            authority: &request.authority,
            scheme: request.scheme,
            method: Some(&request.method),
            path: request.path.as_deref(),
            headers: Some(&request.headers),
            hello: match (&request.hello, request.scheme, request.named_by) {
                (Some(hello), _, _) => Look::Hello(hello),
                (None, Scheme::Tunnel, _) => Look::Later,
                // What was agreed on at the gateway is not said.
                (None, Scheme::Https, NamedBy::Operator) => Look::Later,
                (None, Scheme::Http, _) | (None, Scheme::Https, NamedBy::Client) => Look::Nothing,
            },
            now: request.at.unwrap_or(now),
            resolved: None,
            named_by: request.named_by,
        };
        let port = request.authority.port;
        let addresses: Option<Vec<SocketAddr>> = request.addresses.as_ref().map(|addresses| {
            let addresses = addresses.iter();
            addresses.map(|ip| SocketAddr::new(*ip, port)).collect()
        });
        let own = |_| false;
        let said = Said::of(policy, &facts, addresses.as_deref(), &own);
        Outcome {
            passed: said.options().any(|(allow, rule)| self.is_met(allow, rule)),
            expected: in_words(
                self.allow,
                self.rule.as_ref().map(|rule| rule.value.as_str()),
            ),
            got: said.in_words(),
            explanation: policy.explain(&facts, addresses.as_deref(), &own),
        }
    }

    /// The fault of a case that failed; `None` where it passed.
    pub fn fault(&self, outcome: &Outcome) -> Option<Fault> {
        if outcome.passed {
            return None;
        }
        let problem = format!("expected {}, got {}", outcome.expected, outcome.got);
        let remedy = outcome.explanation.smallest_change.as_ref();
        let remedy = match remedy.filter(|_| self.allow) {
            Some(change) => format!("to allow it, {change}"),
            None => {
                "change the rules or the case; `egret explain` walks the rules for a request".into()
            }
        };
        Some(Fault::at(&self.at.at, problem, remedy))
    }

    pub(super) fn read(table: Table, faults: &Faults) -> Option<Self> {
        let at = Located {
            value: (),
            at: table.at.clone(),
        };
        let request: Option<Table> =
            table.require("request", "write request = { client = …, url = … }", faults);
        let verdict: Option<Located<String>> =
            table.require("verdict", "write verdict = \"allow\" or \"deny\"", faults);
        let words = [("allow", true), ("deny", false)];
        let allow = verdict.and_then(|word| one_of(&word, &words, faults));
        let rule = table.take("rule", faults);
        table.finish(faults);
        Some(Self {
            at,
            request: Request::read(request?, faults)?,
            allow: allow?,
            rule,
        })
    }

    fn is_met(&self, allow: bool, rule: &RuleRef) -> bool {
        let named = self.rule.as_ref();
        allow == self.allow && named.is_none_or(|named| *named.value == *rule.name)
    }
}

/// What the policy said of a case: what happens, and what is only noted.
struct Said {
    allow: bool,
    rule: RuleRef,
    noted: Option<RuleRef>,
}

impl Said {
    fn of(
        policy: &Policy,
        facts: &Facts<'_>,
        addresses: Option<&[SocketAddr]>,
        own: &dyn Fn(SocketAddr) -> bool,
    ) -> Self {
        let said = |allow, rule: &RuleRef, noted: Option<&Arc<super::Denial>>| Self {
            allow,
            rule: rule.clone(),
            noted: noted.map(|denial| denial.rule.clone()),
        };
        let grant = match policy.decide(facts) {
            Verdict::Allow(grant) => grant,
            Verdict::Deny(denial) => return said(false, &denial.rule, None),
        };
        let unmet = |allowance: &Allowance| policy.unmet(allowance, facts).is_some();
        let Some(addresses) = addresses else {
            let allowed = grant.allowance();
            return said(!unmet(allowed), &allowed.rule, allowed.would_deny.as_ref());
        };
        let confirmed = match facts.named_by {
            NamedBy::Client => policy.confirm(&grant, facts, addresses, own),
            NamedBy::Operator => policy.confirm_endpoint(&grant, facts, addresses),
        };
        match confirmed {
            Ok(permit) => said(
                !unmet(permit.allowance()),
                permit.rule(),
                permit.would_deny(),
            ),
            Err(denial) => said(false, &denial.rule, None),
        }
    }

    fn options(&self) -> impl Iterator<Item = (bool, &RuleRef)> {
        let noted = self.noted.as_ref().map(|rule| (false, rule));
        std::iter::once((self.allow, &self.rule)).chain(noted)
    }

    fn in_words(&self) -> String {
        let said = in_words(self.allow, Some(&self.rule.name));
        match &self.noted {
            Some(noted) => format!("{said} (reported: {})", in_words(false, Some(&noted.name))),
            None => said,
        }
    }
}

fn in_words(allow: bool, rule: Option<&str>) -> String {
    let word = if allow { "allow" } else { "deny" };
    match rule {
        Some("default") => format!("{word} by default"),
        Some(rule) => format!("{word} by rule \"{rule}\""),
        None => word.to_owned(),
    }
}
