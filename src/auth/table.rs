//! Every authentication method, by the name that the configuration gives it.

use super::method::Entry;
use super::{basic, network};

/// The methods. A new one is a file and a line here.
pub const METHODS: &[Entry] = &[basic::ENTRY, network::ENTRY];
