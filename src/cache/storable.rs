//! Whether a response may be stored, and which of its fields are (RFC 9111 §3).
//! Not for how long it may be used (freshness), nor where it lies.
//! Start at [`storable`].

use http::header::{AGE, AUTHORIZATION, ETAG, LAST_MODIFIED, SET_COOKIE};
use http::{HeaderMap, HeaderName, Method};
use jiff::Timestamp;

use super::control::SetCookie;
use super::directives::{RequestDirectives, ResponseDirectives};
use super::freshness::{self, Came, Freshness};
use super::hop::is_hop;
use super::{Control, Vary, status_code};
use crate::message::{date, hop::nominated};

/// A response that may be stored.
#[derive(Debug)]
pub struct Storable {
    /// How long it may be used.
    pub freshness: Freshness,
    /// What it varies by.
    pub vary: Vary,
    /// The fields that are stored.
    pub headers: HeaderMap,
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstorable {
    /// Only GET is (§3; a HEAD has no content).
    Method,
    /// It is no final response, or one that means nothing by itself.
    Status,
    /// Request or response say `no-store` (§5.2.1.5, §5.2.2.5).
    NoStore,
    /// It is for one user (§5.2.2.7).
    Private,
    /// It answers a request with credentials, and nothing says that others may have it (§3.5).
    Authorized,
    /// It sets a cookie, and the rule does not say that this is shared.
    SetsCookie,
    /// It depends on more than can be said (§4.1).
    VariesByAll,
    /// It could neither be used nor validated.
    Useless,
    /// It ends with its connection, so that it may have been cut (RFC 9111 §3.3).
    Undelimited,
    /// It is larger than may be stored.
    TooLarge,
    /// The rule stores what is asked for more often.
    Rare,
    /// It was purged meanwhile, or there is no room.
    NoRoom,
    /// It is no part that could be stored.
    Part,
    /// All of what it is a part of is stored.
    Known,
}

impl Unstorable {
    /// The reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "the method is not GET",
            Self::Status => "the status is not stored",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorized => "the request is authorized",
            Self::SetsCookie => "it sets a cookie",
            Self::VariesByAll => "it varies by anything",
            Self::Useless => "no lifetime and no validator",
            Self::Undelimited => "the response does not say where it ends",
            Self::TooLarge => "it is too large",
            Self::Rare => "it is not asked for often enough",
            Self::NoRoom => "there is no room for it",
            Self::Part => "the part is not stored",
            Self::Known => "all of it is stored",
        }
    }
}

/// Whether a response may be stored, and what of it. `targets`: fields that are read before Cache-Control (RFC 9213).
///
/// Errors: why not.
pub fn storable(
    method: &Method,
    came: Came<'_>,
    (control, targets): (&Control, &[HeaderName]),
) -> Result<Storable, Unstorable> {
    let directives = ResponseDirectives::read(came.headers, targets);
    let asked = RequestDirectives::read(came.request);
    if *method != Method::GET {
        return Err(Unstorable::Method);
    }
    check_status(came)?;
    check_said(came, &directives, &asked)?;
    let cookie = came.headers.contains_key(SET_COOKIE);
    if cookie && control.set_cookie == SetCookie::Refuse {
        return Err(Unstorable::SetsCookie);
    }
    let vary = Vary::of(came.headers, came.request).ok_or(Unstorable::VariesByAll)?;
    let freshness = Freshness::of(came, &directives, control);
    check_use(came, &directives, &freshness)?;
    let mut headers = to_store(came.headers);
    // What must not be used again without validation is not there to be used; what is private is nobody else's.
    let named = directives
        .no_cache_fields
        .iter()
        .chain(&directives.private_fields);
    for name in named {
        headers.remove(name);
    }
    if cookie && control.set_cookie == SetCookie::Strip {
        headers.remove(SET_COOKIE);
        headers.remove("set-cookie2");
    }
    Ok(Storable {
        freshness,
        vary,
        headers,
    })
}

fn check_status(came: Came<'_>) -> Result<(), Unstorable> {
    let status = came.status;
    if status.is_informational() || status_code::is_never_stored(status) {
        return Err(Unstorable::Status);
    }
    Ok(())
}

/// What request and response say about storing.
fn check_said(
    came: Came<'_>,
    directives: &ResponseDirectives,
    asked: &RequestDirectives,
) -> Result<(), Unstorable> {
    // Who knows the status may overlook no-store beside must-understand; who does not must not store at all (§5.2.2.3).
    let understood = status_code::is_understood(came.status);
    let overlooked = directives.must_understand && understood;
    let forbidden = directives.no_store && !overlooked;
    if asked.no_store || forbidden || (directives.must_understand && !understood) {
        return Err(Unstorable::NoStore);
    }
    if directives.private {
        return Err(Unstorable::Private);
    }
    let shared = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if came.request.contains_key(AUTHORIZATION) && !shared {
        return Err(Unstorable::Authorized);
    }
    Ok(())
}

/// §3: something must let it be used later.
fn check_use(
    came: Came<'_>,
    directives: &ResponseDirectives,
    freshness: &Freshness,
) -> Result<(), Unstorable> {
    let explicit = freshness::explicit(came, directives).is_some();
    let ruled = !freshness.heuristic;
    let allowed = explicit
        || ruled
        || directives.public
        || status_code::is_heuristically_cacheable(came.status);
    let validator = came.headers.contains_key(ETAG) || came.headers.contains_key(LAST_MODIFIED);
    let stale_use =
        !freshness.stale_if_error.is_zero() || !freshness.stale_while_revalidate.is_zero();
    let fresh_once = freshness.lifetime > freshness.initial_age;
    let said = explicit && !freshness.lifetime.is_zero();
    // Without validation it may not be used, and there is nothing to validate it by.
    let useful = validator || !freshness.no_cache && (fresh_once || stale_use || said);
    if allowed && useful {
        Ok(())
    } else {
        Err(Unstorable::Useless)
    }
}

/// The fields that are stored: not those of a connection, of a proxy, or of this moment (§3.1).
pub fn to_store(headers: &HeaderMap) -> HeaderMap {
    let mut stored = headers.clone();
    for name in headers.keys().filter(|name| is_hop(name)) {
        stored.remove(name);
    }
    for name in nominated(headers) {
        stored.remove(name);
    }
    stored.remove(AGE);
    stored
}

/// When a stored response is received that says nothing of it: for the `Date` that is added (RFC 9110 §6.6.1).
pub fn dated(headers: &mut HeaderMap, received: Timestamp) {
    if !headers.contains_key(http::header::DATE)
        && let Some(date) = date::render(received)
    {
        headers.insert(http::header::DATE, date);
    }
}

#[cfg(test)]
#[path = "tests/storable.rs"]
mod tests;
