//! The content of an object on disk as the workers hold it: they ask for a part, a thread reads and verifies it.
//! Not the reading (read). Start at [`OnDisk::read`].

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Disk;
use super::layout::{Layout, PAYLOAD};
use super::queue::lock;
use super::read::{Loaded, Read, Source};
use super::shared::Held;
use super::writer::Stream;

/// The content of one object on disk. Clones share it, and with it one open file, which what is evicted or replaced meanwhile stays
/// readable through.
#[derive(Debug, Clone)]
pub struct OnDisk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Keeps the threads running.
    disk: Disk,
    layout: Layout,
    length: Length,
    file: Mutex<Option<Arc<Held>>>,
    small: Option<Bytes>,
}

#[derive(Debug)]
enum Length {
    Whole(u64),
    Growing(Arc<Stream>),
}

/// A disk that takes longer for a block does not answer.
const READ_LIMIT: Duration = Duration::from_secs(30);

impl OnDisk {
    pub(super) fn loaded(disk: &Disk, loaded: Loaded) -> (super::Head, Self) {
        let inner = Inner {
            disk: disk.clone(),
            layout: loaded.layout,
            length: Length::Whole(loaded.length),
            file: Mutex::new(loaded.file),
            small: loaded.small,
        };
        (loaded.head, Self(Arc::new(inner)))
    }

    pub(super) fn growing(disk: &Disk, stream: &Arc<Stream>) -> Self {
        Self(Arc::new(Inner {
            disk: disk.clone(),
            layout: stream.layout,
            length: Length::Growing(stream.clone()),
            file: Mutex::default(),
            small: None,
        }))
    }

    /// Its length in bytes; of an object that is being written, what is there so far.
    pub fn length(&self) -> u64 {
        match &self.0.length {
            Length::Whole(length) => *length,
            Length::Growing(stream) => stream.given(),
        }
    }

    /// All of it, if it is at most 64 KiB long and was read with its head: the caller may keep it in memory.
    pub fn small(&self) -> Option<&Bytes> {
        self.0.small.as_ref()
    }

    /// The same content without an open file and without bytes at hand, to be kept for long. The file is opened again at the first
    /// read, which fails with `NotFound` if it has been evicted or replaced since: that is a miss, not a fault.
    #[must_use]
    pub fn aside(&self) -> Self {
        let Length::Whole(length) = self.0.length else {
            return self.clone();
        };
        Self(Arc::new(Inner {
            disk: self.0.disk.clone(),
            layout: self.0.layout,
            length: Length::Whole(length),
            file: Mutex::default(),
            small: None,
        }))
    }

    /// Reads from an offset, at most `most` bytes, at least one unless that is the end (or `most` is 0), and never beyond a block of
    /// 65528 bytes: a block is read and verified whole, so ask for as much as can be used. Read off the workers. Errors:
    /// `InvalidData` torn, `NotFound` gone (only after [`OnDisk::aside`]), `TimedOut` after 30 seconds, or the disk's; the object
    /// is taken out of the store then. Cancel-safe.
    pub async fn read(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        if let Some(small) = &self.0.small {
            return Ok(part(small, offset, most));
        }
        let (length, file) = match &self.0.length {
            Length::Whole(length) => (*length, lock(&self.0.file).clone()),
            Length::Growing(stream) => match stream.at_hand(offset, most) {
                Ok(bytes) => return Ok(bytes),
                Err(in_file) => (in_file, stream.file.get().cloned()),
            },
        };
        if offset >= length || most == 0 {
            return Ok(Bytes::new());
        }
        let index = offset / PAYLOAD as u64;
        let of = Source {
            layout: self.0.layout,
            length,
            file,
        };
        let block = self.block(of, index).await?;
        Ok(part(&block, offset % PAYLOAD as u64, most))
    }

    async fn block(&self, of: Source, index: u64) -> io::Result<Bytes> {
        let shared = self.0.disk.shared();
        let (reply, answer) = oneshot::channel();
        // As many wait at a time as there are readers, so that they need no other bound.
        let pushed = shared
            .reads
            .push(Read::Block { of, index, reply }, 0, usize::MAX);
        pushed.map_err(|_| closed())?;
        let (block, file) = match tokio::time::timeout(READ_LIMIT, answer).await {
            Ok(answer) => answer.map_err(|_| closed())??,
            Err(_) => {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                shared.read_failed(&error);
                return Err(error);
            }
        };
        lock(&self.0.file).get_or_insert(file);
        Ok(block)
    }
}

fn closed() -> io::Error {
    io::Error::other("the disk cache is closed")
}

fn part(bytes: &Bytes, offset: u64, most: usize) -> Bytes {
    let start = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
    let end = start.saturating_add(most).min(bytes.len());
    bytes.slice(start..end)
}
