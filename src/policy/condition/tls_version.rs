//! `tls-version`: the highest TLS version that a ClientHello offers.
//! Not the one that is spoken in the end.
//! Start at [`ENTRY`].

use std::sync::Arc;

use super::{Condition, Entry, Facts, Ground, Truth, Waits, quoted};
use crate::settings::{Value, one_of};

pub(super) const ENTRY: Entry = Entry {
    name: "tls-version",
    summary: "the highest TLS version that the tunnel offers is one of these: \"1.0\" to \"1.3\"",
    build,
};

const VERSIONS: &[(&str, &str)] = &[
    ("1.0", "1.0"),
    ("1.1", "1.1"),
    ("1.2", "1.2"),
    ("1.3", "1.3"),
];

#[derive(Debug)]
struct Versions(Vec<&'static str>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let items = ground.several::<String>(value)?;
    let versions = ground.each(items, |item| one_of(&item, VERSIONS, ground.faults))?;
    Some(Arc::new(Versions(versions)))
}

impl Condition for Versions {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        facts.hello.hello().map_or(Truth::Unknown, |hello| {
            self.0.contains(&hello.version).into()
        })
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        facts.hello.hello().map(|hello| hello.version.to_owned())
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        facts.hello.hello().map(|hello| quoted(hello.version))
    }

    fn waits(&self) -> Waits {
        Waits::HELLO
    }
}
