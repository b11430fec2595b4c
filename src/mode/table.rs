//! The modes by name.

use super::{Entry, balanced, forward, gateway};

/// Every mode.
pub const MODES: &[Entry] = &[forward::ENTRY, gateway::REVERSE, balanced::ENTRY];

/// The mode of a name.
pub fn find(name: &str) -> Option<&'static Entry> {
    MODES.iter().find(|entry| entry.name == name)
}
