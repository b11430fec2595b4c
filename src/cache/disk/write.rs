//! The one thread that changes the disk: it writes, replaces, updates, evicts and removes, one after another, so that the index
//! and the files never disagree about who was first.
//! Not how an object is written (object), what is read (read), nor the end of it all (leave). Start at [`run`].

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::head::Head;
use super::layout::{PAYLOAD, pages};
use super::leave::{leave, wind_up};
use super::name::Name;
use super::object::{abort, complete, grow, save, update};
use super::place;
use super::published::Moment;
use super::queue::lock;
use super::read;
use super::shared::Shared;
use super::writer::{Finish, Stream};
use crate::cache::{Digest, Realm};

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
    /// All of a URI goes, or all of it in one realm.
    Remove(Digest, Option<Realm>),
    /// One object goes: whatever has this name, or only what has had it since before a moment.
    Discard(Name, Option<Moment>),
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
    /// Let another process have the directory.
    Leave,
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
    let (mut number, mut order) = (0, Vec::new());
    let is_over = || shared.changes.is_closed() || shared.is_leaving();
    while shared.is_warming() && !is_over() {
        let Some(found) = shared.place.scan(number) else {
            break;
        };
        number += 1;
        match found {
            Ok(found) => {
                for seen in found {
                    insert(shared, seen.name, pages(seen.length));
                    order.push((seen.written, seen.name));
                }
            }
            Err(error) => shared.degrade(&error),
        }
    }
    if is_over() {
        return;
    }
    // What was written last goes last: who used what is not known any more.
    order.sort_unstable_by_key(|(written, _)| *written);
    let names: Vec<Name> = order.into_iter().map(|(_, name)| name).collect();
    for part in names.chunks(256) {
        lock(&shared.index).settle(part);
    }
    shared.warming.store(false, Ordering::Release);
    trim(shared);
    shared.wake_house();
}

fn apply(shared: &Arc<Shared>, change: Change) {
    if shared.has_left() {
        return wind_up(shared, change);
    }
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
        Change::Remove(uri, realm) => remove(shared, &uri, realm),
        Change::Discard(name, seen) => {
            let is_another = seen.is_some_and(|seen| shared.published.since(seen, &name));
            if !is_another && !discard(shared, &name) {
                shared.remove(name.uri, None);
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
        Change::Finish(end) => finish(shared, *end),
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
        Change::Leave => leave(shared),
    }
}

fn remove(shared: &Arc<Shared>, uri: &Digest, realm: Option<Realm>) {
    let mut names = lock(&shared.index).variants(uri);
    if shared.is_warming() {
        // The scan was cut short.
        let Ok(listed) = shared.place.list(uri) else {
            return shared.removal_ended(uri, false);
        };
        names = listed;
    }
    let mut well = true;
    for name in names {
        if realm.is_none_or(|realm| may_be_of(shared, name, realm)) {
            well &= discard(shared, &name);
        }
    }
    shared.removal_ended(uri, well);
}

/// Whether an object is of a realm, as its head says; also where that can not be read.
fn may_be_of(shared: &Shared, name: Name, realm: Realm) -> bool {
    let object = read::open(&shared.place, name, false, 0);
    object.map_or(true, |object| object.head.key.realm() == realm)
}

fn finish(shared: &Arc<Shared>, end: Finish) {
    let written = complete(shared, &end.of, &end.head, &end.last, end.length, end.bans);
    if written.is_err() {
        abort(shared, &end.of);
    }
    let _ = end
        .reply
        .send(written.map_err(|trouble| trouble.told(shared)));
}

pub(super) fn insert(shared: &Arc<Shared>, name: Name, taken: u32) {
    let surplus = lock(&shared.index).insert(name, taken);
    if let Some(surplus) = surplus {
        discard(shared, &surplus);
    }
}

/// Removes what has to go for so many pages, and promises them.
pub(super) fn make_room(shared: &Arc<Shared>, wanted: u32) -> Result<(), Trouble> {
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
pub(super) fn discard(shared: &Arc<Shared>, name: &Name) -> bool {
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

pub(super) fn write_bans(shared: &Arc<Shared>) -> io::Result<()> {
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
    pub(super) const TOO_LARGE: Self = Self::Refused("it is too large");

    /// Tells of it, and makes an error of it.
    pub(super) fn told(self, shared: &Shared) -> io::Error {
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
