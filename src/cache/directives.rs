//! What `Cache-Control` says, in a response and in a request (RFC 9111 §5.2), and in its stead a field for caches of our kind
//! (RFC 9213).
//! Not what follows from it (storable, freshness, reuse).
//! Start at [`ResponseDirectives::read`] and [`RequestDirectives::read`].

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, PRAGMA, VARY};
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use super::targeted;
use crate::message::list;

/// The directives of a response. Those that are not known are left out (§5.2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// §5.2.2.1; what is there and no number counts as nothing left (§4.2.1).
    pub max_age: Option<Duration>,
    /// §5.2.2.10; read likewise.
    pub s_maxage: Option<Duration>,
    /// §5.2.2.5
    pub no_store: bool,
    /// §5.2.2.4, without fields.
    pub no_cache: bool,
    /// The fields of §5.2.2.4: not to be used again without validation.
    pub no_cache_fields: SmallVec<[HeaderName; 2]>,
    /// §5.2.2.7, without fields.
    pub private: bool,
    /// The fields of §5.2.2.7: not to be stored.
    pub private_fields: SmallVec<[HeaderName; 2]>,
    /// §5.2.2.9
    pub public: bool,
    /// §5.2.2.2
    pub must_revalidate: bool,
    /// §5.2.2.8
    pub proxy_revalidate: bool,
    /// §5.2.2.3
    pub must_understand: bool,
    /// RFC 8246
    pub immutable: bool,
    /// RFC 5861 §3
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861 §4
    pub stale_if_error: Option<Duration>,
    /// They came in a field that is meant for us, so that `Expires` says nothing (RFC 9213 §2.2).
    pub targeted: bool,
}

/// The directives of a request (§5.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// §5.2.1.1
    pub max_age: Option<Duration>,
    /// §5.2.1.2; without a number, any staleness.
    pub max_stale: Option<Duration>,
    /// §5.2.1.3
    pub min_fresh: Option<Duration>,
    /// §5.2.1.4, or `Pragma` where there is no Cache-Control (§5.4).
    pub no_cache: bool,
    /// §5.2.1.5
    pub no_store: bool,
    /// §5.2.1.7
    pub only_if_cached: bool,
    /// RFC 5861 §4
    pub stale_if_error: Option<Duration>,
}

impl ResponseDirectives {
    /// Reads the first field of `targets` that is there and well-formed, and `Cache-Control` where none is.
    pub fn read(headers: &HeaderMap, targets: &[HeaderName]) -> Self {
        for name in targets {
            if let Some(members) = targeted::read(headers, name) {
                let mut read = Self {
                    targeted: true,
                    ..Self::default()
                };
                for (name, argument) in &members {
                    read.note(name, argument.as_deref());
                }
                return read;
            }
        }
        let mut read = Self::default();
        each(headers, |name, argument| read.note(name, argument));
        read
    }

    fn note(&mut self, name: &str, argument: Option<&str>) {
        match name {
            // Of several, the first counts (§4.2.1).
            "max-age" => {
                self.max_age
                    .get_or_insert_with(|| seconds_or_none_left(argument));
            }
            "s-maxage" => {
                self.s_maxage
                    .get_or_insert_with(|| seconds_or_none_left(argument));
            }
            "no-store" => self.no_store = true,
            "no-cache" => match fields(argument) {
                Some(fields) => self.no_cache_fields.extend(fields),
                None => self.no_cache = true,
            },
            "private" => match fields(argument) {
                Some(fields) => self.private_fields.extend(fields),
                None => self.private = true,
            },
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "must-understand" => self.must_understand = true,
            "immutable" => self.immutable = true,
            "stale-while-revalidate" => {
                self.stale_while_revalidate =
                    self.stale_while_revalidate.or_else(|| seconds(argument));
            }
            "stale-if-error" => {
                self.stale_if_error = self.stale_if_error.or_else(|| seconds(argument));
            }
            _ => {}
        }
    }
}

impl RequestDirectives {
    /// Reads them.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        if headers.contains_key(CACHE_CONTROL) {
            each(headers, |name, argument| read.note(name, argument));
        } else {
            read.no_cache = headers.get_all(PRAGMA).iter().any(says_no_cache);
        }
        read
    }

    fn note(&mut self, name: &str, argument: Option<&str>) {
        let least =
            |known: Option<Duration>, read| known.map_or(read, |known: Duration| known.min(read));
        match name {
            // A client that says two things gets the stricter one.
            "max-age" => self.max_age = Some(least(self.max_age, seconds_or_none_left(argument))),
            "max-stale" => {
                let read = argument.map_or(LONGEST, seconds_or_none_left_of);
                self.max_stale = Some(least(self.max_stale, read));
            }
            "min-fresh" => {
                let read = seconds(argument).unwrap_or(LONGEST);
                self.min_fresh = Some(self.min_fresh.map_or(read, |known| known.max(read)));
            }
            "no-cache" => self.no_cache = true,
            "no-store" => self.no_store = true,
            "only-if-cached" => self.only_if_cached = true,
            "stale-if-error" => {
                let read = seconds_or_none_left(argument);
                self.stale_if_error = Some(least(self.stale_if_error, read));
            }
            _ => {}
        }
    }

    /// Whether it wants what is stored only after the origin has been asked.
    pub fn wants_validation(&self) -> bool {
        self.no_cache || self.max_age == Some(Duration::ZERO)
    }
}

fn says_no_cache(value: &http::HeaderValue) -> bool {
    let members = value.as_bytes().split(|byte| *byte == b',');
    members
        .map(<[u8]>::trim_ascii)
        .any(|member| member.eq_ignore_ascii_case(b"no-cache"))
}

/// Each directive of all lines, its name in lower case. What is malformed grants nothing and still forbids: a directive that
/// permits is skipped then, another counts with an argument that says nothing.
fn each(headers: &HeaderMap, mut note: impl FnMut(&str, Option<&str>)) {
    for line in headers.get_all(CACHE_CONTROL) {
        for member in list::members(line.as_bytes()) {
            let text = String::from_utf8_lossy(member);
            let Some((name, said)) = directive(&text) else {
                continue;
            };
            match said {
                Said::Nothing => note(&name, None),
                Said::Argument(argument) => note(&name, Some(&argument)),
                Said::Malformed if PERMISSIVE.contains(&name.as_str()) => {}
                Said::Malformed => note(&name, Some("")),
            }
        }
    }
}

/// What stands behind the name of a directive.
enum Said {
    Nothing,
    Argument(String),
    Malformed,
}

/// `name`, `name=token` or `name="quoted"`. Around `=` there is no space (§5.2).
fn directive(member: &str) -> Option<(String, Said)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = member.find(|c| !is_token(c)).unwrap_or(member.len());
    let (name, rest) = member.split_at_checked(end)?;
    (!name.is_empty()).then_some(())?;
    let said = match rest.strip_prefix('=') {
        None if rest.is_empty() => Said::Nothing,
        None => Said::Malformed,
        Some(argument) => match argument.strip_prefix('"') {
            Some(quoted) => unquoted(quoted).map_or(Said::Malformed, Said::Argument),
            None => Said::Argument(argument.to_owned()),
        },
    };
    Some((name.to_ascii_lowercase(), said))
}

/// A quoted string after its first quote, without backslashes; `None` where it does not end, or something follows its end.
fn unquoted(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return characters.as_str().is_empty().then_some(text),
            '\\' => text.push(characters.next()?),
            other => text.push(other),
        }
    }
    None
}

/// Field names in an argument; `None` where there is none. What is no name makes it as if there were no argument, which says
/// more; so does the name of a field without which what is stored can not be used rightly.
fn fields(argument: Option<&str>) -> Option<SmallVec<[HeaderName; 2]>> {
    let names = argument?
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let names: Result<SmallVec<[HeaderName; 2]>, _> = names
        .take(MOST_FIELDS + 1)
        .map(|name| HeaderName::from_bytes(name.as_bytes()))
        .collect();
    names
        .ok()
        .filter(|names| !names.is_empty() && names.len() <= MOST_FIELDS)
        .filter(|names| !names.iter().any(|name| NEEDED.contains(name)))
}

/// Whole seconds; more than 2^31 are so many (§1.2.2).
fn seconds(argument: Option<&str>) -> Option<Duration> {
    let text = argument?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let read = || {
        text.parse()
            .map_or(LONGEST, Duration::from_secs)
            .min(LONGEST)
    };
    is_number.then(read)
}

fn seconds_or_none_left(argument: Option<&str>) -> Duration {
    seconds(argument).unwrap_or_default()
}

fn seconds_or_none_left_of(argument: &str) -> Duration {
    seconds_or_none_left(Some(argument))
}

/// RFC 9111 §1.2.2.
pub const LONGEST: Duration = Duration::from_secs(1 << 31);
/// More fields in one argument are taken for all.
const MOST_FIELDS: usize = 64;
/// They say for whom the response is and how its bytes are read.
const NEEDED: [HeaderName; 3] = [CACHE_CONTROL, CONTENT_ENCODING, VARY];
/// Directives that let a cache do more than it may without them.
const PERMISSIVE: [&str; 4] = ["public", "must-understand", "immutable", "only-if-cached"];

#[cfg(test)]
#[path = "tests/directives.rs"]
mod tests;
