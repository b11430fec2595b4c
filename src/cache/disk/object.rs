//! The writing of objects: whole ones, those that arrive block by block, and new heads of old ones.
//! Not the order of changes, nor the room for them (write). Start at [`save`], [`grow`] and [`update`].

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::head::Head;
use super::layout::{Layout, PAYLOAD, SUM, held, pages};
use super::name::Name;
use super::place;
use super::queue::lock;
use super::read::{self, Miss, Object, SMALL};
use super::shared::{Held, Shared};
use super::write::{Trouble, discard, insert, make_room};
use super::writer::Stream;

/// Writes a whole object.
pub(super) fn save(shared: &Arc<Shared>, head: &Head, length: u64, pieces: Vec<Bytes>) {
    let name = head.name();
    match try_save(shared, name, head, length, pieces) {
        Ok(()) => {
            shared.counters.writes.fetch_add(1, Ordering::Relaxed);
        }
        Err(trouble) => {
            shared
                .counters
                .dropped_writes
                .fetch_add(1, Ordering::Relaxed);
            let _ = trouble.told(shared);
            // What it was to replace is out of date.
            if !discard(shared, &name) {
                shared.remove(name.uri, None);
            }
        }
    }
}

fn try_save(
    shared: &Arc<Shared>,
    name: Name,
    head: &Head,
    length: u64,
    pieces: Vec<Bytes>,
) -> Result<(), Trouble> {
    if shared.is_degraded() || shared.is_warming() {
        return Err(Trouble::Refused("the disk cache cannot be used"));
    }
    if lock(&shared.bans).holds(head.key.uri(), &head.headers, head.freshness.received) {
        return Err(Trouble::Refused("it was purged"));
    }
    let encoded = head.encode(length).ok_or(Trouble::TOO_LARGE)?;
    let layout = Layout::new(name, shared.nonce(), encoded.len(), length > SMALL)
        .ok_or(Trouble::TOO_LARGE)?;
    let taken = pages(layout.file(length).ok_or(Trouble::TOO_LARGE)?);
    make_room(shared, taken)?;
    let written = write_object(shared, &layout, &encoded, length, pieces);
    let mut index = lock(&shared.index);
    index.release(taken);
    drop(index);
    written?;
    insert(shared, name, taken);
    Ok(())
}

fn write_object(
    shared: &Arc<Shared>,
    layout: &Layout,
    head: &[u8],
    length: u64,
    pieces: Vec<Bytes>,
) -> Result<(), Trouble> {
    let path = shared.place.writing(shared.number())?;
    let file = place::create(&path)?;
    let written = write_whole(&file, layout, head, length, pieces)
        .and_then(|()| publish(shared, &path, &layout.name));
    if written.is_err() {
        place::remove(&path)?;
    }
    written
}

fn write_whole(
    mut file: &File,
    layout: &Layout,
    head: &[u8],
    length: u64,
    pieces: Vec<Bytes>,
) -> Result<(), Trouble> {
    let mut out = layout.encode();
    out.extend(layout.encode_slot(0, 1, head).ok_or(Trouble::TOO_LARGE)?);
    out.resize(
        usize::try_from(layout.content()).map_err(|_| Trouble::TOO_LARGE)?,
        0,
    );
    let mut pieces = pieces.into_iter();
    let mut piece = Bytes::new();
    for index in 0..length.div_ceil(PAYLOAD as u64) {
        let start = out.len() + SUM;
        out.extend_from_slice(&[0; SUM]);
        let mut wanted = held(length, index);
        while wanted > 0 {
            if piece.is_empty() {
                piece = pieces
                    .next()
                    .ok_or(Trouble::Refused("its content is shorter than it says"))?;
            }
            let part = piece.split_to(wanted.min(piece.len()));
            out.extend_from_slice(&part);
            wanted -= part.len();
        }
        let sum = layout.sum(index, out.get(start..).unwrap_or_default());
        if let Some(place) = out.get_mut(start - SUM..start) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        if out.len() >= 4 * PAYLOAD {
            file.write_all(&out)?;
            out.clear();
        }
    }
    Ok(file.write_all(&out)?)
}

/// Gives a complete file its name, in place of one that has it. The new name is not synced: what a crash leaves is the old file,
/// the new one, or one whose sums are wrong.
fn publish(shared: &Arc<Shared>, path: &Path, name: &Name) -> Result<(), Trouble> {
    // Before it has it: who looks in between takes out too much rather than too little.
    shared.published.note(*name);
    let rename = || fs::rename(path, shared.place.new_object(name)?);
    match rename() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Someone emptied the directory.
            shared.place.forget_folders();
            Ok(rename()?)
        }
        other => Ok(other?),
    }
}

/// Writes a new head beside the old one. `false`: it does not fit, or what is there is not what it is the head of.
pub(super) fn update(shared: &Arc<Shared>, head: &Head) -> bool {
    let Object {
        file,
        layout,
        head: old,
        length,
        slot: (which, number),
        ..
    } = match read::open(&shared.place, head.name(), true, 0) {
        Ok(object) => object,
        Err(Miss::Absent) => return true,
        Err(Miss::Torn) => {
            shared.counters.torn.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        Err(Miss::Failed(error)) => {
            shared.degrade(&error);
            return false;
        }
    };
    let other = 1 - which.min(1);
    let same = same_content(&old, head, length);
    let slot = head
        .encode(length)
        .and_then(|encoded| layout.encode_slot(other, number.checked_add(1)?, &encoded));
    let Some(slot) = slot.filter(|_| same) else {
        return false;
    };
    let written = file.write_all_at(&slot, layout.slot(other));
    if let Err(error) = &written {
        shared.degrade(error);
    }
    written.is_ok()
}

/// Whether a head can be that of the content which another is of: the validators are the same (RFC 9111 §4.3.4), and the length.
fn same_content(old: &Head, new: &Head, length: u64) -> bool {
    let validators =
        |head: &Head| ["etag", "last-modified"].map(|field| head.headers.get(field).cloned());
    let said = new
        .headers
        .get("content-length")
        .map(|value| value.to_str().ok()?.parse::<u64>().ok());
    let [etag, modified] = validators(old);
    (etag.is_some() || modified.is_some())
        && [etag, modified] == validators(new)
        && said.is_none_or(|said| said == Some(length))
}

/// Writes a block of an object that arrives.
pub(super) fn grow(
    shared: &Arc<Shared>,
    of: &Arc<Stream>,
    index: u64,
    block: &[u8],
) -> Result<(), Trouble> {
    let start = of.layout.block(index).ok_or(Trouble::TOO_LARGE)?;
    let sum = if block.is_empty() { 0 } else { SUM };
    let end = start + (sum + block.len()) as u64;
    if end > shared.bound() / 2 {
        return Err(Trouble::TOO_LARGE);
    }
    let more = pages(end).saturating_sub(of.reserved.load(Ordering::Relaxed));
    make_room(shared, more)?;
    of.reserved.fetch_add(more, Ordering::Relaxed);
    let file = stream_file(shared, of)?;
    if block.is_empty() {
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(SUM + block.len());
    bytes.extend_from_slice(&of.layout.sum(index, block).to_le_bytes());
    bytes.extend_from_slice(block);
    Ok(file.file.write_all_at(&bytes, start)?)
}

fn stream_file(shared: &Arc<Shared>, of: &Arc<Stream>) -> Result<Arc<Held>, Trouble> {
    if let Some(file) = of.file.get() {
        return Ok(file.clone());
    }
    let file = place::create(&shared.place.writing(of.number)?)?;
    file.write_all_at(&of.layout.encode(), 0)?;
    // Empty content still has both of its slots.
    file.set_len(of.layout.content())?;
    Ok(of.file.get_or_init(|| Held::new(file, shared)).clone())
}

/// Writes the last of them, then the head, and gives the file its name.
pub(super) fn complete(
    shared: &Arc<Shared>,
    of: &Arc<Stream>,
    head: &Head,
    last: &[u8],
    length: u64,
    bans: u64,
) -> Result<(), Trouble> {
    let purged = {
        let held = lock(&shared.bans);
        held.forgotten_since(bans)
            || held.holds(head.key.uri(), &head.headers, head.freshness.received)
    };
    if purged {
        return Err(Trouble::Refused("it was purged"));
    }
    grow(shared, of, length / PAYLOAD as u64, last)?;
    let slot = head
        .encode(length)
        .and_then(|encoded| of.layout.encode_slot(0, 1, &encoded))
        .ok_or(Trouble::TOO_LARGE)?;
    let file = stream_file(shared, of)?;
    file.file.write_all_at(&slot, of.layout.slot(0))?;
    publish(shared, &shared.place.writing(of.number)?, &of.layout.name)?;
    let taken = of.reserved.swap(0, Ordering::Relaxed);
    lock(&shared.index).release(taken);
    insert(shared, of.layout.name, taken);
    shared.counters.writes.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Removes what was written of it.
pub(super) fn abort(shared: &Arc<Shared>, of: &Arc<Stream>) {
    let removed = shared
        .place
        .writing(of.number)
        .and_then(|path| place::remove(&path));
    if let Err(error) = removed {
        // Its pages stay promised: they are still taken. The next start removes it.
        shared.degrade(&error);
        return;
    }
    lock(&shared.index).release(of.reserved.swap(0, Ordering::Relaxed));
}
