//! SOCKS 4, 4a and 5: the messages of the server's side, read from bytes and written to bytes.
//! Decides nothing (who may, where to, which method): modes do. Does no I/O but for the small loop [`read`].
//! Start at [`v5`]; the first byte of a connection is [`v5::VERSION`] or [`v4::VERSION`].

mod input;
#[cfg(test)]
mod tests;
pub mod v4;
pub mod v5;

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::addr::AddrError;

/// What a look at the bytes received so far yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parse<T> {
    /// The message is not complete; at least so many bytes more are needed. Never more than the message has, so who reads
    /// exactly as many never takes bytes of what follows.
    Need(usize),
    /// The message, and how many bytes it took. What follows them belongs to the next message.
    Done(T, usize),
    /// No bytes that follow can make this a message.
    Bad(SocksError),
}

/// Why bytes are not a SOCKS message that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    /// Another version than the message's.
    #[error("version {got} where {expected} should stand")]
    Version {
        /// What stands there.
        got: u8,
        /// What should.
        expected: u8,
    },
    /// A greeting without methods (RFC 1928 §3: 1 to 255).
    #[error("the client offers no authentication method")]
    NoMethods,
    /// The reserved byte is not zero (RFC 1928 §4).
    #[error("the reserved byte is {got}, not zero")]
    Reserved {
        /// What stands there.
        got: u8,
    },
    /// Neither IPv4 nor IPv6 nor a name (RFC 1928 §5).
    #[error("address type {got} is unknown")]
    AddressType {
        /// What stands there.
        got: u8,
    },
    /// The name is not text.
    #[error("the host name is not UTF-8 text")]
    NotText,
    /// The name or address is none that we take, because it is wrong or ambiguous.
    #[error(transparent)]
    Host(#[from] AddrError),
    /// Nothing listens on port 0.
    #[error("the port is zero")]
    PortZero,
    /// A text of SOCKS 4 does not end within 255 bytes.
    #[error("the {what} is longer than 255 bytes")]
    TooLong {
        /// Which text.
        what: &'static str,
    },
}

impl SocksError {
    /// The SOCKS 5 reply for a request that is wrong in this way. A name that we refuse to read (ambiguous spelling,
    /// illegal letters) is a general failure: "address type not supported" would make clients try IPv4 or IPv6 instead.
    pub fn reply(&self) -> v5::Reply {
        match self {
            Self::AddressType { .. } => v5::Reply::AddressTypeNotSupported,
            Self::Version { .. }
            | Self::NoMethods
            | Self::Reserved { .. }
            | Self::NotText
            | Self::Host(_)
            | Self::PortZero
            | Self::TooLong { .. } => v5::Reply::GeneralFailure,
        }
    }
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The connection failed.
    #[error("the client's connection failed")]
    Io(#[source] io::Error),
    /// The client closed before its message was complete.
    #[error("the client closed in the middle of a message")]
    Closed,
    /// What came is no message.
    #[error("the client's message is malformed")]
    Bad(#[source] SocksError),
}

/// Reads one message with one of the parse functions, such as [`v5::parse_request`].
///
/// `buf` holds what was received and not yet used, before and after: put what is left at the end back in front of the
/// stream. Memory: one message, at most some 520 bytes, and what came along with it. Sets no time limit: the caller does.
/// Errors: [`ReadError`]. Cancel-safe: what was read is in `buf`.
pub async fn read<T>(
    io: &mut (impl AsyncRead + Unpin),
    buf: &mut BytesMut,
    parse: impl Fn(&[u8]) -> Parse<T>,
) -> Result<T, ReadError> {
    loop {
        match parse(buf) {
            Parse::Done(message, used) => {
                buf.advance(used);
                return Ok(message);
            }
            Parse::Bad(error) => return Err(ReadError::Bad(error)),
            Parse::Need(more) => buf.reserve(more),
        }
        if io.read_buf(buf).await.map_err(ReadError::Io)? == 0 {
            return Err(ReadError::Closed);
        }
    }
}
