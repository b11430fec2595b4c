//! Validation: which conditions are sent with a forwarded request, which stored responses a 304 or a HEAD speaks of, and what
//! becomes of their fields (RFC 9111 §3.2, §4.3).
//! Not the client's own preconditions (conditional), nor whether there is need to validate (reuse).
//! Start at [`Conditions::of`] and [`identify`].

use std::cmp::Reverse;

use http::header::{
    ACCEPT_ENCODING, AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use smallvec::SmallVec;

use super::hop::is_hop;
use super::validator::{EntityTag, date_of, last_modified, single, strong_last_modified};
use super::{Stored, Vary};
use crate::message::hop::nominated;

/// What of a stored response matters here.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What it was selected by.
    pub vary: &'a Vary,
    /// Its status; 200 where it is there in parts.
    pub status: StatusCode,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// When it was received.
    pub received: Timestamp,
}

impl<'a> From<&'a Stored> for View<'a> {
    fn from(stored: &'a Stored) -> Self {
        Self {
            vary: &stored.vary,
            status: stored.status,
            headers: &stored.headers,
            received: stored.freshness.received,
        }
    }
}

impl View<'_> {
    /// For the most recent of several (RFC 9111 §4).
    fn date(&self) -> Timestamp {
        date_of(self.headers, &DATE, self.received).unwrap_or(self.received)
    }
}

/// The one that a request selects: of those that match, one with a Vary before one without, which may lack it by mistake;
/// then the most recent by `Date` (RFC 9111 §4, §4.1).
pub fn select(set: &[View<'_>], request: &HeaderMap) -> Option<usize> {
    let matching = set.iter().enumerate();
    let matching = matching.filter(|(_, stored)| stored.vary.matches(request));
    let best = matching.max_by_key(|(at, stored)| {
        let varies = !stored.vary.names.is_empty();
        (varies, stored.date(), stored.received, Reverse(*at))
    });
    best.map(|(at, _)| at)
}

/// The conditions that the cache adds to a forwarded request, and of which stored responses they speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    none_match: Option<HeaderValue>,
    modified_since: Option<HeaderValue>,
    asked: SmallVec<[usize; 4]>,
}

/// At most so many entity-tags are sent.
const TAGS_MOST: usize = 16;

/// At most so many bytes of them.
const TAG_BYTES_MOST: usize = 4096;

impl Conditions {
    /// For what is stored of a URI, of which the request selects one or none: the entity-tag of that one, and those of other
    /// variants, so that the origin can name one of them (RFC 9111 §4.1, §4.3.1); the date of modification where one response
    /// is asked about. `None` where nothing stored has a validator. A response of which only parts are there must not be in
    /// the set, unless the request is for a range that it has.
    pub fn of(set: &[View<'_>], selected: Option<usize>, request: &HeaderMap) -> Option<Self> {
        let mut asked = SmallVec::new();
        let mut list = Vec::new();
        let chosen = selected.and_then(|at| Some((at, set.get(at)?)));
        // Preconditions are about what a success would send (RFC 9110 §13.2.1): no other response is confirmed by one.
        let chosen = chosen.filter(|(_, stored)| stored.status.is_success());
        if let Some((at, stored)) = chosen
            && add_tag(&mut list, stored.headers)
        {
            asked.push(at);
        }
        for (at, other) in set.iter().enumerate() {
            let is_full = asked.len() >= TAGS_MOST;
            if !is_full
                && Some(at) != selected
                && is_spare(other, request)
                && add_tag(&mut list, other.headers)
            {
                asked.push(at);
            }
        }
        let modified_since = chosen.and_then(|(at, stored)| {
            let value = single(stored.headers, &LAST_MODIFIED)?;
            last_modified(stored.headers, stored.received)?;
            let only = asked.iter().all(|asked| *asked == at);
            only.then(|| value.clone())
        });
        if let Some((at, _)) = chosen
            && modified_since.is_some()
            && asked.is_empty()
        {
            asked.push(at);
        }
        let none_match = (!list.is_empty())
            .then(|| HeaderValue::from_bytes(&list).ok())
            .flatten();
        let conditions = Self {
            none_match,
            modified_since,
            asked,
        };
        (!conditions.asked.is_empty()).then_some(conditions)
    }

    /// Puts them in place of the client's own If-None-Match and If-Modified-Since, which are judged afterwards by what comes
    /// of it (conditional). Not for a request whose preconditions the origin must judge.
    pub fn apply(&self, request: &mut HeaderMap) {
        for (name, value) in [
            (IF_NONE_MATCH, &self.none_match),
            (IF_MODIFIED_SINCE, &self.modified_since),
        ] {
            match value {
                Some(value) => drop(request.insert(name, value.clone())),
                None => drop(request.remove(name)),
            }
        }
    }

    /// Which of the set they speak of; the selected one is the first, if it has a validator.
    pub fn asked(&self) -> &[usize] {
        &self.asked
    }
}

/// Adds the entity-tag as it came; one that is malformed is not repeated. Whether it has been added.
fn add_tag(list: &mut Vec<u8>, headers: &HeaderMap) -> bool {
    let (Some(_), Some(value)) = (EntityTag::of(headers), single(headers, &ETAG)) else {
        return false;
    };
    let tag = value.as_bytes().trim_ascii();
    if list.len() + tag.len() + 2 > TAG_BYTES_MOST {
        return false;
    }
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(tag);
    true
}

/// Whether the origin may answer a request with a variant that was not stored for it. Only with a strong entity-tag, which
/// names some bytes and no others; but since origins are known that give the same one to each content coding, it must be
/// one that the client can read; and none that depends on who asks.
fn is_spare(stored: &View<'_>, request: &HeaderMap) -> bool {
    if stored.vary.matches(request) {
        return stored.status.is_success();
    }
    stored.status == StatusCode::OK
        && EntityTag::of(stored.headers).is_some_and(|tag| !tag.is_weak())
        && !stored.vary.is_personal()
        && is_readable(stored.headers, request)
}

/// Whether the client names each content coding of a response as one that it takes.
fn is_readable(response: &HeaderMap, request: &HeaderMap) -> bool {
    let members = |headers: &HeaderMap, name: &HeaderName| -> Vec<Vec<u8>> {
        let lines = headers.get_all(name).iter();
        let members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let members = members.map(|member| member.trim_ascii().to_ascii_lowercase());
        members.filter(|member| !member.is_empty()).collect()
    };
    let codings = members(response, &CONTENT_ENCODING);
    if codings.is_empty() {
        return true;
    }
    let accepted = members(request, &ACCEPT_ENCODING);
    // A weight could be zero: only what is named without one counts.
    codings.iter().all(|coding| accepted.contains(coding))
}

/// Which stored responses a 304 updates, the one that answers the request first (RFC 9111 §4.3.4); none where it speaks of
/// something else, and the request must be made again without conditions. `set` is the one that the conditions were made of.
pub fn identify(
    set: &[View<'_>],
    conditions: &Conditions,
    request: &HeaderMap,
    not_modified: &HeaderMap,
) -> Vec<usize> {
    let mut candidates: Vec<usize> = (0..set.len())
        .filter(|at| {
            let matches = set
                .get(*at)
                .is_some_and(|stored| stored.vary.matches(request));
            matches || conditions.asked.contains(at)
        })
        .collect();
    let first = conditions.asked.first().copied();
    candidates.sort_by_cached_key(|at| {
        let stored = set.get(*at);
        let matches = stored.is_some_and(|stored| stored.vary.matches(request));
        let date = stored.map(View::date);
        (Reverse(matches), Some(*at) != first, Reverse(date))
    });
    let is_only = candidates.len() == 1;
    let spoken = Spoken::of(not_modified);
    let among = candidates
        .iter()
        .filter_map(|at| Some((*at, set.get(*at)?)));
    let mut meant: Vec<(usize, bool)> = among
        .filter_map(|(at, stored)| Some((at, spoken.of_stored(stored, request, is_only)?)))
        .collect();
    // A weak validator may fit several, of which only the most recent is meant.
    if meant.iter().any(|(_, strongly)| !strongly) {
        meant.truncate(1);
    }
    meant.into_iter().map(|(at, _)| at).collect()
}

/// The validator by which a 304 says what it is about.
enum Spoken<'a> {
    Tag(EntityTag<'a>),
    Malformed(Option<&'a HeaderValue>),
    Modified(&'a HeaderMap),
    Nothing,
}

impl<'a> Spoken<'a> {
    fn of(not_modified: &'a HeaderMap) -> Self {
        if let Some(tag) = EntityTag::of(not_modified) {
            Self::Tag(tag)
        } else if not_modified.contains_key(ETAG) {
            Self::Malformed(single(not_modified, &ETAG))
        } else if not_modified.contains_key(LAST_MODIFIED) {
            Self::Modified(not_modified)
        } else {
            Self::Nothing
        }
    }

    /// Whether it fits a stored response; if so, whether strongly.
    fn of_stored(&self, stored: &View<'_>, request: &HeaderMap, is_only: bool) -> Option<bool> {
        let tag = EntityTag::of(stored.headers);
        if let Self::Tag(spoken) = *self
            && !spoken.is_weak()
        {
            return tag?.matches_strongly(spoken).then_some(true);
        }
        // Nothing but a strong entity-tag fits a variant that was stored for another request.
        if !stored.vary.matches(request) {
            return None;
        }
        match *self {
            Self::Tag(spoken) => tag?.matches_weakly(spoken).then_some(false),
            Self::Malformed(value) => (value? == single(stored.headers, &ETAG)?).then_some(false),
            Self::Modified(headers) => {
                let modified = last_modified(headers, stored.received)?;
                let same = last_modified(stored.headers, stored.received)? == modified;
                same.then(|| strong_last_modified(headers, stored.received).is_some())
            }
            // The RFC takes it for the only stored response, if that lacks a validator. But where one was asked about, and no
            // other could be chosen, a 304 that leaves out what it must repeat (RFC 9110 §15.4.5) can mean nothing else.
            Self::Nothing => is_only.then_some(false),
        }
    }
}

/// The fields of a stored response after an update by those of a 304, a HEAD or a 206: each replaces all lines of its name
/// (RFC 9111 §3.2). `received` has been freed of what is not stored (storable): this only leaves out, once more, what
/// belongs to one connection, `Age`, and what describes the content of the message and not what is stored. A Vary may
/// have changed: it is made anew.
pub fn updated(stored: &HeaderMap, received: &HeaderMap) -> HeaderMap {
    let mut fields = stored.clone();
    let listed: Vec<HeaderName> = nominated(received).collect();
    for name in received.keys() {
        if NEVER.contains(name) || is_hop(name) || listed.contains(name) {
            continue;
        }
        // A message without content has no range: only a field without meaning, as it was stored, is replaced by another.
        if *name == CONTENT_RANGE && !stored.contains_key(CONTENT_RANGE) {
            continue;
        }
        fields.remove(name);
        for value in received.get_all(name) {
            fields.append(name, value.clone());
        }
    }
    fields
}

const NEVER: [HeaderName; 2] = [AGE, CONTENT_LENGTH];

/// What a response to HEAD makes of a stored response to GET.
#[derive(Debug, Clone)]
pub enum HeadUpdate {
    /// It has these fields from now on.
    Update(HeaderMap),
    /// It is another representation: the stored one counts as stale.
    Invalidate,
    /// Nothing.
    Ignore,
}

/// Compares a response to HEAD with one that is stored and would have been chosen for the request (RFC 9111 §4.3.5).
/// `length` is that of the stored content, where it is known.
pub fn head_update(
    stored: &View<'_>,
    length: Option<u64>,
    status: StatusCode,
    head: &HeaderMap,
) -> HeadUpdate {
    if status != StatusCode::OK {
        return HeadUpdate::Ignore;
    }
    if stored.status != StatusCode::OK {
        return HeadUpdate::Invalidate;
    }
    let length = length.or_else(|| single(stored.headers, &CONTENT_LENGTH).and_then(number));
    let same = |name: &HeaderName| {
        !head.contains_key(name) || single(head, name) == single(stored.headers, name)
    };
    // A date may be the same and written in another form.
    let modified = last_modified(head, stored.received);
    let same_date =
        modified.is_some() && modified == last_modified(stored.headers, stored.received);
    let same_length = match single(head, &CONTENT_LENGTH) {
        Some(value) => length.is_none_or(|length| number(value) == Some(length)),
        None => !head.contains_key(CONTENT_LENGTH),
    };
    if same(&ETAG) && (same_date || same(&LAST_MODIFIED)) && same_length {
        HeadUpdate::Update(updated(stored.headers, head))
    } else {
        HeadUpdate::Invalidate
    }
}

pub(super) fn number(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim_ascii();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Whether two responses are parts of one representation: they have the same strong validator (RFC 9111 §3.4).
pub(super) fn same_strongly(one: &HeaderMap, other: &HeaderMap, near: Timestamp) -> bool {
    match (one.contains_key(ETAG), other.contains_key(ETAG)) {
        (true, true) => EntityTag::of(one)
            .zip(EntityTag::of(other))
            .is_some_and(|(one, other)| one.matches_strongly(other)),
        (false, false) => {
            let modified = strong_last_modified(one, near);
            modified.is_some() && modified == strong_last_modified(other, near)
        }
        (true, false) | (false, true) => false,
    }
}

#[cfg(test)]
#[path = "tests/validate.rs"]
mod tests;
