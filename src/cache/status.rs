//! What the cache did with a request, said in `Cache-Status` (RFC 9211).
//! Decides nothing, and never tells the key unless it is asked to.
//! Start at [`CacheStatus`].

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The field.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// One member of the field. Neither a hit nor forwarded is a response that the cache made itself, as 504 to only-if-cached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheStatus {
    /// The request was answered from the cache without being forwarded (§2.1).
    pub hit: bool,
    /// Why it was forwarded; not beside `hit` (§2.2).
    pub fwd: Option<Fwd>,
    /// What the origin answered, if that is not the status of the response (§2.3).
    pub fwd_status: Option<StatusCode>,
    /// Remaining freshness in seconds, less than zero once stale (§2.4).
    pub ttl: Option<i64>,
    /// The response to the forwarded request has been stored (§2.5).
    pub stored: bool,
    /// The request was answered together with others (§2.6).
    pub collapsed: bool,
    /// The key (§2.7). Not for strangers.
    pub key: Option<Box<str>>,
    /// What else there is to say, in a few words (§2.8).
    pub detail: Option<&'static str>,
}

/// Why a request was forwarded (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fwd {
    /// The cache is not to be used for it.
    Bypass,
    /// Its method must be forwarded.
    Method,
    /// Nothing is stored of the URI.
    UriMiss,
    /// What is stored of the URI is for other requests.
    VaryMiss,
    /// Nothing is stored that could be used, for either reason.
    Miss,
    /// What is stored is fresh, but the request does not want it.
    Request,
    /// What is stored is stale.
    Stale,
    /// Only parts are stored, and others are wanted.
    Partial,
}

impl Fwd {
    /// The RFC's token.
    pub fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl CacheStatus {
    /// Answered from the cache, with so many seconds of freshness left.
    pub fn hit(ttl: i64) -> Self {
        Self {
            hit: true,
            ttl: Some(ttl),
            ..Self::default()
        }
    }

    /// Forwarded.
    pub fn forwarded(fwd: Fwd) -> Self {
        Self {
            fwd: Some(fwd),
            ..Self::default()
        }
    }

    /// The member, under the name of this cache.
    pub fn render(&self, name: &str) -> Option<HeaderValue> {
        let mut text = String::with_capacity(name.len() + 48);
        push_item(&mut text, name);
        match self.fwd {
            Some(fwd) => {
                text += "; fwd=";
                text += fwd.token();
                if let Some(status) = self.fwd_status {
                    // Writing to a string does not fail.
                    let _ = write!(text, "; fwd-status={}", status.as_u16());
                }
            }
            None if self.hit => text += "; hit",
            None => {}
        }
        if let Some(ttl) = self.ttl {
            let _ = write!(text, "; ttl={}", ttl.clamp(-INTEGER_MOST, INTEGER_MOST));
        }
        if self.fwd.is_some() {
            text += if self.stored { "; stored" } else { "" };
            text += if self.collapsed { "; collapsed" } else { "" };
        }
        if let Some(key) = &self.key {
            text += "; key=";
            push_string(&mut text, key);
        }
        if let Some(detail) = self.detail {
            text += "; detail=";
            push_item(&mut text, detail);
        }
        HeaderValue::try_from(text).ok()
    }

    /// Adds the member after those of caches that are closer to the origin (§2).
    pub fn append(&self, headers: &mut HeaderMap, name: &str) {
        if let Some(value) = self.render(name) {
            headers.append(CACHE_STATUS, value);
        }
    }

    /// One word for the record of the exchange: `hit`, `stale` (answered from the cache, though stale), `miss`, `expired` (was
    /// stale, and is another now), `revalidated` (was stale, and still holds), `refresh` (the client wanted it anew),
    /// `partial`, `collapsed`, `bypass`, or `none`.
    pub fn word(&self) -> &'static str {
        let holds = self.fwd_status == Some(StatusCode::NOT_MODIFIED);
        match self.fwd {
            None if self.hit && self.ttl.is_some_and(|ttl| ttl < 0) => "stale",
            None if self.hit => "hit",
            None => "none",
            Some(_) if self.collapsed => "collapsed",
            Some(Fwd::Bypass | Fwd::Method) => "bypass",
            Some(Fwd::UriMiss | Fwd::VaryMiss | Fwd::Miss) => "miss",
            Some(Fwd::Stale | Fwd::Request) if holds => "revalidated",
            Some(Fwd::Stale) => "expired",
            Some(Fwd::Request) => "refresh",
            Some(Fwd::Partial) => "partial",
        }
    }
}

/// The largest integer of a structured field (RFC 9651 §3.3.1).
const INTEGER_MOST: i64 = 999_999_999_999_999;

/// A token where the text is one, else a string (RFC 9651 §3.3.3, §3.3.4).
fn push_item(text: &mut String, item: &str) {
    let begins = item.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
    if begins && item.bytes().all(is_token) {
        text.push_str(item);
    } else {
        push_string(text, item);
    }
}

/// A string: visible ASCII and space; the rest becomes `?`.
fn push_string(text: &mut String, content: &str) {
    text.push('"');
    for c in content.chars().take(STRING_MOST) {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            _ => text.push('?'),
        }
    }
    text.push('"');
}

const STRING_MOST: usize = 1024;

#[cfg(test)]
#[path = "tests/status.rs"]
mod tests;
