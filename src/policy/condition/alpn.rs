//! `alpn`: the application protocols that a ClientHello offers (RFC 7301).
//! Not what is spoken in the end, which the two sides agree on later.
//! Start at [`ENTRY`].

use std::sync::Arc;

use super::{Condition, Entry, Facts, Ground, Truth, Waits, quoted};
use crate::settings::Value;

pub(super) const ENTRY: Entry = Entry {
    name: "alpn",
    summary: "the tunnel offers one of these application protocols: \"h2\", \"http/1.1\"",
    build,
};

#[derive(Debug)]
struct Protocols(Vec<Box<str>>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let items = ground.several::<String>(value)?;
    let items = items.into_iter().map(|item| item.value.into()).collect();
    Some(Arc::new(Protocols(items)))
}

impl Condition for Protocols {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        facts.hello.hello().map_or(Truth::Unknown, |hello| {
            self.0.iter().any(|one| hello.alpn.contains(one)).into()
        })
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        facts.hello.hello().map(|hello| hello.alpn.join(", "))
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        facts.hello.hello()?.alpn.first().map(|one| quoted(one))
    }

    fn waits(&self) -> Waits {
        Waits::HELLO
    }
}
