//! One host in its one canonical form, so that what is judged, resolved and dialled is the same thing.
//! Resolves nothing.
//! Start at [`Host::parse`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use super::{AddrError, shorten};

/// A host: a DNS name in canonical form (lower case, A-labels, no trailing dot) or an IP address.
///
/// An IPv4-mapped IPv6 address is the IPv4 address that it wraps: both are dialled alike, so both are judged alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name.
    Name(Arc<str>),
    /// An address; never an IPv4-mapped one.
    Addr(IpAddr),
}

impl Host {
    /// Reads a host as it stands in an authority: `example.com`, `192.0.2.1`, `[2001:db8::1]`.
    ///
    /// Errors: every text that two programs might read as two hosts (RFC 3986 §3.2.2, RFC 5891 §5).
    pub fn parse(text: &str) -> Result<Self, AddrError> {
        if is_canonical(text.as_bytes()) {
            return Self::finish(text, text);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner
                .strip_suffix(']')
                .ok_or_else(|| AddrError::InvalidIpv6 {
                    text: shorten(text),
                })?;
            return Self::parse_ipv6(inner, text);
        }
        if text.contains(':') {
            return Err(AddrError::InvalidHost {
                text: shorten(text),
                why: "an IPv6 address stands in brackets",
            });
        }
        Self::parse_unbracketed(text)
    }

    /// Reads a host where no port can follow: as [`Host::parse`], and IPv6 also without brackets.
    pub fn parse_bare(text: &str) -> Result<Self, AddrError> {
        if text.contains(':') && !text.starts_with('[') {
            Self::parse_ipv6(text, text)
        } else {
            Self::parse(text)
        }
    }

    /// The host of an address; an IPv4-mapped one becomes IPv4.
    pub fn from_ip(ip: IpAddr) -> Self {
        Self::Addr(ip.to_canonical())
    }

    /// The DNS name, or `None` for an address.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Addr(_) => None,
        }
    }

    /// The address, or `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Addr(ip) => Some(*ip),
        }
    }

    fn parse_ipv6(inner: &str, text: &str) -> Result<Self, AddrError> {
        // A zone identifier names an interface of *this* machine: it is no part of a name for others (RFC 4007 §11.2).
        let ip = Ipv6Addr::from_str(inner).map_err(|_| AddrError::InvalidIpv6 {
            text: shorten(text),
        })?;
        Ok(Self::from_ip(IpAddr::V6(ip)))
    }

    fn parse_unbracketed(text: &str) -> Result<Self, AddrError> {
        if text.is_empty() {
            return Err(AddrError::EmptyHost);
        }
        if text.contains('@') {
            // Not shown: what stands before it may be a password.
            return Err(AddrError::UserInfo);
        }
        let invalid = |why| AddrError::InvalidHost {
            text: shorten(text),
            why,
        };
        if text.contains('%') {
            return Err(invalid("percent-encoding is not allowed in a host name"));
        }
        // Case, width, and U-labels are folded here; what the mapping yields is checked like anything else.
        let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY)
            .map_err(|_| invalid("it is not a valid internationalised name"))?;
        let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
        check_name(ascii).map_err(invalid)?;
        Self::finish(ascii, text)
    }

    /// Decides between name and IPv4 address for a text of letters, digits, hyphens, underscores and dots.
    fn finish(name: &str, text: &str) -> Result<Self, AddrError> {
        if !ends_in_number(name) {
            return Ok(Self::Name(Arc::from(name)));
        }
        // What ends in a number is an address or nothing (WHATWG URL "ends in a number"); the std parser takes only
        // four decimal numbers without leading zeros, and every other spelling is ambiguous.
        if let Ok(ip) = Ipv4Addr::from_str(name) {
            return Ok(Self::Addr(IpAddr::V4(ip)));
        }
        Err(AddrError::AmbiguousIpv4 {
            text: shorten(text),
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Addr(ip @ IpAddr::V4(_)) => write_ip(*ip, f),
            Self::Addr(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// Writes an address as the standard library does, IPv6 without brackets. IPv4 without the library's formatting: an address is
/// written several times for a request.
pub fn write_ip(ip: IpAddr, to: &mut impl fmt::Write) -> fmt::Result {
    let IpAddr::V4(ip) = ip else {
        return write!(to, "{ip}");
    };
    let mut digits = itoa::Buffer::new();
    let [first, rest @ ..] = ip.octets();
    to.write_str(digits.format(first))?;
    rest.iter().try_for_each(|octet| {
        to.write_str(".")?;
        to.write_str(digits.format(*octet))
    })
}

/// Whether the text already is a canonical ASCII name, so that the usual case costs one pass and no IDNA work. What
/// [`check_name`] refuses is not; `xn--` labels must be validated by IDNA: an invalid one could be another spelling of
/// something else.
fn is_canonical(text: &[u8]) -> bool {
    let mut label = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'.' if label == 0 => return false,
            b'.' => label = 0,
            b'x' if label == 0 && is_ace(text.get(at..)) => return false,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            _ => return false,
        }
        if label > LABEL {
            return false;
        }
    }
    label > 0 && text.len() <= NAME
}

fn is_ace(label: Option<&[u8]>) -> bool {
    label.is_some_and(|label| label.starts_with(b"xn--"))
}

/// Lengths and letters of a name without trailing dot (RFC 1035 §2.3.4; underscores as DNS itself allows them).
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > NAME {
        return Err("it is longer than 253 characters");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("it has an empty label");
        }
        if label.len() > LABEL {
            return Err("a label is longer than 63 characters");
        }
        if !label
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        {
            return Err("only letters, digits, hyphens, underscores and dots are allowed");
        }
    }
    Ok(())
}

fn ends_in_number(name: &str) -> bool {
    let last = name.as_bytes().rsplit(|b| *b == b'.').next();
    let last = last.unwrap_or_default();
    let hex = last
        .strip_prefix(b"0x")
        .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    hex || last.iter().all(u8::is_ascii_digit)
}

/// The longest name and the longest label in it, in octets of text (RFC 1035 §2.3.4).
const NAME: usize = 253;
const LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "10.0.100.9",
            "2001:db8::1",
            "::ffff:1.2.3.4",
        ] {
            let ip: IpAddr = text.parse().expect("the table holds addresses");
            let mut written = String::new();
            write_ip(ip, &mut written).expect("writing to a string does not fail");
            assert_eq!(written, ip.to_string());
        }
    }

    #[test]
    fn every_spelling_of_a_name_becomes_one_form() {
        for (text, canonical) in [
            ("example.com", "example.com"),
            ("EXAMPLE.Com.", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("ＥＸＡＭＰＬＥ.com", "example.com"),
            ("a_b.example", "a_b.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("１２７.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::ffff:10.0.0.1]", "10.0.0.1"),
            ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(
                Host::parse(text).map(|h| h.to_string()),
                Ok(canonical.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn labels_and_names_are_as_long_as_dns_takes_them() {
        let label = |length| "a".repeat(length);
        let name = |last| [label(63), label(63), label(63), label(last)].join(".");
        for (text, length, is_name) in [
            (label(63), 63, true),
            (label(64), 64, false),
            (format!("b.{}", label(63)), 65, true),
            (format!("b.{}", label(64)), 66, false),
            (name(61), 253, true),
            (name(62), 254, false),
            // The dot of the root is not counted, and letters are what they become.
            (name(61) + ".", 254, true),
            (name(62) + ".", 255, false),
            (name(61).to_uppercase(), 253, true),
            (name(62).to_uppercase(), 254, false),
            (label(64).to_uppercase(), 64, false),
        ] {
            assert_eq!(text.len(), length);
            assert_eq!(Host::parse(&text).is_ok(), is_name, "{length}: {text}");
        }
    }

    #[test]
    fn ambiguous_and_malformed_hosts_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "a b",
            "a%2eb",
            "-\u{0}",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "2130706433",
            "1.2.3.4.5",
            "256.1.1.1",
            "example.0x7f",
            "192.168.010.1",
            "[::1",
            "[::1%25eth0]",
            "[fe80::1%eth0]",
            "::1",
            "a@b",
            "a/b",
            "a\\b",
            "xn--a",
            "1.2.3.4..",
            "a.b..",
            // A soft hyphen vanishes in the mapping: nothing is left of this label.
            "a.\u{ad}.b",
            "exa\tmple.com",
            "a:80",
        ] {
            assert!(
                Host::parse(text).is_err(),
                "{text:?} was accepted as {:?}",
                Host::parse(text)
            );
        }
    }
}
