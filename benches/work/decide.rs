//! Policies of many rules, and the requests that are held against them. For `benches/decide.rs` and `benches/instructions.rs`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use egret::addr::Authority;
use egret::fault::{Faults, Source};
use egret::policy::{Facts, Lists, Look, NamedBy, Policy, Scheme, Verdict};
use egret::settings::Table;
use http::{HeaderMap, Method};
use jiff::Timestamp;

/// How the rules say which requests they are for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Each names a host of its own, every fourth with what is below it.
    Hosts,
    /// None names a host, so that all rules before the one that holds are asked; each names a network of clients and ports.
    Clients,
}

/// A policy, and requests that its rules are for, one for every rule and one in eight for none of them.
pub(crate) struct Rules {
    policy: Policy,
    headers: HeaderMap,
    asked: Vec<(Authority, IpAddr)>,
    addresses: [SocketAddr; 1],
}

impl Rules {
    /// A policy of so many rules.
    pub(crate) fn new(shape: Shape, rules: usize) -> Self {
        let mut text = String::new();
        for n in 0..rules {
            // Writing to a string does not fail.
            let _ = match shape {
                Shape::Hosts => rule(&mut text, n, &format!("host = \"{}\"", pattern(n))),
                Shape::Clients => {
                    let network = format!("client = \"{}/28\"", client(n));
                    rule(&mut text, n, &network)
                }
            };
        }
        let asked = (0..rules.max(8)).map(|n| (n * PRIME + 1) % rules.max(8));
        let asked = asked.map(|n| match (n % 8, shape) {
            (7, _) => (authority("nobody-knows.example.net"), client(rules + n)),
            (_, Shape::Hosts) => (authority(&name(n % rules)), client(0)),
            (_, Shape::Clients) => (authority("www.example.com"), client(n % rules)),
        });
        Self {
            policy: policy(&text),
            headers: HeaderMap::new(),
            asked: asked.collect(),
            addresses: [SocketAddr::from(([198, 51, 101, 7], 443))],
        }
    }

    /// The requests, from 0.
    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }

    /// The first moment. Whether it is allowed.
    pub(crate) fn decide(&self, nth: usize) -> bool {
        matches!(self.verdict(nth).1, Verdict::Allow(_))
    }

    /// Both moments, the second one with an address. Whether it is allowed.
    pub(crate) fn judge(&self, nth: usize) -> bool {
        let (facts, verdict) = self.verdict(nth);
        match verdict {
            Verdict::Allow(grant) => {
                let own = |_: SocketAddr| false;
                let permit = self.policy.confirm(&grant, &facts, &self.addresses, &own);
                black_box(permit).is_ok()
            }
            Verdict::Deny(_) => false,
        }
    }

    fn verdict(&self, nth: usize) -> (Facts<'_>, Verdict) {
        let (authority, client) = self.asked.get(nth).expect("there is such a request");
        let facts = Facts {
            listener: "egress",
            client: *client,
            principal: None,
            authority,
            scheme: Scheme::Tunnel,
            method: Some(&Method::CONNECT),
            path: None,
            headers: Some(&self.headers),
            now: Timestamp::UNIX_EPOCH,
            hello: Look::Later,
            resolved: None,
            named_by: NamedBy::Client,
        };
        let facts = black_box(facts);
        let verdict = black_box(self.policy.decide(&facts));
        (facts, verdict)
    }
}

/// Nearly all allow, as in a list of what may leave.
fn rule(text: &mut String, n: usize, condition: &str) -> std::fmt::Result {
    let action = if n % 16 == 5 { "deny" } else { "allow" };
    writeln!(
        text,
        "[[rule]]\nname = \"rule {n}\"\n{action} = {{}}\n{condition}\nport = [80, 443]"
    )
}

fn pattern(n: usize) -> String {
    match n % 4 {
        0 => format!("*.team-{n}.example.com"),
        _ => name(n),
    }
}

fn name(n: usize) -> String {
    format!("api.team-{n}.example.com")
}

/// An address in a network of 16 that no other number has.
fn client(n: usize) -> IpAddr {
    let offset = u32::try_from(n * 16).expect("there are not so many rules");
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + offset).into()
}

fn authority(host: &str) -> Authority {
    Authority::parse(host, Some(443)).expect("generated names are hosts")
}

fn policy(text: &str) -> Policy {
    let faults = Faults::new();
    let table = Table::parse(&Source::new("policy.toml", text), &faults);
    let policy = Policy::read("bench", table, &Lists::new(), &faults);
    assert!(faults.is_empty(), "{:?}", faults.into_vec().first());
    policy.expect("there is no fault")
}

/// Requests do not come in the order of the rules.
const PRIME: usize = 7_919;
