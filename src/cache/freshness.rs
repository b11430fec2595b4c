//! How long a response may be used, and how old it is (RFC 9111 §4.2): arithmetic on a few numbers, which are all that is kept.
//! Not whether it is used for a request (reuse), nor whether it is stored (storable).
//! Start at [`Freshness::of`].

use std::time::Duration;

use http::header::{AGE, AUTHORIZATION, COOKIE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::directives::{LONGEST, ResponseDirectives};
use super::validator::date_of;
use super::{Control, status_code};

/// What of a response decides how long it may be used. Plain data, so that it can be written to disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// When the request was sent.
    pub requested: Timestamp,
    /// When the response head was received.
    pub received: Timestamp,
    /// Its age when received (RFC 9111 §4.2.3, corrected_initial_age).
    pub initial_age: Duration,
    /// The freshness lifetime.
    pub lifetime: Duration,
    /// The lifetime is a guess of ours (§4.2.2).
    pub heuristic: bool,
    /// It is not used without validation, however fresh it is (§5.2.2.4).
    pub no_cache: bool,
    /// It is not used stale, whatever a client says (§5.2.2.2, §5.2.2.8, §5.2.2.10).
    pub must_revalidate: bool,
    /// It is the same as long as it is fresh (RFC 8246).
    pub immutable: bool,
    /// How long it may be used after it became stale, while it is validated (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// How long it may stand in for an error after it became stale (RFC 5861 §4).
    pub stale_if_error: Duration,
}

/// A response as it came, and what it answers.
#[derive(Debug, Clone, Copy)]
pub struct Came<'a> {
    /// The fields of the request.
    pub request: &'a HeaderMap,
    /// When it was sent.
    pub requested: Timestamp,
    /// The status of the response.
    pub status: StatusCode,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// When its head came.
    pub received: Timestamp,
}

impl Freshness {
    /// Of a response that came, with what its rule says in the origin's place.
    pub fn of(came: Came<'_>, directives: &ResponseDirectives, control: &Control) -> Self {
        let (lifetime, heuristic) = lifetime(came, directives, control);
        let strict = directives.must_revalidate
            || directives.proxy_revalidate
            || directives.s_maxage.is_some();
        let permitted = |origin: Option<Duration>, rule: Option<Duration>| {
            origin.or(rule).unwrap_or_default().min(LONGEST)
        };
        Self {
            requested: came.requested,
            received: came.received,
            initial_age: initial_age(came),
            lifetime,
            heuristic,
            no_cache: directives.no_cache && ruled(came, control).is_none(),
            must_revalidate: strict,
            immutable: directives.immutable,
            stale_while_revalidate: permitted(
                directives.stale_while_revalidate,
                control.stale_while_revalidate,
            ),
            stale_if_error: permitted(directives.stale_if_error, control.stale_if_error),
        }
    }

    /// One with nothing special, of a response that came at once. For tests and benches.
    pub fn plain(received: Timestamp, initial_age: Duration, lifetime: Duration) -> Self {
        Self {
            requested: received,
            received,
            initial_age,
            lifetime,
            heuristic: false,
            no_cache: false,
            must_revalidate: false,
            immutable: false,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        }
    }

    /// Its age (§4.2.3, current_age). A clock that was set back makes nothing younger than it came.
    pub fn age(&self, now: Timestamp) -> Duration {
        self.initial_age.saturating_add(between(self.received, now))
    }

    /// Whether it is fresh (§4.2).
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.lifetime > self.age(now)
    }

    /// How long it has been stale; nothing while it is fresh.
    pub fn staleness(&self, now: Timestamp) -> Duration {
        self.age(now).saturating_sub(self.lifetime)
    }

    /// Whole seconds of freshness that are left; less than zero once stale.
    pub fn ttl(&self, now: Timestamp) -> i64 {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        seconds(self.lifetime).saturating_sub(seconds(self.age(now)))
    }

    /// The same as numbers, for the disk.
    pub fn to_words(&self) -> [u64; WORDS] {
        let flags = [
            self.heuristic,
            self.no_cache,
            self.must_revalidate,
            self.immutable,
        ];
        let flags = flags
            .iter()
            .rev()
            .fold(0, |bits, flag| bits << 1 | u64::from(*flag));
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        [
            self.requested.as_millisecond().cast_unsigned(),
            self.received.as_millisecond().cast_unsigned(),
            millis(self.initial_age),
            millis(self.lifetime),
            millis(self.stale_while_revalidate),
            millis(self.stale_if_error),
            flags,
        ]
    }

    /// The numbers read again. `None`: no freshness is written like that.
    pub fn from_words(words: [u64; WORDS]) -> Option<Self> {
        let [requested, received, age, lifetime, swr, sie, flags] = words;
        let time = |word: u64| Timestamp::from_millisecond(word.cast_signed()).ok();
        let flag = |bit: u32| flags >> bit & 1 == 1;
        (flags < 16).then_some(())?;
        Some(Self {
            requested: time(requested)?,
            received: time(received)?,
            initial_age: Duration::from_millis(age),
            lifetime: Duration::from_millis(lifetime),
            heuristic: flag(0),
            no_cache: flag(1),
            must_revalidate: flag(2),
            immutable: flag(3),
            stale_while_revalidate: Duration::from_millis(swr),
            stale_if_error: Duration::from_millis(sie),
        })
    }
}

/// Numbers of a freshness.
pub const WORDS: usize = 7;

/// Time from one moment to a later one; nothing where it is earlier.
fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// §4.2.3: the larger of what the dates say and what `Age` says, which grew while the response was on its way.
fn initial_age(came: Came<'_>) -> Duration {
    let date = date_of(came.headers, &DATE, came.received);
    let apparent = date.map_or(Duration::ZERO, |date| between(date, came.received));
    let delay = between(came.requested, came.received);
    let corrected = age_field(came.headers).saturating_add(delay);
    apparent.max(corrected)
}

/// The first value of `Age`; one that is no number is not there (§5.1).
fn age_field(headers: &HeaderMap) -> Duration {
    let Some(Ok(text)) = headers.get(AGE).map(http::HeaderValue::to_str) else {
        return Duration::ZERO;
    };
    let first = text.split([',', ';']).next().unwrap_or_default().trim();
    if first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_digit()) {
        return Duration::ZERO;
    }
    first
        .parse()
        .map_or(LONGEST, Duration::from_secs)
        .min(LONGEST)
}

/// The rule's lifetime, where it is meant for such a response.
fn ruled(came: Came<'_>, control: &Control) -> Option<Duration> {
    control
        .ttl
        .filter(|_| status_code::is_kept_by_ttl(came.status))
}

/// §4.2.1, and where nothing is said, a guess (§4.2.2): and whether it is one.
fn lifetime(
    came: Came<'_>,
    directives: &ResponseDirectives,
    control: &Control,
) -> (Duration, bool) {
    if let Some(ttl) = ruled(came, control) {
        return (ttl, false);
    }
    if let Some(explicit) = explicit(came, directives) {
        return (explicit, false);
    }
    if let Some(errors) = control
        .errors
        .filter(|_| status_code::is_kept_as_error(came.status))
    {
        return (errors, false);
    }
    (guess(came, directives).unwrap_or_default(), true)
}

/// What the origin says; what it says wrongly is that nothing is left.
pub(super) fn explicit(came: Came<'_>, directives: &ResponseDirectives) -> Option<Duration> {
    let said = directives.s_maxage.or(directives.max_age);
    if said.is_some() || directives.targeted || !came.headers.contains_key(EXPIRES) {
        return said;
    }
    let date = date_of(came.headers, &DATE, came.received).unwrap_or(came.received);
    let expires = date_of(came.headers, &EXPIRES, came.received);
    Some(
        expires
            .map_or(Duration::ZERO, |expires| between(date, expires))
            .min(LONGEST),
    )
}

/// A tenth of the time since it was last changed, at most a day; only where the status or the origin lets it be stored, and never
/// for a request that may be somebody's own.
fn guess(came: Came<'_>, directives: &ResponseDirectives) -> Option<Duration> {
    let may = directives.public || status_code::is_heuristically_cacheable(came.status);
    let own = [COOKIE, AUTHORIZATION];
    let personal = own.iter().any(|name| came.request.contains_key(name)) && !directives.public;
    if !may || personal || directives.targeted {
        return None;
    }
    let modified = date_of(came.headers, &LAST_MODIFIED, came.received)?;
    let date = date_of(came.headers, &DATE, came.received).unwrap_or(came.received);
    let since: SignedDuration = date.duration_since(modified);
    let since = Duration::try_from(since).ok()?;
    Some(Duration::from_secs(since.as_secs() / 10).min(LONGEST_GUESS))
}

const LONGEST_GUESS: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
#[path = "tests/freshness.rs"]
mod tests;
