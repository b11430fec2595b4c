//! The head of an object as bytes: its key, what it varies by, status, fields, freshness, and the length of its content.
//! Not where they stand in the file (layout). Start at [`Head`].

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::bytes::{Input, Output};
use super::name::Name;
use crate::cache::freshness::WORDS;
use crate::cache::{Contents, Freshness, Key, Stored, Vary};

/// A stored response without its content.
#[derive(Debug, Clone)]
pub struct Head {
    /// The primary key.
    pub key: Key,
    /// What it was selected by.
    pub vary: Vary,
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// How long it may be used.
    pub freshness: Freshness,
    /// Whether it came from an address that policy guards.
    pub guarded: bool,
}

impl Head {
    /// The stored response with this head and these contents.
    pub fn stored(self, contents: Contents) -> Stored {
        Stored {
            key: self.key,
            vary: self.vary,
            status: self.status,
            headers: self.headers,
            freshness: self.freshness,
            guarded: self.guarded,
            held: None,
            contents,
        }
    }

    pub(super) fn name(&self) -> Name {
        Name::new(&self.key, &self.vary)
    }

    /// The bytes of a head for content of a length. `None` if something is too large to be said.
    pub(super) fn encode(&self, length: u64) -> Option<Vec<u8>> {
        let mut out = Output(Vec::with_capacity(1024));
        out.u64(length);
        out.bytes(self.key.uri().as_bytes())?;
        out.bytes(self.key.extras().as_bytes())?;
        out.u16(self.status.as_u16());
        encode_freshness(&self.freshness, &mut out);
        out.u8(u8::from(self.guarded));
        out.put(&self.vary.values);
        out.u16(u16::try_from(self.vary.names.len()).ok()?);
        for name in self.vary.names.iter() {
            out.bytes(name.as_str().as_bytes())?;
        }
        out.u16(u16::try_from(self.headers.len()).ok()?);
        for (name, value) in &self.headers {
            out.bytes(name.as_str().as_bytes())?;
            out.bytes(value.as_bytes())?;
        }
        Some(out.0)
    }

    /// Reads a head and the length of its content. `None`: not a head.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, u64)> {
        let mut input = Input(bytes);
        let length = input.u64()?;
        let key = Key::new(input.text()?, input.text()?);
        let status = StatusCode::from_u16(input.u16()?).ok()?;
        let freshness = decode_freshness(&mut input)?;
        let guarded = input.u8()? != 0;
        let values = input.digest()?;
        let mut names = Vec::new();
        for _ in 0..input.u16()? {
            names.push(HeaderName::from_bytes(input.bytes()?).ok()?);
        }
        let mut headers = HeaderMap::new();
        for _ in 0..input.u16()? {
            let name = HeaderName::from_bytes(input.bytes()?).ok()?;
            let value = HeaderValue::from_bytes(input.bytes()?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        input.end()?;
        let vary = Vary {
            names: names.into(),
            values,
        };
        let head = Self {
            key,
            vary,
            status,
            headers,
            freshness,
            guarded,
        };
        Some((head, length))
    }
}

impl From<&Stored> for Head {
    fn from(stored: &Stored) -> Self {
        Self {
            key: stored.key.clone(),
            vary: stored.vary.clone(),
            status: stored.status,
            headers: stored.headers.clone(),
            freshness: stored.freshness.clone(),
            guarded: stored.guarded,
        }
    }
}

fn encode_freshness(freshness: &Freshness, out: &mut Output) {
    for word in freshness.to_words() {
        out.u64(word);
    }
}

fn decode_freshness(input: &mut Input<'_>) -> Option<Freshness> {
    let mut words = [0; WORDS];
    for word in &mut words {
        *word = input.u64()?;
    }
    Freshness::from_words(words)
}
