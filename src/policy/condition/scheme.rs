//! `scheme`: a plain request, a request over TLS that is seen, or a tunnel that is not looked into.
//! Not the method: a tunnel by SOCKS has none.
//! Start at [`ENTRY`].

use std::sync::Arc;

use super::{Condition, Entry, Facts, Ground, Truth, Waits, quoted};
use crate::policy::Scheme;
use crate::settings::{Value, one_of};

pub(super) const ENTRY: Entry = Entry {
    name: "scheme",
    summary: "http, https (a request that is seen) or tunnel (CONNECT, SOCKS)",
    build,
};

const WORDS: &[(&str, Scheme)] = &[
    ("http", Scheme::Http),
    ("https", Scheme::Https),
    ("tunnel", Scheme::Tunnel),
];

#[derive(Debug)]
struct Schemes(Vec<Scheme>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let items = ground.several::<String>(value)?;
    let schemes = ground.each(items, |item| one_of(&item, WORDS, ground.faults))?;
    Some(Arc::new(Schemes(schemes)))
}

impl Condition for Schemes {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        self.0.contains(&facts.scheme).into()
    }

    fn waits(&self) -> Waits {
        Waits::REQUEST
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        Some(facts.scheme.word().to_owned())
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        Some(quoted(facts.scheme.word()))
    }
}
