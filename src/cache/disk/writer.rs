//! Writing an object as its content arrives, with readers that follow.
//! Not for content that is at hand ([`super::Disk::save`]). Start at [`Writer`].

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Disk;
use super::content::OnDisk;
use super::head::Head;
use super::layout::{Layout, PAYLOAD};
use super::queue::lock;
use super::shared::Held;
use super::write::Change;

/// An object being written. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub struct Writer {
    disk: Disk,
    stream: Arc<Stream>,
    expected: Option<u64>,
    /// The last ban when it began.
    bans: u64,
    /// A write was given up in the middle.
    broken: bool,
    finished: bool,
}

/// So many are written at a time; more are not stored on disk.
const MOST_WRITERS: usize = 256;

/// What the writer, the readers and the thread know of an object that is being written.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) number: u64,
    pub(super) layout: Layout,
    pub(super) file: OnceLock<Arc<Held>>,
    /// Pages promised to it.
    pub(super) reserved: AtomicU32,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Bytes of content in the file.
    written: u64,
    /// Bytes that are being written.
    under_way: Bytes,
    /// Bytes of a block that is not full.
    waiting: Vec<u8>,
}

/// The end of an object.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) of: Arc<Stream>,
    pub(super) head: Head,
    pub(super) last: Bytes,
    pub(super) length: u64,
    pub(super) bans: u64,
    pub(super) reply: oneshot::Sender<io::Result<()>>,
}

impl Writer {
    pub(super) fn begin(
        disk: &Disk,
        layout: Layout,
        expected: Option<u64>,
        bans: u64,
    ) -> Option<Self> {
        let writers = &disk.shared().writers;
        if writers.fetch_add(1, Ordering::Relaxed) >= MOST_WRITERS {
            writers.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let stream = Stream {
            number: disk.shared().number(),
            layout,
            file: OnceLock::new(),
            reserved: AtomicU32::new(0),
            progress: Mutex::default(),
        };
        Some(Self {
            disk: disk.clone(),
            stream: Arc::new(stream),
            expected,
            bans,
            broken: false,
            finished: false,
        })
    }

    /// A reader of what has been written, which grows; it stays good when the writer is finished, and what is there stays readable
    /// through it when the writer is dropped.
    pub fn reader(&self) -> OnDisk {
        OnDisk::growing(&self.disk, &self.stream)
    }

    /// Adds content. Waits for the disk when a block is full, so that content does not pile up. Errors: the disk's, which ends the
    /// use of the store until it is well, or `QuotaExceeded`: the object takes more than half of the store. Not cancel-safe: after a
    /// write that was dropped each other one fails.
    pub async fn write(&mut self, mut piece: Bytes) -> io::Result<()> {
        let (given, more) = (self.stream.given(), piece.len() as u64);
        if self.broken
            || self
                .expected
                .is_some_and(|expected| given + more > expected)
        {
            self.broken = true;
            return Err(io::ErrorKind::InvalidInput.into());
        }
        while let Some((index, block)) = self.stream.add(&mut piece) {
            self.broken = true;
            let (reply, answer) = oneshot::channel();
            let of = self.stream.clone();
            let shared = self.disk.shared();
            shared.change_awaited(Change::Block {
                of,
                index,
                block,
                reply,
            })?;
            answer
                .await
                .map_err(|_| io::Error::other("the disk cache is closed"))??;
            self.stream.block_written();
            self.broken = false;
        }
        Ok(())
    }

    /// Gives the object its head and its name. Errors: as for `write`; `InvalidData`: the content is not as long as was expected, and
    /// is not stored; `QuotaExceeded` too if it was purged meanwhile. If the future is dropped, it may be stored or not.
    pub async fn finish(mut self, head: impl Into<Head>) -> io::Result<OnDisk> {
        let length = self.stream.given();
        let head = head.into();
        let same = head.name() == self.stream.layout.name;
        if self.broken || !same || self.expected.is_some_and(|expected| expected != length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (reply, answer) = oneshot::channel();
        let finish = Finish {
            of: self.stream.clone(),
            head,
            last: self.stream.last(),
            length,
            bans: self.bans,
            reply,
        };
        self.disk
            .shared()
            .change_awaited(Change::Finish(Box::new(finish)))?;
        self.finished = true;
        answer
            .await
            .map_err(|_| io::Error::other("the disk cache is closed"))??;
        self.stream.block_written();
        Ok(OnDisk::written(&self.disk, &self.stream, length))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.disk.shared().writers.fetch_sub(1, Ordering::Relaxed);
        if !self.finished {
            // If the store is closed, the next start removes the file.
            let _ = self
                .disk
                .shared()
                .change_awaited(Change::Abort(self.stream.clone()));
        }
    }
}

impl Stream {
    /// Bytes of content so far.
    pub(super) fn given(&self) -> u64 {
        let progress = lock(&self.progress);
        progress.written + (progress.under_way.len() + progress.waiting.len()) as u64
    }

    /// Takes from a piece until a block is full, which is then to be written; `None` when the piece is used up.
    fn add(&self, piece: &mut Bytes) -> Option<(u64, Bytes)> {
        let mut progress = lock(&self.progress);
        let room = PAYLOAD - progress.waiting.len().min(PAYLOAD);
        if progress.waiting.capacity() == 0 {
            progress.waiting.reserve_exact(PAYLOAD);
        }
        let part = piece.split_to(room.min(piece.len()));
        progress.waiting.extend_from_slice(&part);
        if progress.waiting.len() < PAYLOAD {
            return None;
        }
        let index = progress.written / PAYLOAD as u64;
        progress.under_way = std::mem::take(&mut progress.waiting).into();
        Some((index, progress.under_way.clone()))
    }

    /// The block that is not full.
    fn last(&self) -> Bytes {
        let mut progress = lock(&self.progress);
        progress.under_way = std::mem::take(&mut progress.waiting).into();
        progress.under_way.clone()
    }

    /// What was under way is in the file.
    fn block_written(&self) {
        let mut progress = lock(&self.progress);
        progress.written += progress.under_way.len() as u64;
        progress.under_way = Bytes::new();
    }

    /// Bytes at an offset that are not in the file yet, or else how many are.
    pub(super) fn at_hand(&self, offset: u64, most: usize) -> Result<Bytes, u64> {
        let progress = lock(&self.progress);
        let Some(beyond) = offset.checked_sub(progress.written) else {
            return Err(progress.written);
        };
        let beyond = usize::try_from(beyond).unwrap_or(usize::MAX);
        let under_way = progress.under_way.len();
        if let Some(start) = progress
            .under_way
            .get(beyond..)
            .filter(|start| !start.is_empty())
        {
            return Ok(progress
                .under_way
                .slice_ref(start.get(..most).unwrap_or(start)));
        }
        let start = progress.waiting.get(beyond.saturating_sub(under_way)..);
        let start = start.unwrap_or_default();
        Ok(Bytes::copy_from_slice(start.get(..most).unwrap_or(start)))
    }
}
