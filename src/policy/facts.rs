//! What is known about a request when a decision is asked for.

use std::net::IpAddr;

use http::{HeaderMap, Method};
use jiff::Timestamp;

use crate::addr::Authority;
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
    /// The address under judgement at the second moment; `None` at the first. Where the authority is an address
    /// itself, that address is known from the start: use [`Facts::address`].
    pub resolved: Option<IpAddr>,
}

impl Facts<'_> {
    /// The origin's address, if it is known yet.
    pub fn address(&self) -> Option<IpAddr> {
        self.resolved.or_else(|| self.authority.host.ip())
    }
}
