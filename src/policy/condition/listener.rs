//! `listener`: the listener that the client came to, by its name.
//! Not the address it listens on.
//! Start at [`ENTRY`].

use std::sync::Arc;

use super::{Condition, Entry, Facts, Ground, Truth, quoted};
use crate::settings::Value;

pub(super) const ENTRY: Entry = Entry {
    name: "listener",
    summary: "the client came to one of these listeners, by name",
    build,
};

#[derive(Debug)]
struct Listener(Vec<String>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let names = ground.several::<String>(value)?;
    Some(Arc::new(Listener(
        names.into_iter().map(|name| name.value).collect(),
    )))
}

impl Condition for Listener {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        self.0.iter().any(|name| name == facts.listener).into()
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        Some(facts.listener.to_owned())
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        Some(quoted(facts.listener))
    }
}
