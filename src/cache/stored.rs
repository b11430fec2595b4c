//! A response as it is stored. Immutable: an update (RFC 9111 §3.2) makes another one that shares the content.
//! Not where it lies. Start at [`Stored`].

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use super::{Contents, Freshness, Key, Vary};

/// A stored response.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The primary key.
    pub key: Key,
    /// The request fields that it was selected by (RFC 9111 §4.1).
    pub vary: Vary,
    /// The status: of a response that is only there in parts, 200.
    pub status: StatusCode,
    /// The fields as received, without those that are not stored (RFC 9111 §3.1) and `Age`.
    pub headers: HeaderMap,
    /// How long it may be used, and how.
    pub freshness: Freshness,
    /// Whether it came from an address that policy guards (private, loopback and so on): who is only allowed by name must not
    /// have it.
    pub guarded: bool,
    /// Until when the origin, which failed of late, is not asked again while a stale response may stand in for its answer.
    pub held: Option<Timestamp>,
    /// Its content, all of it or what is there.
    pub contents: Contents,
}

impl Stored {
    /// Whether it may lie on disk: not what is selected by who asks, which would leave a trace of that there.
    pub fn may_be_on_disk(&self) -> bool {
        !self.vary.is_personal() && self.contents.as_parts().is_none()
    }
}
