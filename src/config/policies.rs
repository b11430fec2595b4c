//! `[policy.NAME]`: rules in the file itself, or in a file of their own.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::addr::Host;
use crate::fault::{Fault, Faults, Source};
use crate::policy::list::{List, read_lists};
use crate::policy::{ListLookup, Lists, Policy};
use crate::settings::{FromValue, Kind, Located, Table, Value};

/// A policy and the lists that it names.
#[derive(Debug)]
pub struct PolicyConfig {
    /// Its name.
    pub name: String,
    /// The rules.
    pub policy: Arc<Policy>,
    /// Its lists, to be kept fresh.
    pub lists: Vec<Arc<List>>,
}

pub(super) fn read(table: Option<Table>, faults: &Faults) -> Vec<PolicyConfig> {
    let Some(table) = table else {
        return Vec::new();
    };
    let mut policies = Vec::new();
    for (name, value) in table.take_rest() {
        let Some(table) = Table::from_value(value, faults) else {
            continue;
        };
        let Some(rules) = open(table, faults) else {
            continue;
        };
        let value = rules.take_value("list");
        let named = named_lists(value.as_ref());
        let lists = read_lists(value, faults);
        // A list that is faulty has told its fault: rules that name it are not faulty for that.
        let mut looked_up: Lists = named
            .into_iter()
            .map(|name| (name, Arc::new(Faulty) as Arc<dyn ListLookup>))
            .collect();
        looked_up.extend(
            lists
                .iter()
                .map(|(name, list)| (name.clone(), list.clone() as Arc<dyn ListLookup>)),
        );
        if let Some(policy) = Policy::read(&name.value, rules, &looked_up, faults) {
            policies.push(PolicyConfig {
                name: name.value,
                policy: Arc::new(policy),
                lists: lists.into_values().collect(),
            });
        }
    }
    policies
}

fn named_lists(value: Option<&Value>) -> Vec<String> {
    match value.map(|value| &value.kind) {
        Some(Kind::Table(table)) => table
            .remaining()
            .into_iter()
            .map(|name| name.value)
            .collect(),
        Some(_) | None => Vec::new(),
    }
}

/// Stands in for a list that could not be read, in a configuration that is never served.
#[derive(Debug)]
struct Faulty;

impl ListLookup for Faulty {
    fn has_host(&self, _host: &Host) -> bool {
        false
    }

    fn has_address(&self, _ip: IpAddr) -> bool {
        false
    }
}

/// The table with the rules: the one given, or the file that it names.
fn open(table: Table, faults: &Faults) -> Option<Table> {
    let Some(file) = table.take::<Located<PathBuf>>("file", faults) else {
        return Some(table);
    };
    table.finish(faults);
    match std::fs::read_to_string(&file.value) {
        Ok(text) => {
            let before = faults.len();
            let rules = Table::parse(&Source::new(&file.value, text), faults);
            (faults.len() == before).then_some(rules)
        }
        Err(error) => {
            let problem = format!("cannot read {}: {error}", file.value.display());
            faults.push(Fault::at(
                &file.at,
                problem,
                "a path is relative to the file that names it",
            ));
            None
        }
    }
}
