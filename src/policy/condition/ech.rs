//! `ech`: whether a ClientHello may hide another one (encrypted client hello).
//! Not proof that it does: browsers send a decoy where there is none, and the two can not be told apart.
//! Start at [`ENTRY`].

use std::sync::Arc;

use super::{Condition, Entry, Facts, Ground, Truth, Waits};
use crate::settings::{FromValue, Value};

pub(super) const ENTRY: Entry = Entry {
    name: "ech",
    summary: "whether the ClientHello has an encrypted one inside, or a decoy of one: true or false",
    build,
};

#[derive(Debug)]
struct Hidden(bool);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let hidden = bool::from_value(value, ground.faults)?;
    Some(Arc::new(Hidden(hidden)))
}

impl Condition for Hidden {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        facts
            .hello
            .hello()
            .map_or(Truth::Unknown, |hello| (hello.ech == self.0).into())
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        facts.hello.hello().map(|hello| hello.ech.to_string())
    }

    fn waits(&self) -> Waits {
        Waits::HELLO
    }
}
