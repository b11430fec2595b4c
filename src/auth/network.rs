//! Clients named by the network they come from: `{ network = { "10.20.0.0/16" = "ci" } }`. The longest prefix wins.
//! Looks at the address alone, and stands back where credentials were offered.
//! Start at [`Network`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::method::{Answer, Answering, AuthMethod, Entry, Seen};
use super::{Groups, Principal};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Table, Value};

/// The method's line in the table.
pub(super) const ENTRY: Entry = Entry {
    name: NAME,
    summary: "names clients by the network they come from; the longest prefix wins",
    build: |value, groups, faults| {
        Network::read(value, groups, faults).map(|network| Box::new(network) as _)
    },
};

const NAME: &str = "network";

/// Networks and the principals they stand for. A principal is in the groups that its entry names, in those of the
/// group file, and in one of its own name: with `"10.20.0.0/16" = "ci"` the rule `group = "ci"` holds.
#[derive(Debug)]
struct Network {
    principals: HashMap<IpNet, Principal>,
    /// Prefix lengths that occur, longest first.
    v4: Vec<u8>,
    v6: Vec<u8>,
}

impl Network {
    fn read(value: Value, groups: &Groups, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let table = Table::from_value(value, faults)?;
        let at = table.at.clone();
        let mut principals = HashMap::new();
        for (key, value) in table.take_rest() {
            let net = read_net(&key, faults);
            let principal = read_principal(value, groups, faults);
            let (Some(net), Some(principal)) = (net, principal) else {
                continue;
            };
            if principals.insert(net, principal).is_some() {
                let problem = format!("the network {net} is named twice");
                faults.push(Fault::at(&key.at, problem, "take one of the two out"));
            }
        }
        if principals.is_empty() && faults.len() == before {
            faults.push(Fault::at(
                &at,
                "\"network\" names no network",
                "write { \"10.20.0.0/16\" = \"ci\" }",
            ));
        }
        let lengths = |v4: bool| {
            let of_family = principals.keys().filter(|net| net.addr().is_ipv4() == v4);
            let mut lengths: Vec<u8> = of_family.map(IpNet::prefix_len).collect();
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
            lengths
        };
        let (v4, v6) = (lengths(true), lengths(false));
        (faults.len() == before).then_some(Self { principals, v4, v6 })
    }

    fn find(&self, client: IpAddr) -> Option<&Principal> {
        let lengths = if client.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().find_map(|length| {
            let net = IpNet::new(client, *length).ok()?.trunc();
            self.principals.get(&net)
        })
    }
}

impl AuthMethod for Network {
    fn authenticate<'a>(&'a self, seen: Seen<'a>) -> Answering<'a> {
        // Whoever offers credentials wants to be known by them: a wrong password does not fall back to the network.
        let found = match seen.offered {
            Some(_) => None,
            None => self.find(seen.client),
        };
        let answer = found.map_or(Answer::Unknown, |known| Answer::Known(known.clone()));
        Box::pin(std::future::ready(answer))
    }
}

fn read_net(key: &Located<String>, faults: &Faults) -> Option<IpNet> {
    let value = Value {
        kind: Kind::Text(key.value.clone()),
        at: key.at.clone(),
    };
    let net = IpNet::from_value(value, faults)?;
    let mapped = matches!(net.addr(), IpAddr::V6(addr) if addr.to_ipv4_mapped().is_some());
    if mapped {
        faults.push(Fault::at(
            &key.at,
            format!(
                "{net} is an IPv4 network in IPv6 dress, which no client's address is matched in"
            ),
            "write the IPv4 network, such as \"10.20.0.0/16\"",
        ));
    }
    (!mapped).then_some(net)
}

/// `"name"` or `{ principal = "name", groups = ["a"] }`.
fn read_principal(value: Value, groups: &Groups, faults: &Faults) -> Option<Principal> {
    let remedy = "write \"name\" or { principal = \"name\", groups = [\"a\"] }";
    let (name, mut own) = match value.kind {
        Kind::Table(table) => {
            let name: Option<Located<String>> = table.require("principal", remedy, faults);
            let own: Vec<Located<String>> = table.take_or("groups", Vec::new(), faults);
            table.finish(faults);
            (name?, own)
        }
        Kind::Text(name) => {
            let at = value.at;
            (Located { value: name, at }, Vec::new())
        }
        Kind::Integer(_) | Kind::Float(_) | Kind::Bool(_) | Kind::Datetime(_) | Kind::List(_) => {
            return value.mismatch("a name, or a table with \"principal\"", faults);
        }
    };
    own.insert(0, name.clone());
    for word in &own {
        if word.value.is_empty() || word.value.contains(|c: char| c.is_control()) {
            faults.push(Fault::at(
                &word.at,
                "a name is empty or has a control character",
                remedy,
            ));
            return None;
        }
    }
    let own: Vec<Arc<str>> = own.iter().map(|word| word.value.as_str().into()).collect();
    Some(groups.principal(&name.value, &own, NAME))
}
