//! Which live flows are meant: `user=alice,host=*.example.com,age>10m`; all conditions must hold.
//! Not the policy's conditions: it names what already lives.
//! Start at [`Filter::parse`].

use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use super::{Flow, FlowKind};
use crate::addr::HostPattern;
use crate::fault::{Fault, suggest};
use crate::report::RequestId;
use crate::settings::parse_duration;

/// Conditions over flows, at least one. May be shared between workers.
#[derive(Debug, Clone)]
pub struct Filter(Vec<Condition>);

#[derive(Debug, Clone)]
enum Condition {
    User(String),
    Group(String),
    Client(IpNet),
    Host(HostPattern),
    Rule(String),
    Listener(String),
    Id(RequestId),
    Kind(FlowKind),
    Older(Duration),
    Younger(Duration),
}

impl Filter {
    /// Reads conditions `key=value` joined by commas; `age` is compared with `>` or `<`. A value may stand in quotes, and
    /// then hold commas, as names of rules do.
    ///
    /// Errors: what can not be read, and an empty filter: to mean everything, say `host=*`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let conditions = split(text)?
            .into_iter()
            .map(Condition::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if conditions.is_empty() {
            return Err(Fault::new(
                "the filter is empty",
                "write a condition such as user=alice; host=* means every flow",
            ));
        }
        Ok(Self(conditions))
    }

    /// Whether all conditions hold for the flow.
    pub fn matches(&self, flow: &Flow, now: Instant) -> bool {
        self.0.iter().all(|condition| condition.holds(flow, now))
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, Fault> {
        let Some(at) = text.find(['=', '<', '>']) else {
            return Err(Fault::new(
                format!("\"{text}\" is not a condition"),
                format!("write key=value, or age>10m ({})", suggest(text, KEYS)),
            ));
        };
        let (key, rest) = text.split_at(at);
        let (sign, value) = rest.split_at(1);
        let (key, value) = (key.trim(), unquote(value.trim()));
        if !KEYS.contains(&key) {
            return Err(Fault::new(
                format!("unknown key \"{key}\""),
                suggest(key, KEYS),
            ));
        }
        if (key == "age") == (sign == "=") {
            return Err(Fault::new(
                format!("\"{text}\": {key} is not compared with {sign}"),
                if key == "age" {
                    "write age>10m or age<5s".to_owned()
                } else {
                    format!("write {key}={value}")
                },
            ));
        }
        if value.is_empty() {
            return Err(Fault::new(
                format!("\"{text}\" has no value"),
                format!("write {key}{sign} and a value"),
            ));
        }
        Self::read(key, sign, value)
    }

    fn read(key: &str, sign: &str, value: &str) -> Result<Self, Fault> {
        let fault = |problem: String, remedy: &str| {
            Fault::new(format!("{key}{sign}{value}: {problem}"), remedy)
        };
        Ok(match key {
            "user" => Self::User(value.to_owned()),
            "group" => Self::Group(value.to_owned()),
            "rule" => Self::Rule(value.to_owned()),
            "listener" => Self::Listener(value.to_owned()),
            "host" => Self::Host(HostPattern::parse(value).map_err(|error| {
                fault(
                    error.to_string(),
                    "write a name, an address, or a pattern such as *.example.com",
                )
            })?),
            "client" => Self::Client(parse_net(value).ok_or_else(|| {
                fault(
                    "not an address".to_owned(),
                    "write an address or a network such as 10.0.0.0/8",
                )
            })?),
            "id" => Self::Id(value.parse().map_err(|error: crate::report::IdError| {
                fault(
                    error.to_string(),
                    "copy the id from a record, an answer, or `egret flows`",
                )
            })?),
            "kind" => Self::Kind(match value {
                "tunnel" => FlowKind::Tunnel,
                "exchange" => FlowKind::Exchange,
                _ => {
                    return Err(fault(
                        "not a kind of flow".to_owned(),
                        &suggest(value, &["tunnel", "exchange"]),
                    ));
                }
            }),
            _ => {
                let age = parse_duration(value).map_err(|problem| {
                    fault(problem, "write a duration such as 90s, 10m or 1h30m")
                })?;
                if sign == ">" {
                    Self::Older(age)
                } else {
                    Self::Younger(age)
                }
            }
        })
    }

    fn holds(&self, flow: &Flow, now: Instant) -> bool {
        let facts = &flow.facts;
        let age = || now.duration_since(facts.started);
        match self {
            Self::User(name) => facts.principal.as_deref() == Some(name),
            Self::Group(name) => facts
                .groups
                .iter()
                .flat_map(|groups| groups.iter())
                .any(|group| **group == **name),
            // A dual-stack socket shows an IPv4 client as a mapped address.
            Self::Client(net) => net.contains(&facts.client.ip().to_canonical()),
            Self::Host(pattern) => pattern.matches(&facts.authority.host),
            Self::Rule(name) => flow.rule().as_deref() == Some(name),
            Self::Listener(name) => *facts.listener == **name,
            Self::Id(id) => facts.id == *id,
            Self::Kind(kind) => facts.kind == *kind,
            Self::Older(limit) => age() > *limit,
            Self::Younger(limit) => age() < *limit,
        }
    }
}

/// The parts between commas that stand outside quotes; empty ones are left out.
fn split(text: &str) -> Result<Vec<&str>, Fault> {
    let mut quoted = false;
    let parts: Vec<&str> = text
        .split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        })
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    if quoted {
        return Err(Fault::new(
            format!("a quote is not closed in {text}"),
            "close it with \"",
        ));
    }
    Ok(parts)
}

fn unquote(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

fn parse_net(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().or_else(|_| {
        text.parse::<std::net::IpAddr>()
            .map(|ip| IpNet::from(ip.to_canonical()))
    });
    net.ok()
}

const KEYS: &[&str] = &[
    "user", "group", "client", "host", "rule", "listener", "id", "kind", "age",
];
