//! What a stored response takes of memory, as near as can be told without asking the allocator.

use http::{HeaderMap, HeaderName};

use crate::cache::Stored;

/// Bytes of a stored response: its content as far as it has come, its fields, its key, and its places in our tables.
pub fn weight(stored: &Stored) -> u64 {
    let key = stored.key.uri().len() + stored.key.extras().len();
    let names = stored.vary.names.len() * size_of::<HeaderName>();
    FIXED + (key + names) as u64 + fields(&stored.headers) + stored.contents.memory()
}

/// A table of a power of two of places, a list of buckets, and the texts.
fn fields(headers: &HeaderMap) -> u64 {
    let places = headers.capacity().max(headers.keys_len()) as u64;
    let texts = headers.iter().map(|(name, value)| {
        let name = name.as_str().len() as u64 + NAME;
        name + value.len() as u64
    });
    places * BUCKET + texts.sum::<u64>()
}

/// The response itself, its slot, its ticket, its entry among the URIs, and what allocations cost.
const FIXED: u64 = 640;
/// A place, and a bucket for a name and a value.
const BUCKET: u64 = 104 + 6;
/// What a name that is not a known one costs beside its letters.
const NAME: u64 = 24;
