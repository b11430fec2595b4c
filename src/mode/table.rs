//! The modes by name.

use super::{Entry, forward, gateway};

/// Every mode.
pub const MODES: &[Entry] = &[forward::ENTRY, gateway::REVERSE];

/// The mode of a name.
pub fn find(name: &str) -> Option<&'static Entry> {
    MODES.iter().find(|entry| entry.name == name)
}
