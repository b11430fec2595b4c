//! `[upstream.NAME]`: groups of endpoints, and how they are spoken to.
//! Not what goes there, which listeners and routes say.
//! Start at [`read`].

use std::sync::Arc;

use crate::fault::Faults;
use crate::pool::{Origin, Terms};
use crate::settings::{FromValue, Table};
use crate::upstream::Settings;

/// The upstreams that were read, and the names of all that are declared.
#[derive(Debug, Default)]
pub struct Upstreams {
    /// Those without a fault.
    pub read: Vec<UpstreamConfig>,
    pub(super) declared: Vec<Arc<str>>,
}

/// An upstream that was read.
#[derive(Debug)]
pub struct UpstreamConfig {
    /// Its name.
    pub name: Arc<str>,
    /// Its endpoints, and how one of them is chosen.
    pub settings: Settings,
    /// How they are spoken to.
    pub terms: Terms,
}

pub(super) fn read(table: Option<Table>, base: &Origin, faults: &Faults) -> Upstreams {
    let mut upstreams = Upstreams::default();
    for (name, value) in table.iter().flat_map(Table::take_rest) {
        let name: Arc<str> = name.value.into();
        upstreams.declared.push(name.clone());
        let Some(table) = Table::from_value(value, faults) else {
            continue;
        };
        let terms = Terms::read(&table, base, faults);
        let settings = Settings::read(&table, faults);
        table.finish(faults);
        if let Some(terms) = terms {
            upstreams.read.push(UpstreamConfig {
                name,
                settings,
                terms,
            });
        }
    }
    upstreams
}
