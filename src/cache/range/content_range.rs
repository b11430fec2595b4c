//! What a 206 says that it is a part of, whether it may be stored, and with what it may be put together (RFC 9110 §14.4,
//! §15.3.7, RFC 9111 §3.3, §3.4).
//! Not the bytes (parts). Start at [`part_of`].

use std::ops::Range;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::single;
use super::validate::{number, same_strongly, updated};

/// A Content-Range in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentRange {
    /// These bytes, of so many, if that is known.
    Bytes(Range<u64>, Option<u64>),
    /// None, of so many: in a 416.
    Unsatisfied(u64),
}

impl ContentRange {
    /// Reads the field. `None` where it is missing, there twice, in another unit, malformed, or says what can not be.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(single(headers, &CONTENT_RANGE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim_ascii().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.split_once('/')?;
        let total = match total {
            "*" => None,
            digits => Some(exact(digits)?),
        };
        if range == "*" {
            return total.map(Self::Unsatisfied);
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (exact(first)?, exact(last)?);
        let is_valid = first <= last && total.is_none_or(|total| last < total);
        let end = last.checked_add(1)?;
        is_valid.then_some(Self::Bytes(first..end, total))
    }
}

fn exact(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// What a 206 has of a representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which bytes; as many as the content must have.
    pub range: Range<u64>,
    /// Of so many.
    pub total: u64,
}

/// The part that a 206 has, if it may be stored as one: it has a single range, of a length that is known, and its Content-Length,
/// if it has one, says the same. Whether it may be put together with others is asked of [`may_combine`]; one without a strong
/// validator stands alone.
pub fn part_of(status: StatusCode, headers: &HeaderMap) -> Option<Part> {
    if status != StatusCode::PARTIAL_CONTENT || is_multipart(headers) {
        return None;
    }
    let (range, total) = match ContentRange::of(headers)? {
        ContentRange::Bytes(range, Some(total)) => (range, total),
        ContentRange::Bytes(_, None) | ContentRange::Unsatisfied(_) => return None,
    };
    if headers.contains_key(CONTENT_LENGTH) {
        let length = single(headers, &CONTENT_LENGTH).and_then(number)?;
        if length != range.end - range.start {
            return None;
        }
    }
    Some(Part { range, total })
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let multipart = b"multipart/byteranges";
    headers.get_all(CONTENT_TYPE).iter().any(|value| {
        let begins = value.as_bytes().trim_ascii_start().get(..multipart.len());
        begins.is_some_and(|begins| begins.eq_ignore_ascii_case(multipart))
    })
}

/// Whether a 206 belongs to what is stored: both have the same strong validator (RFC 9111 §3.4), and no content coding that says
/// otherwise. That the totals agree is for [`super::Parts`] to see.
pub fn may_combine(stored: &HeaderMap, partial: &HeaderMap, received: Timestamp) -> bool {
    // A 206 may leave out what the client knows (RFC 9110 §15.3.7).
    let same_coding = !partial.contains_key(CONTENT_ENCODING)
        || partial.get_all(CONTENT_ENCODING) == stored.get_all(CONTENT_ENCODING);
    same_coding && same_strongly(stored, partial, received)
}

/// The fields of the whole representation, of so many bytes, from those of a 206, which update what is stored of it, if there is
/// something (RFC 9111 §3.2, §3.4): the form in which a response in parts is stored.
pub fn whole_fields(stored: Option<&HeaderMap>, partial: &HeaderMap, total: u64) -> HeaderMap {
    let mut fields = match stored {
        Some(stored) => updated(stored, partial),
        None => partial.clone(),
    };
    fields.remove(CONTENT_RANGE);
    fields.insert(CONTENT_LENGTH, HeaderValue::from(total));
    fields
}
