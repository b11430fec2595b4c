//! Why TLS with an origin failed, in words for people.
//! Decides nothing: what an HTTP client is told with it is the pool's.
//! Start at [`Why`].

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use rustls::AlertDescription;
use rustls::pki_types::UnixTime;

use crate::addr::Host;

/// A failed handshake.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectError {
    /// Whom it was with.
    pub host: Host,
    /// Where that was.
    pub peer: SocketAddr,
    /// What went wrong.
    pub why: Why,
}

/// What went wrong in a handshake.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// A certificate has expired, at this time.
    Expired(Option<UnixTime>),
    /// A certificate is not valid before this time.
    NotYetValid(Option<UnixTime>),
    /// It is valid for these names, and not for the one that was asked for.
    WrongName(Vec<String>),
    /// Its issuer is not known here.
    UnknownIssuer(String),
    /// Its issuer is itself, and it is not one of the roots.
    SelfSigned,
    /// Its issuer is itself, and it is for an authority: it can be a root, and no server's certificate.
    Authority,
    /// Its issuer took it back.
    Revoked,
    /// A signature or a key is too weak to prove anything.
    Weak,
    /// It is valid, and holds none of the pinned keys.
    Pinned,
    /// Something else is wrong with it.
    Unfit(String),
    /// The origin broke off with an alert.
    Alert(AlertDescription),
    /// What the origin said is not TLS, or not one that we speak.
    Protocol(String),
    /// The handshake took longer than this.
    Timeout(Duration),
    /// The connection was closed in the middle.
    Closed,
    /// The host can not be a name in TLS.
    NoName,
}

impl ConnectError {
    pub(super) fn new(host: &Host, peer: SocketAddr, why: Why) -> Self {
        Self {
            host: host.clone(),
            peer,
            why,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, why) = (&self.host, &self.why);
        match why {
            Why::WrongName(names) if names.is_empty() => {
                write!(f, "the certificate of {host} is for no host")
            }
            Why::WrongName(_) => write!(f, "the certificate of {host} {why}, not for {host}"),
            Why::Timeout(_) | Why::Closed | Why::NoName => write!(f, "{host} {why}"),
            Why::Alert(AlertDescription::ProtocolVersion) => {
                write!(f, "{host} speaks no version of TLS that is allowed here")
            }
            Why::Alert(_) => write!(f, "{host} refused TLS: {why}"),
            Why::Protocol(_) => write!(f, "TLS with {host} ({}) failed: {why}", self.peer),
            Why::Expired(_)
            | Why::NotYetValid(_)
            | Why::UnknownIssuer(_)
            | Why::SelfSigned
            | Why::Authority
            | Why::Revoked
            | Why::Weak
            | Why::Pinned
            | Why::Unfit(_) => write!(f, "the certificate of {host} {why}"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// The part of a sentence that follows "the certificate", or "the origin".
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(time) => write!(f, "has expired{}", Day(*time)),
            Self::NotYetValid(time) => write!(f, "is not valid yet{}", Day(*time)),
            Self::WrongName(names) => {
                let more = names.len().saturating_sub(NAMES);
                let names: Vec<&str> = names.iter().take(NAMES).map(String::as_str).collect();
                write!(f, "is for {}", names.join(", "))?;
                if more > 0 {
                    write!(f, " and {more} more")?;
                }
                Ok(())
            }
            Self::UnknownIssuer(issuer) => {
                f.write_str("was issued by an authority that is not trusted here")?;
                if !issuer.is_empty() {
                    write!(f, " (issuer: {issuer})")?;
                }
                Ok(())
            }
            Self::SelfSigned => {
                f.write_str("is self-signed, and not one of the roots that are trusted here")
            }
            Self::Authority => f.write_str(
                "is self-signed and an authority's (CA:TRUE), which no server can show, not even one that is trusted as a root: \
                 have it sign a certificate for the server, or make one with CA:FALSE",
            ),
            Self::Revoked => f.write_str("was revoked"),
            Self::Weak => f.write_str("uses a signature or key that is too weak"),
            Self::Pinned => f.write_str("holds none of the keys that are pinned for it"),
            Self::Unfit(problem) => write!(f, "can not be used: {problem}"),
            Self::Alert(alert) => write!(f, "{alert:?}"),
            Self::Protocol(problem) => f.write_str(problem),
            Self::Timeout(limit) => {
                write!(f, "did not finish the TLS handshake within {limit:?}")
            }
            Self::Closed => f.write_str("closed the connection during the TLS handshake"),
            Self::NoName => f.write_str("can not be a TLS server name"),
        }
    }
}

impl std::error::Error for Why {}

/// A day in brackets, where it is known.
struct Day(Option<UnixTime>);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0.and_then(|time| i64::try_from(time.as_secs()).ok());
        match time.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            Some(time) => write!(f, " ({})", time.strftime("%Y-%m-%d")),
            None => Ok(()),
        }
    }
}

/// A certificate's text for a line of ours: anyone can write anything into a certificate.
pub(super) fn shorten(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, ' '..='~') && !matches!(c, '<' | '>' | '&' | '"' | '\\'))
        .take(TEXT)
        .collect()
}

/// Names that are told of a certificate.
const NAMES: usize = 5;
/// Characters that are told of one text in it.
const TEXT: usize = 100;
