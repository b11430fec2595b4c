//! The one thread that changes the disk: it writes, replaces, updates, evicts and removes, one after another, so that the index
//! and the files never disagree about who was first.
//! Not what is read (read). Start at [`run`].

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::head::Head;
use super::layout::{Layout, PAYLOAD, SUM, held, pages};
use super::name::Name;
use super::place;
use super::queue::lock;
use super::read::{self, Miss, Object, SMALL};
use super::shared::{Held, Shared};
use super::writer::{Finish, Stream};
use crate::cache::Digest;

/// Something to be changed.
#[derive(Debug)]
pub(super) enum Change {
    /// A whole object.
    Save {
        head: Head,
        length: u64,
        pieces: Vec<Bytes>,
    },
    /// The head of one.
    Update(Head),
    /// All of a URI goes.
    Remove(Digest),
    /// One object goes.
    Discard(Name),
    /// A block of an object that is being written.
    Block {
        of: Arc<Stream>,
        index: u64,
        block: Bytes,
        reply: oneshot::Sender<io::Result<()>>,
    },
    /// Its last block, and its head.
    Finish(Box<Finish>),
    /// It is given up.
    Abort(Arc<Stream>),
    /// Make the bound hold.
    Trim,
    /// Write the bans down.
    Bans(Option<oneshot::Sender<io::Result<()>>>),
    /// See whether the disk can be used again.
    Probe,
    /// Tell when all before this is done.
    Flush(oneshot::Sender<()>),
}

/// Why an object is not written.
#[derive(Debug)]
pub(super) enum Trouble {
    /// What is there cannot make room for it, or it may not be stored any more.
    Refused(&'static str),
    /// The disk does not do it.
    Failed(io::Error),
}

/// Looks what is there, then makes changes until the queue is closed and empty.
pub(super) fn run(shared: &Arc<Shared>) {
    scan(shared);
    while let Some(change) = shared.changes.pop() {
        apply(shared, change);
    }
}

/// The warm start: names and sizes alone. Loads go on meanwhile, changes wait, so that the bound holds.
fn scan(shared: &Arc<Shared>) {
    if let Err(error) = shared.place.clear_writing() {
        shared.degrade(&error);
    }
    let mut number = 0;
    while shared.is_warming() && !shared.changes.is_closed() {
        let Some(found) = shared.place.scan(number) else {
            break;
        };
        number += 1;
        match found {
            Ok(found) => {
                for (name, length) in found {
                    insert(shared, name, pages(length));
                }
            }
            Err(error) => shared.degrade(&error),
        }
    }
    if shared.changes.is_closed() {
        return;
    }
    shared.warming.store(false, Ordering::Release);
    trim(shared);
    shared.wake_house();
}

fn apply(shared: &Arc<Shared>, change: Change) {
    match change {
        Change::Save {
            head,
            length,
            pieces,
        } => {
            save(shared, &head, length, pieces);
            shared.saves.fetch_sub(1, Ordering::Release);
        }
        Change::Update(head) => {
            if !update(shared, &head) {
                discard(shared, &head.name());
            }
        }
        Change::Remove(uri) => {
            let mut names = lock(&shared.index).variants(&uri);
            if shared.is_warming() {
                // The scan was cut short.
                names = shared.place.list(&uri).unwrap_or_default();
            }
            let well = names
                .iter()
                .fold(true, |well, name| discard(shared, name) && well);
            shared.removal_ended(&uri, well);
        }
        Change::Discard(name) => {
            if !discard(shared, &name) {
                shared.remove(name.uri);
            }
        }
        Change::Block {
            of,
            index,
            block,
            reply,
        } => {
            let written = grow(shared, &of, index, &block).map_err(|trouble| trouble.told(shared));
            let _ = reply.send(written);
        }
        Change::Finish(finish) => {
            let Finish {
                of,
                head,
                last,
                length,
                bans,
                reply,
            } = *finish;
            let written = complete(shared, &of, &head, &last, length, bans);
            if written.is_err() {
                abort(shared, &of);
            }
            let _ = reply.send(written.map_err(|trouble| trouble.told(shared)));
        }
        Change::Abort(of) => abort(shared, &of),
        Change::Trim => trim(shared),
        Change::Bans(reply) => {
            let written = write_bans(shared);
            if let Err(error) = &written {
                shared.degrade(error);
            }
            if let Some(reply) = reply {
                let _ = reply.send(written);
            }
        }
        Change::Probe => probe(shared),
        Change::Flush(reply) => {
            let _ = reply.send(());
        }
    }
}

fn save(shared: &Arc<Shared>, head: &Head, length: u64, pieces: Vec<Bytes>) {
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
                shared.remove(name.uri);
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
fn publish(shared: &Arc<Shared>, path: &std::path::Path, name: &Name) -> Result<(), Trouble> {
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

fn insert(shared: &Arc<Shared>, name: Name, taken: u32) {
    let surplus = lock(&shared.index).insert(name, taken);
    if let Some(surplus) = surplus {
        discard(shared, &surplus);
    }
}

/// Removes what has to go for so many pages, and promises them.
fn make_room(shared: &Arc<Shared>, wanted: u32) -> Result<(), Trouble> {
    loop {
        let victim = {
            let mut index = lock(&shared.index);
            if index.reserve(wanted, shared.bound()) {
                return Ok(());
            }
            index.victim(shared.bound())
        };
        evict(shared, &victim.ok_or(Trouble::TOO_LARGE)?)?;
    }
}

fn evict(shared: &Arc<Shared>, name: &Name) -> io::Result<()> {
    match unlink(shared, name) {
        Ok(()) => {
            lock(&shared.index).evicted(name);
            shared.counters.evictions.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => {
            lock(&shared.index).keep(name);
            Err(error)
        }
    }
}

fn trim(shared: &Arc<Shared>) {
    if let Err(trouble) = make_room(shared, 0)
        && let Trouble::Failed(error) = trouble
    {
        shared.degrade(&error);
    }
}

/// Removes an object; whether it is gone.
fn discard(shared: &Arc<Shared>, name: &Name) -> bool {
    match unlink(shared, name) {
        Ok(()) => {
            lock(&shared.index).remove(name);
            true
        }
        Err(error) => {
            shared.degrade(&error);
            false
        }
    }
}

fn unlink(shared: &Arc<Shared>, name: &Name) -> io::Result<()> {
    let path = match shared.place.object(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    match place::remove(&path) {
        // A folder with the name of an object is not ours, and is never read.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(()),
        other => other,
    }
}

/// Writes a new head beside the old one. `false`: it does not fit, or what is there is not what it is the head of.
fn update(shared: &Arc<Shared>, head: &Head) -> bool {
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

fn grow(shared: &Arc<Shared>, of: &Arc<Stream>, index: u64, block: &[u8]) -> Result<(), Trouble> {
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

fn complete(
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

fn abort(shared: &Arc<Shared>, of: &Arc<Stream>) {
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

fn write_bans(shared: &Arc<Shared>) -> io::Result<()> {
    let bytes = {
        let mut bans = lock(&shared.bans);
        bans.dirty = false;
        bans.encode()
    };
    let path = shared.place.writing(shared.number());
    let written = path.and_then(|path| {
        let mut file = place::create(&path)?;
        // Synced, unlike objects: a purge that is forgotten would bring back what it removed.
        let renamed = file
            .write_all(&bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&path, shared.place.bans()));
        if renamed.is_err() {
            place::remove(&path)?;
        }
        renamed.and_then(|()| shared.place.sync())
    });
    if written.is_err() {
        lock(&shared.bans).dirty = true;
    }
    written
}

fn probe(shared: &Arc<Shared>) {
    let tried = shared.place.writing(shared.number()).and_then(|path| {
        let mut file = place::create(&path)?;
        let written = file.write_all(&[1; PAYLOAD]).and_then(|()| {
            let mut byte = [0];
            file.read_exact_at(&mut byte, PAYLOAD as u64 - 1)
        });
        place::remove(&path)?;
        written
    });
    shared.health.probing.store(false, Ordering::Relaxed);
    match tried {
        Ok(()) => {
            shared.recover();
            shared.wake_house();
        }
        Err(error) => tracing::debug!(%error, "the disk cache still cannot be used"),
    }
}

impl Trouble {
    const TOO_LARGE: Self = Self::Refused("it is too large");

    /// Tells of it, and makes an error of it.
    fn told(self, shared: &Shared) -> io::Error {
        match self {
            Self::Refused(why) => {
                tracing::debug!(why, "disk cache: an object is not stored");
                io::Error::new(io::ErrorKind::QuotaExceeded, why)
            }
            Self::Failed(error) => {
                shared.degrade(&error);
                error
            }
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}
