//! `[upstream.NAME]`: groups of endpoints.
//! Not what goes there, which listeners and routes say.
//! Start at [`read`].

use crate::fault::Faults;
use crate::settings::{FromValue, Table};
use crate::upstream::Settings;

/// The upstreams that were read, and the names of all that are declared.
#[derive(Debug, Default)]
pub struct Upstreams {
    /// Those without a fault, by name.
    pub read: Vec<(String, Settings)>,
    pub(super) declared: Vec<String>,
}

pub(super) fn read(table: Option<Table>, faults: &Faults) -> Upstreams {
    let mut upstreams = Upstreams::default();
    for (name, value) in table.iter().flat_map(Table::take_rest) {
        upstreams.declared.push(name.value.clone());
        let Some(table) = Table::from_value(value, faults) else {
            continue;
        };
        let settings = Settings::read(&table, faults);
        table.finish(faults);
        upstreams.read.push((name.value, settings));
    }
    upstreams
}
