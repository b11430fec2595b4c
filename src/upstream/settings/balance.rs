//! `balance`: the algorithm and what it goes by.

use super::share;
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Table, Value};
use crate::upstream::balance::table::{OF_UPSTREAM, find};
use crate::upstream::balance::{By, Entry, Key};

/// How an endpoint is chosen.
#[derive(Debug, Clone)]
pub struct BalanceSettings {
    /// The algorithm.
    pub entry: &'static Entry,
    /// What of a request a keyed algorithm goes by; `None` for those that take none.
    pub key: Option<Key>,
    /// How much more than its fair share of requests an endpoint may carry before its keys go to others; more than 1.
    pub bounded_load: Option<f64>,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        Self {
            entry: OF_UPSTREAM,
            key: None,
            bounded_load: None,
        }
    }
}

impl PartialEq for BalanceSettings {
    fn eq(&self, other: &Self) -> bool {
        self.entry.name == other.entry.name
            && self.key == other.key
            && self.bounded_load == other.bounded_load
    }
}

/// `"p2c"`, or `{ by = "maglev", key = { header = "x-user" }, bounded-load = "125%" }`.
impl FromValue for BalanceSettings {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        match value.kind {
            Kind::Text(_) => {
                let word = Located::<String>::from_value(value, faults)?;
                let entry = find(&word, faults)?;
                Some(Self::keyed_by_client(entry))
            }
            Kind::Table(table) => read_table(table, faults),
            Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Datetime(_)
            | Kind::List(_) => value.mismatch(
                "the name of an algorithm, or { by = \"…\", key = … }",
                faults,
            ),
        }
    }
}

impl BalanceSettings {
    /// The client is what there always is.
    fn keyed_by_client(entry: &'static Entry) -> Self {
        Self {
            entry,
            key: (entry.by == By::Key).then_some(Key::Client),
            bounded_load: None,
        }
    }
}

fn read_table(table: Table, faults: &Faults) -> Option<BalanceSettings> {
    let remedy = "name the algorithm: by = \"maglev\"";
    let word: Option<Located<String>> = table.require("by", remedy, faults);
    let entry = word.and_then(|word| find(&word, faults));
    let key: Option<Located<Key>> = table.take("key", faults);
    let bounded_load = share(&table, "bounded-load", 1.01..=100.0, faults);
    let at = table.at.clone();
    table.finish(faults);
    let mut settings = BalanceSettings::keyed_by_client(entry?);
    match (settings.key.is_some(), key) {
        (true, Some(key)) => settings.key = Some(key.value),
        (false, Some(key)) => faults.push(Fault::at(
            &key.at,
            format!("\"{}\" goes by no key", settings.entry.name),
            "leave it out, or choose \"maglev\" or \"ring-hash\"",
        )),
        (_, None) => {}
    }
    if bounded_load.is_some() && settings.key.is_none() {
        faults.push(Fault::at(
            &at,
            format!(
                "\"bounded-load\" is for algorithms with a key, which \"{}\" is not",
                settings.entry.name
            ),
            "leave it out, or choose \"maglev\" or \"ring-hash\"",
        ));
    }
    settings.bounded_load = bounded_load.filter(|_| settings.key.is_some());
    Some(settings)
}
