//! Whether a stored response is used for a request, without asking the origin or after asking it (RFC 9111 §4).
//! Not which one the request selects (vary), nor the asking (validate).
//! Start at [`judge`].

use std::time::Duration;

use jiff::Timestamp;

use super::Freshness;
use super::directives::RequestDirectives;
use super::status::Fwd;

/// What is done with a stored response that a request selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is used: it is fresh.
    Fresh,
    /// It is used: the client takes it stale (§5.2.1.2).
    Stale,
    /// It is used, and validated meanwhile (RFC 5861 §3).
    StaleWhileRevalidate,
    /// The origin is asked whether it still holds.
    Validate(Why),
}

/// Why the origin is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is stale, or must be validated each time.
    Stale,
    /// The request wants that.
    Request,
}

impl From<Why> for Fwd {
    fn from(why: Why) -> Self {
        match why {
            Why::Stale => Self::Stale,
            Why::Request => Self::Request,
        }
    }
}

/// Judges a stored response by its freshness and by what the request says. A client's reload goes to the origin even where the
/// response is immutable: RFC 8246 §2 speaks of clients, and no-cache is how a person repairs a broken cache.
pub fn judge(freshness: &Freshness, asked: &RequestDirectives, now: Timestamp) -> Use {
    if freshness.no_cache {
        return Use::Validate(Why::Stale);
    }
    if asked.no_cache {
        return Use::Validate(Why::Request);
    }
    let age = freshness.age(now);
    let fresh = freshness.is_fresh(now);
    if asked
        .max_age
        .is_some_and(|most| age > most || most.is_zero())
        && !allows_age(asked, age)
    {
        return Use::Validate(if fresh { Why::Request } else { Why::Stale });
    }
    let left = freshness.lifetime.saturating_sub(age);
    if fresh && asked.min_fresh.is_some_and(|least| left < least) {
        return Use::Validate(Why::Request);
    }
    if fresh {
        return Use::Fresh;
    }
    let staleness = freshness.staleness(now);
    if freshness.must_revalidate || asked.min_fresh.is_some() {
        return Use::Validate(Why::Stale);
    }
    if asked.max_stale.is_some_and(|most| staleness <= most) {
        return Use::Stale;
    }
    let window = freshness.stale_while_revalidate;
    // Who says how old or how stale is not offered more.
    let indifferent = asked.max_age.is_none() && asked.max_stale.is_none();
    if indifferent && !window.is_zero() && staleness <= window {
        return Use::StaleWhileRevalidate;
    }
    Use::Validate(Why::Stale)
}

/// A request with max-age and max-stale takes what is older by so much (§5.2.1.1).
fn allows_age(asked: &RequestDirectives, age: Duration) -> bool {
    let (Some(most), Some(stale)) = (asked.max_age, asked.max_stale) else {
        return false;
    };
    age <= most.saturating_add(stale)
}

/// Whether a stored response may stand in for an error of the origin's (RFC 5861 §4): as long as the response, the rule or the
/// request says, and never where it must be validated. What the request says about age is about answers of the origin, and there
/// is none.
pub fn serves_error(freshness: &Freshness, asked: &RequestDirectives, now: Timestamp) -> bool {
    if freshness.must_revalidate || freshness.no_cache {
        return false;
    }
    let window = freshness
        .stale_if_error
        .max(asked.stale_if_error.unwrap_or_default());
    let within = !window.is_zero() && freshness.staleness(now) <= window;
    // What is fresh needs no such permission, but a client that wants to know what the origin says gets to know it.
    within || freshness.is_fresh(now) && !asked.no_cache
}

/// Whether a stored response may be used because the origin can not be reached (RFC 9111 §4.2.4, disconnected): where nobody says
/// for how long, for a day, unless it or the request wants validation.
pub fn serves_disconnected(
    freshness: &Freshness,
    asked: &RequestDirectives,
    now: Timestamp,
) -> bool {
    let strict = freshness.must_revalidate || freshness.no_cache || asked.no_cache;
    // Who says for how long has said that it is not longer.
    let is_said = !freshness.stale_if_error.is_zero() || asked.stale_if_error.is_some();
    let within = !is_said && freshness.staleness(now) <= DISCONNECTED;
    serves_error(freshness, asked, now) || (!strict && within)
}

const DISCONNECTED: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
#[path = "tests/reuse.rs"]
mod tests;
