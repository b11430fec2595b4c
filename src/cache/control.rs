//! placeholder: helper F
use std::time::Duration;

use http::HeaderName;

/// What a rule or route says of caching: `cache = { … }`.
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
