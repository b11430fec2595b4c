//! The filters by name.

use super::{Entry, Filters, headers, hsts, inject};
use crate::fault::Faults;
use crate::settings::Table;

/// Every filter, in the order in which they see a request; a response meets them in the opposite order. A credential comes
/// after `headers`, which must not change it.
pub const FILTERS: &[Entry] = &[headers::ENTRY, inject::ENTRY, hsts::ENTRY];

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
