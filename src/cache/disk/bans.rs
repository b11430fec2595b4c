//! What was purged by prefix or tag, or altogether, and may still lie on the disk: it is never given out again.
//! Not the removal of one URI, which the index does at once. Start at [`Bans`].
//!
//! A ban holds for what was received at or before its time, is written to disk before the purge is confirmed, and is forgotten when
//! all objects have been looked through and a while has passed, in which nothing that is being written then is still under way.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use twox_hash::XxHash3_64;

use super::bytes::{Input, Output};

/// What is purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ban {
    /// One URI, exactly.
    Uri(Box<str>),
    /// All URIs that begin so.
    Prefix(Box<str>),
    /// All responses that bear the tag, in `Surrogate-Key` (between spaces) or `Cache-Tag` (between commas). Case matters.
    Tag(Box<str>),
    /// Everything.
    All,
}

/// More are not remembered at a time: each is compared at each load.
const MOST: usize = 1024;
/// For this long after all has been swept.
const WHILE: Duration = Duration::from_secs(600);
const MAGIC: &[u8; 8] = b"EGRETBAN";
const VERSION: u32 = 1;

/// The bans that hold.
#[derive(Debug, Default)]
pub(super) struct Bans {
    list: Vec<Held>,
    /// Counts the bans.
    last: u64,
    /// The highest number of those that were forgotten.
    forgotten: u64,
    /// Whether the file says something else.
    pub(super) dirty: bool,
}

#[derive(Debug)]
struct Held {
    ban: Ban,
    at: Timestamp,
    number: u64,
    /// When all objects had been looked through.
    swept: Option<Timestamp>,
}

impl Bans {
    /// Adds one. `false` if there are too many; nothing is changed then.
    #[must_use]
    pub(super) fn add(&mut self, ban: Ban, at: Timestamp) -> bool {
        if ban == Ban::All {
            // It stands for all before it.
            self.list.retain(|held| held.at > at);
        }
        if self.list.len() >= MOST {
            return false;
        }
        self.last += 1;
        self.list.push(Held {
            ban,
            at,
            number: self.last,
            swept: None,
        });
        self.dirty = true;
        true
    }

    /// Whether a response may not be given out.
    pub(super) fn holds(&self, uri: &str, headers: &HeaderMap, received: Timestamp) -> bool {
        self.list
            .iter()
            .any(|held| received <= held.at && held.ban.matches(uri, headers))
    }

    /// The number of the last ban.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Whether a ban has been forgotten that came after this one, so that nobody can say any more whether it would have held.
    pub(super) fn forgotten_since(&self, number: u64) -> bool {
        self.forgotten > number
    }

    /// Whether there is something to sweep for.
    pub(super) fn unswept(&self) -> bool {
        self.list.iter().any(|held| held.swept.is_none())
    }

    /// All objects were looked through since the ban of this number.
    pub(super) fn swept(&mut self, number: u64, now: Timestamp) {
        for held in self.list.iter_mut().filter(|held| held.number <= number) {
            held.swept.get_or_insert(now);
        }
    }

    /// Forgets what is swept and old.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let old = |held: &Held| {
            let end = held.swept.and_then(|swept| swept.checked_add(WHILE).ok());
            end.is_some_and(|end| end < now)
        };
        let Some(last) = self
            .list
            .iter()
            .filter(|held| old(held))
            .map(|held| held.number)
            .max()
        else {
            return;
        };
        self.forgotten = self.forgotten.max(last);
        self.list.retain(|held| !old(held));
        self.dirty = true;
    }

    /// The file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Output::default();
        out.put(MAGIC);
        out.u32(VERSION);
        for held in &self.list {
            let (kind, text) = held.ban.parts();
            out.u8(kind);
            out.u64(held.at.as_second().cast_unsigned());
            out.u32(held.at.subsec_nanosecond().cast_unsigned());
            // A text that is too long for its length was not read from anywhere: settings and commands are shorter.
            let _ = out.bytes(text.as_bytes());
        }
        let sum = XxHash3_64::oneshot(&out.0);
        out.u64(sum);
        out.0
    }

    /// Reads the file. `None`: it is not whole, and nobody knows what was banned.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (summed, sum) = bytes.split_last_chunk::<8>()?;
        if u64::from_le_bytes(*sum) != XxHash3_64::oneshot(summed) {
            return None;
        }
        let mut input = Input(summed);
        if input.take(MAGIC.len())? != MAGIC || input.u32()? != VERSION {
            return None;
        }
        let mut bans = Self::default();
        while input.end().is_none() {
            let kind = input.u8()?;
            let second = input.u64()?.cast_signed();
            let at = Timestamp::new(second, input.u32()?.cast_signed()).ok()?;
            let ban = Ban::of(kind, input.text()?)?;
            if !bans.add(ban, at) {
                return None;
            }
        }
        bans.dirty = false;
        Some(bans)
    }
}

impl Ban {
    fn matches(&self, uri: &str, headers: &HeaderMap) -> bool {
        match self {
            Self::Uri(exact) => uri == &**exact,
            Self::Prefix(prefix) => uri.starts_with(&**prefix),
            Self::Tag(tag) => {
                has_tag(headers, "surrogate-key", b' ', tag)
                    || has_tag(headers, "cache-tag", b',', tag)
            }
            Self::All => true,
        }
    }

    fn parts(&self) -> (u8, &str) {
        match self {
            Self::Uri(text) => (0, text),
            Self::Prefix(text) => (1, text),
            Self::Tag(text) => (2, text),
            Self::All => (3, ""),
        }
    }

    fn of(kind: u8, text: &str) -> Option<Self> {
        match kind {
            0 => Some(Self::Uri(text.into())),
            1 => Some(Self::Prefix(text.into())),
            2 => Some(Self::Tag(text.into())),
            3 => Some(Self::All),
            _ => None,
        }
    }
}

fn has_tag(headers: &HeaderMap, field: &str, between: u8, tag: &str) -> bool {
    headers.get_all(field).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == between)
            .any(|part| part.trim_ascii() == tag.as_bytes())
    })
}
