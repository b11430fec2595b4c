//! `principal`: who the client is, by name; `"*"` is anyone who is known.
//! Not the groups: that is `group`.
//! Start at [`ENTRY`].

use std::collections::HashSet;
use std::sync::Arc;

use super::{Condition, Entry, Facts, Ground, Truth, quoted};
use crate::settings::Value;

pub(super) const ENTRY: Entry = Entry {
    name: "principal",
    summary: "the client is one of these users or workloads; \"*\" is anyone who is known",
    build,
};

#[derive(Debug)]
struct Named {
    names: HashSet<String>,
    anyone: bool,
}

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let names = ground.several::<String>(value)?;
    let names: HashSet<String> = names.into_iter().map(|name| name.value).collect();
    let anyone = names.contains("*");
    Some(Arc::new(Named { names, anyone }))
}

impl Condition for Named {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        facts.principal.map_or(Truth::Unknown, |principal| {
            (self.anyone || self.names.contains(&*principal.name)).into()
        })
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        facts.principal.map(|principal| principal.name.to_string())
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        facts.principal.map(|principal| quoted(&principal.name))
    }
}
