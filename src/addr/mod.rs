//! Names for places: hosts, authorities, classes of addresses, patterns over names.
//! Knows nothing of sockets, DNS or policy: everything here is pure text and numbers.
//! Start at [`Authority::parse`], the only way from a peer's text to a place.

mod authority;
mod class;
mod host;
mod host_map;
mod pattern;

pub use authority::Authority;
pub use class::{AddrClass, client_network, wrapped_v4};
pub use host::{Host, write_ip};
pub use host_map::{HostKey, HostMap};
pub use pattern::HostPattern;

/// Why a text is not a place. Each variant is a fact about the text, fit for a client to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddrError {
    /// Nothing stands where a host should.
    #[error("the host is empty")]
    EmptyHost,
    /// A character that no host name may contain, or a label that is too long or empty.
    #[error("{text:?} is not a valid host name: {why}")]
    InvalidHost {
        /// The text as it came, shortened.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Looks like an IPv4 address in a spelling that programs read differently (octal, hex, short, integer).
    #[error(
        "{text:?} is an ambiguous spelling of an IPv4 address; write four decimal numbers without leading zeros"
    )]
    AmbiguousIpv4 {
        /// The text as it came, shortened.
        text: String,
    },
    /// Brackets hold something else than a plain IPv6 address.
    #[error("{text:?} is not an IPv6 address")]
    InvalidIpv6 {
        /// The text as it came, shortened.
        text: String,
    },
    /// The port is missing, not a number, zero, or above 65535.
    #[error("{text:?} is not a port between 1 and 65535")]
    InvalidPort {
        /// The text as it came, shortened.
        text: String,
    },
    /// Credentials inside an authority are an error (RFC 9110 §4.2.4).
    #[error("an authority must not contain user information")]
    UserInfo,
}

/// A peer's text, shortened so that an error message stays a line.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}
