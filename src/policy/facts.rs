//! What is known about a request when a decision is asked for.

use std::net::IpAddr;

use http::{HeaderMap, Method};
use jiff::Timestamp;

use crate::addr::{Authority, Host};
use crate::auth::Principal;

/// What the client wants to speak with the origin, as far as this process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A plain HTTP request.
    Http,
    /// An HTTP request to be sent over TLS.
    Https,
    /// A tunnel (CONNECT, SOCKS): bytes that are not looked at.
    Tunnel,
}

impl Scheme {
    /// The word for it in a policy and in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tunnel => "tunnel",
        }
    }
}

/// Who named the address that is dialled. RFC 9110 §3.7: a proxy goes where its client says, a gateway where its operator says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NamedBy {
    /// The client, by the authority: what that resolves to is guarded.
    #[default]
    Client,
    /// The operator, as an endpoint of an upstream. Nothing is guarded, and a client that writes an address as its
    /// authority says nothing about where the request goes.
    Operator,
}

/// The facts of one request. What is not known (yet) is `None`; a condition on it is then neither true nor false.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The name of the listener that the client came to.
    pub listener: &'a str,
    /// The client's address (from a trusted PROXY header where one was sent).
    pub client: IpAddr,
    /// Who the client is; `None` where nobody asked or nobody answered.
    pub principal: Option<&'a Principal>,
    /// Where the request goes, in canonical form.
    pub authority: &'a Authority,
    /// The scheme.
    pub scheme: Scheme,
    /// The method; `CONNECT` for HTTP tunnels; `None` for SOCKS.
    pub method: Option<&'a Method>,
    /// The normalised path without the query; `None` for tunnels.
    pub path: Option<&'a str>,
    /// The request's fields; `None` for SOCKS.
    pub headers: Option<&'a HeaderMap>,
    /// When the request came.
    pub now: Timestamp,
    /// What the client said when it began TLS in its tunnel.
    pub hello: Look<'a>,
    /// The address under judgement at the second moment; `None` at the first. Where the authority is an address
    /// itself, that address is known from the start: use [`Facts::address`].
    pub resolved: Option<IpAddr>,
    /// Who named that address.
    pub named_by: NamedBy,
}

/// What is known of a tunnel's first bytes.
#[derive(Debug, Clone, Copy)]
pub enum Look<'a> {
    /// The tunnel is not open yet: they are still to come.
    Later,
    /// There is nothing to see: no tunnel, or one that does not begin with TLS.
    Nothing,
    /// A ClientHello.
    Hello(&'a Hello),
}

/// What a ClientHello shows without any decryption (RFC 8446 §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name that the client expects a certificate for (RFC 6066 §3).
    pub server_name: Option<Host>,
    /// The protocols that it offers, in its order (RFC 7301).
    pub alpn: Vec<Box<str>>,
    /// The highest version that it offers: `1.0` to `1.3`.
    pub version: &'static str,
    /// Whether the true hello may be an encrypted one inside. Browsers send the extension also where there is none.
    pub ech: bool,
    /// The JA4 fingerprint of the client's TLS library and its settings; empty where it is not known.
    pub fingerprint: Box<str>,
}

impl<'a> Look<'a> {
    /// The hello, where one was seen.
    pub fn hello(self) -> Option<&'a Hello> {
        match self {
            Self::Hello(hello) => Some(hello),
            Self::Later | Self::Nothing => None,
        }
    }
}

impl Facts<'_> {
    /// The origin's address, if it is known yet.
    pub fn address(&self) -> Option<IpAddr> {
        match self.named_by {
            NamedBy::Client => self.resolved.or_else(|| self.authority.host.ip()),
            NamedBy::Operator => self.resolved,
        }
    }
}
