//! The threads that read: heads of objects, and blocks, each verified before it is given out.
//! Not the waiting for them (content). Start at [`run`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::bytes::Input;
use super::head::Head;
use super::layout::{BLOCK, HEADER, Layout, PAYLOAD, SUM, held};
use super::name::Name;
use super::place::{self, Place};
use super::queue::lock;
use super::shared::{Held, Shared};
use crate::cache::Digest;

/// Content that is no larger is read with its head.
pub(super) const SMALL: u64 = 64 * 1024;
const FIRST: u64 = 8 * 1024;

/// Something to be read.
#[derive(Debug)]
pub(super) enum Read {
    /// All that is stored of a URI.
    Load {
        uri: Box<str>,
        digest: Digest,
        reply: oneshot::Sender<Vec<Loaded>>,
    },
    /// A block.
    Block {
        of: Source,
        index: u64,
        reply: oneshot::Sender<io::Result<(Bytes, Option<Arc<Held>>)>>,
    },
}

/// Where a block is read from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) layout: Layout,
    /// Of the whole content, as far as it is in the file.
    pub(super) length: u64,
    /// If it is open.
    pub(super) file: Option<Arc<Held>>,
}

/// What was found of a URI.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) head: Head,
    pub(super) length: u64,
    pub(super) layout: Layout,
    pub(super) small: Option<Bytes>,
    pub(super) file: Option<Arc<Held>>,
}

/// Reads until the queue is closed.
pub(super) fn run(shared: &Arc<Shared>) {
    while let Some(read) = shared.reads.pop() {
        // Who asked may have gone: the answer is not sent then.
        match read {
            Read::Load { uri, digest, reply } if !reply.is_closed() => {
                let _ = reply.send(load(shared, &uri, &digest));
            }
            Read::Block { of, index, reply } if !reply.is_closed() => {
                let _ = reply.send(block(shared, of, index));
            }
            Read::Load { .. } | Read::Block { .. } => {}
        }
    }
}

fn load(shared: &Arc<Shared>, uri: &str, digest: &Digest) -> Vec<Loaded> {
    let mut names = lock(&shared.index).variants(digest);
    if shared.is_warming() {
        // What the scan has not seen yet is found by its name.
        names = shared.place.list(digest).unwrap_or_default();
        names.truncate(super::index::MOST_VARIANTS);
    }
    let mut loaded: Vec<Loaded> = names
        .into_iter()
        .filter_map(|name| load_one(shared, uri, name))
        .collect();
    loaded.sort_by_key(|loaded| std::cmp::Reverse(loaded.head.freshness.received));
    loaded
}

fn load_one(shared: &Arc<Shared>, uri: &str, name: Name) -> Option<Loaded> {
    let seen = shared.published.now();
    let object = match open(&shared.place, name, false, SMALL) {
        Ok(object) => object,
        Err(Miss::Absent) => return None,
        Err(Miss::Torn) => {
            shared.torn(name, seen);
            return None;
        }
        Err(Miss::Failed(error)) => {
            // A bad spot of the disk stays bad; a lack of descriptors, say, does not.
            if error.raw_os_error() == Some(Errno::IO.raw_os_error()) {
                shared.discard(name, Some(seen));
            }
            shared.read_failed(&error);
            return None;
        }
    };
    let Object {
        file,
        layout,
        head,
        length,
        small,
        ..
    } = object;
    // Two URIs with one digest: whoever can make them does not get the other's content.
    if **head.key.uri() != *uri {
        return None;
    }
    let banned = lock(&shared.bans).holds(uri, &head.headers, head.freshness.received);
    if banned {
        shared.discard(name, Some(seen));
        return None;
    }
    shared.read_went_well();
    lock(&shared.index).touch(&name);
    let file = match &small {
        Some(_) => None,
        None => Held::unless_many(file, shared),
    };
    Some(Loaded {
        head,
        length,
        layout,
        small,
        file,
    })
}

fn block(shared: &Arc<Shared>, of: Source, index: u64) -> io::Result<(Bytes, Option<Arc<Held>>)> {
    let seen = shared.published.now();
    let reopened = match &of.file {
        Some(_) => None,
        None => Some(reopen(shared, &of)?),
    };
    let file = of
        .file
        .as_ref()
        .map(|held| &held.file)
        .or(reopened.as_ref());
    let Some(file) = file else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let read = read_block(file, &of.layout, index, held(of.length, index));
    match read {
        Ok(bytes) => {
            shared.read_went_well();
            let kept = reopened.and_then(|file| Held::unless_many(file, shared));
            Ok((bytes, of.file.or(kept)))
        }
        Err(error) => {
            if error.kind() == io::ErrorKind::InvalidData {
                shared.torn(of.layout.name, seen);
            } else {
                shared.read_failed(&error);
                shared.discard(of.layout.name, Some(seen));
            }
            Err(error)
        }
    }
}

/// Opens an object again that was put aside. It may have been removed, or replaced by another: not found then.
fn reopen(shared: &Arc<Shared>, of: &Source) -> io::Result<File> {
    let seen = shared.published.now();
    match open(&shared.place, of.layout.name, false, 0) {
        Ok(object) if object.layout == of.layout && object.length == of.length => {
            lock(&shared.index).touch(&of.layout.name);
            Ok(object.file)
        }
        Ok(_) | Err(Miss::Absent) => Err(io::ErrorKind::NotFound.into()),
        Err(Miss::Torn) => {
            shared.torn(of.layout.name, seen);
            Err(io::ErrorKind::InvalidData.into())
        }
        Err(Miss::Failed(error)) => {
            shared.read_failed(&error);
            Err(error)
        }
    }
}

/// An object whose head is whole, and whose file is as long as it says.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) file: File,
    pub(super) layout: Layout,
    pub(super) head: Head,
    pub(super) length: u64,
    /// The slot that the head stands in, and its number.
    pub(super) slot: (u8, u64),
    pub(super) small: Option<Bytes>,
}

/// Why an object is not there.
#[derive(Debug)]
pub(super) enum Miss {
    Absent,
    Torn,
    Failed(io::Error),
}

/// Opens an object and reads its head, and its content too if it is no longer than `small`.
pub(super) fn open(place: &Place, name: Name, write: bool, small: u64) -> Result<Object, Miss> {
    let path = place.object(&name).map_err(Miss::of)?;
    let file = place::open(&path, write).map_err(Miss::of)?;
    let file_length = file.metadata().map_err(Miss::of)?.len();
    let all_at_once = file_length <= small.saturating_mul(3) / 2;
    let first = if all_at_once {
        file_length
    } else {
        FIRST.min(file_length)
    };
    let mut bytes = read_at(&file, 0, first)?;
    let layout = Layout::decode(&bytes).ok_or(Miss::Torn)?;
    let content = layout.content();
    if layout.name != name || content > file_length {
        return Err(Miss::Torn);
    }
    if content > first {
        bytes = read_at(&file, 0, content)?;
    }
    let (which, number, encoded) = layout.head(&bytes).ok_or(Miss::Torn)?;
    let (head, length) = Head::decode(encoded).ok_or(Miss::Torn)?;
    if head.name() != name || layout.file(length) != Some(file_length) {
        return Err(Miss::Torn);
    }
    let small = if all_at_once && length <= small {
        Some(small_content(Bytes::from(bytes), &layout, length).ok_or(Miss::Torn)?)
    } else {
        None
    };
    Ok(Object {
        file,
        layout,
        head,
        length,
        slot: (which, number),
        small,
    })
}

impl Miss {
    fn of(error: io::Error) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound {
            Self::Absent
        } else if kind == io::ErrorKind::UnexpectedEof
            || kind == io::ErrorKind::InvalidData
            || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
        {
            // It became shorter as it was read, or it is a link or something else that is not a file.
            Self::Torn
        } else {
            Self::Failed(error)
        }
    }
}

/// The content of a file that was read whole.
fn small_content(file: Bytes, layout: &Layout, length: u64) -> Option<Bytes> {
    let mut blocks = Vec::new();
    for index in 0..length.div_ceil(PAYLOAD as u64) {
        let start = usize::try_from(layout.block(index)?).ok()?;
        let end = start.checked_add(SUM + held(length, index))?;
        file.get(start..end)?;
        blocks.push(verified(file.slice(start..end), layout, index)?);
    }
    match blocks.as_slice() {
        [] => Some(Bytes::new()),
        [one] => Some(one.clone()),
        several => Some(several.concat().into()),
    }
}

fn read_at(file: &File, offset: u64, length: u64) -> Result<Vec<u8>, Miss> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| Miss::Torn)?];
    file.read_exact_at(&mut bytes, offset).map_err(Miss::of)?;
    Ok(bytes)
}

fn read_block(file: &File, layout: &Layout, index: u64, length: usize) -> io::Result<Bytes> {
    let torn = || io::Error::from(io::ErrorKind::InvalidData);
    let offset = layout.block(index).ok_or_else(torn)?;
    let mut bytes = vec![0; (SUM + length).min(BLOCK)];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|error| match Miss::of(error) {
            Miss::Failed(error) => error,
            Miss::Absent | Miss::Torn => torn(),
        })?;
    verified(bytes.into(), layout, index).ok_or_else(torn)
}

/// A block without its sum, if that is right.
fn verified(block: Bytes, layout: &Layout, index: u64) -> Option<Bytes> {
    let mut input = Input(&block);
    let sum = input.u64()?;
    (sum == layout.sum(index, input.0)).then(|| block.slice(SUM..))
}

const _: () = assert!(HEADER as u64 <= FIRST);
