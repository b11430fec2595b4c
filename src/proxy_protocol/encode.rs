//! What is sent to an origin: the header of either version, in front of a connection's bytes or of a datagram.
//! Decides nothing about whom it may be told to: an operator named the origin and the version.
//! Start at [`Outgoing::encode`].

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::v2::{self, SIGNATURE};

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One line of text.
    V1,
    /// A binary header.
    V2,
}

/// What carries the connection that a header is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Stream,
    /// UDP; version 1 has no word for it.
    Datagram,
}

/// What a header tells.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The client.
    pub source: SocketAddr,
    /// Where the client connected to; `None` where that is not known.
    pub destination: Option<SocketAddr>,
    /// What carries it.
    pub transport: Transport,
    /// The name that the client asked for in TLS (version 2 only).
    pub authority: Option<&'a str>,
    /// What was agreed on by ALPN (version 2 only).
    pub alpn: Option<&'a [u8]>,
}

impl Outgoing<'_> {
    /// The header. Where an address is not known, or version 1 can not say it, the header says so: `UNKNOWN`, or the
    /// unspecified family.
    ///
    /// Two addresses of different families become IPv6 both, the IPv4 one mapped (RFC 4291 §2.5.5.2).
    /// Source: "The PROXY protocol, versions 1 & 2", §2.1 and §2.2.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        match version {
            Version::V1 => self.encode_v1(),
            Version::V2 => self.encode_v2(),
        }
    }

    fn encode_v1(&self) -> Vec<u8> {
        let pair = self.pair().filter(|_| self.transport == Transport::Stream);
        let Some((source, destination)) = pair else {
            return b"PROXY UNKNOWN\r\n".to_vec();
        };
        let word = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let mut line = String::with_capacity(LONGEST_LINE);
        write!(
            line,
            "PROXY {word} {} {} {} {}\r\n",
            Plain(source.ip()),
            Plain(destination.ip()),
            source.port(),
            destination.port()
        )
        .expect("a String takes all that is written");
        line.into_bytes()
    }

    fn encode_v2(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let family = match self.pair() {
            Some((source, destination)) => {
                for address in [source, destination] {
                    match address.ip() {
                        IpAddr::V4(ip) => body.extend(ip.octets()),
                        IpAddr::V6(ip) => body.extend(ip.octets()),
                    }
                }
                for address in [source, destination] {
                    body.extend(address.port().to_be_bytes());
                }
                if source.is_ipv4() { 0x10 } else { 0x20 }
            }
            None => 0,
        };
        // The unspecified family goes with the unspecified protocol (§2.2).
        let transport = match (family, self.transport) {
            (0, _) => 0,
            (_, Transport::Stream) => 1,
            (_, Transport::Datagram) => 2,
        };
        let extensions = [
            (v2::ALPN, self.alpn),
            (v2::AUTHORITY, self.authority.map(str::as_bytes)),
        ];
        for (kind, value) in extensions {
            let fitting = value.filter(|value| value.len() <= LONGEST_VALUE);
            let Some((value, length)) =
                fitting.and_then(|value| Some((value, u16::try_from(value.len()).ok()?)))
            else {
                continue;
            };
            body.push(kind);
            body.extend(length.to_be_bytes());
            body.extend(value);
        }
        let length = u16::try_from(body.len()).expect("two addresses and two short extensions");
        let mut header = SIGNATURE.to_vec();
        header.extend([0x21, family | transport]);
        header.extend(length.to_be_bytes());
        header.extend(body);
        header
    }

    /// Both addresses, in one family.
    fn pair(&self) -> Option<(SocketAddr, SocketAddr)> {
        let plain = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        let (source, destination) = (plain(self.source), plain(self.destination?));
        if source.is_ipv4() == destination.is_ipv4() {
            return Some((source, destination));
        }
        Some((mapped(source), mapped(destination)))
    }
}

/// An address as version 1 wants it: the colons of a mapped one without dots in it, which not every reader knows.
struct Plain(IpAddr);

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
                let [.., high, low] = ip.segments();
                write!(f, "::ffff:{high:x}:{low:x}")
            }
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip.fmt(f),
        }
    }
}

fn mapped(at: SocketAddr) -> SocketAddr {
    match at.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), at.port()),
        IpAddr::V6(_) => at,
    }
}

/// Bytes of the longest line, CR LF included (§2.1).
const LONGEST_LINE: usize = 107;

/// Bytes of an extension's value that are sent at most: a name has 253, a protocol 255.
const LONGEST_VALUE: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::{Header, Parse, parse};

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("the table holds addresses")
    }

    fn between(source: &str, destination: &str) -> Outgoing<'static> {
        Outgoing {
            source: at(source),
            destination: Some(at(destination)),
            transport: Transport::Stream,
            authority: None,
            alpn: None,
        }
    }

    #[test]
    fn headers_are_the_bytes_that_the_specification_gives() {
        let four = between("192.0.2.1:51234", "198.51.100.2:443");
        let six = between("[2001:db8::1]:1", "[2001:db8::2]:2");
        let mixed = between("192.0.2.1:1", "[2001:db8::2]:2");
        let mapped = between("[::ffff:192.0.2.1]:51234", "198.51.100.2:443");
        let datagram = Outgoing {
            transport: Transport::Datagram,
            ..four
        };
        let unknown = Outgoing {
            destination: None,
            ..four
        };
        for (told, line) in [
            (four, "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n"),
            (mapped, "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n"),
            (six, "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"),
            (mixed, "PROXY TCP6 ::ffff:c000:201 2001:db8::2 1 2\r\n"),
            (datagram, "PROXY UNKNOWN\r\n"),
            (unknown, "PROXY UNKNOWN\r\n"),
        ] {
            assert_eq!(told.encode(Version::V1), line.as_bytes(), "{told:?}");
        }
        let addresses = [192, 0, 2, 1, 198, 51, 100, 2, 0xc8, 0x22, 1, 0xbb];
        let named = Outgoing {
            authority: Some("a.example"),
            alpn: Some(b"h2"),
            ..four
        };
        let extensions = [&[1, 0, 2][..], b"h2", &[2, 0, 9], b"a.example"].concat();
        for (told, family, body) in [
            (four, 0x11, addresses.to_vec()),
            (mapped, 0x11, addresses.to_vec()),
            (datagram, 0x12, addresses.to_vec()),
            (unknown, 0x00, vec![]),
            (named, 0x11, [&addresses[..], &extensions].concat()),
        ] {
            let head = [
                0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
            ];
            let length = [0, body.len() as u8];
            let expected = [&head[..], &[0x21, family], &length, &body].concat();
            assert_eq!(told.encode(Version::V2), expected, "{told:?}");
        }
        assert_eq!(six.encode(Version::V2).len(), 16 + 36);
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        for (source, destination) in [
            ("192.0.2.1:51234", "198.51.100.2:443"),
            ("[2001:db8::1]:65535", "[2001:db8::2]:1"),
            ("192.0.2.1:1", "[2001:db8::2]:2"),
            ("[2001:db8::1]:1", "192.0.2.1:2"),
            (
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535",
            ),
        ] {
            for version in [Version::V1, Version::V2] {
                let told = Outgoing {
                    authority: Some("www.example"),
                    alpn: Some(b"http/1.1"),
                    ..between(source, destination)
                };
                let bytes = told.encode(version);
                let expected = Header {
                    source: Some(at(source)),
                    destination: Some(at(destination)),
                };
                assert_eq!(
                    parse(&bytes),
                    Parse::Done(expected, bytes.len()),
                    "{told:?}"
                );
            }
        }
    }

    #[test]
    fn what_can_not_be_told_is_read_as_not_told() {
        let told = Outgoing {
            destination: None,
            ..between("192.0.2.1:1", "192.0.2.2:2")
        };
        for version in [Version::V1, Version::V2] {
            let bytes = told.encode(version);
            assert_eq!(parse(&bytes), Parse::Done(Header::default(), bytes.len()));
        }
    }
}
