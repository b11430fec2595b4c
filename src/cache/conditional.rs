//! A client's preconditions, held against a response that is stored or has just come (RFC 9111 §4.3.2, RFC 9110 §13).
//! Not the preconditions that the cache itself sends (validate), nor If-Range (range).
//! Start at [`evaluate`].

use http::header::{
    CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, VARY, VIA,
};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use jiff::Timestamp;

use super::validator::{EntityTag, date_of, last_modified, single, tags};

/// What a client's preconditions make of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is sent.
    Send,
    /// The client has it: 304, with the fields of [`not_modified`].
    NotModified,
    /// The origin must judge: the request is forwarded as it is, without conditions of the cache's own.
    Forward,
}

/// Judges a request's preconditions by a response that would answer it, `received` at a time that stands in for a missing
/// `Date`. Once If-None-Match is there, If-Modified-Since is not looked at (RFC 9110 §13.2.2).
pub fn evaluate(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    received: Timestamp,
) -> Outcome {
    if is_for_origin(request) {
        return Outcome::Forward;
    }
    // Preconditions are about what a success would send (RFC 9110 §13.2.1); a cache knows these for GET and HEAD.
    let ours = *method == Method::GET || *method == Method::HEAD;
    if !ours || (status != StatusCode::OK && status != StatusCode::PARTIAL_CONTENT) {
        return Outcome::Send;
    }
    let has_it = if request.contains_key(IF_NONE_MATCH) {
        names_tag(request, response)
    } else {
        is_older(request, response, received)
    };
    if has_it {
        Outcome::NotModified
    } else {
        Outcome::Send
    }
}

/// Whether a request has preconditions that a cache does not judge (RFC 9111 §4.3.2).
pub fn is_for_origin(request: &HeaderMap) -> bool {
    request.contains_key(IF_MATCH) || request.contains_key(IF_UNMODIFIED_SINCE)
}

/// The fields of a 304 in place of a response: what the same request without preconditions would have got of those that
/// guide caches (RFC 9110 §15.4.5), and where it came through.
pub fn not_modified(response: &HeaderMap) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in response {
        let is_guide = KEPT.contains(name) || KEPT_NAMES.contains(&name.as_str());
        // The date of modification helps where there is no entity-tag; beside one it is left out.
        let is_validator = *name == LAST_MODIFIED && !response.contains_key(ETAG);
        if is_guide || is_validator {
            fields.append(name, value.clone());
        }
    }
    fields
}

const KEPT: [HeaderName; 7] = [
    CACHE_CONTROL,
    CONTENT_LOCATION,
    DATE,
    ETAG,
    EXPIRES,
    VARY,
    VIA,
];

/// Targeted cache control (RFC 9213) guides the caches behind this one as Cache-Control does.
const KEPT_NAMES: [&str; 3] = ["cache-status", "cdn-cache-control", "surrogate-control"];

/// If-None-Match is false: it names the response, by weak comparison, or anything at all (RFC 9110 §13.1.2).
fn names_tag(request: &HeaderMap, response: &HeaderMap) -> bool {
    if let Some(only) = single(request, &IF_NONE_MATCH) {
        let only = only.as_bytes().trim_ascii();
        if only == b"*" {
            return true;
        }
        // What is no entity-tag has no meaning that a comparison could miss, but a client that gives back, byte for byte, what
        // came with the response has got that response.
        let given = single(response, &ETAG).map(|tag| tag.as_bytes().trim_ascii());
        if given.is_some_and(|given| !given.is_empty() && given == only) {
            return true;
        }
    }
    let Some(stored) = EntityTag::of(response) else {
        return false;
    };
    let mut lines = request.get_all(IF_NONE_MATCH).iter();
    lines.any(|line| tags(line.as_bytes()).any(|tag| tag.matches_weakly(stored)))
}

/// If-Modified-Since is false: the response was modified no later; or where it does not say when, was made or received no
/// later (RFC 9111 §4.3.2). What is no date, or several, is not there (RFC 9110 §13.1.3).
fn is_older(request: &HeaderMap, response: &HeaderMap, received: Timestamp) -> bool {
    let Some(since) = date_of(request, &IF_MODIFIED_SINCE, received) else {
        return false;
    };
    let changed = last_modified(response, received).or_else(|| date_of(response, &DATE, received));
    changed.unwrap_or(received) <= since
}

#[cfg(test)]
#[path = "tests/conditional.rs"]
mod tests;
