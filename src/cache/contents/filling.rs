//! A content while it arrives: who brings it goes at the origin's pace, who reads it at its own.
//!
//! Up to a limit all of it is in memory. What is longer is written to disk as it comes, and only a window of it stays in
//! memory; without a disk it is not stored: then whoever reads it already goes on, and who brings it waits for the slowest.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;

use super::{Contents, Limits, PIECE_COST, Pieces, Whole};
use crate::cache::Stored;
use crate::cache::disk::{OnDisk, Writer};

/// What is there so far.
#[derive(Debug)]
pub(super) struct Filling(Mutex<State>, Option<u64>);

#[derive(Debug, Default)]
pub(super) struct State {
    pieces: VecDeque<Bytes>,
    /// Where the first of them begins.
    base: u64,
    end: u64,
    failed: bool,
    /// All of it came, and is not stored.
    ended: bool,
    /// Readers, each with where it is.
    readers: Vec<Option<Place>>,
    /// Who brings it, if they wait for a reader.
    filler: Option<Waker>,
    /// It is not stored: nobody new can read it.
    passing: bool,
    disk: Option<OnDisk>,
}

#[derive(Debug, Default)]
struct Place {
    at: u64,
    waker: Option<Waker>,
}

/// What a reader finds.
pub(super) enum Next {
    /// These bytes.
    Bytes(Bytes),
    /// They lie on disk.
    OnDisk(OnDisk),
    /// They are still to come.
    Wait,
    /// There are no more.
    End,
    /// They do not come.
    Cut,
}

impl Filling {
    pub(super) fn new(expected: Option<u64>) -> Self {
        Self(Mutex::default(), expected)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in it can be half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn expected(&self) -> Option<u64> {
        self.1
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    pub(super) fn is_spilled(&self) -> bool {
        self.lock().disk.is_some()
    }

    pub(super) fn memory(&self) -> u64 {
        let state = self.lock();
        state.held() + (state.pieces.len() * PIECE_COST) as u64
    }

    /// A place for a reader that begins at an offset. `None` where it can not have that any more.
    pub(super) fn attach(&self, at: u64) -> Option<usize> {
        let mut state = self.lock();
        if state.failed || state.passing {
            return None;
        }
        let place = Place { at, waker: None };
        match state.readers.iter().position(Option::is_none) {
            Some(free) => {
                *state.readers.get_mut(free)? = Some(place);
                Some(free)
            }
            None => {
                state.readers.push(Some(place));
                Some(state.readers.len() - 1)
            }
        }
    }

    pub(super) fn detach(&self, reader: usize) {
        let mut state = self.lock();
        if let Some(place) = state.readers.get_mut(reader) {
            *place = None;
        }
        state.let_go();
        let waker = state.filler.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What stands at an offset; the reader has taken all before it.
    pub(super) fn next(&self, reader: usize, at: u64, waker: &Waker) -> Next {
        let mut state = self.lock();
        if let Some(Some(place)) = state.readers.get_mut(reader) {
            place.at = at;
            place.waker = None;
        }
        if state.passing {
            state.let_go();
        }
        let filler = state.filler.take();
        let next = state.at(at);
        if matches!(next, Next::Wait)
            && let Some(Some(place)) = state.readers.get_mut(reader)
        {
            place.waker = Some(waker.clone());
        }
        drop(state);
        if let Some(filler) = filler {
            filler.wake();
        }
        next
    }
}

impl Filling {
    /// Room for more, in what is not stored: the slowest reader is not too far behind.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let behind = state.slowest().map_or(0, |at| state.end.saturating_sub(at));
        if !state.passing || behind <= WINDOW {
            return Poll::Ready(());
        }
        state.filler = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_abandoned(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let worth = !state.passing && state.is_nearly_whole(self.1);
        if state.attached() == 0 && !worth {
            return Poll::Ready(());
        }
        state.filler = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Changes the state for the last time, and tells all readers.
    fn end(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let wakers = state.wake_readers();
        drop(state);
        for waker in wakers {
            waker.wake();
        }
    }
}

impl State {
    fn held(&self) -> u64 {
        self.end - self.base
    }

    fn attached(&self) -> usize {
        self.readers.iter().flatten().count()
    }

    fn at(&self, at: u64) -> Next {
        if at < self.base {
            return self.disk.clone().map_or(Next::Cut, Next::OnDisk);
        }
        let mut begins = self.base;
        for piece in &self.pieces {
            let ends = begins + piece.len() as u64;
            if at < ends {
                let skip = usize::try_from(at - begins).unwrap_or(usize::MAX);
                return Next::Bytes(piece.slice(skip..));
            }
            begins = ends;
        }
        match (self.failed, self.ended) {
            (true, _) => Next::Cut,
            (false, true) => Next::End,
            (false, false) => Next::Wait,
        }
    }

    /// Lets go of what is on disk beyond the window, or of what all who read it have taken.
    fn let_go(&mut self) {
        let keep_from = match (self.passing, &self.disk) {
            (true, _) => self.slowest().unwrap_or(self.end),
            (false, Some(_)) => self.end.saturating_sub(WINDOW),
            (false, None) => return,
        };
        while let Some(first) = self.pieces.front() {
            let ends = self.base + first.len() as u64;
            if ends > keep_from {
                break;
            }
            self.base = ends;
            self.pieces.pop_front();
        }
    }

    fn slowest(&self) -> Option<u64> {
        self.readers.iter().flatten().map(|place| place.at).min()
    }

    fn wake_readers(&mut self) -> Vec<Waker> {
        let readers = self.readers.iter_mut().flatten();
        readers.filter_map(|place| place.waker.take()).collect()
    }

    /// Whether it is worth going on although nobody reads: little is missing, or more than half is there.
    fn is_nearly_whole(&self, expected: Option<u64>) -> bool {
        match expected {
            Some(expected) => {
                expected - self.end.min(expected) <= ENOUGH || self.end * 2 >= expected
            }
            None => self.end <= ENOUGH,
        }
    }
}

/// Brings a content. Dropped before it is finished, it leaves readers with a content that breaks off.
#[derive(Debug)]
pub struct Filler {
    contents: Contents,
    limits: Limits,
    writer: Option<Writer>,
    finished: bool,
}

/// Nobody reads it, or it could not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content is not wanted any more")]
pub struct Abandoned;

impl Filler {
    pub(super) fn new(contents: Contents, limits: Limits) -> Self {
        Self {
            contents,
            limits,
            writer: None,
            finished: false,
        }
    }

    /// Writes what is longer than the memory's limit to disk.
    pub fn spill_to(&mut self, writer: Writer) {
        self.writer = Some(writer);
    }

    fn filling(&self) -> Option<&Filling> {
        self.contents.0.filling.as_ref()
    }

    /// Whether what has come is not stored: it is longer than it may be.
    pub fn is_passing(&self) -> bool {
        self.filling().is_some_and(|filling| filling.lock().passing)
    }

    /// Whether it is being written to disk.
    pub fn is_spilling(&self) -> bool {
        self.filling().is_some_and(Filling::is_spilled)
    }

    /// Adds bytes, and wakes who waits for them. Waits for the disk where they go there, and for the slowest reader where they are
    /// not stored. Errors: nobody reads it any more, and it is not worth going on. Not cancel-safe.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), Abandoned> {
        if bytes.is_empty() {
            return Ok(());
        }
        // A copy: what is kept for long must not hold a large buffer that it is a small part of.
        let bytes = Bytes::copy_from_slice(&bytes);
        self.make_way(bytes.len() as u64).await;
        if self.is_spilling()
            && let Some(writer) = &mut self.writer
            && writer.write(bytes.clone()).await.is_err()
        {
            // Those who read what is in memory go on; who is further back is cut.
            self.give_up_disk();
        }
        let expected = self.contents.length();
        let filling = self.filling().ok_or(Abandoned)?;
        let mut state = filling.lock();
        state.end += bytes.len() as u64;
        state.pieces.push_back(bytes);
        state.let_go();
        let wanted = state.attached() > 0 || (!state.passing && state.is_nearly_whole(expected));
        let wakers = state.wake_readers();
        drop(state);
        for waker in wakers {
            waker.wake();
        }
        if !wanted {
            return Err(Abandoned);
        }
        std::future::poll_fn(|cx| filling.poll_room(cx)).await;
        Ok(())
    }

    /// Decides where more bytes go, once they are too many for memory.
    async fn make_way(&mut self, more: u64) {
        let Some(filling) = self.contents.0.filling.as_ref() else {
            return;
        };
        let (end, settled) = {
            let state = filling.lock();
            (state.end + more, state.passing || state.disk.is_some())
        };
        if settled && end <= self.limits.largest || end <= self.limits.in_memory {
            return;
        }
        let fits = end <= self.limits.largest;
        if let Some(writer) = self.writer.as_mut().filter(|_| fits) {
            let so_far: Vec<Bytes> = filling.lock().pieces.iter().cloned().collect();
            let mut written = Ok(());
            for piece in so_far {
                written = written.and(writer.write(piece).await);
            }
            if written.is_ok() {
                filling.lock().disk = Some(writer.reader());
                return;
            }
        }
        self.give_up_disk();
    }

    fn give_up_disk(&mut self) {
        self.writer = None;
        if let Some(filling) = self.filling() {
            let mut state = filling.lock();
            state.passing = true;
            state.let_go();
        }
    }

    /// Completes when nobody reads it and it is not worth going on. Cancel-safe.
    pub async fn abandoned(&self) {
        let Some(filling) = self.filling() else {
            return;
        };
        std::future::poll_fn(|cx| filling.poll_abandoned(cx)).await;
    }

    /// All of it has come: who comes from now on finds it whole. `head` is written with it where it went to disk. Errors: it is not as
    /// long as it was to be, or it is not stored; those who read it have had all the same.
    pub async fn finish(
        mut self,
        trailers: Option<HeaderMap>,
        head: &Stored,
    ) -> Result<(), Abandoned> {
        let filling = self.contents.0.filling.as_ref().ok_or(Abandoned)?;
        let end = filling.lock().end;
        if filling.expected().is_some_and(|expected| expected != end) {
            return Err(Abandoned);
        }
        let (spilled, passing) = {
            let state = filling.lock();
            (state.disk.is_some(), state.passing)
        };
        let mut kept = !passing;
        let whole = match self.writer.take().filter(|_| spilled) {
            Some(writer) => {
                let on_disk = writer.reader();
                kept &= writer.finish(head).await.is_ok();
                Whole::Disk(on_disk)
            }
            None => {
                let pieces: Vec<Bytes> = filling.lock().pieces.iter().cloned().collect();
                Whole::Memory(Pieces::new(pieces, trailers))
            }
        };
        self.finished = true;
        // What is passing is whole for those who read it, and only the end of it is at hand.
        if passing {
            filling.end(|state| state.ended = true);
            return Err(Abandoned);
        }
        // Only a filler sets it, and there is one.
        let _ = self.contents.0.whole.set(whole);
        // Whoever reads goes on from what is whole.
        filling.end(|state| {
            state.pieces = VecDeque::new();
            state.base = state.end;
        });
        if kept { Ok(()) } else { Err(Abandoned) }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        if let Some(filling) = self.filling().filter(|_| !self.finished) {
            filling.end(|state| state.failed = true);
        }
    }
}

/// So much stays in memory of what is on disk too, and so far may the slowest reader be behind in what is not stored.
const WINDOW: u64 = 1 << 20;
/// What is brought to its end although nobody reads it.
const ENOUGH: u64 = 1 << 20;
