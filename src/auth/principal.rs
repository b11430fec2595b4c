//! A name that stands for a client, and the groups it is in.

use std::sync::Arc;

/// Who a client turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user or workload.
    pub name: Arc<str>,
    /// Its groups.
    pub groups: Arc<[Arc<str>]>,
    /// The method that found it: `basic`, `network`, …
    pub method: &'static str,
}
