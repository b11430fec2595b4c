//! A response as it is stored. Immutable: an update (RFC 9111 §3.2) makes another one that shares the content.
//! Not where it lies. Start at [`Stored`].

use http::{HeaderMap, StatusCode};

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
    /// Its content, all of it or what is there.
    pub contents: Contents,
}
