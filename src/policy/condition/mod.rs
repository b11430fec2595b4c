//! What a rule may ask of the facts: one file for each condition, one line for each in the table.
//! Not the rules: which conditions a rule has, and what `not` and `when` make of them, is `policy/rule.rs`.
//! Start at [`Condition`]; [`CONDITIONS`] is the list.

mod address;
mod alpn;
mod client;
mod ech;
mod fingerprint;
mod group;
mod header;
mod host;
mod listener;
mod method;
mod path;
mod port;
mod principal;
mod scheme;
mod sni;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod tls_version;

pub(super) use header::NAME as FIELDS;
pub(crate) use method::read_method;
pub use table::CONDITIONS;

use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use ipnet::{IpNet, Ipv4Net};
use serde::Serialize;

use super::{Facts, ListLookup, Lists};
use crate::addr::HostMap;
use crate::fault::{Fault, Faults, nearest};
use crate::settings::{FromValue, Located, Value};

/// What a condition says of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// The fact that it asks for is not known.
    Unknown,
}

impl Truth {
    /// The truth of the opposite; what is not known stays so.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Which facts, unknown now, a condition may still learn. Without any, what is unknown to it stays unknown for this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waits {
    /// The address that the name resolves to.
    pub address: bool,
    /// The ClientHello of a tunnel.
    pub hello: bool,
    /// The requests inside a tunnel, where it is intercepted.
    pub request: bool,
}

impl Waits {
    /// Waits for the address.
    pub const ADDRESS: Self = Self {
        address: true,
        hello: false,
        request: false,
    };
    /// Waits for the hello.
    pub const HELLO: Self = Self {
        address: false,
        hello: true,
        request: false,
    };
    /// Waits for the request.
    pub const REQUEST: Self = Self {
        address: false,
        hello: false,
        request: true,
    };

    /// Waits for what either waits for.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            address: self.address || other.address,
            hello: self.hello || other.hello,
            request: self.request || other.request,
        }
    }
}

/// One condition of a rule. Pure: no socket, no DNS, no clock.
pub trait Condition: Debug + Send + Sync {
    /// Whether it holds for these facts.
    fn holds(&self, facts: &Facts<'_>) -> Truth;

    /// The fact that it looks at, as people write it; `None` where that is not known.
    fn saw(&self, facts: &Facts<'_>) -> Option<String>;

    /// The value that, added to the condition, would make it hold; in TOML. `None` where no value does that.
    fn widened(&self, _facts: &Facts<'_>) -> Option<String> {
        None
    }

    /// The written form, where the operator's own text must not be shown.
    fn written(&self) -> Option<String> {
        None
    }

    /// Which facts it waits for.
    fn waits(&self) -> Waits {
        Waits::default()
    }

    /// Whether it names this address, so that the guard lets a rule with it pass.
    fn names(&self, _ip: IpAddr) -> bool {
        false
    }

    /// Whether it names this very address, by itself and not as one of many: what opens a listener of the proxy's own.
    fn names_exactly(&self, _ip: IpAddr) -> bool {
        false
    }

    /// Whether it holds for hosts that it names, one by one or by a part of their names, and for no others.
    fn names_hosts(&self) -> bool {
        false
    }

    /// The hosts outside of which it can not hold, where these are known as exact names and suffixes.
    fn hosts(&self) -> Option<&HostMap<()>> {
        None
    }

    /// The networks of clients outside of which it can not hold.
    fn client_networks(&self) -> Option<&[IpNet]> {
        None
    }
}

/// One condition: its key in a rule, one line about it, and how it is made of a value.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The key.
    pub name: &'static str,
    /// What it asks, in one line.
    pub summary: &'static str,
    /// Builds it; faults go to the ground, and then there is none.
    pub build: fn(Value, Ground<'_>) -> Option<Arc<dyn Condition>>,
}

impl Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What a condition is built with.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The lists that may be named.
    pub lists: &'a Lists,
    /// Where faults go.
    pub faults: &'a Faults,
}

impl Ground<'_> {
    /// One value or an array of them, at least one.
    fn several<T: FromValue>(&self, value: Value) -> Option<Vec<Located<T>>> {
        let at = value.at.clone();
        let before = self.faults.len();
        let items = Vec::<Located<T>>::from_value(value, self.faults)?;
        if items.is_empty() && self.faults.len() == before {
            self.faults.push(Fault::at(
                &at,
                "an empty array holds for nothing",
                "name at least one value, or leave the condition out",
            ));
        }
        (self.faults.len() == before).then_some(items)
    }

    /// The list behind `@name`; `None` (and a fault) where there is none.
    fn list(&self, name: &str, item: &Located<String>) -> Option<ListRef> {
        let found = self.lists.get(name).cloned();
        if found.is_none() {
            let known = || self.lists.keys().map(String::as_str);
            let remedy = match nearest(name, known()) {
                Some(near) => format!("Did you mean \"@{near}\"?"),
                None => format!("add a [list.{name}] with hosts or a file"),
            };
            let problem = format!("there is no list \"{name}\"");
            self.faults.push(Fault::at(&item.at, problem, remedy));
        }
        found.map(|lookup| ListRef { lookup })
    }

    /// Adds a fault; always `None`.
    fn refuse<T, V>(
        &self,
        item: &Located<V>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Option<T> {
        self.faults.push(Fault::at(&item.at, problem, remedy));
        None
    }

    /// Reads each item; `None` where any is a fault, as a condition with a part missing would be another one.
    fn each<T, V>(
        &self,
        items: Vec<Located<V>>,
        read: impl FnMut(Located<V>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let wanted = items.len();
        let read: Vec<T> = items.into_iter().filter_map(read).collect();
        (read.len() == wanted).then_some(read)
    }
}

/// A list that a condition names.
#[derive(Debug, Clone)]
struct ListRef {
    lookup: Arc<dyn ListLookup>,
}

/// The network of IPv4 addresses that an IPv4-mapped one stands for: facts hold addresses in canonical form.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let mapped = v6.addr().to_ipv4_mapped();
    mapped
        .zip(v6.prefix_len().checked_sub(96))
        .and_then(|(v4, prefix)| Ipv4Net::new(v4, prefix).ok())
        .map_or(net, IpNet::V4)
}

/// An address as a network of itself, in TOML.
fn as_network(ip: IpAddr) -> String {
    quoted(&IpNet::from(ip.to_canonical()).to_string())
}

/// A text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A glob over a whole text; with `segments`, `*` stays between slashes.
pub(crate) fn glob(pattern: &str, segments: bool) -> Result<GlobMatcher, String> {
    GlobBuilder::new(pattern)
        .literal_separator(segments)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| format!("\"{pattern}\" is not a valid glob: {}", error.kind()))
}
