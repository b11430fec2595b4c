//! HTTP/1.x on the wire, in both directions: heads, body framing, encoding.
//!
//! Own code, deliberately. A proxy that looks for ambiguity ahead of another parser has two parsers that can disagree, which is
//! how requests are smuggled; hyper's HTTP/1 server drops a Content-Length beside a Transfer-Encoding before anyone sees it,
//! sends `100 Continue` by itself and has no way to send a 103. So the one parser here is strict, and nothing else reads.
//! Start at [`head::parse_request`].

pub mod decoder;
pub mod encode;
pub mod fields;
pub mod framing;
pub mod head;
pub mod reader;
pub mod writer;

use http::StatusCode;

/// Bounds of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, start line included.
    pub size: usize,
    /// Number of fields.
    pub count: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            size: 64 << 10,
            count: 100,
        }
    }
}

/// Why bytes are not an HTTP/1 message. Texts name the fault for the peer's developer and never contain the peer's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The head is larger than the limit.
    #[error("the header section is larger than the limit")]
    TooLarge,
    /// More fields than the limit.
    #[error("the header section has more fields than the limit")]
    TooMany,
    /// Another major version.
    #[error("the HTTP version is not supported")]
    Version,
    /// Malformed or ambiguous.
    #[error("{0}")]
    Malformed(&'static str),
}

impl HeadError {
    /// The status that answers a request with this error.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge | Self::TooMany => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
        }
    }
}
