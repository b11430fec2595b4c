//! `client`: networks that the client's address is in.
//! Not who the client is: that is `principal`.
//! Start at [`ENTRY`].

use std::sync::Arc;

use ipnet::IpNet;

use super::{Condition, Entry, Facts, Ground, Truth, as_network, canonical};
use crate::settings::Value;

pub(super) const ENTRY: Entry = Entry {
    name: "client",
    summary: "the client's address is in one of these networks (\"10.20.0.0/16\")",
    build,
};

#[derive(Debug)]
struct Client(Vec<IpNet>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let nets = ground.several::<IpNet>(value)?;
    let nets = nets.into_iter().map(|net| canonical(net.value)).collect();
    Some(Arc::new(Client(nets)))
}

impl Condition for Client {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        let ip = facts.client.to_canonical();
        self.0.iter().any(|net| net.contains(&ip)).into()
    }

    fn client_networks(&self) -> Option<&[IpNet]> {
        Some(&self.0)
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        Some(facts.client.to_canonical().to_string())
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        Some(as_network(facts.client))
    }
}
