//! The first bytes of a connection: a PROXY header from who may send one, then the protocol.
//! Takes nothing of the protocol itself: what was read goes back into the stream.
//! Start at [`client`], then [`protocol`].

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use ipnet::IpNet;
use tokio::io::AsyncReadExt;

use crate::fault::Faults;
use crate::proxy_protocol;
use crate::settings::{FromValue, Located, Table, Value, one_of};
use crate::stream::Stream;

/// What a client speaks, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.x.
    Http1,
    /// HTTP/2 with prior knowledge (RFC 9113 §3.3).
    Http2,
    /// SOCKS4 or 4a.
    Socks4,
    /// SOCKS5.
    Socks5,
    /// Whatever it is: the listener does not go by it, and no byte was waited for.
    Opaque,
}

/// Which protocols a listener accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// HTTP requests in absolute-form.
    pub http: bool,
    /// CONNECT.
    pub connect: bool,
    /// HTTP/2 with prior knowledge.
    pub http2: bool,
    /// SOCKS4 and 4a.
    pub socks4: bool,
    /// SOCKS5.
    pub socks5: bool,
}

/// PROXY headers: who may send one, and whether origins are sent one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyHeaders {
    /// Who may; from them it is demanded.
    from: Vec<IpNet>,
    /// The version that origins are sent; only where bytes are relayed as they come.
    pub send: Option<proxy_protocol::Version>,
}

/// The two ends of a client's connection, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// The client's address.
    pub(super) client: SocketAddr,
    /// The address that the client connected to; `None` where the header does not say, or there was none.
    pub(super) local: Option<SocketAddr>,
}

/// Why the first bytes are no beginning.
#[derive(Debug, thiserror::Error)]
pub enum PrefaceError {
    /// The client closed first.
    #[error("the client closed without a word")]
    Closed,
    /// The connection broke.
    #[error("the connection broke before the first request")]
    Io(#[source] std::io::Error),
    /// A trusted sender sent no PROXY header, or a malformed one.
    #[error("the PROXY header is missing or malformed")]
    ProxyHeader,
    /// A TLS ClientHello on a port that speaks plain text.
    #[error("TLS was spoken to a port that does not speak it")]
    Tls,
    /// Something else than TLS, or text, on a port that speaks TLS.
    #[error("the port speaks TLS, and the client did not")]
    NotTls,
    /// Another protocol than ALPN agreed on.
    #[error("the client agreed on {0} by ALPN, and spoke something else")]
    Alpn(&'static str),
    /// Bytes of no protocol that is known here.
    #[error("the first bytes are of no known protocol")]
    Unknown,
}

impl Default for Accepted {
    fn default() -> Self {
        Self {
            http: true,
            connect: true,
            http2: true,
            socks4: true,
            socks5: true,
        }
    }
}

impl Accepted {
    /// Whether the protocol is accepted at all.
    pub fn takes(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Http1 => self.http || self.connect,
            Protocol::Http2 => self.http2 && (self.http || self.connect),
            Protocol::Socks4 => self.socks4,
            Protocol::Socks5 => self.socks5,
            // Of a listener that does not go by protocols, which takes them all.
            Protocol::Opaque => true,
        }
    }
}

/// What is accepted, as a list for people.
impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.http, "HTTP requests"),
            (self.connect, "CONNECT"),
            (self.http2, "HTTP/2"),
            (self.socks4, "SOCKS4"),
            (self.socks5, "SOCKS5"),
        ];
        let mut between = "";
        for (_, word) in words.iter().filter(|(taken, _)| *taken) {
            write!(f, "{between}{word}")?;
            between = ", ";
        }
        // `accept = []` closes a port without taking it away.
        if between.is_empty() {
            f.write_str("nothing")?;
        }
        Ok(())
    }
}

impl ProxyHeaders {
    /// Whether this peer's PROXY header is believed, and demanded.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let ip = peer.to_canonical();
        self.from.iter().any(|net| net.contains(&ip))
    }

    /// Whether anybody may send one.
    pub fn trusts_any(&self) -> bool {
        !self.from.is_empty()
    }
}

/// `accept = ["http", "connect", "http2", "socks4", "socks5"]`.
impl FromValue for Accepted {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let mut accepted = Self {
            http: false,
            connect: false,
            http2: false,
            socks4: false,
            socks5: false,
        };
        for word in Vec::<Located<String>>::from_value(value, faults)? {
            let words = [
                ("http", 0),
                ("connect", 1),
                ("http2", 2),
                ("socks4", 3),
                ("socks5", 4),
            ];
            match one_of(&word, &words, faults)? {
                0 => accepted.http = true,
                1 => accepted.connect = true,
                2 => accepted.http2 = true,
                3 => accepted.socks4 = true,
                _ => accepted.socks5 = true,
            }
        }
        Some(accepted)
    }
}

/// `proxy-protocol = { accept-from = ["10.0.0.0/24"], send = "v2" }`.
impl FromValue for ProxyHeaders {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let table = Table::from_value(value, faults)?;
        let word = table.take::<Located<String>>("send", faults);
        let send = word.as_ref().and_then(|word| {
            let words = [
                ("v1", proxy_protocol::Version::V1),
                ("v2", proxy_protocol::Version::V2),
            ];
            one_of(word, &words, faults)
        });
        let from = if word.is_some() {
            table.take_or("accept-from", Vec::new(), faults)
        } else {
            table.require(
                "accept-from",
                "name the networks whose PROXY headers are believed",
                faults,
            )?
        };
        table.finish(faults);
        Some(Self { from, send })
    }
}

/// The ends of the connection: from the PROXY header where the peer is one that sends them. Waits without limit: the caller
/// bounds it.
pub(super) async fn client(
    stream: &mut Stream,
    peer: SocketAddr,
    trusted: &ProxyHeaders,
) -> Result<Ends, PrefaceError> {
    if !trusted.trusts(peer.ip()) {
        return Ok(Ends {
            client: peer,
            local: None,
        });
    }
    let mut buf = BytesMut::new();
    let header = read_proxy_header(stream, &mut buf).await?;
    stream.unread(buf);
    // LOCAL and UNKNOWN carry no address: a health check of the balancer itself.
    Ok(Ends {
        client: header.source.unwrap_or(peer),
        local: header.destination,
    })
}

/// What the client speaks. What was read is put back. Waits without limit: the caller bounds it.
pub(super) async fn protocol(stream: &mut Stream) -> Result<Protocol, PrefaceError> {
    let mut buf = BytesMut::new();
    let protocol = loop {
        match sniff(&buf)? {
            Some(protocol) => break protocol,
            None => fill(stream, &mut buf).await?,
        }
    };
    stream.unread(buf);
    Ok(protocol)
}

/// How a connection to a port that speaks TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// With a TLS record of the handshake (RFC 8446 §5.1).
    Tls,
    /// With plain text, as HTTP does.
    Text,
}

/// Whether the client speaks TLS. What was read is put back. Waits without limit: the caller bounds it.
pub(super) async fn opening(stream: &mut Stream) -> Result<Opening, PrefaceError> {
    let mut buf = BytesMut::new();
    while buf.is_empty() {
        fill(stream, &mut buf).await?;
    }
    let opening = match buf.first() {
        Some(&HANDSHAKE) => Opening::Tls,
        Some(b) if b.is_ascii_graphic() || matches!(b, b'\r' | b'\n') => Opening::Text,
        Some(_) | None => return Err(PrefaceError::NotTls),
    };
    stream.unread(buf);
    Ok(opening)
}

async fn read_proxy_header(
    stream: &mut Stream,
    buf: &mut BytesMut,
) -> Result<proxy_protocol::Header, PrefaceError> {
    loop {
        match proxy_protocol::parse(buf) {
            proxy_protocol::Parse::Done(header, used) => {
                let _ = buf.split_to(used.min(buf.len()));
                return Ok(header);
            }
            proxy_protocol::Parse::Need(_) => fill(stream, buf).await?,
            proxy_protocol::Parse::Bad(_) => return Err(PrefaceError::ProxyHeader),
        }
    }
}

async fn fill(stream: &mut Stream, buf: &mut BytesMut) -> Result<(), PrefaceError> {
    let mut chunk = [0; 1024];
    match stream.read(&mut chunk).await {
        Ok(0) => Err(PrefaceError::Closed),
        Ok(count) => {
            buf.extend_from_slice(chunk.get(..count).unwrap_or_default());
            Ok(())
        }
        Err(error) => Err(PrefaceError::Io(error)),
    }
}

/// The protocol, `None` while it can not be told yet.
fn sniff(buf: &[u8]) -> Result<Option<Protocol>, PrefaceError> {
    match buf.first() {
        None => Ok(None),
        Some(4) => Ok(Some(Protocol::Socks4)),
        Some(5) => Ok(Some(Protocol::Socks5)),
        Some(&HANDSHAKE) => Err(PrefaceError::Tls),
        // A method is a token; `PRI` alone could be the first letters of HTTP/2's preface.
        Some(b'P') if PREFACE.starts_with(buf.get(..PREFACE.len()).unwrap_or(buf)) => {
            Ok((buf.len() >= PREFACE.len()).then_some(Protocol::Http2))
        }
        Some(b) if b.is_ascii_graphic() || matches!(b, b'\r' | b'\n') => Ok(Some(Protocol::Http1)),
        Some(_) => Err(PrefaceError::Unknown),
    }
}

/// The content type of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_apart_by_their_first_bytes() {
        for (bytes, expected) in [
            (&b""[..], Some(None)),
            (b"\x04", Some(Some(Protocol::Socks4))),
            (b"\x05\x01", Some(Some(Protocol::Socks5))),
            (b"P", Some(None)),
            (b"PO", Some(Some(Protocol::Http1))),
            (b"PRI * HTTP/2.0\r\n", Some(None)),
            (PREFACE, Some(Some(Protocol::Http2))),
            (b"GET ", Some(Some(Protocol::Http1))),
            (b"\x16\x03\x01", None),
            (b"\xff", None),
            (b"\0", None),
        ] {
            assert_eq!(sniff(bytes).ok(), expected, "{bytes:?}");
        }
    }
}
