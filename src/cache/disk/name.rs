//! The name of an object's file: the digest of its URI and that of what tells the variants of the URI apart.
//! Not the folders (place). Start at [`Name`].

use crate::cache::{Digest, Key, Vary, key};

/// All variants of a URI share the first half, so that they are found together by their names alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) uri: Digest,
    pub(super) variant: Digest,
}

impl Name {
    /// The name of what is stored under a key for the values of the fields that it varies by.
    pub(super) fn new(key: &Key, vary: &Vary) -> Self {
        let mut parts: Vec<&[u8]> = vec![key.extras().as_bytes(), &vary.values];
        parts.extend(vary.names.iter().map(|name| name.as_str().as_bytes()));
        Self {
            uri: key.digest(),
            variant: key::digest(&parts),
        }
    }

    /// The name of a file: 32 hexadecimal digits, a hyphen, 32 hexadecimal digits.
    pub(super) fn text(&self) -> String {
        format!("{}-{}", hex(&self.uri), hex(&self.variant))
    }

    /// Reads a file's name; `None` if it is not one that `text` makes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (uri, variant) = text.split_once('-')?;
        Some(Self {
            uri: parse_hex(uri)?,
            variant: parse_hex(variant)?,
        })
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_hex(text: &str) -> Option<Digest> {
    let digits = text.as_bytes();
    let mut digest = Digest::default();
    if digits.len() != digest.len() * 2 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(digest)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
