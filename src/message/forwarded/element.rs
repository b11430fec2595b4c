//! One entry of a list of hops, in either form: an address of `X-Forwarded-For`, a `forwarded-element` of RFC 7239 §4.
//! Not the list. Start at [`Element::forwarded`] and [`address`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addr::Authority;
use crate::message::default_port;

/// What a hop said of the one that spoke to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    /// Its address (`for`).
    pub(super) address: IpAddr,
    /// Its port, where it was said.
    pub(super) port: Option<u16>,
    /// Whether it spoke TLS (`proto`).
    pub(super) secure: Option<bool>,
    /// The host that it asked for (`host`).
    pub(super) host: Option<Authority>,
}

impl Element {
    /// An element that says the address alone.
    pub(super) fn of((address, port): (IpAddr, Option<u16>)) -> Self {
        Self {
            address,
            port,
            secure: None,
            host: None,
        }
    }

    /// Reads a `forwarded-element` without the white space around it. `None` where it is malformed, says a parameter twice, or
    /// does not tell an address. Parameters that are not known here are checked for their form and left.
    pub(super) fn forwarded(text: &str) -> Option<Self> {
        let mut node = None;
        let mut proto = None;
        let mut host = None;
        let mut names: Vec<String> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (name, value, after) = pair(rest)?;
            let name = name.to_ascii_lowercase();
            match name.as_str() {
                "for" => node = Some(address(&value)?),
                "proto" => proto = Some(value),
                "host" => host = Some(value),
                _ => {}
            }
            // RFC 7239 §4: each parameter occurs at most once. Of two, another reader may take the other one.
            if names.len() == PARAMETERS || names.contains(&name) {
                return None;
            }
            names.push(name);
            rest = after;
        }
        let secure = match proto {
            Some(proto) => Some(scheme(&proto)?),
            None => None,
        };
        let host = match host {
            Some(text) => Some(authority(&text, secure)?),
            None => None,
        };
        Some(Self {
            secure,
            host,
            ..Self::of(node?)
        })
    }
}

/// Whether a scheme's name is that of HTTP over TLS. `None` where it is neither this nor plain HTTP.
pub(super) fn scheme(text: &str) -> Option<bool> {
    let is = |name: &str| text.eq_ignore_ascii_case(name);
    let secure = is("https") || is("wss");
    (secure || is("http") || is("ws")).then_some(secure)
}

/// A host as a Host field has it.
pub(super) fn authority(text: &str, secure: Option<bool>) -> Option<Authority> {
    Authority::parse(text, Some(default_port(secure.unwrap_or(false)))).ok()
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`, and a bare
/// `2001:db8::1`, which only `X-Forwarded-For` writes. `None` for `unknown`, for `_hidden`, and for what is no address.
/// A port may be hidden (`:_x`, RFC 7239 §6); the address stands without it.
pub(super) fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some((IpAddr::from(address).to_canonical(), None));
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':')?),
            };
            (IpAddr::from(address.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let (address, port) = match text.split_once(':') {
                Some((address, port)) => (address, Some(port)),
                None => (text, None),
            };
            (IpAddr::from(address.parse::<Ipv4Addr>().ok()?), port)
        }
    };
    let port = match port {
        None => None,
        Some(hidden) if is_hidden(hidden) => None,
        Some(digits) => Some(number(digits)?),
    };
    Some((address.to_canonical(), port))
}

/// `obfport` (RFC 7239 §6).
fn is_hidden(port: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    port.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(known))
}

fn number(digits: &str) -> Option<u16> {
    let plain = digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then_some(digits)?.parse().ok()
}

/// The first `forwarded-pair`: name, value without its quotes, and what follows the `;` after it.
fn pair(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = Some(name).filter(|name| is_token(name))?;
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let end = rest.find([';', ' ', '\t']).unwrap_or(rest.len());
            let (value, rest) = rest.split_at_checked(end)?;
            (
                Some(value).filter(|value| is_token(value))?.to_owned(),
                rest,
            )
        }
    };
    // Some write white space around the semicolon; no other reading of it is possible.
    let rest = rest.trim_start_matches(BLANK);
    let rest = match rest.strip_prefix(';') {
        Some(rest) => rest.trim_start_matches(BLANK),
        None if rest.is_empty() => rest,
        None => return None,
    };
    Some((name, value, rest))
}

/// The text of a quoted string (RFC 9110 §5.6.4) whose opening quote is gone, and what follows its closing one.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// Whether a text is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(known)
}

/// Spaces and tabs (RFC 9110 §5.6.3).
pub(super) const BLANK: [char; 2] = [' ', '\t'];

/// Parameters of one element: four are registered.
const PARAMETERS: usize = 16;
