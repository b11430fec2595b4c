//! The name of one exchange or tunnel, which joins its record, its answer, its flow and its explanation.
//! Not a secret and no proof of anything: it can be guessed.
//! Start at [`RequestIds::next`].

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use jiff::Timestamp;

/// A hundred bits, written as twenty letters and digits that sort by time.
///
/// From the top: 45 bits of milliseconds since 1970 (until the year 3084), 10 bits of worker, 24 bits drawn at start,
/// 21 bits of counter. Two are equal only if one worker makes two million in a millisecond.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u128);

/// Makes the ids of one worker.
#[derive(Debug)]
pub struct RequestIds {
    origin: u128,
    counter: Cell<u32>,
}

/// A text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 20 letters and digits, such as 01k6x3v9q2r8t4m0c5hb")]
pub struct IdError;

impl RequestIds {
    /// The ids of a worker; only the last ten bits of its number count.
    pub fn new(worker: u16) -> Self {
        // A fresh RandomState has fresh keys: enough to tell two processes and two machines apart, without a secret.
        let drawn = RandomState::new().hash_one(worker) & 0xff_ffff;
        Self {
            origin: u128::from(worker & 0x3ff) << 45 | u128::from(drawn) << COUNTER_BITS,
            counter: Cell::new(0),
        }
    }

    /// The next id. `now` is the start of the exchange, already read for the record; the clock may step back.
    pub fn next(&self, now: Timestamp) -> RequestId {
        let count = self.counter.get();
        self.counter.set(count.wrapping_add(1));
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0) & MILLIS_MASK;
        let count = u128::from(count & COUNTER_MASK);
        RequestId(u128::from(millis) << 55 | self.origin | count)
    }
}

impl RequestId {
    /// The id as text, without an allocation.
    pub fn write(self, text: &mut [u8; Self::LEN]) -> &str {
        for (place, letter) in text.iter_mut().rev().enumerate() {
            let digit = (self.0 >> (5 * place)) & 31;
            *letter = ALPHABET.get(digit as usize).copied().unwrap_or(b'0');
        }
        std::str::from_utf8(text).expect("the alphabet is ASCII")
    }

    /// The length of the text.
    pub const LEN: usize = 20;
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.write(&mut [0; Self::LEN]))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RequestId {
    type Err = IdError;

    /// Reads what [`RequestId`] displays; capitals, and the letters that people take for digits, are read too.
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != Self::LEN {
            return Err(IdError);
        }
        let digit = |byte: u8| {
            let lower = match byte.to_ascii_lowercase() {
                b'o' => b'0',
                b'i' | b'l' => b'1',
                other => other,
            };
            ALPHABET.iter().position(|letter| *letter == lower)
        };
        text.bytes()
            .try_fold(0u128, |value, byte| Some(value << 5 | digit(byte)? as u128))
            .map(Self)
            .ok_or(IdError)
    }
}

impl serde::Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.write(&mut [0; Self::LEN]))
    }
}

const COUNTER_BITS: u32 = 21;
const COUNTER_MASK: u32 = (1 << COUNTER_BITS) - 1;
const MILLIS_MASK: u64 = (1 << 45) - 1;
/// Crockford's base 32: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_ids_of_four_workers_in_one_millisecond_differ() {
        let now = Timestamp::from_millisecond(1_790_000_000_123).expect("a date");
        let workers: Vec<RequestIds> = (0..4).map(RequestIds::new).collect();
        let mut seen = HashSet::new();
        for _ in 0..250_000 {
            for worker in &workers {
                assert!(seen.insert(worker.next(now)), "an id came twice");
            }
        }
    }

    #[test]
    fn an_id_is_read_back_from_its_text_and_sorts_by_time() {
        let ids = RequestIds::new(7);
        let early = ids.next(Timestamp::from_millisecond(1_790_000_000_000).expect("a date"));
        let late = ids.next(Timestamp::from_millisecond(1_790_000_000_001).expect("a date"));
        assert!(early.to_string() < late.to_string() && early < late);
        for id in [early, late] {
            let text = id.to_string();
            assert_eq!(text.len(), RequestId::LEN);
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_uppercase().parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "0",
            "01k6x3v9q2r8t4m0c5h",
            "01k6x3v9q2r8t4m0c5hbb",
            "01k6x3v9q2r8t4m0c5h-",
            "uuuuuuuuuuuuuuuuuuuu",
            "éééééééééé",
        ] {
            assert_eq!(text.parse::<RequestId>(), Err(IdError), "{text}");
        }
    }
}
