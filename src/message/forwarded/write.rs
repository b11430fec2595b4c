//! What the next hop is told of where a request comes from.
//! Says nothing that no trusted proxy vouches for.
//! Start at [`Writing::apply`].

use std::fmt::Write as _;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Provenance;
use super::element::{Element, is_token};
use crate::addr::write_ip;
use crate::fault::Faults;
use crate::message::{default_port, hop};
use crate::settings::{FromValue, Kind, Located, Value, one_of};

/// The fields that are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writing {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// All of them.
    Both,
    /// None; what came is removed all the same.
    Off,
}

impl Writing {
    /// Removes what the client or another hop said of where the request comes from, and writes what trusted proxies vouch for
    /// and this hop knows: it was received from `peer`, over TLS or not, for `host` as a Host field has it. To be called when
    /// hop-by-hop fields are gone, so that `Connection` can not name what is written here.
    ///
    /// The list of addresses holds the client and the trusted proxies after it, up to `peer`: an origin that takes the first
    /// one, as many do, is not lied to.
    pub fn apply(
        self,
        headers: &mut HeaderMap,
        seen: &Provenance,
        peer: IpAddr,
        secure: bool,
        host: &str,
    ) {
        remove(headers);
        let peer = peer.to_canonical();
        if matches!(self, Self::XForwarded | Self::Both) {
            let mut list = String::with_capacity(32);
            for element in &seen.chain {
                let _ = write_ip(element.address, &mut list);
                list += ", ";
            }
            let _ = write_ip(peer, &mut list);
            let told = seen.secure.unwrap_or(secure);
            let asked = match &seen.host {
                Some(asked) => asked.without_default_port(default_port(told)).to_string(),
                None => host.to_owned(),
            };
            set(headers, FOR, list);
            headers.insert(PROTO, HeaderValue::from_static(scheme(told)));
            set(headers, ASKED_HOST, asked);
        }
        if matches!(self, Self::Forwarded | Self::Both) {
            let mut list = String::new();
            for element in &seen.chain {
                forwarded(&mut list, element);
                list += ", ";
            }
            let _ = write!(list, "for={};proto={}", node(peer, None), scheme(secure));
            if !host.is_empty() {
                let _ = write!(list, ";host={}", quoted(host));
            }
            set(headers, http::header::FORWARDED, list);
        }
    }
}

/// `forwarded = "x-forwarded"`, `"forwarded"`, `"both"`, or `false`.
impl FromValue for Writing {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        if let Kind::Bool(on) = value.kind {
            return Some(if on { Self::default() } else { Self::Off });
        }
        let words = [
            ("x-forwarded", Self::XForwarded),
            ("forwarded", Self::Forwarded),
            ("both", Self::Both),
            ("off", Self::Off),
        ];
        let word = Located::<String>::from_value(value, faults)?;
        one_of(&word, &words, faults)
    }
}

/// Removes every field that says where a request comes from, those among them that are not written here, and `Proxy`: an origin may
/// believe any of them. `X_Forwarded_For` too: CGI and what came after it make one name of both.
fn remove(headers: &mut HeaderMap) {
    hop::remove_all(headers, |name| is_believed(name.as_str()));
}

/// Whether some origin believes it: of where a request comes from, or of where its own requests should go (`Proxy`).
pub(in crate::message) fn is_believed(name: &str) -> bool {
    let same = |known: &&str| {
        name.len() == known.len()
            && name
                .bytes()
                .zip(known.bytes())
                .all(|(a, b)| a == b || (a, b) == (b'_', b'-'))
    };
    // Most fields begin otherwise.
    name.starts_with(['x', 'f', 't', 'c', 'p']) && REMOVED.iter().any(same)
}

/// Whether a field tells one client from another where we write it: its value is not the one that came.
pub fn names_client(name: &HeaderName) -> bool {
    *name == FOR || *name == http::header::FORWARDED
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value)
        && !value.is_empty()
    {
        headers.insert(name, value);
    }
}

fn forwarded(list: &mut String, element: &Element) {
    let _ = write!(list, "for={}", node(element.address, element.port));
    if let Some(secure) = element.secure {
        let _ = write!(list, ";proto={}", scheme(secure));
    }
    if let Some(host) = &element.host {
        let default = default_port(element.secure.unwrap_or(false));
        let host = host.without_default_port(default).to_string();
        let _ = write!(list, ";host={}", quoted(&host));
    }
}

/// A node as RFC 7239 §6 writes it: IPv6 in brackets, and in quotes whatever is not a token.
fn node(address: IpAddr, port: Option<u16>) -> String {
    let address = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    match port {
        Some(port) => quoted(&format!("{address}:{port}")),
        None => quoted(&address),
    }
}

fn quoted(text: &str) -> String {
    if is_token(text) {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn scheme(secure: bool) -> &'static str {
    if secure { "https" } else { "http" }
}

const FOR: HeaderName = HeaderName::from_static(X_FORWARDED_FOR);
const PROTO: HeaderName = HeaderName::from_static(X_FORWARDED_PROTO);
const ASKED_HOST: HeaderName = HeaderName::from_static(X_FORWARDED_HOST);

pub(super) const FORWARDED: &str = "forwarded";
pub(super) const X_FORWARDED_FOR: &str = "x-forwarded-for";
pub(super) const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
pub(super) const X_FORWARDED_HOST: &str = "x-forwarded-host";

/// Fields that some origin takes for the client's address, scheme, host or path; and `Proxy`, which has no meaning in HTTP, and which
/// CGI makes `HTTP_PROXY` of: where many programs look for the proxy to send their own requests, and secrets, through.
const REMOVED: &[&str] = &[
    "proxy",
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    "x-forwarded-by",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
    "x-url-scheme",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "front-end-https",
];
