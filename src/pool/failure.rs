//! The network did not do it: what kind of trouble, and whether the request may be sent again.
//! Not a denial and not a fault.
//! Start at [`Failure`].

use std::io;

use crate::message::ProxyError;
use crate::tls::connector::{ConnectError, Why};

/// A failure on the origin's side.
#[derive(Debug)]
pub struct Failure {
    /// The kind, by RFC 9209.
    pub error: ProxyError,
    /// One line for the client and the record; never the peer's bytes.
    pub detail: String,
    /// Whether it may be tried again.
    pub retry: Retry,
}

/// Whether a failed request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not at all.
    Never,
    /// If the connection had been used before: it may have been closed before the request reached it.
    IfReused,
    /// Nothing was sent, or the origin says that it did nothing.
    Yes,
    /// The origin did nothing and wants it over HTTP/1.1 (RFC 9113 §7).
    OverHttp1,
}

impl Retry {
    /// Whether a retry is allowed, for a connection that was `reused` or not.
    pub fn allows(self, reused: bool) -> bool {
        match self {
            Self::Never => false,
            Self::IfReused => reused,
            Self::Yes | Self::OverHttp1 => true,
        }
    }
}

impl Failure {
    /// A failure that is final.
    pub fn new(error: ProxyError, detail: impl Into<String>) -> Self {
        Self {
            error,
            detail: detail.into(),
            retry: Retry::Never,
        }
    }

    /// The same failure, with another answer to "again?".
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// A failed dial.
    pub fn dial(error: &io::Error, address: impl std::fmt::Display) -> Self {
        use io::ErrorKind as Kind;
        let known = [
            (
                Kind::ConnectionRefused,
                ProxyError::ConnectionRefused,
                "refused the connection",
            ),
            (
                Kind::TimedOut,
                ProxyError::ConnectionTimeout,
                "did not answer",
            ),
            (
                Kind::HostUnreachable,
                ProxyError::Unroutable,
                "is not reachable from here",
            ),
            (
                Kind::NetworkUnreachable,
                ProxyError::Unroutable,
                "is not reachable from here",
            ),
            (
                Kind::AddrNotAvailable,
                ProxyError::Unroutable,
                "is not reachable from here",
            ),
            (
                Kind::PermissionDenied,
                ProxyError::Unroutable,
                "is not reachable from here (a local firewall?)",
            ),
        ];
        let found = known.into_iter().find(|(kind, ..)| *kind == error.kind());
        let (kind, what) = found.map_or(
            (
                ProxyError::DestinationUnavailable,
                "could not be connected to",
            ),
            |(_, kind, what)| (kind, what),
        );

        Self::new(kind, format!("{address} {what}"))
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let kind = match &error.why {
            Why::Expired(_)
            | Why::NotYetValid(_)
            | Why::WrongName(_)
            | Why::UnknownIssuer(_)
            | Why::SelfSigned
            | Why::Authority
            | Why::Revoked
            | Why::Weak
            | Why::Pinned
            | Why::Unfit(_) => ProxyError::TlsCertificate,
            Why::Alert(_) => ProxyError::TlsAlert,
            Why::Protocol(_) | Why::NoName => ProxyError::TlsProtocol,
            Why::Timeout(_) => ProxyError::ConnectionTimeout,
            Why::Closed => ProxyError::ConnectionTerminated,
        };
        Self::new(kind, error.to_string())
    }
}
