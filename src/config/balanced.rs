//! What a listener of mode `balanced` has beside the keys of all: `to`, `transport`, `udp`.
//! Not the upstreams themselves, which are read on their own.
//! Start at [`read`].

use std::sync::Arc;
use std::time::Duration;

use super::upstreams::Upstreams;
use crate::addr::HostPattern;
use crate::fault::{Fault, Faults, Location, suggest};
use crate::listener::{Limits, ProxyHeaders};
use crate::mode::Entry;
use crate::proxy_protocol::{Transport, Version};
use crate::relay::{Balancing, Choice, DatagramLimits, Served};
use crate::settings::{FromValue, Kind, Located, Table, Value, one_of};

/// Where a balanced listener's connections, or datagrams, go.
#[derive(Debug)]
pub struct Balanced {
    /// What comes.
    pub transport: Transport,
    choices: Vec<Choice>,
    /// Where they stand.
    pub(super) at: Location,
    datagrams: DatagramLimits,
    flows: Option<(usize, usize)>,
}

impl Balanced {
    /// What the workers follow. `None` where an upstream is missing.
    pub fn build(
        &self,
        headers: &ProxyHeaders,
        served: impl Fn(&str) -> Option<Arc<Served>>,
    ) -> Option<Balancing> {
        let choices = self.choices.iter();
        let choices: Option<Vec<(Choice, Arc<Served>)>> = choices
            .map(|choice| Some((choice.clone(), served(&choice.upstream)?)))
            .collect();
        Some(Balancing::new(choices?, headers.send, self.datagrams))
    }

    /// The listener's limits: of datagrams, flows count as connections.
    pub(super) fn limit(&self, limits: Limits) -> Limits {
        match self.flows {
            None => limits,
            Some((connections, connections_per_client)) => Limits {
                connections,
                connections_per_client,
                ..limits
            },
        }
    }

    /// The names of the upstreams that what comes may go to.
    pub(super) fn upstreams(&self) -> impl Iterator<Item = &str> {
        self.choices.iter().map(|choice| choice.upstream.as_str())
    }

    /// Whether what comes may go to this upstream.
    pub(super) fn leads_to(&self, upstream: &str) -> bool {
        self.upstreams().any(|name| name == upstream)
    }

    pub(super) fn is_of_datagrams(&self) -> bool {
        self.transport == Transport::Datagram
    }
}

/// Takes the keys of the mode; of another mode, each of them that is there is a fault.
pub(super) fn read(
    table: &Table,
    mode: Option<&'static Entry>,
    upstreams: &Upstreams,
    faults: &Faults,
) -> Option<Balanced> {
    let to = table.take_value("to");
    let transport = table.take::<Located<String>>("transport", faults);
    let udp = table.take::<Table>("udp", faults);
    let mode = mode?;
    if !mode.opaque {
        let of_to = to.map(|to| ("to", to.at));
        let of_transport = transport.map(|transport| ("transport", transport.at));
        let of_udp = udp.map(|udp| ("udp", udp.at));
        for (key, at) in [of_to, of_transport, of_udp].into_iter().flatten() {
            let problem = format!("a listener of mode \"{}\" has no \"{key}\"", mode.name);
            let remedy = "write mode = \"balanced\", or take it out";
            faults.push(Fault::at(&at, problem, remedy));
        }
        return None;
    }
    let transport = transport.and_then(|word| {
        let words = [("tcp", Transport::Stream), ("udp", Transport::Datagram)];
        one_of(&word, &words, faults)
    });
    let transport = transport.unwrap_or(Transport::Stream);
    let Some(to) = to else {
        let remedy = "name an upstream: to = \"NAME\", with [upstream.NAME] beside it";
        faults.push(Fault::at(&table.at, "\"to\" is missing", remedy));
        return None;
    };
    let at = to.at.clone();
    let choices = read_choices(to, transport, upstreams, faults);
    let (datagrams, flows) = read_datagrams(udp, transport, faults);
    Some(Balanced {
        transport,
        choices,
        at,
        datagrams,
        flows,
    })
}

/// What does not go with the rest of the listener.
pub(super) fn check(
    balanced: Option<&Balanced>,
    headers: Option<(&ProxyHeaders, &Location)>,
    tls: Option<&Location>,
    faults: &Faults,
) {
    let fault = |at: &Location, problem: &str, remedy: &str| {
        faults.push(Fault::at(at, problem, remedy));
    };
    let datagrams = balanced.is_some_and(Balanced::is_of_datagrams);
    if let Some(at) = tls.filter(|_| datagrams) {
        let problem = "over datagrams there is no TLS";
        fault(
            at,
            problem,
            "take \"tls\" out, or write transport = \"tcp\"",
        );
    }
    let Some((headers, at)) = headers else {
        return;
    };
    if headers.send.is_some() && balanced.is_none() {
        let problem = "only a listener of mode \"balanced\" sends PROXY headers";
        fault(at, problem, "take \"send\" out");
    }
    if datagrams && headers.trusts_any() {
        let problem = "PROXY headers are not read from datagrams: anybody could have sent them";
        fault(at, problem, "take \"accept-from\" out");
    }
    if datagrams && headers.send == Some(Version::V1) {
        let problem = "version 1 of the PROXY protocol has no datagrams";
        fault(at, problem, "write send = \"v2\"");
    }
}

/// What goes to an upstream under TLS must be something that TLS can be put around.
pub(super) fn check_tls(
    balanced: &Balanced,
    ends_tls: bool,
    upstreams: &Upstreams,
    faults: &Faults,
) {
    let looks = |choice: &Choice| !choice.sni.is_empty() || !choice.alpn.is_empty();
    let passes_tls = !ends_tls && balanced.choices.iter().any(looks);
    let secure = |choice: &&Choice| {
        let mut all = upstreams.read.iter();
        all.any(|read| *read.name == *choice.upstream && read.terms.is_secure())
    };
    let Some(choice) = balanced.choices.iter().find(secure) else {
        return;
    };
    let name = &choice.upstream;
    let (problem, remedy) = if balanced.is_of_datagrams() {
        (
            format!("upstream \"{name}\" is under TLS, and datagrams have none"),
            format!("take \"tls\" out of [upstream.{name}], or write transport = \"tcp\""),
        )
    } else if passes_tls {
        (
            format!(
                "clients' own TLS passes through here, and upstream \"{name}\" would put it into another TLS"
            ),
            format!(
                "take \"tls\" out of [upstream.{name}], or end the clients' TLS here: tls = {{ … }} in the listener"
            ),
        )
    } else {
        return;
    };
    faults.push(Fault::at(&balanced.at, problem, remedy));
}

/// `"NAME"`, `{ sni, alpn, upstream }`, or an array of these.
fn read_choices(
    to: Value,
    transport: Transport,
    upstreams: &Upstreams,
    faults: &Faults,
) -> Vec<Choice> {
    let at = to.at.clone();
    let values = match to.kind {
        Kind::List(values) => values,
        kind @ (Kind::Text(_)
        | Kind::Table(_)
        | Kind::Integer(_)
        | Kind::Float(_)
        | Kind::Bool(_)
        | Kind::Datetime(_)) => vec![Value { kind, at: to.at }],
    };
    if values.is_empty() {
        let remedy = "name an upstream: to = \"NAME\"";
        faults.push(Fault::at(&at, "\"to\" names no upstream", remedy));
    }
    let mut choices = Vec::new();
    let mut seen = Seen::default();
    for value in values {
        let at = value.at.clone();
        let Some(choice) = read_choice(value, upstreams, faults) else {
            continue;
        };
        let looks = !choice.sni.is_empty() || !choice.alpn.is_empty();
        if looks && transport == Transport::Datagram {
            let problem = "datagrams do not begin with a name or a protocol to go by";
            faults.push(Fault::at(&at, problem, "name one upstream: to = \"NAME\""));
        }
        seen.add(&choice, &at, faults);
        choices.push(choice);
    }
    choices
}

/// What earlier choices are for: another one of the same would never be chosen.
#[derive(Default)]
struct Seen(Vec<(String, Option<Box<str>>)>);

impl Seen {
    fn add(&mut self, choice: &Choice, at: &Location, faults: &Faults) {
        let names: Vec<String> = match choice.sni.is_empty() {
            true => vec![String::new()],
            false => choice.sni.iter().map(name_of).collect(),
        };
        let protocols: Vec<Option<Box<str>>> = match choice.alpn.is_empty() {
            true => vec![None],
            false => choice.alpn.iter().cloned().map(Some).collect(),
        };
        for name in &names {
            for protocol in &protocols {
                let key = (name.clone(), protocol.clone());
                if self.0.contains(&key) {
                    let problem = format!("another choice is for {} already", words(&key));
                    let remedy = "each name and protocol goes to one upstream";
                    faults.push(Fault::at(at, problem, remedy));
                    return;
                }
                self.0.push(key);
            }
        }
    }
}

fn name_of(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Below(suffix) => format!("*{suffix}"),
        HostPattern::Glob(text, _) => text.to_string(),
        HostPattern::Any => "*".to_owned(),
    }
}

fn words((name, protocol): &(String, Option<Box<str>>)) -> String {
    match (name.as_str(), protocol) {
        ("", None) => "whatever comes".to_owned(),
        ("", Some(protocol)) => format!("\"{protocol}\""),
        (name, None) => format!("\"{name}\""),
        (name, Some(protocol)) => format!("\"{name}\" with \"{protocol}\""),
    }
}

fn read_choice(value: Value, upstreams: &Upstreams, faults: &Faults) -> Option<Choice> {
    if let Kind::Text(_) = value.kind {
        let name = Located::<String>::from_value(value, faults)?;
        upstreams.check(&name, faults)?;
        return Some(Choice {
            upstream: name.value,
            ..Choice::default()
        });
    }
    let Kind::Table(table) = value.kind else {
        return value.mismatch(
            "the name of an upstream, or { sni, alpn, upstream }",
            faults,
        );
    };
    let names: Option<Vec<Located<String>>> = table.take("sni", faults);
    let protocols: Option<Vec<Located<String>>> = table.take("alpn", faults);
    for (key, list) in [("sni", &names), ("alpn", &protocols)] {
        if list.as_ref().is_some_and(Vec::is_empty) {
            let problem = format!("\"{key}\" is empty, and would never hold");
            faults.push(Fault::at(
                &table.at,
                problem,
                "leave it out for whatever comes",
            ));
        }
    }
    let name: Option<Located<String>> =
        table.require("upstream", "name the upstream that it goes to", faults);
    table.finish(faults);
    let sni = names.iter().flatten();
    let alpn = protocols.iter().flatten();
    let choice = Choice {
        sni: sni.filter_map(|name| read_name(name, faults)).collect(),
        alpn: alpn
            .filter_map(|protocol| read_protocol(protocol, faults))
            .collect(),
        upstream: name.as_ref()?.value.clone(),
    };
    upstreams.check(&name?, faults)?;
    Some(choice)
}

/// RFC 6066 §3: a name, never an address.
fn read_name(text: &Located<String>, faults: &Faults) -> Option<HostPattern> {
    let pattern = HostPattern::parse(&text.value);
    let good = match &pattern {
        Ok(HostPattern::Exact(host)) => host.name().is_some(),
        Ok(HostPattern::Below(_)) => true,
        Ok(HostPattern::Any | HostPattern::Glob(..)) | Err(_) => false,
    };
    if !good {
        let problem = format!("\"{}\" is not a name that a client asks for", text.value);
        let remedy = "write \"a.example\" or \"*.b.example\"; for all names, leave \"sni\" out";
        faults.push(Fault::at(&text.at, problem, remedy));
    }
    pattern.ok().filter(|_| good)
}

/// RFC 7301 §3.1: 1 to 255 bytes.
fn read_protocol(text: &Located<String>, faults: &Faults) -> Option<Box<str>> {
    let good = (1..=255).contains(&text.value.len());
    if !good {
        let problem = "the name of a protocol has 1 to 255 bytes";
        faults.push(Fault::at(&text.at, problem, "write \"h2\" or \"http/1.1\""));
    }
    good.then(|| text.value.as_str().into())
}

/// `udp = { idle = "60s", replies = 1, flows = 16384, flows-per-client = 1024 }`.
fn read_datagrams(
    table: Option<Table>,
    transport: Transport,
    faults: &Faults,
) -> (DatagramLimits, Option<(usize, usize)>) {
    let default = DatagramLimits::default();
    let is_udp = transport == Transport::Datagram;
    let Some(table) = table else {
        return (default, is_udp.then_some((FLOWS, FLOWS_PER_CLIENT)));
    };
    if !is_udp {
        let problem = "\"udp\" is for a listener with transport = \"udp\"";
        faults.push(Fault::at(
            &table.at,
            problem,
            "take it out, or write transport = \"udp\"",
        ));
    }
    let idle = table.take::<Located<Duration>>("idle", faults);
    let replies = table.take::<Located<u32>>("replies", faults);
    let flows = table.take::<Located<usize>>("flows", faults);
    let of_client = table.take::<Located<usize>>("flows-per-client", faults);
    table.finish(faults);
    let zero = |at: &Location, key: &str| {
        let problem = format!("with {key} at 0, no client could be served");
        faults.push(Fault::at(
            at,
            problem,
            "write more, or leave it out for the default",
        ));
    };
    if let Some(idle) = idle.as_ref().filter(|idle| idle.value.is_zero()) {
        zero(&idle.at, "idle");
    }
    if let Some(replies) = replies.as_ref().filter(|replies| replies.value == 0) {
        zero(&replies.at, "replies");
    }
    let number = |given: Option<Located<usize>>, key: &str, default: usize| {
        if let Some(given) = given.as_ref().filter(|given| given.value == 0) {
            zero(&given.at, key);
        }
        given.map_or(default, |given| given.value)
    };
    let flows = (
        number(flows, "flows", FLOWS),
        number(of_client, "flows-per-client", FLOWS_PER_CLIENT),
    );
    let limits = DatagramLimits {
        idle: idle.map_or(default.idle, |idle| idle.value),
        replies: replies.map(|replies| replies.value),
    };
    (limits, is_udp.then_some(flows))
}

impl Upstreams {
    /// An upstream that is declared but faulty has told its own faults: only a name that nobody declares is one here.
    pub(super) fn check(&self, name: &Located<String>, faults: &Faults) -> Option<()> {
        if self.declared.iter().any(|known| **known == *name.value) {
            return Some(());
        }
        let known: Vec<&str> = self.declared.iter().map(AsRef::as_ref).collect();
        let remedy = if known.is_empty() {
            format!("add [upstream.{}]", name.value)
        } else {
            suggest(&name.value, &known)
        };
        let problem = format!("there is no upstream \"{}\"", name.value);
        faults.push(Fault::at(&name.at, problem, remedy));
        None
    }
}

/// Flows of a listener at once, over all workers: each has a descriptor.
const FLOWS: usize = 16_384;

/// Flows of one client address at once.
const FLOWS_PER_CLIENT: usize = 1_024;
