//! The modes by name.

use std::rc::Rc;

use super::{Means, Mode, forward};

/// A mode in the table.
#[derive(Debug)]
pub struct Entry {
    /// Its word in `mode = "…"`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Builds it for a worker.
    pub build: fn(Means) -> Rc<dyn Mode>,
}

/// Every mode.
pub const MODES: &[Entry] = &[forward::ENTRY];

/// The mode of a name.
pub fn find(name: &str) -> Option<&'static Entry> {
    MODES.iter().find(|entry| entry.name == name)
}
