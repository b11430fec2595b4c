//! What one exchange or tunnel was, as facts that can be sent to another thread.
//! Holds no text that is formatted yet, and no place for a credential or a body.
//! Start at [`Record::new`], fill the fields, hand it to a `Reporter`.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;

use super::RequestId;
use crate::addr::Authority;

/// One exchange or tunnel. `None` is "not known" or "did not happen", and is left out of what is written.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it began.
    pub time: Timestamp,
    /// Its name.
    pub id: RequestId,
    /// The worker that carried it.
    pub worker: u16,
    /// The listener that the client came to.
    pub listener: Arc<str>,
    /// The client's address.
    pub client: SocketAddr,
    /// Who the client is: a name, never a password or token.
    pub principal: Option<Arc<str>>,
    /// What the client spoke.
    pub protocol: Protocol,
    /// `http`, `https` or `tunnel`.
    pub scheme: &'static str,
    /// The method; `None` for SOCKS.
    pub method: Option<Method>,
    /// Where to; `None` where the request could not be read so far.
    pub authority: Option<Authority>,
    /// The path; whatever stands from a `?` on is not written.
    pub path: Option<Box<str>>,
    /// The query without its `?`; dropped unless the operator asked for queries ([`Wants::query`](super::Wants)).
    pub query: Option<Box<str>>,
    /// The status that the client got; `None` for SOCKS.
    pub status: Option<u16>,
    /// What the policy said.
    pub verdict: Verdict,
    /// The rule that said it.
    pub rule: Option<Arc<str>>,
    /// Why it was denied, failed or was cut short: fixed words first, then details.
    pub reason: Option<Cow<'static, str>>,
    /// The kind of failure, as a token of RFC 9209 §2.3.
    pub error: Option<&'static str>,
    /// Whether it ended before its end: a side went away, or it was killed.
    pub aborted: bool,
    /// The server name of the tunnel's ClientHello.
    pub sni: Option<Box<str>>,
    /// The JA4 fingerprint of the tunnel's ClientHello.
    pub fingerprint: Option<Box<str>>,
    /// Whether it was decrypted here: a tunnel whose requests are recorded each by itself, or one of these requests.
    pub intercepted: bool,
    /// The tunnel that an intercepted request came through.
    pub tunnel: Option<RequestId>,
    /// The route that the request took through a gateway.
    pub route: Option<Arc<str>>,
    /// The upstream that it was sent to.
    pub upstream: Option<Arc<str>>,
    /// How often it was sent, where that was more than once.
    pub tries: u32,
    /// What the cache did: `hit`, `miss`, `stale`, `revalidated`, `bypass`, …
    pub cache: Option<&'static str>,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// The address that was dialled.
    pub origin: Option<SocketAddr>,
    /// Whether the connection to the origin had been used before.
    pub reused: bool,
    /// Time to resolve the name.
    pub dns: Option<Duration>,
    /// Time to connect.
    pub connect: Option<Duration>,
    /// Time of the TLS handshake with the origin.
    pub tls: Option<Duration>,
    /// Time from the start to the first byte of the origin's answer.
    pub first_byte: Option<Duration>,
    /// Time from the start to the end.
    pub total: Option<Duration>,
    /// The `User-Agent`; worth filling only if wanted ([`Wants::user_agent`](super::Wants)).
    pub user_agent: Option<Box<str>>,
    /// The media type of the answer; worth filling only if wanted ([`Wants::content_type`](super::Wants)).
    pub content_type: Option<Box<str>>,
}

impl Record {
    /// A record of something that begins: nothing is known of its outcome.
    pub fn new(
        time: Timestamp,
        id: RequestId,
        worker: u16,
        listener: Arc<str>,
        client: SocketAddr,
        protocol: Protocol,
    ) -> Self {
        Self {
            time,
            id,
            worker,
            listener,
            client,
            principal: None,
            protocol,
            scheme: if protocol.is_tunnel() {
                "tunnel"
            } else {
                "http"
            },
            method: None,
            authority: None,
            path: None,
            query: None,
            status: None,
            verdict: Verdict::None,
            rule: None,
            reason: None,
            error: None,
            aborted: false,
            sni: None,
            fingerprint: None,
            intercepted: false,
            tunnel: None,
            route: None,
            upstream: None,
            tries: 0,
            cache: None,
            bytes_in: 0,
            bytes_out: 0,
            origin: None,
            reused: false,
            dns: None,
            connect: None,
            tls: None,
            first_byte: None,
            total: None,
            user_agent: None,
            content_type: None,
        }
    }

    /// Whether bytes were relayed (or would have been) without being read.
    pub fn is_tunnel(&self) -> bool {
        self.scheme == "tunnel"
    }

    /// Shortens what a peer can make long, so that a queue of records has a bound in bytes too.
    pub(super) fn clip(&mut self) {
        if let Some(method) = self
            .method
            .as_mut()
            .filter(|method| method.as_str().len() > METHOD_LIMIT)
        {
            let begin = method.as_str().get(..METHOD_LIMIT).unwrap_or_default();
            *method = Method::from_bytes(begin.as_bytes()).unwrap_or_default();
        }
        for text in [
            &mut self.path,
            &mut self.query,
            &mut self.user_agent,
            &mut self.content_type,
        ]
        .into_iter()
        .flatten()
        {
            if text.len() > TEXT_LIMIT {
                *text = clipped(text).into();
            }
        }
        if let Some(reason) = self
            .reason
            .as_mut()
            .filter(|reason| reason.len() > TEXT_LIMIT)
        {
            *reason = Cow::Owned(clipped(reason));
        }
    }
}

/// What the client spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
    /// A tunnel asked for with CONNECT.
    Connect,
    /// SOCKS 4.
    Socks4,
    /// SOCKS 4 with a name.
    Socks4a,
    /// SOCKS 5.
    Socks5,
    /// A connection of which nothing is read.
    Tcp,
    /// Datagrams of one client.
    Udp,
}

impl Protocol {
    /// Requests of this version.
    pub fn of_version(version: http::Version) -> Self {
        match version {
            http::Version::HTTP_10 => Self::Http10,
            http::Version::HTTP_2 => Self::Http2,
            _ => Self::Http11,
        }
    }

    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "http/2",
            Self::Connect => "connect",
            Self::Socks4 => "socks4",
            Self::Socks4a => "socks4a",
            Self::Socks5 => "socks5",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// The version as a request line writes it.
    pub fn version(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 | Self::Connect => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
            Self::Socks4 => "SOCKS/4",
            Self::Socks4a => "SOCKS/4a",
            Self::Socks5 => "SOCKS/5",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// Whether it carries nothing but tunnels.
    pub fn is_tunnel(self) -> bool {
        match self {
            Self::Connect | Self::Socks4 | Self::Socks4a | Self::Socks5 | Self::Tcp | Self::Udp => {
                true
            }
            Self::Http10 | Self::Http11 | Self::Http2 => false,
        }
    }
}

/// What the policy said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was not asked: the request was refused before.
    None,
    /// Go on.
    Allow,
    /// Stop.
    Deny,
    /// Go on, but only because the rule or the policy reports instead of denying.
    WouldDeny,
}

impl Verdict {
    /// The word in records; `None` where there is nothing to say.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Allow => Some("allow"),
            Self::Deny => Some("deny"),
            Self::WouldDeny => Some("would-deny"),
        }
    }
}

/// A peer's bytes as text for a record: what is not UTF-8 is replaced, what is long is shortened.
///
/// A copy on purpose: a slice of the connection's buffer would keep the whole buffer for as long as the record waits.
pub fn text_of(bytes: &[u8]) -> Box<str> {
    let bytes = bytes.get(..TEXT_LIMIT + 1).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    if text.len() > TEXT_LIMIT {
        clipped(&text).into()
    } else {
        text.into()
    }
}

fn clipped(text: &str) -> String {
    let end = (0..=TEXT_LIMIT)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}...", text.get(..end).unwrap_or_default())
}

/// Bytes of one text of a peer's in a record.
const TEXT_LIMIT: usize = 2048;
/// Letters of a method in a record; the longest registered one has 17.
const METHOD_LIMIT: usize = 64;
