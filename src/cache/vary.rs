//! The secondary key: which request fields a response was selected by, and whether another request has the same (RFC 9111 §4.1).
//! Not the primary key (key). Keeps no value, only a digest of all.
//! Start at [`Vary::of`] and [`Vary::matches`].

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use http::header::{self, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Digest;
use super::key::digest;
use crate::message::list;

/// The request fields that a response depends on, and a digest of their normalised values: the values themselves, which may
/// be credentials, are not kept. RFC 9111 §4.1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Vary {
    /// The fields, in lower case, sorted, each once.
    pub names: Arc<[HeaderName]>,
    /// Of the request that the response was for.
    pub values: Digest,
}

/// More names than that are taken as `*`.
const NAMES_MOST: usize = 32;

/// The digest of no values.
static NO_VALUES: LazyLock<Digest> = LazyLock::new(|| digest(&[]));

/// A list with more members than that is compared as it is written.
const MEMBERS_MOST: usize = 64;

impl Vary {
    /// What a response says that it depends on, with the values of the request that it answers. `None` where it matches no
    /// other request: its Vary has a `*` or can not be read. Both requests must be given in the same state, as they were
    /// received or as they are forwarded.
    pub fn of(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let mut names = BTreeSet::new();
        for line in response.get_all(VARY) {
            for member in line.as_bytes().split(|byte| *byte == b',') {
                let member = member.trim_ascii();
                if member.is_empty() {
                    continue;
                }
                if member == b"*" {
                    return None;
                }
                names.insert(Name(HeaderName::from_bytes(member).ok()?));
                if names.len() > NAMES_MOST {
                    return None;
                }
            }
        }
        let names: Arc<[HeaderName]> = names.into_iter().map(|name| name.0).collect();
        let values = Self::values_of(&names, request);
        Some(Self { names, values })
    }

    /// Whether a request has the same values, after normalisation, and lacks the same fields (RFC 9111 §4.1).
    pub fn matches(&self, request: &HeaderMap) -> bool {
        self.values == Self::values_of(&self.names, request)
    }

    /// The digest of a request's values: for a store that looks up several responses with the same names.
    pub fn values_of(names: &[HeaderName], request: &HeaderMap) -> Digest {
        // As for most responses, on each hit.
        if names.is_empty() {
            return *NO_VALUES;
        }
        let mut values = Vec::with_capacity(names.len() * 2);
        for name in names {
            values.push(Cow::Borrowed(name.as_str().as_bytes()));
            values.push(Cow::Owned(normal(name, request)));
        }
        let parts: Vec<&[u8]> = values.iter().map(Cow::as_ref).collect();
        digest(&parts)
    }

    /// Whether it names a field that says who asks.
    pub fn is_personal(&self) -> bool {
        let personal = [
            header::COOKIE,
            header::AUTHORIZATION,
            header::PROXY_AUTHORIZATION,
        ];
        self.names.iter().any(|name| personal.contains(name))
    }
}

/// A name in the order of its text, which is the same in every process.
#[derive(PartialEq, Eq)]
struct Name(HeaderName);

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The values of a field in the form that they are compared in. The first byte tells the forms apart: absent, as it is
/// written, as a list with weights.
fn normal(name: &HeaderName, request: &HeaderMap) -> Vec<u8> {
    if !request.contains_key(name) {
        return vec![b'-'];
    }
    if let Some(list) = weighted(name, request) {
        return list;
    }
    let separator: &[u8] = match *name {
        // Lines of cookies are joined as HTTP/2 splits them (RFC 9113 §8.2.3).
        header::COOKIE => b"; ",
        _ => b",",
    };
    let mut value = vec![b'='];
    for (at, line) in request.get_all(name).iter().enumerate() {
        if at > 0 {
            value.extend_from_slice(separator);
        }
        if is_no_list(name) {
            value.extend_from_slice(line.as_bytes().trim_ascii());
        } else {
            without_space(line.as_bytes(), &mut value);
        }
    }
    value
}

/// Fields whose commas do not separate, so that the space around them may mean something.
fn is_no_list(name: &HeaderName) -> bool {
    let single = [
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
        header::USER_AGENT,
        header::REFERER,
        header::ORIGIN,
        header::HOST,
        header::FROM,
        header::CONTENT_TYPE,
    ];
    single.contains(name)
}

/// A value without the space around it and around its commas, but for what is quoted (RFC 9111 §4.1). Where a quote is not closed,
/// nobody knows what is.
fn without_space(line: &[u8], value: &mut Vec<u8>) {
    if !list::is_closed(line) {
        return value.extend_from_slice(line.trim_ascii());
    }
    for (at, member) in list::members(line).enumerate() {
        if at > 0 {
            value.push(b',');
        }
        value.extend_from_slice(member);
    }
}

/// A list of preferences with weights in an order of its own, for the fields that are one (RFC 9110 §12.5); `None` where it
/// is not one, or could be read in two ways.
fn weighted(name: &HeaderName, request: &HeaderMap) -> Option<Vec<u8>> {
    let known = [
        header::ACCEPT,
        header::ACCEPT_CHARSET,
        header::ACCEPT_ENCODING,
        header::ACCEPT_LANGUAGE,
    ];
    if !known.contains(name) {
        return None;
    }
    let media = *name == header::ACCEPT;
    let mut list = Vec::new();
    let lines = || request.get_all(name).iter().map(HeaderValue::as_bytes);
    if !lines().all(list::is_closed) {
        return None;
    }
    for member in lines().flat_map(list::members) {
        if member.is_empty() {
            continue;
        }
        list.push(preference(member, media)?);
        if list.len() > MEMBERS_MOST {
            return None;
        }
    }
    list.sort();
    list.dedup();
    // The same thing with two weights: which of them counts depends on who reads it.
    let twice = |pair: &[(Vec<u8>, u16)]| matches!(pair, [one, other] if one.0 == other.0);
    if list.windows(2).any(twice) {
        return None;
    }
    list.sort_by(|(name, weight), (other, less)| less.cmp(weight).then_with(|| name.cmp(other)));
    let mut text = vec![b'q'];
    for (name, weight) in list {
        text.extend_from_slice(&name);
        if weight < WHOLE {
            text.extend_from_slice(format!(";q={weight}").as_bytes());
        }
        text.push(b',');
    }
    Some(text)
}

const WHOLE: u16 = 1000;

/// One member: its name in lower case with its parameters, and its weight in thousandths.
fn preference(member: &[u8], media: bool) -> Option<(Vec<u8>, u16)> {
    let mut parts = list::split(member, b';').map(<[u8]>::trim_ascii);
    let mut name = parts.next()?.to_ascii_lowercase();
    let is_name = |byte: &u8| is_token(*byte) || (media && *byte == b'/');
    if name.is_empty() || !name.iter().all(is_name) {
        return None;
    }
    while let Some(part) = parts.next() {
        let equals = part.iter().position(|byte| *byte == b'=')?;
        let (parameter, value) = part.split_at_checked(equals)?;
        if parameter.eq_ignore_ascii_case(b"q") {
            let weight = weight(value.strip_prefix(b"=")?)?;
            // The weight comes last; what once could follow it is no more (RFC 9110 §12.5.1).
            return parts.next().is_none().then_some((name, weight));
        }
        if !media || parameter.is_empty() || !parameter.iter().copied().all(is_token) {
            return None;
        }
        name.push(b';');
        name.extend(parameter.to_ascii_lowercase());
        name.extend_from_slice(value);
    }
    Some((name, WHOLE))
}

/// A weight in thousandths (RFC 9110 §12.4.2).
fn weight(text: &[u8]) -> Option<u16> {
    let (whole, rest) = text.split_first()?;
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut parts = 0_u16;
    for at in 0..3 {
        let digit = digits.get(at).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        parts = parts * 10 + u16::from(digit - b'0');
    }
    match whole {
        b'0' => Some(parts),
        b'1' if parts == 0 => Some(WHOLE),
        _ => None,
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
#[path = "tests/vary.rs"]
mod tests;
