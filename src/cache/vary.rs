//! placeholder: helper B
use std::sync::Arc;

use http::HeaderName;

use super::Digest;

/// The request fields that a response depends on, and a digest of their normalised values: the values themselves, which may
/// be credentials, are not kept. RFC 9111 §4.1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Vary {
    /// The fields, in lower case, sorted, each once.
    pub names: Arc<[HeaderName]>,
    /// Of the request that the response was for.
    pub values: Digest,
}
