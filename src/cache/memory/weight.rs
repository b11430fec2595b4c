//! What a stored response takes of memory, and the form in which it takes the least.
//! Of the content, what it says itself that it takes.
//! Start at [`weight`] and [`compact`].

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::{Stored, Vary};
use super::queues::Mark;

/// Bytes that a stored response takes: its content as far as it has come, its key, its fields and their tables, with the
/// allocator's share. Its fields are taken to be [`compact`].
pub fn weight(stored: &Stored) -> u64 {
    let own = [
        shared(size_of::<Stored>()),
        shared(stored.key.uri().len()),
        extras(stored.key.extras()),
        vary(&stored.vary),
        fields(&stored.headers),
        shared(size_of::<Mark>()),
        // Its place in the list of variants, where there is more than one.
        2 * size_of::<usize>() as u64,
    ];
    own.iter()
        .sum::<u64>()
        .saturating_add(stored.contents.memory())
}

/// The same fields, in memory of their own and no more than they need. As they come from a connection, values are slices of
/// the buffer that was read into: one short value would keep all of it.
pub fn compact(fields: &HeaderMap) -> HeaderMap {
    let length = fields.values().map(HeaderValue::len).sum();
    let mut text = BytesMut::with_capacity(length);
    fields
        .values()
        .for_each(|value| text.extend_from_slice(value.as_bytes()));
    let mut text = text.freeze();
    let mut compact = HeaderMap::with_capacity(fields.keys_len());
    for (name, value) in fields {
        let mut own = own_value(text.split_to(value.len()), value);
        own.set_sensitive(value.is_sensitive());
        compact.append(name, own);
    }
    compact
}

fn own_value(text: Bytes, value: &HeaderValue) -> HeaderValue {
    // An empty slice still holds on to what it was cut from.
    let text = if text.is_empty() { Bytes::new() } else { text };
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| value.clone())
}

/// What the allocator takes for so many bytes: a word for itself, then sixteens. (glibc's, which others are close to.)
pub(super) const fn allocation(bytes: usize) -> u64 {
    if bytes == 0 {
        return 0;
    }
    let taken = (bytes + size_of::<usize>()).next_multiple_of(16);
    if taken < 32 { 32 } else { taken as u64 }
}

/// What is added to a key, where anything is.
fn extras(text: &str) -> u64 {
    if text.is_empty() {
        return 0;
    }
    shared(text.len())
}

/// An allocation behind an `Arc`.
const fn shared(bytes: usize) -> u64 {
    allocation(bytes + 2 * size_of::<usize>())
}

/// What a hash map takes of the standard library's kind: for each of a power of two of places, of which an eighth stays
/// empty, an element and a byte.
pub(super) fn table(capacity: usize, element: usize) -> u64 {
    let places = match capacity {
        0 => return 0,
        1..4 => 4,
        4..8 => 8,
        more => (more * 8 / 7).next_power_of_two(),
    };
    allocation(places * (element + 1) + 16)
}

fn vary(vary: &Vary) -> u64 {
    let names = shared(vary.names.len() * size_of::<HeaderName>());
    names + vary.names.iter().map(name).sum::<u64>()
}

/// The tables of a map of fields, its names and its values.
fn fields(fields: &HeaderMap) -> u64 {
    let usable = fields.capacity();
    let index = allocation((usable * 4 / 3).next_power_of_two() * INDEX);
    let entries = allocation(usable * ENTRY);
    let more = match fields.len() - fields.keys_len() {
        0 => 0,
        more => allocation(more.next_power_of_two().max(4) * MORE),
    };
    let names: u64 = fields.keys().map(name).sum();
    let values = fields.values().map(HeaderValue::len).sum();
    index * u64::from(usable > 0) + entries + more + names + slices(values)
}

/// A name that is not one of those that `http` knows has its text in an allocation. It does not tell which it knows; but one
/// that it knows is the same text wherever it is parsed.
fn name(name: &HeaderName) -> u64 {
    let text = name.as_str();
    let parsed = HeaderName::from_bytes(text.as_bytes());
    let known = parsed.is_ok_and(|parsed| std::ptr::eq(parsed.as_str(), text));
    if known { 0 } else { slices(text.len()) }
}

/// Bytes that are shared: the text, and the count of who has it.
const fn slices(bytes: usize) -> u64 {
    if bytes == 0 {
        return 0;
    }
    allocation(bytes) + allocation(3 * size_of::<usize>())
}

/// An index and a hash, in `http`'s table.
const INDEX: usize = 4;
/// A hash, a name, its first value, and where further ones are.
const ENTRY: usize = 8 + size_of::<HeaderName>() + size_of::<HeaderValue>() + 24;
/// A further value, and its neighbours.
const MORE: usize = size_of::<HeaderValue>() + 32;
