//! Which URIs are no longer as they are stored, after an unsafe request has succeeded (RFC 9111 §4.4).
//! Takes nothing out of a store.
//! Start at [`invalidated`].

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, Method, StatusCode};

use crate::addr::Authority;
use crate::message::split_query;

/// The URIs to invalidate, each once: the one of the request, and those that `Location` and `Content-Location` name, if they
/// have the same origin, so that no server can invalidate what is another's. `uri` is the effective request URI, absolute and in
/// the form of a key (`http://host[:port]/path?query`, the default port left out), and so are those that are returned.
pub fn invalidated(
    method: &Method,
    status: StatusCode,
    uri: &str,
    response: &HeaderMap,
) -> Vec<String> {
    if !is_unsafe(method) || !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut uris = vec![uri.to_owned()];
    let Some(base) = Uri::absolute(uri) else {
        return uris;
    };
    for name in [LOCATION, CONTENT_LOCATION] {
        for value in response.get_all(name).iter().take(LINES_MOST) {
            let named = value.to_str().ok().and_then(|text| base.resolve(text));
            if let Some(named) = named
                && named.has_origin_of(&base)
            {
                uris.push(named.text());
            }
        }
    }
    uris.sort();
    uris.dedup();
    uris
}

/// Whether a request may change something: by every method that is not known to be safe (RFC 9110 §9.2.1).
pub fn is_unsafe(method: &Method) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
    !safe.contains(method)
}

/// One field of each name is valid; of more, which are hostile or a mistake, so many are looked at.
const LINES_MOST: usize = 4;

/// An absolute http or https URI in parts, without a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Uri {
    secure: bool,
    authority: Authority,
    path: String,
    query: Option<String>,
}

impl Uri {
    fn absolute(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        Self::after_scheme(is_secure(scheme)?, rest)
    }

    /// What follows `//`.
    fn after_scheme(secure: bool, rest: &str) -> Option<Self> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        let authority = Authority::parse(authority, Some(default_port(secure))).ok()?;
        let (path, query) = path_and_query(rest);
        Some(Self {
            secure,
            authority,
            path: without_dots(path),
            query: query.map(str::to_owned),
        })
    }

    /// A reference, seen from here (RFC 3986 §5.2.2). `None` for what is no reference to an http or https URI, or has bytes
    /// that are none of a URI.
    fn resolve(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim_ascii();
        let visible = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'\\';
        if !reference.bytes().all(visible) {
            return None;
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::after_scheme(self.secure, rest);
        }
        if let Some(scheme) = scheme_of(reference) {
            let rest = reference.get(scheme.len()..)?.strip_prefix("://")?;
            return Self::after_scheme(is_secure(scheme)?, rest);
        }
        let (path, query) = path_and_query(reference);
        let mut named = self.clone();
        if path.is_empty() {
            named.query = query.map(str::to_owned).or(named.query);
            return Some(named);
        }
        named.query = query.map(str::to_owned);
        named.path = if path.starts_with('/') {
            without_dots(path)
        } else {
            // Merged with all of the path but what follows its last slash (§5.2.3).
            let folder = self.path.rfind('/').and_then(|at| self.path.get(..=at));
            without_dots(&format!("{}{path}", folder.unwrap_or("/")))
        };
        Some(named)
    }

    fn has_origin_of(&self, other: &Self) -> bool {
        self.secure == other.secure && self.authority == other.authority
    }

    fn text(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let port = default_port(self.secure);
        let authority = self.authority.without_default_port(port);
        let query = self.query.as_deref().map(|query| format!("?{query}"));
        let query = query.unwrap_or_default();
        format!("{scheme}://{authority}{}{query}", self.path)
    }
}

fn is_secure(scheme: &str) -> Option<bool> {
    if scheme.eq_ignore_ascii_case("https") {
        return Some(true);
    }
    scheme.eq_ignore_ascii_case("http").then_some(false)
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// The scheme that a reference begins with (RFC 3986 §3.1).
fn scheme_of(reference: &str) -> Option<&str> {
    let (scheme, _) = reference.split_once(':')?;
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins && scheme.bytes().all(in_scheme)).then_some(scheme)
}

fn path_and_query(text: &str) -> (&str, Option<&str>) {
    let text = text.split('#').next().unwrap_or_default();
    split_query(text)
}

/// A path without its dot segments, beginning with a slash (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let dots = match segment {
            "." => true,
            ".." => {
                kept.pop();
                true
            }
            _ => false,
        };
        if !dots {
            kept.push(segment);
        } else if is_last {
            // What ends in dots is a folder.
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
#[path = "tests/invalidate.rs"]
mod tests;
