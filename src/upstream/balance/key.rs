//! What of a request a keyed balancer goes by.

use std::hash::Hasher;
use std::net::IpAddr;

use http::HeaderName;
use twox_hash::XxHash3_64;

use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Table, Value, one_of};

/// What of a request is hashed. Whoever carries the request finds its value, and hashes it with [`Key::hash`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The client's address.
    Client,
    /// The first value of this field.
    Header(HeaderName),
    /// The value of the cookie of this name.
    Cookie(Box<str>),
    /// The path, without the query.
    Path,
    /// The first value of this parameter of the query.
    Query(Box<str>),
}

impl Key {
    /// The hash of a value: the same in all workers and processes, so that several gateways agree. Whoever chooses the value can
    /// choose the endpoint; a bounded load is what holds against that.
    pub fn hash(value: &[u8]) -> u64 {
        let mut hasher = XxHash3_64::with_seed(0);
        hasher.write(value);
        hasher.finish()
    }

    /// The hash of a client's address, which is the same over both families of sockets.
    pub fn of_client(client: IpAddr) -> u64 {
        Self::hash(client.to_canonical().to_string().as_bytes())
    }
}

/// `"client"`, `"path"`, `{ header = "…" }`, `{ cookie = "…" }`, `{ query = "…" }`.
impl FromValue for Key {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        match value.kind {
            Kind::Text(_) => {
                let word = Located::<String>::from_value(value, faults)?;
                let is_client = one_of(&word, &[("client", true), ("path", false)], faults)?;
                Some(if is_client { Self::Client } else { Self::Path })
            }
            Kind::Table(table) => read_table(table, faults),
            Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Datetime(_)
            | Kind::List(_) => value.mismatch(FORM, faults),
        }
    }
}

fn read_table(table: Table, faults: &Faults) -> Option<Key> {
    let before = faults.len();
    let name = |key| table.take::<Located<String>>(key, faults);
    let header = name("header").and_then(|name| match name.value.parse() {
        Ok(header) => Some(Key::Header(header)),
        Err(_) => {
            let problem = format!("\"{}\" is not the name of a field", name.value);
            faults.push(Fault::at(&name.at, problem, String::new()));
            None
        }
    });
    let cookie = name("cookie").map(|name| Key::Cookie(name.value.into()));
    let query = name("query").map(|name| Key::Query(name.value.into()));
    let at = table.at.clone();
    table.finish(faults);
    let mut named = [header, cookie, query].into_iter().flatten();
    match (named.next(), named.next()) {
        (Some(key), None) => Some(key),
        _ if faults.len() > before => None,
        _ => {
            faults.push(Fault::at(
                &at,
                "a key is one thing",
                format!("write {FORM}"),
            ));
            None
        }
    }
}

const FORM: &str =
    "\"client\", \"path\", { header = \"…\" }, { cookie = \"…\" } or { query = \"…\" }";
