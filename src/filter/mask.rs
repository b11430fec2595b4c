//! Makes secrets unreadable in content as it passes. Each byte of one becomes an asterisk: no length changes.
//! Not in content that is encoded (RFC 9110 §8.4), of which nothing is known here.
//! Start at [`Mask::pass`].

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

/// What is looked for: secrets, as they are and as URLs and JSON spell them.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets(Arc<[Finder<'static>]>);

impl Secrets {
    /// Of these secrets those that are long enough to be told from other content.
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a [u8]>) -> Self {
        let long = secrets.filter(|secret| secret.len() >= SHORTEST);
        let mut spelled: Vec<Vec<u8>> = long.flat_map(spellings).collect();
        spelled.sort_unstable();
        spelled.dedup();
        let finders = spelled.iter().map(|text| Finder::new(text).into_owned());
        Self(finders.collect())
    }

    /// For one body; `None` where there is nothing to look for.
    pub(super) fn mask(&self) -> Option<Mask> {
        (!self.0.is_empty()).then(|| Mask {
            secrets: self.clone(),
            tail: Vec::new(),
            passed: 0,
        })
    }

    /// Where they are, in no order.
    fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        let of = |secret: &Finder<'static>| {
            let length = secret.needle().len();
            let found = secret.find_iter(text).map(|at| at..at + length);
            found.collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// How many bytes at the end may be the beginning of one.
    fn begun(&self, text: &[u8]) -> usize {
        let longest = |secret: &Finder<'static>| {
            let most = text.len().min(secret.needle().len() - 1);
            let begins = |length: &usize| {
                let beginning = secret.needle().get(..*length);
                beginning.is_some_and(|beginning| text.ends_with(beginning))
            };
            (1..=most).rev().find(begins).unwrap_or(0)
        };
        self.0.iter().map(longest).max().unwrap_or(0)
    }
}

/// One body on its way.
#[derive(Debug)]
pub struct Mask {
    secrets: Secrets,
    /// The last bytes that came, as far as they may be the beginning of a secret.
    tail: Vec<u8>,
    /// How many of them have been passed on.
    passed: usize,
}

impl Mask {
    /// What can be passed on now that this has come. The beginning of a secret is held back until it is known for one, but not
    /// its first bytes: content often ends like that by chance, and whoever waits for it may say nothing before it comes.
    pub fn pass(&mut self, data: Bytes) -> Bytes {
        let fresh = self.tail.is_empty();
        let text = if fresh {
            data
        } else {
            [&*self.tail, &data].concat().into()
        };
        let places = self.secrets.places(&text);
        let hidden = places.iter().map(|place| place.end).max().unwrap_or(0);
        let rest = text.get(hidden..).unwrap_or_default();
        let begun = text.len() - self.secrets.begun(rest);
        let until = if text.len() - begun > LET_THROUGH {
            begun.max(self.passed)
        } else {
            text.len()
        };
        self.tail = text.get(begun..).unwrap_or_default().to_vec();
        let from = std::mem::replace(&mut self.passed, until - begun);
        let text = if places.is_empty() {
            text
        } else {
            masked(&text, &places)
        };
        text.slice(from..until)
    }

    /// What was held back, at the end of the content.
    pub fn end(&mut self) -> Bytes {
        let held = self.tail.get(self.passed..).unwrap_or_default();
        let held = Bytes::copy_from_slice(held);
        self.tail.clear();
        self.passed = 0;
        held
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.tail.len() - self.passed
    }
}

fn masked(text: &[u8], places: &[Range<usize>]) -> Bytes {
    let mut masked = BytesMut::from(text);
    for place in places {
        if let Some(secret) = masked.get_mut(place.clone()) {
            secret.fill(b'*');
        }
    }
    masked.freeze()
}

/// As it is; as in a URL (RFC 3986 §2.1); as in JSON where slashes are escaped (RFC 8259 §7).
fn spellings(secret: &[u8]) -> [Vec<u8>; 3] {
    let spelled = |spell: fn(&u8) -> Vec<u8>| secret.iter().flat_map(spell).collect();
    [
        secret.to_vec(),
        spelled(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => vec![*byte],
            _ => format!("%{byte:02X}").into_bytes(),
        }),
        spelled(|byte| match byte {
            b'/' | b'"' | b'\\' => vec![b'\\', *byte],
            _ => vec![*byte],
        }),
    ]
}

/// A shorter secret would be found in content that has nothing to do with it.
const SHORTEST: usize = 8;

/// As many bytes of a secret say nothing of the rest.
const LET_THROUGH: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(secrets: &[&str]) -> Option<Mask> {
        Secrets::new(secrets.iter().map(|secret| secret.as_bytes())).mask()
    }

    #[test]
    fn a_secret_is_masked_however_the_content_is_cut_and_no_length_changes() {
        let secrets = ["tok-7f3a/91==", "tok-7f3a-other", "abababab"];
        for (content, expected) in [
            ("nothing", "nothing"),
            ("a tok-7f3a/91== b", "a ************* b"),
            ("tok-7f3a/91==tok-7f3a-other", "***************************"),
            ("tok-tok-7f3a/91==", "tok-*************"),
            ("?t=tok-7f3a%2F91%3D%3D&u", "?t=*******************&u"),
            ("{\"t\":\"tok-7f3a\\/91==\"}", "{\"t\":\"**************\"}"),
            ("tok-7f3a/91=", "tok-7f3a/91="),
            ("xababababx", "x********x"),
        ] {
            for size in 1..=content.len() {
                let mut mask = mask(&secrets).expect("there are secrets");
                let mut all = Vec::new();
                for piece in content.as_bytes().chunks(size) {
                    all.extend(mask.pass(Bytes::copy_from_slice(piece)));
                }
                all.extend(mask.end());
                assert_eq!(mask.held(), 0);
                // What was let through before a secret was known for one.
                let (all, start) = (String::from_utf8_lossy(&all).into_owned(), LET_THROUGH);
                assert_eq!(all.len(), content.len(), "{content} by {size}");
                for secret in secrets {
                    assert!(!all.contains(&secret[start..]), "{all} by {size}");
                }
                if size == content.len() {
                    assert_eq!(all, expected);
                }
            }
        }
    }

    #[test]
    fn content_that_ends_like_a_secret_by_chance_is_not_held_up() {
        let mut mask = mask(&["tok-7f3a/91=="]).expect("a secret");
        for (piece, passes) in [
            ("to", "to"),
            ("at", "at"),
            ("tok", "tok"),
            ("-", ""),
            ("x", "-x"),
        ] {
            assert_eq!(mask.pass(piece.into()), passes, "{piece}");
        }
        assert_eq!(mask.pass("and tok-7f3a".into()), "and ");
        assert_eq!(mask.held(), 8);
        assert_eq!(mask.end(), "tok-7f3a");
    }

    #[test]
    fn a_short_secret_is_not_looked_for() {
        assert!(mask(&["secret", ""]).is_none());
    }
}
