//! What a rule says of caching, and what it does to the key.
//! Not the law, which a rule can not change (storable, reuse), nor the cache's own settings (settings).
//! Start at [`Control`]; it is read in `read`, and told by `egret explain` in `show`.

mod read;
mod show;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, ORIGIN};
use http::{HeaderMap, HeaderName};

use super::Digest;
use super::key::digest;
use crate::message::split_query;

/// What a rule or route says of caching: `cache = false`, `cache = "off"` or `cache = { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Whether the cache is used at all; `cache = false` or `cache = "off"` says no.
    pub enabled: bool,
    /// The freshness lifetime that stands in place of the origin's, for what may be stored.
    pub ttl: Option<Duration>,
    /// Which query parameters do not belong to the key.
    pub ignore_query: IgnoreQuery,
    /// Request fields that belong to the key.
    pub key_headers: Box<[HeaderName]>,
    /// Cookies that belong to the key.
    pub key_cookies: Box<[Box<str>]>,
    /// Content that is larger is not stored.
    pub largest: Option<u64>,
    /// A response is stored when its URI is asked for the so manieth time.
    pub min_uses: u32,
    /// How long an error (404, 410, 5xx and so on) that does not say so itself is used again; `None` for not at all.
    pub errors: Option<Duration>,
    /// What becomes of a response with `Set-Cookie`.
    pub set_cookie: SetCookie,
    /// Permission to use a stale response while it is validated, where the origin gives none (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// Permission to use a stale response in place of an error, where the origin gives none (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

/// Which query parameters do not belong to the key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IgnoreQuery {
    /// All belong to it.
    #[default]
    None,
    /// None does: the path alone is the key.
    All,
    /// These do not: names, or a beginning and `*`.
    Names(Box<[Box<str>]>),
}

/// What becomes of a response with `Set-Cookie`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetCookie {
    /// It is not stored.
    #[default]
    Refuse,
    /// It is stored without the field; who fetched it gets it.
    Strip,
    /// It is stored as it is.
    Store,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: None,
            ignore_query: IgnoreQuery::None,
            key_headers: Box::default(),
            key_cookies: Box::default(),
            largest: None,
            min_uses: 1,
            errors: None,
            set_cookie: SetCookie::Refuse,
            stale_while_revalidate: None,
            stale_if_error: None,
        }
    }
}

impl Control {
    /// Path and query as they stand in the key: without the parameters that are ignored, the rest byte for byte and in its
    /// order. A question mark with nothing left behind it goes with what stood there.
    ///
    /// A parameter with a `;` in it stays: some origins read that as a separator, and would see in it what the key does not.
    pub fn query_for_key<'a>(&self, path_and_query: &'a str) -> Cow<'a, str> {
        let (path, Some(query)) = split_query(path_and_query) else {
            return Cow::Borrowed(path_and_query);
        };
        match &self.ignore_query {
            IgnoreQuery::None => Cow::Borrowed(path_and_query),
            IgnoreQuery::All => Cow::Borrowed(path),
            IgnoreQuery::Names(names) => {
                let ignored = |parameter: &&str| is_ignored(names, parameter);
                if !query.split('&').any(|parameter| ignored(&parameter)) {
                    return Cow::Borrowed(path_and_query);
                }
                let mut kept = String::with_capacity(path_and_query.len());
                kept.push_str(path);
                let mut between = '?';
                for parameter in query.split('&').filter(|parameter| !ignored(parameter)) {
                    kept.push(between);
                    kept.push_str(parameter);
                    between = '&';
                }
                Cow::Owned(kept)
            }
        }
    }

    /// What the request's fields and cookies add to the key; empty where the rule names none. Each that is named is there, with its
    /// absence or the number and length of its values, so that no two requests that differ in them look alike. Values are
    /// digests, but for short ones of fields in which clients say what they would like: the text can be shown.
    pub fn extras(&self, request: &HeaderMap) -> String {
        let mut extras = String::new();
        for name in &self.key_headers {
            let values = request.get_all(name).iter().map(|value| value.as_bytes());
            add(&mut extras, name.as_str(), PLAIN.contains(name), values);
        }
        for name in &self.key_cookies {
            // `;` is in no field's name: a cookie and a field of one name stay apart.
            let values = cookies(request, name);
            add(&mut extras, &format!(";{name}"), false, values);
        }
        extras
    }

    /// Whether the rule has responses shared that set cookies.
    pub fn shares_cookies(&self) -> bool {
        match self.set_cookie {
            SetCookie::Refuse => false,
            SetCookie::Strip | SetCookie::Store => self.enabled,
        }
    }
}

fn is_ignored(names: &[Box<str>], parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default();
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    !parameter.contains(';') && names.iter().any(|pattern| matches(pattern))
}

/// The values of a cookie, in the order of the request. Which of several an origin takes is its own affair: all count.
fn cookies<'a>(request: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let fields = request.get_all(COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (found, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        (found.trim_ascii() == name.as_bytes()).then_some(value.trim_ascii())
    })
}

/// `name=-` for none, or `name=[…]` with a length and the value, or `#` and its digest, for each.
fn add<'a>(extras: &mut String, name: &str, plain: bool, values: impl Iterator<Item = &'a [u8]>) {
    if !extras.is_empty() {
        extras.push(' ');
    }
    extras.push_str(name);
    extras.push('=');
    let mut values = values.peekable();
    if values.peek().is_none() {
        extras.push('-');
        return;
    }
    extras.push('[');
    for value in values {
        match std::str::from_utf8(value) {
            Ok(text) if plain && text.len() <= SHORT && is_printable(text) => {
                // Writing to a string does not fail.
                let _ = write!(extras, "{}:{text}", text.len());
            }
            Ok(_) | Err(_) => {
                extras.push('#');
                let short: Digest = digest(&[value]);
                for byte in short {
                    let _ = write!(extras, "{byte:02x}");
                }
            }
        }
    }
    extras.push(']');
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Fields whose values are no secret of anybody's.
const PLAIN: [HeaderName; 4] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ORIGIN];
/// Longer values are digests: the key is kept in memory for each response.
const SHORT: usize = 64;
