//! The content of an object on disk as the workers hold it: they ask for a part, a thread reads and verifies it.
//! Not the reading (read). Start at [`OnDisk::read`].

use std::io;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Disk;
use super::layout::{Layout, PAYLOAD};
use super::queue::lock;
use super::read::{Loaded, Read, Source};
use super::shared::Held;
use super::writer::Stream;

/// The content of one object on disk. Clones share it. Each holds the file open, so that it stays readable when it is evicted or
/// replaced meanwhile, unless it was put [`aside`](OnDisk::aside).
#[derive(Debug)]
pub struct OnDisk {
    inner: Arc<Inner>,
    held: Mutex<Option<Arc<Held>>>,
}

#[derive(Debug)]
struct Inner {
    /// Keeps the threads running.
    disk: Disk,
    layout: Layout,
    length: Length,
    /// The file, if anyone holds it open.
    file: Mutex<Weak<Held>>,
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
        let content = Self::new(
            disk,
            loaded.layout,
            Length::Whole(loaded.length),
            loaded.file,
            loaded.small,
        );
        (loaded.head, content)
    }

    pub(super) fn growing(disk: &Disk, stream: &Arc<Stream>) -> Self {
        Self::new(
            disk,
            stream.layout,
            Length::Growing(stream.clone()),
            None,
            None,
        )
    }

    pub(super) fn written(disk: &Disk, stream: &Stream, length: u64) -> Self {
        Self::new(
            disk,
            stream.layout,
            Length::Whole(length),
            stream.file.get().cloned(),
            None,
        )
    }

    fn new(
        disk: &Disk,
        layout: Layout,
        length: Length,
        file: Option<Arc<Held>>,
        small: Option<Bytes>,
    ) -> Self {
        let inner = Inner {
            disk: disk.clone(),
            layout,
            length,
            file: Mutex::new(file.as_ref().map_or_else(Weak::new, Arc::downgrade)),
            small,
        };
        Self {
            inner: Arc::new(inner),
            held: Mutex::new(file),
        }
    }

    /// Its length in bytes; of an object that is being written, what is there so far.
    pub fn length(&self) -> u64 {
        match &self.inner.length {
            Length::Whole(length) => *length,
            Length::Growing(stream) => stream.given(),
        }
    }

    /// All of it, if it is at most 64 KiB long and was read with its head: the caller may keep it in memory.
    pub fn small(&self) -> Option<&Bytes> {
        self.inner.small.as_ref()
    }

    /// The same content without an open file and without bytes at hand, to be kept for long: a process may have only so many files
    /// open. Read it through a clone for each use; the clone opens the file at its first read, which fails with `NotFound` if it
    /// has been evicted or replaced since: that is a miss, not a fault. Of an object that is being written it is a clone.
    #[must_use]
    pub fn aside(&self) -> Self {
        match self.inner.length {
            Length::Growing(_) => self.clone(),
            Length::Whole(length) => Self::new(
                &self.inner.disk,
                self.inner.layout,
                Length::Whole(length),
                None,
                None,
            ),
        }
    }

    /// Reads from an offset, at most `most` bytes, at least one unless that is the end (or `most` is 0), and never beyond a block of
    /// 65528 bytes: a block is read and verified whole, so ask for as much as can be used. Read off the workers. Errors:
    /// `InvalidData` torn, `NotFound` gone (only after [`OnDisk::aside`]), `TimedOut` after 30 seconds, or the disk's; the object
    /// is taken out of the store then. Cancel-safe.
    pub async fn read(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        if let Some(small) = &self.inner.small {
            return Ok(part(small, offset, most));
        }
        let (length, file) = match &self.inner.length {
            Length::Whole(length) => (*length, self.file()),
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
            layout: self.inner.layout,
            length,
            file,
        };
        let block = self.block(of, index).await?;
        Ok(part(&block, offset % PAYLOAD as u64, most))
    }

    async fn block(&self, of: Source, index: u64) -> io::Result<Bytes> {
        let shared = self.inner.disk.shared();
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
        if let Some(file) = file {
            *lock(&self.inner.file) = Arc::downgrade(&file);
            lock(&self.held).get_or_insert(file);
        }
        Ok(block)
    }

    fn file(&self) -> Option<Arc<Held>> {
        let own = lock(&self.held).clone();
        own.or_else(|| lock(&self.inner.file).upgrade())
    }
}

impl Clone for OnDisk {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            held: Mutex::new(lock(&self.held).clone()),
        }
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
