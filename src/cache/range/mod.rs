//! Ranges: which bytes a request wants, what answers it, and which parts may be stored and put together (RFC 9110 §14,
//! RFC 9111 §3.3, §3.4).
//! Makes no multipart responses: several ranges that are not one are answered by the whole.
//! Start at [`wanted`] and [`Parts`].

mod content_range;
mod parts;

use std::ops::Range;

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use smallvec::SmallVec;

use super::validate;
use super::validator::{EntityTag, date_of, single, strong_last_modified};

pub use content_range::{ContentRange, Part, may_combine, part_of, whole_fields};
pub use parts::{Missing, Parts};

/// What a request wants of a representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it, as 200.
    Whole,
    /// These bytes, as 206; never none.
    One(Range<u64>),
    /// Bytes that are not there: 416. The length of what is.
    Unsatisfiable(u64),
}

/// The ranges that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges(SmallVec<[Spec; 2]>);

/// A range as it is asked for (RFC 9110 §14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec {
    /// `5-`
    From(u64),
    /// `5-9`, both included, in this order.
    Between(u64, u64),
    /// `-5`
    Last(u64),
}

/// More ranges than that are not looked at (RFC 9110 §17.15).
const RANGES_MOST: usize = 16;

impl Ranges {
    /// What Range says; `None` where it is to be ignored: not there, twice there, in another unit, malformed or with too many
    /// ranges (RFC 9110 §14.2).
    pub fn of(request: &HeaderMap) -> Option<Self> {
        let text = single(request, &RANGE)?.to_str().ok()?;
        let (unit, set) = text.trim_ascii().split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let mut specs = SmallVec::new();
        for member in set.split(',') {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            if specs.len() >= RANGES_MOST {
                return None;
            }
            specs.push(Spec::parse(member)?);
        }
        (!specs.is_empty()).then_some(Self(specs))
    }

    /// What they want of `total` bytes. Ranges that overlap or adjoin are one; ranges that are not are answered by the whole.
    pub fn of_total(&self, total: u64) -> Wanted {
        let satisfiable = self.0.iter().filter_map(|spec| spec.of_total(total));
        let mut ranges: SmallVec<[Range<u64>; 2]> = satisfiable.collect();
        ranges.sort_by_key(|range| range.start);
        let mut ranges = ranges.into_iter();
        let Some(mut one) = ranges.next() else {
            return Wanted::Unsatisfiable(total);
        };
        for range in ranges {
            if range.start > one.end {
                return Wanted::Whole;
            }
            one.end = one.end.max(range.end);
        }
        // The last bytes of nothing are there, but no Content-Range can say so.
        if one.is_empty() {
            return Wanted::Whole;
        }
        Wanted::One(one)
    }

    /// The only range, where just one is asked for.
    pub fn only(&self) -> Option<Spec> {
        match self.0.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }
}

impl Spec {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (position(first), position(last)) {
            (Some(first), Some(last)) if first <= last => Some(Self::Between(first, last)),
            (Some(first), None) if last.is_empty() => Some(Self::From(first)),
            (None, Some(last)) if first.is_empty() => Some(Self::Last(last)),
            _ => None,
        }
    }

    /// The bytes that it is, of so many; `None` where it is not satisfiable (RFC 9110 §14.1.2).
    fn of_total(self, total: u64) -> Option<Range<u64>> {
        match self {
            Self::From(first) => (first < total).then_some(first..total),
            Self::Between(first, last) => {
                (first < total).then(|| first..last.saturating_add(1).min(total))
            }
            Self::Last(length) => (length > 0).then(|| total.saturating_sub(length)..total),
        }
    }
}

/// A position; one that is larger than any length is the largest.
fn position(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// What a request wants of a stored response of `total` bytes, its preconditions but If-Range having been judged before
/// (RFC 9110 §13.2.2). Only GET has ranges (§14.2), and only of a 200. `received` is when the response was.
pub fn wanted(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    total: u64,
    received: Timestamp,
) -> Wanted {
    if *method != Method::GET || status != StatusCode::OK {
        return Wanted::Whole;
    }
    match Ranges::of(request) {
        Some(ranges) if if_range_holds(request, stored, received) => ranges.of_total(total),
        Some(_) | None => Wanted::Whole,
    }
}

/// Whether If-Range is not there, or names what is stored: by a strong entity-tag, or exactly by a date of modification that is
/// a strong validator (RFC 9110 §13.1.5).
pub fn if_range_holds(request: &HeaderMap, stored: &HeaderMap, received: Timestamp) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let Some(value) = single(request, &IF_RANGE) else {
        return false;
    };
    // An entity-tag has a quote among its first three bytes, and a date has none.
    if value.as_bytes().iter().take(3).any(|byte| *byte == b'"') {
        let asked = EntityTag::parse(value.as_bytes());
        let both = asked.zip(EntityTag::of(stored));
        return both.is_some_and(|(asked, stored)| asked.matches_strongly(stored));
    }
    let asked = date_of(request, &IF_RANGE, received);
    asked.is_some() && asked == strong_last_modified(stored, received)
}

/// The fields of a 206 with one range of a stored response (RFC 9110 §15.3.7).
pub fn partial_fields(stored: &HeaderMap, range: &Range<u64>, total: u64) -> HeaderMap {
    let mut fields = stored.clone();
    let last = range.end.saturating_sub(1);
    let text = format!("bytes {}-{last}/{total}", range.start);
    if let Ok(value) = HeaderValue::try_from(text) {
        fields.insert(CONTENT_RANGE, value);
    }
    let length = range.end.saturating_sub(range.start);
    fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    fields
}

/// The fields of a 416: the length that the client did not know, and that there is no content (RFC 9110 §15.5.17).
pub fn unsatisfiable_fields(total: u64) -> HeaderMap {
    let mut fields = HeaderMap::new();
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{total}")) {
        fields.insert(CONTENT_RANGE, value);
    }
    fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(0_u64));
    fields
}

/// The fields of a request for what is missing of a stored response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is missing, in one piece.
    pub range: Range<u64>,
    /// The value of Range; open where it goes to the end.
    pub range_value: HeaderValue,
    /// The value of If-Range: a 206 is more of the same, and anything else stands by itself.
    pub if_range_value: HeaderValue,
}

impl Ask {
    /// What to ask for, so that `parts` have the range that is wanted, or all of `0..total`. `None` where nothing or more than
    /// one piece is missing, or where the stored response has no strong validator, without which nothing could be put together
    /// (RFC 9111 §3.4).
    pub fn of(
        parts: &Parts,
        wanted: &Range<u64>,
        stored: &HeaderMap,
        received: Timestamp,
    ) -> Option<Self> {
        let range = match parts.missing(wanted) {
            Missing::One(range) => range,
            Missing::None | Missing::Several => return None,
        };
        let if_range_value = if stored.contains_key(ETAG) {
            let tag = EntityTag::of(stored)?;
            (!tag.is_weak()).then(|| stored.get(ETAG)).flatten()?
        } else {
            strong_last_modified(stored, received)?;
            stored.get(LAST_MODIFIED)?
        };
        let first = range.start;
        let text = if range.end == parts.total() {
            format!("bytes={first}-")
        } else {
            format!("bytes={first}-{}", range.end.saturating_sub(1))
        };
        Some(Self {
            range_value: HeaderValue::try_from(text).ok()?,
            if_range_value: if_range_value.clone(),
            range,
        })
    }

    /// Puts them in place of those of the client.
    pub fn apply(&self, request: &mut HeaderMap) {
        request.insert(RANGE, self.range_value.clone());
        request.insert(IF_RANGE, self.if_range_value.clone());
    }
}

#[cfg(test)]
mod tests;
