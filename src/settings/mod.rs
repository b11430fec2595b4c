//! From an operator's TOML to typed values, with every fault at its place.
//! Not a serde front: serde stops at the first mistake, and all of them at once is worth a small reader of our own.
//! Start at [`Table::parse`], then [`Table::take`] each known key, then [`Table::finish`].

mod digest;
mod stamp;
mod units;
mod value;

pub use digest::KeyDigest;
pub use stamp::Stamp;
pub use units::{ByteSize, parse_duration};
pub use value::{FromValue, Kind, Located, Secret, Value, one_of};

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::{Fault, Faults, Location, Source, suggest};

/// A TOML table being read: keys are taken one by one, what is left at the end is unknown.
#[derive(Debug)]
pub struct Table {
    /// The table's own place: its header or braces.
    pub at: Location,
    entries: RefCell<BTreeMap<String, (Location, Value)>>,
    known: RefCell<Vec<&'static str>>,
}

impl Table {
    /// Parses a whole file. Syntax errors become faults, and what could be read is still returned.
    pub fn parse(source: &Arc<Source>, faults: &Faults) -> Self {
        let (root, errors) = toml::de::DeTable::parse_recoverable(&source.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let at = Location {
                source: source.clone(),
                span,
            };
            faults.push(Fault::at(
                &at,
                error.message().trim(),
                "see https://toml.io for the form of this file",
            ));
        }
        let at = Location {
            source: source.clone(),
            span: 0..0,
        };
        Self::convert(root.into_inner(), at)
    }

    /// A table with nothing in it, for what may be written as `true` in place of `{}`.
    pub fn empty(at: &Location) -> Self {
        Self {
            at: at.clone(),
            entries: RefCell::default(),
            known: RefCell::default(),
        }
    }

    fn convert(table: toml::de::DeTable<'_>, at: Location) -> Self {
        let source = at.source.clone();
        let entry = |(key, value): (
            toml::Spanned<std::borrow::Cow<'_, str>>,
            toml::Spanned<toml::de::DeValue<'_>>,
        )| {
            let key_at = Location {
                source: source.clone(),
                span: key.span(),
            };
            (
                key.into_inner().into_owned(),
                (key_at, Value::convert(value, &source)),
            )
        };
        let entries = table.into_iter().map(entry).collect();
        Self {
            at,
            entries: RefCell::new(entries),
            known: RefCell::default(),
        }
    }

    /// Takes a key's value as it stands, with no type asked.
    pub fn take_value(&self, key: &'static str) -> Option<Value> {
        self.known.borrow_mut().push(key);
        self.entries
            .borrow_mut()
            .remove(key)
            .map(|(_, value)| value)
    }

    /// Takes a key as a type. `None` where the key is absent or its value was a fault.
    pub fn take<T: FromValue>(&self, key: &'static str, faults: &Faults) -> Option<T> {
        T::from_value(self.take_value(key)?, faults)
    }

    /// Takes a number in a range.
    pub fn take_within<T: FromValue + PartialOrd + Display>(
        &self,
        key: &'static str,
        range: RangeInclusive<T>,
        faults: &Faults,
    ) -> Option<T> {
        let number: Located<T> = self.take(key, faults)?;
        if range.contains(&number.value) {
            return Some(number.value);
        }
        let problem = format!("{} is out of range", number.value);
        let remedy = format!("write {} to {}", range.start(), range.end());
        faults.push(Fault::at(&number.at, problem, remedy));
        None
    }

    /// Takes a duration that is longer than none.
    pub fn take_time(&self, key: &'static str, faults: &Faults) -> Option<Duration> {
        let time: Located<Duration> = self.take(key, faults)?;
        if time.value.is_zero() {
            let problem = format!("\"{key}\" can not be no time");
            let remedy = "write a duration such as \"5s\", or leave it out";
            faults.push(Fault::at(&time.at, problem, remedy));
            return None;
        }
        Some(time.value)
    }

    /// Takes a key as a type, or the default where it is absent or a fault.
    pub fn take_or<T: FromValue>(&self, key: &'static str, default: T, faults: &Faults) -> T {
        self.take(key, faults).unwrap_or(default)
    }

    /// Takes a key that must be there.
    pub fn require<T: FromValue>(
        &self,
        key: &'static str,
        remedy: &str,
        faults: &Faults,
    ) -> Option<T> {
        if !self.entries.borrow().contains_key(key) {
            self.known.borrow_mut().push(key);
            faults.push(Fault::at(&self.at, format!("\"{key}\" is missing"), remedy));
            return None;
        }
        self.take(key, faults)
    }

    /// Takes all entries that are left, for tables whose keys the operator chooses (`[list.NAME]`), in key order.
    pub fn take_rest(&self) -> Vec<(Located<String>, Value)> {
        let entries = std::mem::take(&mut *self.entries.borrow_mut());
        entries
            .into_iter()
            .map(|(key, (at, value))| (Located { value: key, at }, value))
            .collect()
    }

    /// Keys that are still there, with their places; used to recognise a condition by its name before taking it.
    pub fn remaining(&self) -> Vec<Located<String>> {
        self.entries
            .borrow()
            .iter()
            .map(|(key, (at, _))| Located {
                value: key.clone(),
                at: at.clone(),
            })
            .collect()
    }

    /// Reports every key that was not asked for.
    pub fn finish(self, faults: &Faults) {
        let known = self.known.into_inner();
        for (key, (at, _)) in self.entries.into_inner() {
            faults.push(Fault::at(
                &at,
                format!("unknown key \"{key}\""),
                suggest(&key, &known),
            ));
        }
    }
}
