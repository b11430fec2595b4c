//! What both versions of HTTP ask of a mode, and what they refuse by themselves.
//! Knows nothing of how either is spoken.
//! Start at [`Handler`].

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};

use super::Accepted;
use crate::message::http1::HeadError;
use crate::message::http1::head::RequestHead;
use crate::message::{Body, Interim, Reply};

/// Handles the requests of one connection.
pub trait Handler {
    /// Handles one request; always answers.
    fn handle(&self, request: Request<Body>, exchange: Exchange) -> impl Future<Output = Reply>;

    /// Answers and records what never became a request.
    fn refuse(&self, trouble: &Trouble, head: Option<&RequestHead>) -> Response<Body>;

    /// Records what never became a request and can not be answered, as its connection is gone or no use.
    fn abandoned(&self, trouble: &Trouble);
}

/// What belongs to a request beside its message.
#[derive(Debug)]
pub struct Exchange {
    /// The target as sent: visible ASCII.
    pub target: Bytes,
    /// Where interim responses go.
    pub interim: Interim,
    /// The version that the client speaks.
    pub version: Version,
}

/// Why a request is refused before it is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It is not HTTP, or can be read in more than one way.
    #[error("{0}")]
    Malformed(HeadError),
    /// The client closed inside the head.
    #[error("the client closed the connection inside the header section")]
    Truncated,
    /// The head took too long.
    #[error("the header section did not arrive in time")]
    SlowHead,
    /// The body took too long.
    #[error("the request body did not arrive in time")]
    SlowBody,
    /// The body is larger than the limit.
    #[error("the request body is larger than the limit")]
    LargeBody,
    /// The connection broke inside the head, or before HTTP/2 had begun.
    #[error("the connection broke before a request was whole")]
    Broken,
    /// HTTP/2 was spoken wrongly.
    #[error("the client broke HTTP/2: {0}")]
    Http2(h2::Reason),
    /// HTTP/2 was not begun in time.
    #[error("the client did not begin HTTP/2 in time")]
    SlowHttp2,
    /// The connection did not say anything.
    #[error("the first byte did not arrive in time")]
    Silent,
    /// Too many connections.
    #[error("too many connections")]
    Connections,
    /// The port speaks TLS.
    #[error("this port speaks TLS, and the request came in plain text: name the proxy as https://")]
    PlainText,
    /// This port does not speak that, but these.
    #[error("this port does not accept that, only {0}")]
    Protocol(Accepted),
}

impl Trouble {
    /// The status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed(error) => error.status(),
            Self::Truncated | Self::Broken | Self::Http2(_) | Self::PlainText => {
                StatusCode::BAD_REQUEST
            }
            Self::Protocol(_) => StatusCode::FORBIDDEN,
            Self::SlowHead | Self::SlowBody | Self::SlowHttp2 | Self::Silent => {
                StatusCode::REQUEST_TIMEOUT
            }
            Self::LargeBody => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Connections => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
