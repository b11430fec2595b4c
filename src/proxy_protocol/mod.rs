//! The PROXY protocol, versions 1 and 2: who is really behind a connection that a balancer opened, or that we open.
//! Does no I/O and trusts nobody: the listener reads a header only from peers that its settings name, and from them
//! demands one. Start at [`parse`] for what is received, at [`Outgoing::encode`] for what is sent.

mod encode;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

pub use encode::{Outgoing, Transport, Version};

use std::net::{IpAddr, SocketAddr};

/// What a look at the bytes received so far yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parse<T> {
    /// The header is not complete; at least so many bytes more are needed. Never more than the header has.
    Need(usize),
    /// The header, and how many bytes it took. What follows them is the connection's own.
    Done(T, usize),
    /// No bytes that follow can make this a header. The connection must be closed.
    Bad(HeaderError),
}

/// Who is connected to whom, as the balancer saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// The client; `None` if the balancer speaks for itself (a health check) or does not know: then the connection's own
    /// addresses hold. An IPv4-mapped IPv6 address has become the IPv4 address.
    pub source: Option<SocketAddr>,
    /// Where the client connected to; as `source`.
    pub destination: Option<SocketAddr>,
}

/// Why bytes are not a PROXY header that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Neither version's first bytes.
    #[error("there is no PROXY header")]
    Missing,
    /// A version 1 line of more than 107 bytes, or a version 2 header of more than 4 KiB.
    #[error("the header is too long")]
    TooLong,
    /// A version 1 line that does not follow the grammar.
    #[error("the version 1 line is malformed: {why}")]
    Line {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A version or command that version 2 does not have.
    #[error("version and command {got:#04x} are unknown")]
    Command {
        /// The byte.
        got: u8,
    },
    /// A family or transport that cannot be that of a stream.
    #[error("address family and transport {got:#04x} are not supported")]
    Family {
        /// The byte.
        got: u8,
    },
    /// The addresses or an extension do not fit into the length that version 2 announced.
    #[error("the header is shorter than what it contains")]
    Truncated,
    /// The CRC32c in the header is not that of the header.
    #[error("the checksum is wrong")]
    Checksum,
}

/// Reads a header of either version from the beginning of a connection.
///
/// A header is at most 107 bytes (version 1) or 4 KiB (version 2). Source: "The PROXY protocol, versions 1 & 2", §2.
pub fn parse(bytes: &[u8]) -> Parse<Header> {
    match bytes.first() {
        None => Parse::Need(SHORTEST),
        Some(b'P') => v1::parse(bytes),
        Some(b'\r') => v2::parse(bytes),
        Some(_) => Parse::Bad(HeaderError::Missing),
    }
}

impl Header {
    fn between(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Self {
        let at = |(ip, port): (IpAddr, u16)| Some(SocketAddr::new(ip.to_canonical(), port));
        Self {
            source: at(source),
            destination: at(destination),
        }
    }
}

/// Bytes of the shortest header of all: `PROXY UNKNOWN` and its line end.
const SHORTEST: usize = 15;
