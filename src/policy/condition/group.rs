//! `group`: a group that the client's principal is in.
//! Not where groups come from: that is the authenticator's.
//! Start at [`ENTRY`].

use std::collections::HashSet;
use std::sync::Arc;

use super::{Condition, Entry, Facts, Ground, Truth, quoted};
use crate::settings::Value;

pub(super) const ENTRY: Entry = Entry {
    name: "group",
    summary: "the client is in one of these groups",
    build,
};

#[derive(Debug)]
struct Group(HashSet<String>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let names = ground.several::<String>(value)?;
    Some(Arc::new(Group(
        names.into_iter().map(|name| name.value).collect(),
    )))
}

impl Condition for Group {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        facts.principal.map_or(Truth::Unknown, |principal| {
            let mut groups = principal.groups.iter();
            groups.any(|group| self.0.contains(&**group)).into()
        })
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        let groups = &facts.principal?.groups;
        if groups.is_empty() {
            return Some("no group".to_owned());
        }
        Some(groups.join(", "))
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        facts.principal?.groups.first().map(|group| quoted(group))
    }
}
