//! Validators of a response: entity-tags and modification dates, and how each is compared (RFC 9110 §8.8).
//! Neither judges a request's preconditions (conditional) nor makes any (validate).
//! Start at [`EntityTag`].

use std::iter;

use http::header::{DATE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};

use crate::message::date;

/// An entity-tag (RFC 9110 §8.8.3): `"…"` or `W/"…"`, and nothing that only resembles one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// Reads one. The prefix is `W/` in upper case; what stands between the quotes is any visible byte but a quote.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        match Self::read(text.trim_ascii()) {
            Some((tag, [])) => Some(tag),
            Some(_) | None => None,
        }
    }

    /// The entity-tag of a response; none where the field is missing, malformed or there twice.
    pub fn of(headers: &'a HeaderMap) -> Option<Self> {
        Self::parse(single(headers, &ETAG)?.as_bytes())
    }

    /// Whether it promises equivalence only, not the same bytes.
    pub fn is_weak(self) -> bool {
        self.weak
    }

    /// Strong comparison: the same, and neither is weak (RFC 9110 §8.8.3.2).
    pub fn matches_strongly(self, other: EntityTag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison: the same between the quotes (RFC 9110 §8.8.3.2).
    pub fn matches_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// One at the beginning of some bytes, and what follows it.
    fn read(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, rest) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let rest = rest.strip_prefix(b"\"")?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        let (opaque, after) = rest.split_at_checked(end)?;
        let visible = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff);
        let tag = Self { weak, opaque };
        let after = after.strip_prefix(b"\"")?;
        opaque.iter().all(visible).then_some((tag, after))
    }
}

/// The entity-tags of a list, as in If-None-Match; what is none is passed over.
pub(super) fn tags(list: &[u8]) -> impl Iterator<Item = EntityTag<'_>> {
    let mut rest = list;
    iter::from_fn(move || {
        loop {
            rest = rest.trim_ascii_start();
            let (first, after) = rest.split_first()?;
            if *first == b',' {
                rest = after;
                continue;
            }
            let read = EntityTag::read(rest);
            let after = read.map_or(rest, |(_, after)| after);
            // A member ends at a comma: `"a"b` is not an entity-tag.
            let end = after.iter().position(|byte| *byte == b',');
            let (between, next) = after.split_at_checked(end.unwrap_or(after.len()))?;
            rest = next;
            if let Some((tag, _)) = read
                && between.trim_ascii().is_empty()
            {
                return Some(tag);
            }
        }
    })
}

/// The date of modification of a response. `near` is some moment close to when it was received: it tells the century of a
/// date with two digits.
pub fn last_modified(headers: &HeaderMap, near: Timestamp) -> Option<Timestamp> {
    date_of(headers, &LAST_MODIFIED, near)
}

/// The date of modification if it is a strong validator: at least a second earlier than `Date`, so that no change can have
/// come in the same second (RFC 9110 §8.8.2.2).
pub fn strong_last_modified(headers: &HeaderMap, near: Timestamp) -> Option<Timestamp> {
    let modified = last_modified(headers, near)?;
    let date = date_of(headers, &DATE, near)?;
    let margin = date.duration_since(modified);
    (margin >= SignedDuration::from_secs(1)).then_some(modified)
}

/// A date field that is there once, and is a date.
pub(super) fn date_of(
    headers: &HeaderMap,
    name: &HeaderName,
    near: Timestamp,
) -> Option<Timestamp> {
    date::parse(single(headers, name)?.as_bytes(), near)
}

/// The value of a field that is there once.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
#[path = "tests/validator.rs"]
mod tests;
