//! placeholder: helper A
use std::time::Duration;

use jiff::Timestamp;

/// What of a response decides how long it may be used. Plain data, so that it can be written to disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// When the request was sent.
    pub requested: Timestamp,
    /// When the response head was received.
    pub received: Timestamp,
    /// Its age when received (RFC 9111 §4.2.3, corrected_initial_age).
    pub initial_age: Duration,
    /// The freshness lifetime.
    pub lifetime: Duration,
}
