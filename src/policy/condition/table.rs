//! Every condition there is, as a constant: the reader of policies, `explain` and the manual use this one list.
//! Not how any of them works: that is each one's file.
//! Start at [`CONDITIONS`].

use std::fmt;
use std::sync::Arc;

use super::{
    Condition, Ground, address, client, group, header, host, listener, method, path, port,
    principal, scheme, time,
};
use crate::settings::Value;

/// One condition: its key in a rule, one line about it, and how it is made of a value.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The key.
    pub name: &'static str,
    /// What it asks, in one line.
    pub summary: &'static str,
    /// Builds it; faults go to the ground, and then there is none.
    pub build: fn(Value, Ground<'_>) -> Option<Arc<dyn Condition>>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All conditions, in the order in which a rule asks them: cheap and telling ones first.
pub const CONDITIONS: &[Entry] = &[
    listener::ENTRY,
    scheme::ENTRY,
    method::ENTRY,
    port::ENTRY,
    client::ENTRY,
    principal::ENTRY,
    group::ENTRY,
    host::ENTRY,
    address::ENTRY,
    path::ENTRY,
    header::ENTRY,
    time::ENTRY,
];
