//! Responses as the cache keeps them, and a memory tier full of them. For `benches/cache.rs` and `benches/instructions.rs`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use egret::cache::memory::{Memory, compact};
use egret::cache::{Contents, Freshness, Key, Stored, Vary};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;

/// A memory tier with 20,000 responses of 1 KiB, and a request for each.
pub(crate) struct Hits {
    pub(crate) memory: Memory,
    keys: Vec<Key>,
    /// The fields of a request.
    request: HeaderMap,
}

impl Default for Hits {
    fn default() -> Self {
        let memory = Memory::new(256 << 20);
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let keys = (0..20_000).map(|n| {
            let uri = format!("https://www.example.com/assets/{n:x}/some-script.js");
            memory.insert(stored(&uri, 1024, &mut random));
            Key::new(uri, "")
        });
        Self {
            keys: keys.collect(),
            memory,
            request: HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]),
        }
    }
}

impl Hits {
    /// How many responses there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a request is answered from the cache.
    pub(crate) fn hit(&self, nth: usize) -> bool {
        let key = black_box(self.keys.get(nth).expect("there is such a key"));
        let found = self.memory.candidates(key, &self.request);
        black_box(found.selected()).is_some()
    }
}

/// A response as it is stored, with 5 to 30 fields of all kinds.
pub(crate) fn stored(uri: &str, size: usize, random: &mut Random) -> Arc<Stored> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let known = ["etag", "cache-control", "last-modified", "date", "server"];
    for n in 0..random.between(4, 29) {
        let name = match known.get(n) {
            Some(name) => HeaderName::from_static(name),
            None => HeaderName::from_bytes(format!("x-field-{}", n % 20).as_bytes())
                .expect("it is a token"),
        };
        let value = "v".repeat(random.between(1, 60));
        let value = HeaderValue::from_str(&value).expect("it is a value");
        headers.append(name, value);
    }
    let headers = compact(&headers);
    let content = Bytes::from(vec![b'c'; size]);
    Arc::new(Stored {
        key: Key::new(uri, ""),
        vary: Vary::of(&headers, &HeaderMap::new()).expect("there is none"),
        status: StatusCode::OK,
        headers,
        freshness: Freshness::plain(
            Timestamp::UNIX_EPOCH,
            Duration::ZERO,
            Duration::from_secs(60),
        ),
        guarded: false,
        held: None,
        contents: Contents::whole(content),
    })
}

/// Xorshift: the same responses in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) as usize) % limit
    }

    pub(crate) fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }
}
