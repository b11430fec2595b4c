//! `sni`: the name that a client expects a certificate for, as its ClientHello says.
//! Not the authority that it asked the proxy for: that is `host`. Whether the two agree is asked without a condition.
//! Start at [`ENTRY`].

use std::sync::Arc;

use super::host::Hosts;
use super::{Condition, Entry, Facts, Ground, Truth, Waits, quoted};
use crate::addr::Host;
use crate::settings::Value;

pub(super) const ENTRY: Entry = Entry {
    name: "sni",
    summary: "the server name of the ClientHello is one of these, written as hosts are; \"*\" is any name",
    build,
};

#[derive(Debug)]
struct ServerNames(Hosts);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    Some(Arc::new(ServerNames(Hosts::read(value, ground)?)))
}

fn name<'a>(facts: &Facts<'a>) -> Option<&'a Host> {
    facts.hello.hello()?.server_name.as_ref()
}

impl Condition for ServerNames {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        facts.hello.hello().map_or(Truth::Unknown, |hello| {
            let name = hello.server_name.as_ref();
            name.is_some_and(|name| self.0.has(name)).into()
        })
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        let name = |hello: &crate::policy::Hello| {
            hello
                .server_name
                .as_ref()
                .map_or_else(|| "none".to_owned(), Host::to_string)
        };
        facts.hello.hello().map(name)
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        name(facts).map(|name| quoted(&name.to_string()))
    }

    fn waits(&self) -> Waits {
        Waits::HELLO
    }
}
