//! Tests of the whole policy; each condition's are in `condition/tests.rs`.

mod expect;
mod explain;
mod guard;
mod moments;
mod property;
mod report;
mod source;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use jiff::Timestamp;

use super::*;
use crate::addr::{Authority, Host};
use crate::auth::Principal;
use crate::fault::{Faults, Source};
use crate::settings::Table;

/// A list written in a test.
#[derive(Debug)]
pub(super) struct Inline(pub(super) Vec<&'static str>);

impl ListLookup for Inline {
    fn has_host(&self, host: &Host) -> bool {
        self.0.contains(&host.to_string().as_str())
    }

    fn has_address(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_string().as_str())
    }
}

pub(super) fn lists() -> Lists {
    let list = |name: &str, members| {
        let list: Arc<dyn ListLookup> = Arc::new(Inline(members));
        (name.to_owned(), list)
    };
    [
        list("registries", vec!["packages.example", "code.example"]),
        list("malware", vec!["bad.example", "203.0.113.9"]),
        list("internal", vec!["10.0.5.9"]),
    ]
    .into()
}

/// The policy of a text, or its faults, rendered.
pub(super) fn read(text: &str) -> Result<Policy, Vec<String>> {
    let faults = Faults::new();
    let table = Table::parse(&Source::new("p.toml", text), &faults);
    let policy = Policy::read("egress", table, &lists(), &faults);
    let faults: Vec<String> = faults.into_vec().iter().map(|f| f.render()).collect();
    match policy {
        Some(policy) if faults.is_empty() => Ok(policy),
        Some(_) => panic!("a policy with faults: {faults:?}"),
        None => Err(faults),
    }
}

pub(super) fn policy(text: &str) -> Policy {
    read(text).unwrap_or_else(|faults| panic!("{}\n{text}", faults.join("\n")))
}

/// A request that tests change where it matters.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) listener: String,
    pub(super) client: IpAddr,
    pub(super) principal: Option<Principal>,
    pub(super) authority: Authority,
    pub(super) scheme: Scheme,
    pub(super) method: Option<Method>,
    pub(super) path: Option<String>,
    pub(super) headers: Option<HeaderMap>,
    pub(super) now: Timestamp,
    pub(super) hello: Option<Hello>,
    pub(super) resolved: Option<IpAddr>,
    pub(super) named_by: NamedBy,
}

/// A plain GET of the path `/` at an authority.
pub(super) fn get(authority: &str) -> Ask {
    Ask {
        listener: "egress".to_owned(),
        client: ip("10.0.0.7"),
        principal: None,
        authority: Authority::parse(authority, Some(80)).expect("the test writes an authority"),
        scheme: Scheme::Http,
        method: Some(Method::GET),
        path: Some("/".to_owned()),
        headers: Some(HeaderMap::new()),
        now: "2026-01-07T12:00:00Z"
            .parse()
            .expect("the test writes a time"),
        hello: None,
        resolved: None,
        named_by: NamedBy::Client,
    }
}

/// A tunnel to an authority.
pub(super) fn connect(authority: &str) -> Ask {
    Ask {
        scheme: Scheme::Tunnel,
        method: Some(Method::CONNECT),
        path: None,
        ..get(authority)
    }
}

impl Ask {
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            listener: &self.listener,
            client: self.client,
            principal: self.principal.as_ref(),
            authority: &self.authority,
            scheme: self.scheme,
            method: self.method.as_ref(),
            path: self.path.as_deref(),
            headers: self.headers.as_ref(),
            now: self.now,
            hello: match (&self.hello, self.scheme) {
                (Some(hello), _) => Look::Hello(hello),
                (None, Scheme::Tunnel) => Look::Later,
                (None, Scheme::Http | Scheme::Https) => Look::Nothing,
            },
            resolved: self.resolved,
            named_by: self.named_by,
        }
    }

    pub(super) fn saying(mut self, hello: Hello) -> Self {
        self.hello = Some(hello);
        self
    }

    pub(super) fn by(mut self, name: &str, groups: &[&str]) -> Self {
        self.principal = Some(Principal {
            name: name.into(),
            groups: groups.iter().map(|group| Arc::from(*group)).collect(),
            method: "basic",
        });
        self
    }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("the test writes an address")
}

pub(super) fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    let texts = texts.iter();
    texts.map(|text| SocketAddr::new(ip(text), 443)).collect()
}

/// The verdict of the first moment: `allow rule`, `allow rule ?` where it is not settled, `deny rule`.
pub(super) fn decided(policy: &Policy, ask: &Ask) -> String {
    match policy.decide(&ask.facts()) {
        Verdict::Allow(grant) => {
            let open = if grant.is_settled() { "" } else { " ?" };
            format!("allow {}{open}", grant.allowance().rule.name)
        }
        Verdict::Deny(denial) => format!("deny {}", denial.rule.name),
    }
}

/// The verdict of both moments: `allow rule: addresses`, or `deny rule: reason`.
pub(super) fn confirmed(policy: &Policy, ask: &Ask, texts: &[&str]) -> String {
    let grant = match policy.decide(&ask.facts()) {
        Verdict::Allow(grant) => grant,
        Verdict::Deny(denial) => {
            return format!("deny {}: {:?} by name", denial.rule.name, denial.reason);
        }
    };
    match policy.confirm(&grant, &ask.facts(), &addresses(texts), &|_| false) {
        Ok(permit) => {
            let ips: Vec<String> = permit
                .addresses()
                .iter()
                .map(|a| a.ip().to_string())
                .collect();
            format!("allow {}: {}", permit.rule().name, ips.join(" "))
        }
        Err(denial) => format!("deny {}: {:?}", denial.rule.name, denial.reason),
    }
}

#[test]
fn the_first_rule_that_holds_decides() {
    let policy = policy(
        r#"
[[rule]]
name = "one"
deny = {}
host = "b.example"
[[rule]]
name = "two"
allow = {}
host = "*.example"
[[rule]]
name = "three"
deny = true
host = "a.example"
[[rule]]
name = "four"
allow = true
host = ["a.other", "b.example"]
"#,
    );
    for (host, verdict) in [
        ("a.example", "allow two"),
        ("b.example", "deny one"),
        ("x.a.example", "allow two"),
        ("a.other", "allow four"),
        ("EXAMPLE", "deny default"),
        ("B.Example.", "deny one"),
    ] {
        assert_eq!(decided(&policy, &get(host)), verdict, "{host}");
    }
}

#[test]
fn an_empty_policy_denies_and_a_default_of_allow_allows_what_is_public() {
    let none = policy("");
    assert_eq!(decided(&none, &get("a.example")), "deny default");
    let open = policy("default = \"allow\"");
    assert_eq!(decided(&open, &get("a.example")), "allow default");
    assert_eq!(
        confirmed(&open, &get("a.example"), &["10.0.0.1", "8.8.8.8"]),
        "allow default: 8.8.8.8"
    );
    assert_eq!(
        confirmed(&open, &get("a.example"), &["10.0.0.1"]),
        "deny default: Guarded(10.0.0.1, Private)"
    );
}

#[test]
fn public_addresses_on_web_ports_are_all_that_the_built_in_rules_open() {
    let policy = policy("[[rule]]\nname = \"web\"\nallow = {}\nport = [80, 443]\n");
    assert_eq!(
        confirmed(&policy, &get("a.example"), &["8.8.8.8", "127.0.0.1"]),
        "allow web: 8.8.8.8"
    );
    assert_eq!(
        confirmed(&policy, &get("a.example"), &["169.254.169.254"]),
        "deny default: Guarded(169.254.169.254, Metadata)"
    );
    assert_eq!(decided(&policy, &get("a.example:22")), "deny default");
    assert_eq!(decided(&policy, &get("[::ffff:127.0.0.1]")), "deny default");
}

#[test]
fn an_allow_rule_carries_its_obligations_and_a_deny_rule_its_answer() {
    let policy = policy(
        r#"
[[rule]]
name = "no"
deny = { status = 451, message = "ask", redirect = "https://help.example/" }
port = 1
[[rule]]
name = "yes"
allow = { intercept = true, rate = "120/m", bandwidth = "10MiB/s", cache = { min-uses = 2 } }
"#,
    );
    let Verdict::Allow(grant) = policy.decide(&get("a.example").facts()) else {
        panic!("denied");
    };
    assert_eq!(
        *grant.allowance().obligations,
        Obligations {
            intercept: Some(Intercept::default()),
            tls: Demands::default(),
            rate: Some(Rate {
                count: 120.0,
                window: Duration::from_secs(60)
            }),
            bandwidth: Some(crate::settings::ByteSize::mib(10)),
            filters: crate::filter::Filters::default(),
            cache: Arc::new(crate::cache::Control {
                min_uses: 2,
                ..crate::cache::Control::default()
            }),
        }
    );
    let Verdict::Deny(denial) = policy.decide(&get("a.example:1").facts()) else {
        panic!("allowed");
    };
    assert_eq!(denial.reason, Reason::Rule);
    assert_eq!(denial.action.status, 451);
    assert_eq!(denial.action.message.as_deref(), Some("ask"));
    assert_eq!(
        denial.action.redirect.as_deref(),
        Some("https://help.example/")
    );
    assert_eq!(
        denial.rule.at.map(|at| at.line_column()),
        Some((2, 1)),
        "the rule's place"
    );
}

#[test]
fn named_conditions_join_a_rule_and_under_not_each_fails_as_a_whole() {
    let policy = policy(
        r#"
[condition.office]
client = "10.0.0.0/8"
port = 443
[condition.build]
client = "10.0.0.7"
not = { method = "POST" }
[[rule]]
name = "in"
allow = {}
when = ["office", "build"]
[[rule]]
name = "out"
allow = {}
host = "a.example"
not = { when = "office", scheme = "https" }
"#,
    );
    let mut post = get("a.example:443");
    post.method = Some(Method::POST);
    let mut tls = get("a.example:80");
    tls.scheme = Scheme::Https;
    for (ask, verdict) in [
        (get("b.example:443"), "allow in"),
        (post, "deny default"),
        (get("a.example:80"), "allow out"),
        (tls, "deny default"),
    ] {
        assert_eq!(decided(&policy, &ask), verdict, "{ask:?}");
    }
}
