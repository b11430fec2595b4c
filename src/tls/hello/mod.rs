//! The ClientHello: what a client says in the clear before anything is encrypted, out of the first bytes of a connection.
//! Does no I/O (see [`peek`](super::peek)), negotiates nothing, and judges nothing: policy does.
//! Start at [`parse`].

mod extensions;
mod fingerprint;
mod reader;
mod records;
#[cfg(test)]
mod tests;

use crate::addr::{AddrError, Host};

use extensions::Extensions;
use fingerprint::{Offer, is_reserved};
use reader::Reader;
use records::Stop;

/// What a look at the bytes received so far yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parse {
    /// That many bytes more are needed at least before anything can be said. Never more than the hello has. Who waits for
    /// them before looking again looks some dozens of times at most, however the bytes trickle in.
    Need(usize),
    /// A hello that is complete.
    Hello(Box<ClientHello>),
    /// No bytes that follow can make this TLS: another protocol is spoken.
    NotTls,
    /// TLS, but no bytes that follow can make it a hello that we take.
    Bad(HelloError),
}

/// What a client offers and asks for.
///
/// Nothing of it is proven: a client may say what it likes. What it asks of an origin, the origin will act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The server that is asked for (SNI): always a DNS name. With ECH it is the outer, public one (RFC 9849 §6.1).
    pub server_name: Option<Host>,
    /// The application protocols, as the client prefers them; empty if it names none.
    pub alpn: Vec<Box<[u8]>>,
    /// The highest version that is offered.
    pub version: Version,
    /// Whether there is an encrypted inner hello (ECH, or the older ESNI). Browsers also send a meaningless one that
    /// looks the same (RFC 9849 §6.2), so that this does not say that another name is asked for, only that it may be.
    pub ech: bool,
    /// JA4, the fingerprint of the client's TLS library: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    pub fingerprint: Box<str>,
}

/// A version of TLS, from the lowest to the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// None that is known.
    Unknown,
    /// SSL 3.0.
    Ssl3,
    /// TLS 1.0.
    Tls10,
    /// TLS 1.1.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Why bytes of TLS are not a ClientHello that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// More than [`LIMIT`] bytes, records and all.
    #[error("the hello is larger than 64 KiB")]
    TooLarge,
    /// It began, and was not whole in time.
    #[error("the hello did not arrive in time")]
    Slow,
    /// A record is wrong (RFC 8446 §5.1).
    #[error("a record of the hello is malformed: {why}")]
    Record {
        /// What is wrong with it.
        why: &'static str,
    },
    /// Another handshake message than a ClientHello comes first.
    #[error("the first message is of type {got}, not a ClientHello")]
    NotHello {
        /// Its type (RFC 8446 §4).
        got: u8,
    },
    /// Something does not fill the length that is announced for it, or not fit into it.
    #[error("the length of the {what} is wrong")]
    Length {
        /// What it is.
        what: &'static str,
    },
    /// An extension is there twice (RFC 8446 §4.2).
    #[error("extension {kind:#06x} is there more than once")]
    Repeated {
        /// Its type.
        kind: u16,
    },
    /// There is not exactly one DNS name (RFC 6066 §3).
    #[error("the server name is not one that can be asked for: {why}")]
    ServerName {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The server name is none that we take, because it is wrong or ambiguous.
    #[error("the server name is not a DNS name")]
    InvalidName(#[from] AddrError),
    /// Of application protocols there are none, too many, or one without a name (RFC 7301 §3.1).
    #[error("the list of application protocols is malformed")]
    Protocols,
}

/// Reads the ClientHello at the beginning of a connection; what follows it is not looked at, and nothing is taken away.
///
/// A hello takes at most [`LIMIT`] bytes. Everything that two programs might read as two things is [`Parse::Bad`]: what
/// is judged here must be what the origin reads. Source: RFC 8446 §4.1.2 and §5.1; before TLS 1.3, RFC 5246 §7.4.1.2.
pub fn parse(bytes: &[u8]) -> Parse {
    match records::message(bytes) {
        Ok(body) => match ClientHello::read(&body) {
            Ok(hello) => Parse::Hello(Box::new(hello)),
            Err(error) => Parse::Bad(error),
        },
        Err(Stop::Need(more)) => Parse::Need(more),
        Err(Stop::NotTls) => Parse::NotTls,
        Err(Stop::Bad(error)) => Parse::Bad(error),
    }
}

impl ClientHello {
    fn read(body: &[u8]) -> Result<Self, HelloError> {
        let fixed = Fixed::read(body).ok_or(HelloError::Length {
            what: "ClientHello",
        })?;
        let mut ciphers = fixed.ciphers;
        ciphers.sort_unstable();
        let extensions = Extensions::read(fixed.extensions)?;
        let offered = extensions.versions.as_deref();
        let offer = Offer {
            version: offered.map_or(fixed.legacy_version, |offered| {
                let offered = offered.iter().copied();
                offered.filter(|v| !is_reserved(*v)).max().unwrap_or(0)
            }),
            ciphers: &ciphers,
            extensions: &extensions.kinds,
            alpn: &extensions.alpn,
            signatures: &extensions.signatures,
        };
        Ok(Self {
            fingerprint: offer.fingerprint(),
            version: Version::highest(fixed.legacy_version, offered),
            server_name: extensions.server_name,
            alpn: extensions.alpn,
            ech: extensions.ech,
        })
    }
}

/// The fields that every hello has, and what follows them.
struct Fixed<'a> {
    legacy_version: u16,
    ciphers: Vec<u16>,
    extensions: Reader<'a>,
}

impl<'a> Fixed<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut body = Reader::new(body);
        let legacy_version = body.number()?;
        body.take(RANDOM)?;
        let session_id = body.vec8()?.rest();
        let ciphers = body.vec16()?.numbers()?;
        let compressions = body.vec8()?;
        if session_id.len() > LONGEST_SESSION_ID || compressions.is_empty() {
            return None;
        }
        let extensions = if body.is_empty() { body } else { body.vec16()? };
        body.end()?;
        Some(Self {
            legacy_version,
            ciphers,
            extensions,
        })
    }
}

impl Version {
    /// Without supported_versions nothing above TLS 1.2 is offered, whatever the legacy field says (RFC 8446 §4.2.1).
    fn highest(legacy: u16, offered: Option<&[u16]>) -> Self {
        let highest = |offered: &[u16]| offered.iter().map(|v| Self::of(*v)).max();
        match offered {
            Some(offered) => highest(offered).unwrap_or(Self::Unknown),
            None if (0x0304..0x0400).contains(&legacy) => Self::Tls12,
            None => Self::of(legacy),
        }
    }

    fn of(number: u16) -> Self {
        match number {
            0x0300 => Self::Ssl3,
            0x0301 => Self::Tls10,
            0x0302 => Self::Tls11,
            0x0303 => Self::Tls12,
            0x0304 => Self::Tls13,
            _ => Self::Unknown,
        }
    }
}

impl Version {
    /// The number, as people write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ssl3 => "ssl3",
            Self::Tls10 => "1.0",
            Self::Tls11 => "1.1",
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// Bytes of the largest hello that is read, with the headers of its records. One of a browser has some 2 KiB.
pub const LIMIT: usize = 64 * 1024;

const RANDOM: usize = 32;
const LONGEST_SESSION_ID: usize = 32;
