//! `address`: the address that would be dialled, by network, class word or `@list`. The only condition that opens a
//! guarded address to a rule, and only where it *names* it: a class word other than `public`, a list, or a network
//! narrower than everything. Not the host as it was asked for. Start at [`ENTRY`].

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Condition, Entry, Facts, Ground, ListRef, Truth, Waits, as_network, canonical};
use crate::addr::{AddrClass, wrapped_v4};
use crate::fault::nearest;
use crate::settings::{Located, Value};

pub(super) const ENTRY: Entry = Entry {
    name: "address",
    summary: "the address to be dialled is in one of these networks, classes (\"private\") or lists (\"@list\")",
    build,
};

#[derive(Debug, Default)]
struct Addresses {
    nets: Vec<IpNet>,
    classes: Vec<AddrClass>,
    lists: Vec<ListRef>,
}

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let items = ground.several::<String>(value)?;
    let mut addresses = Addresses::default();
    ground.each(items, |item| addresses.add(&item, ground))?;
    Some(Arc::new(addresses))
}

impl Addresses {
    fn add(&mut self, item: &Located<String>, ground: Ground<'_>) -> Option<()> {
        let text = item.value.as_str();
        if let Some(name) = text.strip_prefix('@') {
            self.lists.push(ground.list(name, item)?);
        } else if let Ok(class) = text.parse::<AddrClass>() {
            self.classes.push(class);
        } else if let Ok(net) = text.parse::<IpNet>() {
            self.nets.push(canonical(net.trunc()));
        } else if let Ok(ip) = text.parse::<IpAddr>() {
            self.nets.push(IpNet::from(ip.to_canonical()));
        } else {
            let remedy = nearest(text, AddrClass::words()).map_or_else(
                || {
                    let words: Vec<&str> = AddrClass::words().collect();
                    format!(
                        "write \"10.0.5.9\", \"10.0.0.0/8\", \"@list\" or a class: {}",
                        words.join(", ")
                    )
                },
                |word| format!("Did you mean \"{word}\"?"),
            );
            return ground.refuse(
                item,
                format!("\"{text}\" is no address, network or class"),
                remedy,
            );
        }
        Some(())
    }
}

impl Condition for Addresses {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        let Some(ip) = facts.address().map(|ip| ip.to_canonical()) else {
            return Truth::Unknown;
        };
        // A packet to an address that wraps another ends at the other one: a rule on that one is meant too.
        let wrapped = match ip {
            IpAddr::V6(ip) => wrapped_v4(ip).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        let has = |ip: IpAddr| {
            self.nets.iter().any(|net| net.contains(&ip))
                || self.lists.iter().any(|list| list.lookup.has_address(ip))
        };
        let found =
            has(ip) || wrapped.is_some_and(has) || self.classes.contains(&AddrClass::of(ip));
        found.into()
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        let ip = facts.address()?.to_canonical();
        Some(format!("{ip}, {}", AddrClass::of(ip)))
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        facts.address().map(as_network)
    }

    fn waits(&self) -> Waits {
        Waits::ADDRESS
    }

    fn names_exactly(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.nets
            .iter()
            .any(|net| net.addr() == ip && net.prefix_len() == net.max_prefix_len())
    }

    fn names(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let class = AddrClass::of(ip);
        // A network of everything and the word "public" say nothing about this address in particular.
        self.nets
            .iter()
            .any(|net| net.prefix_len() > 0 && net.contains(&ip))
            || class != AddrClass::Public && self.classes.contains(&class)
            || self.lists.iter().any(|list| list.lookup.has_address(ip))
    }
}
