//! The filters by name.

use std::sync::Arc;

use super::{Filter, Filters, headers};
use crate::fault::Faults;
use crate::settings::{Table, Value};

/// A filter in the table.
#[derive(Debug)]
pub struct Entry {
    /// Its key in `allow = { … }`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Reads its settings; `None` where something was a fault.
    pub build: fn(Value, &Faults) -> Option<Arc<dyn Filter>>,
}

/// Every filter, in the order in which they see a request.
pub const FILTERS: &[Entry] = &[headers::ENTRY];

/// Takes every filter's key out of a rule's table.
pub fn read(table: &Table, faults: &Faults) -> Filters {
    let found = FILTERS
        .iter()
        .filter_map(|entry| Some((entry, table.take_value(entry.name)?)));
    Filters::new(
        found
            .filter_map(|(entry, value)| (entry.build)(value, faults))
            .collect(),
    )
}
