//! Brings a content: into memory, on to disk, or past, at the origin's pace as long as it is stored.
//! Not who fetches it (relay). Start at [`Filler::push`].

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::filling::{Filling, Over};
use super::pieces::{PIECE, exact};
use super::{Contents, Limits, Whole};
use crate::cache::Stored;
use crate::cache::disk::Writer;

/// Brings a content. Dropped before it is finished, it leaves readers with a content that breaks off.
#[derive(Debug)]
pub struct Filler {
    contents: Contents,
    limits: Limits,
    /// For how long a reader of what is not stored may hold back others, and again after each MiB that it takes. Then it is cut.
    pub(super) patience: Duration,
    writer: Option<Writer>,
    /// It has not all that was pushed: a push was dropped in the middle, or brought more than was announced.
    broken: bool,
    finished: bool,
}

/// The content is not wanted any more, or is not kept: what is stored of it is to be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content is not wanted any more")]
pub struct Abandoned;

/// For so long one reader may hold back others: no client is to feel another's silence as that of the origin.
const PATIENCE: Duration = Duration::from_secs(1);

impl Filler {
    pub(super) fn new(contents: Contents, limits: Limits) -> Self {
        Self {
            contents,
            limits,
            patience: PATIENCE,
            writer: None,
            broken: false,
            finished: false,
        }
    }

    /// Whether a writer is to be given before the next push, of so many bytes: the content is too long for memory, and may be stored.
    /// Where there is none to give, it is kept in memory as long as it fits, and passes then.
    pub fn needs_disk(&self, more: u64) -> bool {
        let length = self.length_with(more);
        let is_settled = self.writer.is_some() || self.is_passing() || self.is_spilling();
        !is_settled && length > self.limits.in_memory && length <= self.limits.largest
    }

    /// Writes what is longer than the memory's limit to disk; see [`Filler::needs_disk`].
    pub fn spill_to(&mut self, writer: Writer) {
        self.writer = Some(writer);
    }

    /// Whether what comes is not stored: it is longer than it may be, or the disk failed. Nobody new can read it.
    pub fn is_passing(&self) -> bool {
        self.filling().is_passing()
    }

    /// Whether it is being written to disk.
    pub fn is_spilling(&self) -> bool {
        self.filling().is_spilled()
    }

    /// How many read it at the moment.
    pub fn readers(&self) -> usize {
        self.filling().readers()
    }

    /// How many bytes have come.
    pub fn length(&self) -> u64 {
        self.filling().end()
    }

    /// Whether it is worth going on: someone reads it; or it is stored and nobody has read it yet; or it is stored, and at most 1 MiB
    /// or less than half of it is missing.
    pub fn should_go_on(&self) -> bool {
        self.filling().is_wanted()
    }

    /// Completes when it is not worth going on, so that nobody waits for a silent origin in vain. Cancel-safe.
    pub async fn abandoned(&self) {
        let filling = self.filling();
        poll_fn(|cx| filling.poll_unwanted(cx)).await;
    }

    /// Adds bytes, and wakes who waits for them. They are copied, so that what is kept does not hold a larger buffer. Waits for the disk
    /// where they go there, and for the slowest reader where they are not stored. Errors: it is not worth going on, or more came
    /// than was announced. Not cancel-safe: after a push that was dropped, each other one and `finish` fail.
    pub async fn push(&mut self, mut bytes: Bytes) -> Result<(), Abandoned> {
        let end = self.length().saturating_add(bytes.len() as u64);
        let too_long = self
            .filling()
            .expected()
            .is_some_and(|expected| end > expected);
        if std::mem::replace(&mut self.broken, true) || too_long {
            return Err(Abandoned);
        }
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.put(exact(&piece)).await;
        }
        self.broken = false;
        if self.should_go_on() {
            Ok(())
        } else {
            Err(Abandoned)
        }
    }

    /// All of it has come: it is whole for who comes from now on, unless it is passing. `head` is written with it where it went to disk.
    ///
    /// Errors: it is not as long as was announced, and breaks off for those who read it; or it is passing, or the disk did not
    /// keep it, and those who read it have it all the same. Dropped in the middle, it breaks off.
    pub async fn finish(
        mut self,
        trailers: Option<HeaderMap>,
        head: &Stored,
    ) -> Result<(), Abandoned> {
        let length = self.length();
        let other = |expected| expected != length;
        if self.broken || self.filling().expected().is_some_and(other) {
            return Err(Abandoned);
        }
        if self.is_passing() {
            return self.ended(trailers, Err(Abandoned));
        }
        if !self.is_spilling() {
            self.keep(trailers);
            return Ok(());
        }
        let writer = self.writer.take().ok_or(Abandoned)?;
        match writer.finish(head).await {
            Ok(on_disk) => {
                // It is kept for long: no file is held open for it.
                let whole = Whole::Disk(on_disk.aside(), trailers.clone());
                // Only a filler sets it, once.
                let _ = self.contents.0.whole.set(whole);
                self.ended(trailers, Ok(()))
            }
            Err(_) => {
                self.filling().pass();
                self.ended(trailers, Err(Abandoned))
            }
        }
    }

    /// Those who read it find the rest where they are.
    fn ended(
        &mut self,
        trailers: Option<HeaderMap>,
        kept: Result<(), Abandoned>,
    ) -> Result<(), Abandoned> {
        self.finished = true;
        self.filling().over(Over::Ended, trailers, |_| {});
        kept
    }

    /// All of it is in memory, and stays there.
    fn keep(&mut self, trailers: Option<HeaderMap>) {
        self.finished = true;
        let whole = &self.contents.0.whole;
        // Set under the lock, so that nobody finds it neither here nor there.
        self.filling().over(Over::Kept, None, |pieces| {
            let mut pieces = std::mem::take(pieces);
            pieces.seal();
            let one = pieces.as_one().filter(|_| trailers.is_none());
            let _ = whole.set(match one {
                Some(bytes) => Whole::One(bytes),
                None => Whole::Memory(pieces, trailers),
            });
        });
    }

    async fn put(&mut self, piece: Bytes) {
        let more = piece.len() as u64;
        self.make_way(more).await;
        self.room().await;
        self.filling().add(piece.clone());
        if !self.is_spilling() {
            return;
        }
        let written = match &mut self.writer {
            Some(writer) => writer.write(piece).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match written {
            Ok(()) => self.filling().written(None, more),
            // Who is far behind goes on with what can still be read there.
            Err(_) => self.pass(),
        }
    }

    /// Decides where more bytes go.
    async fn make_way(&mut self, more: u64) {
        let end = self.length().saturating_add(more);
        let length = self.length_with(more);
        let (spilling, passing) = (self.is_spilling(), self.is_passing());
        if passing || (spilling && length <= self.limits.largest) {
            return;
        }
        let storable = length <= self.limits.largest;
        let too_long = length > self.limits.in_memory;
        if !storable || (too_long && self.spill().await.is_err()) {
            self.writer = None;
        }
        let fits = end <= self.limits.in_memory.min(self.limits.largest) && !spilling;
        if !fits && self.writer.is_none() {
            self.pass();
        }
    }

    /// How long it is at least, with so many bytes more.
    fn length_with(&self, more: u64) -> u64 {
        let end = self.length().saturating_add(more);
        self.filling().expected().unwrap_or(0).max(end)
    }

    /// Writes all that is in memory, if there is a writer.
    async fn spill(&mut self) -> io::Result<()> {
        let filling = self.contents.arriving();
        let (Some(writer), Some(filling)) = (&mut self.writer, filling) else {
            return Ok(());
        };
        let pieces = filling.all();
        let mut written = 0;
        for piece in pieces {
            written += piece.len() as u64;
            writer.write(piece).await?;
        }
        filling.written(Some(writer.reader()), written);
        Ok(())
    }

    fn pass(&mut self) {
        self.writer = None;
        self.filling().pass();
    }

    /// Waits until nobody who reads what is not stored is further behind than the window.
    async fn room(&self) {
        let filling = self.filling();
        while let Some(look) = filling.held_back(Instant::now(), self.patience) {
            // Either there is room, or it is time to look at who is behind.
            let _ = timeout_at(look, poll_fn(|cx| filling.poll_room(cx))).await;
        }
    }

    fn filling(&self) -> &Filling {
        let filling = self.contents.arriving();
        filling.expect("a filler is made with a content that arrives")
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        if !self.finished {
            self.filling().over(Over::Failed, None, |_| {});
        }
    }
}
