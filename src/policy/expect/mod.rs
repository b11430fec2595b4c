//! Cases beside the rules: a request, and what the policy must say of it.
//! Not a simulation of the whole proxy: nothing is resolved, a name has the addresses that the case gives it.
//! Start at [`Expectation::run`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::{Explanation, Facts, Hello, Look, Obligations, Policy, RuleRef, Scheme, Verdict};
use crate::addr::{Authority, Host};
use crate::auth::Principal;
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Table, one_of};

/// One `[[expect]]` case: `request = { url, client, method, user, groups, listener, at, address, headers, hello }`, `verdict`,
/// and, if it matters, `rule` (`default` where none may hold). Without `client` it comes from 127.0.0.1, without
/// `listener` from one without a name.
#[derive(Debug)]
pub struct Expectation {
    at: Located<()>,
    request: Request,
    allow: bool,
    rule: Option<Located<String>>,
}

/// A request as a case writes it.
#[derive(Debug)]
struct Request {
    client: IpAddr,
    listener: String,
    principal: Option<Principal>,
    authority: Authority,
    scheme: Scheme,
    method: Method,
    path: Option<String>,
    headers: HeaderMap,
    hello: Option<Hello>,
    at: Option<Timestamp>,
    addresses: Option<Vec<IpAddr>>,
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
            hello: match (&request.hello, request.scheme) {
                (Some(hello), _) => Look::Hello(hello),
                (None, Scheme::Tunnel) => Look::Later,
                (None, Scheme::Http | Scheme::Https) => Look::Nothing,
            },
            now: request.at.unwrap_or(now),
            resolved: None,
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
        // What the rule demands of a tunnel's first bytes, where the case has them.
        let unmet = |obligations: &Obligations| {
            let hello = facts
                .hello
                .hello()
                .filter(|_| facts.scheme == Scheme::Tunnel);
            hello.is_some_and(|hello| {
                let host = &facts.authority.host;
                obligations.tls.problem(host, Some(hello)).is_some()
            })
        };
        let Some(addresses) = addresses else {
            let allow = !unmet(grant.obligations());
            return said(allow, grant.rule(), grant.would_deny());
        };
        match policy.confirm(&grant, facts, addresses, own) {
            Ok(permit) => said(
                !unmet(permit.obligations()),
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

impl Request {
    fn read(table: Table, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let client = parsed::<IpAddr>(&table, "client", ADDRESS, faults);
        let url: Option<Located<String>> =
            table.require("url", "write url = \"https://host.example/\"", faults);
        let method: Option<Method> = parsed(&table, "method", METHOD, faults);
        let target = url.and_then(|url| Target::parse(&url, method, faults));
        let listener = table.take_or("listener", String::new(), faults);
        let user: Option<String> = table.take("user", faults);
        let groups: Option<Vec<String>> = table.take("groups", faults);
        let at = read_time(&table, faults);
        let addresses: Option<Vec<Located<String>>> = table.take("address", faults);
        let addresses = addresses.map(|texts| read_addresses(&texts, faults));
        let headers: Option<Table> = table.take("headers", faults);
        let headers = headers.map(|table| read_headers(&table, faults));
        let hello: Option<Table> = table.take("hello", faults);
        let hello = hello.map(|table| read_hello(table, faults));
        table.finish(faults);
        let target = target.filter(|_| faults.len() == before)?;
        let principal = (user.is_some() || groups.is_some()).then(|| Principal {
            name: user.unwrap_or_default().into(),
            groups: groups
                .unwrap_or_default()
                .into_iter()
                .map(Arc::from)
                .collect(),
            method: "expect",
        });
        Some(Self {
            client: client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            listener,
            principal,
            authority: target.authority,
            scheme: target.scheme,
            method: target.method,
            path: target.path,
            headers: headers.unwrap_or_default(),
            hello,
            at,
            addresses,
        })
    }
}

/// Where a case's request goes, from its URL and method.
#[derive(Debug)]
struct Target {
    authority: Authority,
    scheme: Scheme,
    method: Method,
    path: Option<String>,
}

impl Target {
    /// `connect://host:port`, `host:port` with CONNECT, and `https://…` without a method are tunnels, as clients make
    /// them of such URLs; `https://…` with a method is a request in absolute-form.
    fn parse(url: &Located<String>, method: Option<Method>, faults: &Faults) -> Option<Self> {
        let refuse = |problem: String, remedy: &str| {
            faults.push(Fault::at(&url.at, problem, remedy));
            None
        };
        let is_connect = method == Some(Method::CONNECT);
        let (scheme, rest) = url.value.split_once("://").unwrap_or(("", &url.value));
        let (default_port, scheme) = match (scheme, &method) {
            ("connect", None) => (None, Scheme::Tunnel),
            ("connect" | "", _) if is_connect => (None, Scheme::Tunnel),
            ("https", None) => (Some(443), Scheme::Tunnel),
            ("https", _) if is_connect => (Some(443), Scheme::Tunnel),
            ("https", Some(_)) => (Some(443), Scheme::Https),
            ("http", _) if !is_connect => (Some(80), Scheme::Http),
            _ => {
                return refuse(
                    format!("\"{}\" is not the URL of a request here", url.value),
                    "write \"http://…\", \"https://…\" or \"connect://host:port\"",
                );
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let path = if path.is_empty() { "/" } else { path };
        match Authority::parse(authority, default_port) {
            Ok(authority) => Some(Self {
                authority,
                method: match scheme {
                    Scheme::Tunnel => Method::CONNECT,
                    Scheme::Http | Scheme::Https => method.unwrap_or(Method::GET),
                },
                path: (scheme != Scheme::Tunnel).then(|| path.to_owned()),
                scheme,
            }),
            Err(error) => refuse(error.to_string(), "write \"host.example:443\""),
        }
    }
}

/// What a text must be, and how that is written.
type Form = (&'static str, &'static str);

const METHOD: Form = (
    "a method",
    "write \"GET\", \"POST\", \"CONNECT\" or another token",
);
const ADDRESS: Form = ("an address", "write \"192.0.2.7\" or \"2001:db8::7\"");

fn parsed<T: std::str::FromStr>(
    table: &Table,
    key: &'static str,
    form: Form,
    faults: &Faults,
) -> Option<T> {
    let text: Located<String> = table.take(key, faults)?;
    parse(&text, form, faults)
}

fn parse<T: std::str::FromStr>(text: &Located<String>, form: Form, faults: &Faults) -> Option<T> {
    let (form, remedy) = form;
    let value = text.value.parse().ok();
    if value.is_none() {
        let problem = format!("\"{}\" is not {form}", text.value);
        faults.push(Fault::at(&text.at, problem, remedy));
    }
    value
}

fn read_addresses(texts: &[Located<String>], faults: &Faults) -> Vec<IpAddr> {
    let texts = texts.iter();
    texts
        .filter_map(|text| parse(text, ADDRESS, faults))
        .collect()
}

/// A string, or a TOML date and time with its offset.
fn read_time(table: &Table, faults: &Faults) -> Option<Timestamp> {
    let value = table.take_value("at")?;
    let at = value.at.clone();
    let value = match value.kind {
        Kind::Datetime(text) | Kind::Text(text) => text,
        Kind::Integer(_) | Kind::Float(_) | Kind::Bool(_) | Kind::List(_) | Kind::Table(_) => {
            return value.mismatch("a time such as \"2026-03-29T01:30:00Z\"", faults);
        }
    };
    let form = (
        "a time with its offset",
        "write at = \"2026-03-29T01:30:00Z\"",
    );
    parse(&Located { value, at }, form, faults)
}

/// `hello = { sni, alpn, tls-version, ech, fingerprint }`; without `tls-version` it offers 1.3.
fn read_hello(table: Table, faults: &Faults) -> Hello {
    const HOST: Form = ("a host name", "write \"a.example\"");
    let sni: Option<Located<String>> = table.take("sni", faults);
    let server_name = sni.and_then(|text| {
        let host = Host::parse_bare(&text.value).ok();
        if host.is_none() {
            let problem = format!("\"{}\" is not {}", text.value, HOST.0);
            faults.push(Fault::at(&text.at, problem, HOST.1));
        }
        host
    });
    let versions = [
        ("1.0", "1.0"),
        ("1.1", "1.1"),
        ("1.2", "1.2"),
        ("1.3", "1.3"),
    ];
    let version: Option<Located<String>> = table.take("tls-version", faults);
    let version = version.and_then(|word| one_of(&word, &versions, faults));
    let alpn: Vec<String> = table.take_or("alpn", Vec::new(), faults);
    let fingerprint: String = table.take_or("fingerprint", String::new(), faults);
    let hello = Hello {
        server_name,
        alpn: alpn.into_iter().map(Into::into).collect(),
        version: version.unwrap_or("1.3"),
        ech: table.take_or("ech", false, faults),
        fingerprint: fingerprint.into(),
    };
    table.finish(faults);
    hello
}

const FIELD: Form = ("a field name", "write letters, digits and hyphens");
const VALUE: Form = ("a field value", "write printable ASCII on one line");

fn read_headers(table: &Table, faults: &Faults) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in table.take_rest() {
        let field: Option<HeaderName> = parse(&name, FIELD, faults);
        for value in Vec::<Located<String>>::from_value(value, faults).unwrap_or_default() {
            let value: Option<HeaderValue> = parse(&value, VALUE, faults);
            if let Some((field, value)) = field.clone().zip(value) {
                headers.append(field, value);
            }
        }
    }
    headers
}
