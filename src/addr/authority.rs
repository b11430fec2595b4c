//! Host and port that a request is for (RFC 3986 §3.2).
//! Not a socket address: a name may stand in it.
//! Start at [`Authority::parse`].

use std::fmt;

use super::{AddrError, Host, shorten};

/// Where a request goes: a canonical host and a port. Made only by parsing or from parts that were parsed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    /// The canonical host.
    pub host: Host,
    /// The port, never zero when parsed.
    pub port: u16,
}

impl Authority {
    /// An authority of parts that are known to be valid.
    pub fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// Reads `host:port` or `host`; without a port `default_port` stands in, and without that a port is demanded
    /// (authority-form, RFC 9112 §3.2.3).
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AddrError> {
        if memchr::memchr(b'@', text.as_bytes()).is_some() {
            return Err(AddrError::UserInfo);
        }
        let (host, port) = split_port(text);
        let port = match (port, default_port) {
            // An empty port means the default one (RFC 3986 §3.2.3).
            (None | Some(""), Some(default)) => default,
            (None | Some(""), None) => {
                return Err(AddrError::InvalidPort {
                    text: shorten(text),
                });
            }
            (Some(digits), _) => parse_port(digits)?,
        };
        Ok(Self {
            host: Host::parse(host)?,
            port,
        })
    }

    /// As a `Host` field or URI writes it: without the port where that is the default.
    pub fn without_default_port(&self, default_port: u16) -> AuthorityText<'_> {
        AuthorityText {
            authority: self,
            omit: self.port == default_port,
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        f.write_str(":")?;
        f.write_str(itoa::Buffer::new().format(self.port))
    }
}

/// The text of an [`Authority`], its port left out where it is the default.
#[derive(Debug)]
pub struct AuthorityText<'a> {
    authority: &'a Authority,
    omit: bool,
}

impl fmt::Display for AuthorityText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.omit {
            self.authority.host.fmt(f)
        } else {
            self.authority.fmt(f)
        }
    }
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_host = memchr::memrchr(b']', text.as_bytes()).map_or(0, |at| at + 1);
    let rest = text.as_bytes().get(after_host..).unwrap_or_default();
    match memchr::memchr(b':', rest) {
        Some(at) => (
            text.get(..after_host + at).unwrap_or(text),
            text.get(after_host + at + 1..),
        ),
        None => (text, None),
    }
}

fn parse_port(digits: &str) -> Result<u16, AddrError> {
    let invalid = || AddrError::InvalidPort {
        text: shorten(digits),
    };
    if digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    digits
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_read_whole_or_refused() {
        for (text, default, expected) in [
            ("example.com:443", None, Some("example.com:443")),
            ("example.com", Some(80), Some("example.com:80")),
            ("example.com:", Some(80), Some("example.com:80")),
            ("[::1]:8080", None, Some("[::1]:8080")),
            ("[::1]", Some(80), Some("[::1]:80")),
            ("example.com", None, None),
            ("example.com:0", None, None),
            ("example.com:65536", None, None),
            ("example.com:+80", None, None),
            ("example.com:80:80", None, None),
            ("user@example.com:80", None, None),
            ("user:pw@example.com:80", Some(80), None),
            ("::1:80", Some(80), None),
            ("[::1]x:80", Some(80), None),
            (":80", Some(80), None),
        ] {
            assert_eq!(
                Authority::parse(text, default)
                    .ok()
                    .map(|a| a.to_string())
                    .as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
