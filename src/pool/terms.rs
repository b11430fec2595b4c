//! How one upstream is spoken to: under TLS or not, whom we believe and who we are, which HTTP, within what limits.
//! Knows no endpoint and opens nothing: a [`Key`](super::Key) carries it to whoever does.
//! Start at [`Terms::read`].

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;

use super::connection::{is_websocket, needs_http1};
use super::{Origin, Settings};
use crate::addr::{Authority, Host};
use crate::fault::{Fault, Faults, Location};
use crate::settings::{KeyDigest, Kind, Located, Table, Value, one_of};
use crate::tls::connector::{self, Offered, Pins, Trust};

/// How one upstream is spoken to. Read off the workers and shared by them.
///
/// Two are equal if connections of one may carry requests of the other: after a reload that changed nothing which a connection
/// depends on, [`Terms::keeping`] gives the new ones the identity of the old, so that kept connections are used on.
#[derive(Debug, Clone)]
pub struct Terms {
    id: u64,
    tls: Option<Tls>,
    protocol: Protocol,
    limits: Settings,
    connections: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tls {
    trust: Trust,
    pins: Pins,
    name: Option<Host>,
}

/// Which HTTP is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// `auto`: under TLS what the endpoint chooses (ALPN), in the clear HTTP/1.1.
    #[default]
    Auto,
    /// `http/1.1`.
    Http1,
    /// `h2`: HTTP/2 under TLS; an endpoint that does not choose it is not spoken to.
    Http2,
    /// `h2c`: HTTP/2 in the clear, by prior knowledge (RFC 9113 §3.3).
    Http2Clear,
}

impl Protocol {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("http/1.1", Self::Http1),
        ("h2", Self::Http2),
        ("h2c", Self::Http2Clear),
    ];
}

impl Terms {
    /// Takes its keys from the table of an upstream, and leaves the others: `tls` (`true`, `false` or a table), `protocol`,
    /// `timeouts`, `keep-alive`, `connections`. What is not said is as `[pool]` and `[tls]` say it (`base`). Blocks on the disk.
    ///
    /// `None` after a fault.
    pub fn read(table: &Table, base: &Origin, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let at = table.at.clone();
        let tls = table
            .take_value("tls")
            .and_then(|value| read_tls(value, &base.trust, faults));
        let protocol = table.take::<Located<String>>("protocol", faults);
        let protocol = protocol.map_or(Some(Protocol::Auto), |word| {
            let protocol = one_of(&word, Protocol::WORDS, faults)?;
            // Where `tls` is itself at fault, nothing is known of it.
            if faults.len() == before {
                check(protocol, tls.is_some(), &word.at, faults);
            }
            Some(protocol)
        });
        let mut limits = base.settings;
        if let Some(table) = table.take::<Table>("timeouts", faults) {
            limits.connect = table.take_time("connect", faults).unwrap_or(limits.connect);
            limits.response = table
                .take_time("response", faults)
                .unwrap_or(limits.response);
            limits.body_idle = table
                .take_time("body-idle", faults)
                .unwrap_or(limits.body_idle);
            table.finish(faults);
        }
        if let Some(table) = table.take::<Table>("keep-alive", faults) {
            limits.idle = table.take_or("idle", limits.idle, faults);
            limits.idle_per_origin = table.take_or("per-endpoint", limits.idle_per_origin, faults);
            table.finish(faults);
        }
        let connections = table.take_or("connections", usize::MAX, faults);
        if connections == 0 {
            faults.push(Fault::at(
                &at,
                "\"connections\" is 0, so that no endpoint could be reached",
                "write how many connections each worker may have to one endpoint, or leave it out for no limit",
            ));
        }
        (faults.len() == before).then_some(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            tls,
            protocol: protocol?,
            limits,
            connections,
        })
    }

    /// Takes over the identity of those before a reload, where no connection would have been made otherwise under these.
    pub fn keeping(&self, before: Option<&Arc<Self>>) -> Arc<Self> {
        let mut kept = self.clone();
        let same = |before: &&Arc<Self>| before.tls == self.tls && before.protocol == self.protocol;
        if let Some(before) = before.filter(same) {
            kept.id = before.id;
        }
        Arc::new(kept)
    }

    /// Whether it is under TLS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Which HTTP is spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Times and numbers, as `[pool]` has them.
    pub fn limits(&self) -> &Settings {
        &self.limits
    }

    /// How many connections each worker may have to one endpoint. One that became a tunnel does not count any more.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// The name that an endpoint's certificate must be valid for, and that it is asked by: the one of `server-name`, else the
    /// endpoint's own.
    pub fn host<'a>(&'a self, endpoint: &'a Authority) -> &'a Host {
        let own = self.tls.as_ref().and_then(|tls| tls.name.as_ref());
        own.unwrap_or(&endpoint.host)
    }

    /// Whether a request can only go over HTTP/1.1; see [`needs_http1`]. Where HTTP/2 is demanded, a WebSocket is opened over it
    /// (RFC 8441).
    pub fn needs_http1(&self, target: &str, host: &str, headers: &HeaderMap) -> bool {
        match self.protocol {
            Protocol::Http1 => true,
            // Without TLS nothing else can be agreed on.
            Protocol::Auto => self.tls.is_none() || needs_http1(target, host, headers),
            Protocol::Http2 | Protocol::Http2Clear if is_websocket(headers) => false,
            Protocol::Http2 | Protocol::Http2Clear => needs_http1(target, host, headers),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whom a certificate must convince, and by which keys.
    pub(super) fn trust(&self) -> Option<(&Trust, &Pins)> {
        self.tls.as_ref().map(|tls| (&tls.trust, &tls.pins))
    }

    /// Whether HTTP/2 is spoken, or nothing.
    pub(super) fn demands_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2 | Protocol::Http2Clear)
    }

    /// What is offered in TLS.
    pub(super) fn offered(&self, http1_only: bool) -> Offered {
        match self.protocol {
            Protocol::Auto if !http1_only => Offered::Any,
            Protocol::Http2 => Offered::Http2,
            Protocol::Auto | Protocol::Http1 | Protocol::Http2Clear => Offered::Http1,
        }
    }

    /// Whether HTTP/2 may come of it.
    pub(super) fn may_share(&self, http1_only: bool) -> bool {
        match self.protocol {
            Protocol::Auto => self.is_secure() && !http1_only,
            Protocol::Http1 => false,
            Protocol::Http2 | Protocol::Http2Clear => true,
        }
    }
}

impl PartialEq for Terms {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Terms {}

impl Hash for Terms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// `true`, `false`, or `{ roots, crl, min-version, pins, server-name, client }`.
fn read_tls(value: Value, base: &Trust, faults: &Faults) -> Option<Tls> {
    let at = value.at.clone();
    match value.kind {
        Kind::Bool(false) => None,
        Kind::Bool(true) => Some(Tls {
            trust: base.clone(),
            pins: Pins::default(),
            name: None,
        }),
        Kind::Table(table) => {
            let trust = connector::read_over(base, &table, faults);
            let pins: Vec<KeyDigest> = table.take_or("pins", Vec::new(), faults);
            let name = table
                .take::<Located<String>>("server-name", faults)
                .and_then(|word| read_name(&word, faults));
            table.finish(faults);
            Some(Tls {
                trust: trust?,
                pins: pins.into_iter().collect(),
                name,
            })
        }
        kind @ (Kind::Text(_)
        | Kind::Integer(_)
        | Kind::Float(_)
        | Kind::Datetime(_)
        | Kind::List(_)) => Value { kind, at }.mismatch(
            "true, or a table such as { roots = [\"internal-ca.pem\"] }",
            faults,
        ),
    }
}

fn read_name(word: &Located<String>, faults: &Faults) -> Option<Host> {
    match Host::parse(&word.value) {
        Ok(host) => Some(host),
        Err(error) => {
            faults.push(Fault::at(
                &word.at,
                format!("\"{}\" is no host: {error}", word.value),
                "write the name that the endpoints' certificates are for, such as \"app.internal\"",
            ));
            None
        }
    }
}

fn check(protocol: Protocol, secure: bool, at: &Location, faults: &Faults) {
    let (problem, remedy) = match (protocol, secure) {
        (Protocol::Http2, false) => (
            "\"h2\" is HTTP/2 under TLS, and this upstream has none",
            "add tls = true, or write protocol = \"h2c\" for HTTP/2 in the clear",
        ),
        (Protocol::Http2Clear, true) => (
            "\"h2c\" is HTTP/2 in the clear, and this upstream is under TLS",
            "write protocol = \"h2\", or take \"tls\" out",
        ),
        (_, _) => return,
    };
    faults.push(Fault::at(at, problem, remedy));
}

/// The next identity.
static NEXT: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests;
