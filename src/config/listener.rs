//! `[[listener]]`: where clients come in, what is spoken there, and which policy decides.

use std::net::SocketAddr;
use std::sync::Arc;

use super::PolicyConfig;
use super::balanced::{self, Balanced};
use super::gateway::{self, Forwarded};
use super::upstreams::Upstreams;
use crate::auth::Authenticator;
use crate::fault::{Fault, Faults, suggest};
use crate::listener::{Accepted, Limits, ProxyHeaders};
use crate::message::Via;
use crate::mode::Entry;
use crate::mode::table::{self, MODES};
use crate::policy::Policy;
use crate::proxy_protocol::Transport;
use crate::settings::{FromValue, Located, Table, Value};
use crate::tls::acceptor::{Inside, Server};

/// A listener that was read.
#[derive(Debug)]
pub struct ListenerConfig {
    /// Its name, unique.
    pub name: Arc<str>,
    /// The addresses that it binds.
    pub bind: Vec<Located<SocketAddr>>,
    /// How its connections are served.
    pub mode: &'static Entry,
    /// The name of its policy.
    pub policy_name: String,
    /// Its policy.
    pub policy: Arc<Policy>,
    /// How its clients are known.
    pub auth: Option<Arc<Authenticator>>,
    /// Its limits.
    pub limits: Limits,
    /// What it speaks.
    pub accepted: Accepted,
    /// Whose PROXY headers it believes.
    pub proxy_headers: ProxyHeaders,
    /// Its TLS, where it speaks that.
    pub tls: Option<Arc<Server>>,
    /// Where its connections go, where it balances them.
    pub balanced: Option<Balanced>,
    /// What it believes of where requests come from, where it is a gateway's.
    pub forwarded: Forwarded,
    /// The name that it signs with.
    pub via: Via,
}

impl ListenerConfig {
    /// What it binds its addresses for.
    pub fn transport(&self) -> Transport {
        let balanced = self.balanced.as_ref();
        balanced.map_or(Transport::Stream, |balanced| balanced.transport)
    }
}

/// The policies that were read, and the names of all that are declared.
type Policies<'a> = (&'a [PolicyConfig], &'a [String]);

pub(super) fn read_all(
    root: &Table,
    (policies, upstreams): (Policies<'_>, &Upstreams),
    via: &Via,
    faults: &Faults,
) -> Vec<ListenerConfig> {
    let tables: Vec<Table> = root
        .require(
            "listener",
            "add one: [[listener]] with name, bind, mode and policy",
            faults,
        )
        .unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    let mut listeners = Vec::new();
    for table in tables {
        let mode = table
            .require::<Located<String>>("mode", "mode = \"forward\"", faults)
            .and_then(|word| read_mode(&word, faults));
        let name = read_name(&table, mode, &mut names, faults);
        let given = (policies, upstreams);
        if let Some(listener) = read(table, (name, mode), given, via, faults) {
            listeners.push(listener);
        }
    }
    check_addresses(&listeners, faults);
    listeners
}

/// Two sockets of this process on one address would share its connections between two listeners, as the kernel likes.
fn check_addresses(listeners: &[ListenerConfig], faults: &Faults) {
    let mut seen: Vec<(Transport, SocketAddr)> = Vec::new();
    let all = listeners.iter().flat_map(|listener| {
        let binds = listener.bind.iter();
        binds.map(|bind| (listener.transport(), bind))
    });
    // Port 0 is another port each time.
    for (transport, bind) in all.filter(|(_, bind)| bind.value.port() != 0) {
        let address = bind.value;
        let seen_here = || {
            let seen = seen.iter().filter(|(of, _)| *of == transport);
            seen.map(|(_, address)| address)
        };
        let wide = |other: &&SocketAddr| {
            let any = other.ip().is_unspecified() || address.ip().is_unspecified();
            any && other.port() == address.port() && other.is_ipv4() == address.is_ipv4()
        };
        let problem = if seen_here().any(|other| *other == address) {
            Some(format!("{address} is bound twice"))
        } else {
            let other = seen_here().find(wide);
            other.map(|other| format!("{address} meets {other}, which is bound already"))
        };
        if let Some(problem) = problem {
            faults.push(Fault::at(
                &bind.at,
                problem,
                "give each listener an address or a port of its own",
            ));
        }
        seen.push((transport, address));
    }
}

/// The name; of a mode for which the operator names the upstreams, that is allowed to be none.
fn read_name(
    table: &Table,
    mode: Option<&'static Entry>,
    names: &mut Vec<String>,
    faults: &Faults,
) -> Option<Arc<str>> {
    let mode = mode.filter(|mode| mode.opaque || mode.gateway);
    let name: Option<Located<String>> = match mode {
        Some(_) => table.take("name", faults),
        None => {
            let remedy = "name the listener; records and rules call it so";
            table.require("name", remedy, faults)
        }
    };
    let Some(name) = name else {
        let mode = mode?.name;
        let numbered = (2..).map(|number| format!("{mode}-{number}"));
        let mut free = std::iter::once(mode.to_owned()).chain(numbered);
        let name = free.find(|name| !names.contains(name))?;
        names.push(name.clone());
        return Some(name.into());
    };
    if names.contains(&name.value) {
        faults.push(Fault::at(
            &name.at,
            format!("there are two listeners named \"{}\"", name.value),
            "give each a name of its own",
        ));
        return None;
    }
    names.push(name.value.clone());
    Some(name.value.into())
}

fn read(
    table: Table,
    (name, mode): (Option<Arc<str>>, Option<&'static Entry>),
    (policies, upstreams): (Policies<'_>, &Upstreams),
    via: &Via,
    faults: &Faults,
) -> Option<ListenerConfig> {
    let bind =
        table.require::<Vec<Located<SocketAddr>>>("bind", "bind = \"127.0.0.1:3128\"", faults);
    let (policy_name, policy) = read_policy(&table, mode, name.as_ref(), policies, faults);
    let balanced = balanced::read(&table, mode, upstreams, faults);
    let forwarded = gateway::read(&table, mode, faults);
    let accepted = table.take_or("accept", Accepted::default(), faults);
    let tls_value = table.take_value("tls");
    let tls_at = tls_value.as_ref().map(|value| value.at.clone());
    let inside = match (mode.is_some_and(|mode| mode.opaque), accepted.http2) {
        (true, _) => Inside::Anything,
        (false, true) => Inside::Http,
        (false, false) => Inside::Http1,
    };
    let tls = tls_value.and_then(|value| {
        let shown = name.as_deref().unwrap_or_default();
        Server::read(value, shown, inside, faults).map(Arc::new)
    });
    let certificates = tls.as_ref().is_some_and(|tls| tls.asks_certificate());
    let (auth, groups) = (table.take_value("auth"), table.take_value("groups"));
    let asked = auth.is_some() || groups.is_some() || certificates;
    let auth = if asked {
        Authenticator::read(auth, groups, certificates, faults).map(Arc::new)
    } else {
        None
    };
    let limits = read_limits(&table, balanced.as_ref(), faults);
    let proxy_headers = table.take::<Located<ProxyHeaders>>("proxy-protocol", faults);
    let headers = proxy_headers
        .as_ref()
        .map(|given| (&given.value, &given.at));
    balanced::check(balanced.as_ref(), headers, tls_at.as_ref(), faults);
    if let Some(balanced) = &balanced {
        balanced::check_tls(balanced, tls_at.is_some(), upstreams, faults);
    }
    let via = table.take_or("via", via.clone(), faults);
    table.finish(faults);
    Some(ListenerConfig {
        name: name?,
        bind: bind?,
        mode: mode?,
        policy_name: policy_name?,
        policy: policy?,
        auth,
        limits,
        accepted,
        proxy_headers: proxy_headers.map(|given| given.value).unwrap_or_default(),
        tls,
        balanced,
        forwarded,
        via,
    })
}

/// The limits of connections; of datagrams, those that stand in `udp`.
fn read_limits(table: &Table, balanced: Option<&Balanced>, faults: &Faults) -> Limits {
    let given = table.take::<Table>("limits", faults);
    let datagrams = balanced.is_some_and(Balanced::is_of_datagrams);
    if let Some(given) = given.as_ref().filter(|_| datagrams) {
        let problem = "these limits are of connections, and this listener takes datagrams";
        let remedy = "write udp = { flows = …, flows-per-client = …, idle = … } in the listener";
        faults.push(Fault::at(&given.at, problem, remedy));
    }
    let limits = given.map_or_else(Limits::default, |table| Limits::read(table, faults));
    match balanced {
        Some(balanced) => balanced.limit(limits),
        None => limits,
    }
}

/// The policy; of a mode whose upstreams the operator names, that is allowed to be none.
fn read_policy(
    table: &Table,
    mode: Option<&'static Entry>,
    listener: Option<&Arc<str>>,
    policies: Policies<'_>,
    faults: &Faults,
) -> (Option<String>, Option<Arc<Policy>>) {
    if mode.is_some_and(|mode| mode.opaque || mode.gateway) {
        let Some(named) = table.take::<Located<String>>("policy", faults) else {
            let name = listener.map(|name| name.to_string());
            let policy = name.as_deref().map(|name| Arc::new(Policy::open(name)));
            return (name, policy);
        };
        let policy = find_policy(&named, policies, faults);
        return (Some(named.value), policy);
    }
    let named = table.require::<Located<String>>(
        "policy",
        "policy = \"NAME\", with [policy.NAME] beside it",
        faults,
    );
    let found = named.as_ref();
    let policy = found.and_then(|name| find_policy(name, policies, faults));
    (named.map(|name| name.value), policy)
}

fn read_mode(word: &Located<String>, faults: &Faults) -> Option<&'static Entry> {
    let found = table::find(&word.value);
    if found.is_none() {
        let known: Vec<&str> = MODES.iter().map(|entry| entry.name).collect();
        faults.push(Fault::at(
            &word.at,
            format!("\"{}\" is not a mode", word.value),
            suggest(&word.value, &known),
        ));
    }
    found
}

/// A policy that is declared but faulty has told its own faults: only a name that nobody declares is one here.
fn find_policy(
    name: &Located<String>,
    (policies, declared): Policies<'_>,
    faults: &Faults,
) -> Option<Arc<Policy>> {
    if !declared.contains(&name.value) {
        let known: Vec<&str> = declared.iter().map(String::as_str).collect();
        let remedy = if known.is_empty() {
            format!("add [policy.{}]", name.value)
        } else {
            suggest(&name.value, &known)
        };
        faults.push(Fault::at(
            &name.at,
            format!("there is no policy \"{}\"", name.value),
            remedy,
        ));
        return None;
    }
    let found = policies.iter().find(|policy| policy.name == name.value);
    found.map(|policy| policy.policy.clone())
}

impl FromValue for SocketAddr {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let at = value.at.clone();
        let text = String::from_value(value, faults)?;
        let address = text.parse();
        if address.is_err() {
            let problem = format!("\"{text}\" is not an address with a port");
            faults.push(Fault::at(
                &at,
                problem,
                "write \"127.0.0.1:3128\", \"0.0.0.0:3128\" or \"[::]:3128\"",
            ));
        }
        address.ok()
    }
}
