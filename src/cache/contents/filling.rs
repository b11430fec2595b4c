//! A content while it arrives, as its filler and its readers share it, over all workers.
//! Not when it goes to disk (filler). Start at [`Filling::next`].
//!
//! Up to a limit all of it is in memory. What is longer is written to disk as it comes, and only a window of it stays in
//! memory; without a disk it is passing: not stored, and whoever reads it already goes on. The lock is held for as long as it takes
//! to look at a few numbers, and nothing is woken under it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use super::pieces::Pieces;
use super::places::{Behind, Places, WINDOW};
use crate::cache::disk::OnDisk;

/// What is there so far.
#[derive(Debug)]
pub(super) struct Filling {
    expected: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) pieces: Pieces,
    places: Places,
    passing: bool,
    /// What has been written to disk, and how much of it that is.
    disk: Option<OnDisk>,
    on_disk: u64,
    over: Option<Over>,
    trailers: Option<HeaderMap>,
    /// The filler, if it waits for the slowest reader.
    room: Option<Waker>,
    /// The filler, if it waits for all readers to be gone.
    deserted: Option<Waker>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// All of it came, and is in memory for good: not here.
    Kept,
    /// All of it came, and those who read it find it here.
    Ended,
    /// It broke off.
    Failed,
}

/// What a reader finds.
pub(super) enum Next {
    Bytes(Bytes),
    /// They lie on disk.
    OnDisk(OnDisk),
    /// They are still to come; the waker was noted.
    Wait,
    /// There are no more, but perhaps trailers.
    End(Option<HeaderMap>),
    /// All of it is whole now.
    Kept,
    /// They do not come.
    Cut,
}

/// What is brought to its end although nobody reads it any more, if no more than that is missing, in bytes.
const LITTLE: u64 = 1 << 20;

impl Filling {
    pub(super) fn new(expected: Option<u64>) -> Self {
        Self {
            expected,
            state: Mutex::default(),
        }
    }

    pub(super) fn expected(&self) -> Option<u64> {
        self.expected
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().over == Some(Over::Failed)
    }

    pub(super) fn is_passing(&self) -> bool {
        self.lock().passing
    }

    pub(super) fn is_spilled(&self) -> bool {
        let state = self.lock();
        state.disk.is_some() && !state.passing
    }

    pub(super) fn memory(&self) -> u64 {
        self.lock().pieces.memory()
    }

    pub(super) fn readers(&self) -> usize {
        self.lock().places.taken()
    }

    pub(super) fn end(&self) -> u64 {
        self.lock().pieces.end()
    }

    /// A place for a reader that begins at an offset. `None` where nobody new is let in: it is passing, or over.
    pub(super) fn attach(&self, at: u64) -> Option<usize> {
        let mut state = self.lock();
        let is_open = !state.passing && state.over.is_none();
        is_open.then(|| state.places.take(at))
    }

    /// A reader goes.
    pub(super) fn detach(&self, place: usize) {
        let mut state = self.lock();
        state.places.leave(place);
        let woken = state.after_change();
        drop(state);
        wake(woken);
    }

    /// What stands at an offset; the reader has taken all before it. Notes the waker only where it must wait.
    pub(super) fn next(&self, place: usize, at: u64, cx: &Context<'_>) -> Next {
        let mut state = self.lock();
        let Some(before) = state.places.advance(place, at) else {
            return Next::Cut;
        };
        let woken = state.moved(before, at);
        let next = state.at(at);
        if matches!(next, Next::Wait) {
            state.places.wait(place, cx.waker());
        }
        drop(state);
        wake(woken);
        next
    }

    /// More has come.
    pub(super) fn add(&self, bytes: Bytes) {
        self.change(|state| {
            state.pieces.add(bytes);
            state.let_go();
        });
    }

    /// All that is in memory now, in order.
    pub(super) fn all(&self) -> Vec<Bytes> {
        self.lock().pieces.all()
    }

    /// So much of it can be read from disk.
    pub(super) fn written(&self, reader: Option<OnDisk>, more: u64) {
        let mut state = self.lock();
        state.disk = reader.or_else(|| state.disk.take());
        state.on_disk += more;
        state.let_go();
    }

    /// It is not stored from now on.
    pub(super) fn pass(&self) {
        let mut state = self.lock();
        state.passing = true;
        state.let_go();
    }

    /// It is over. `take` has what is in memory; what it leaves there stays for those who read it.
    pub(super) fn over(
        &self,
        how: Over,
        trailers: Option<HeaderMap>,
        take: impl FnOnce(&mut Pieces),
    ) {
        self.change(|state| {
            take(&mut state.pieces);
            state.over = Some(how);
            state.trailers = trailers;
            state.clear_if_deserted();
        });
    }

    /// Whether it is worth going on.
    pub(super) fn is_wanted(&self) -> bool {
        self.lock().is_wanted(self.expected)
    }

    /// Completes when it is not worth going on. Only readers that go can bring that about between two pushes.
    pub(super) fn poll_unwanted(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.is_wanted(self.expected) {
            return Poll::Ready(());
        }
        state.deserted = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the filler must wait for a reader, and when to look again even if that one does nothing.
    pub(super) fn held_back(&self, now: Instant, patience: Duration) -> Option<Instant> {
        let mut state = self.lock();
        if !state.passing {
            return None;
        }
        let end = state.pieces.end();
        let (behind, cut) = state.places.judge(end, now, patience);
        state.let_go();
        drop(state);
        wake(cut);
        match behind {
            Behind::Nobody => None,
            Behind::Someone(look) => Some(look),
        }
    }

    /// Completes when no reader is further behind than the window.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.is_full() {
            return Poll::Ready(());
        }
        state.room = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Changes the state, and wakes all who wait for that.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let woken = state.places.waiting();
        drop(state);
        wake(woken);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under it, so nothing in it is ever half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn at(&self, at: u64) -> Next {
        if at < self.pieces.begin() {
            let disk = self.disk.clone().filter(|_| at < self.on_disk);
            return disk.map_or(Next::Cut, Next::OnDisk);
        }
        if let Some(bytes) = self.pieces.at(at) {
            return Next::Bytes(bytes);
        }
        match self.over {
            None => Next::Wait,
            Some(Over::Kept) => Next::Kept,
            Some(Over::Ended) => Next::End(self.trailers.clone()),
            Some(Over::Failed) => Next::Cut,
        }
    }

    /// A reader went on: what only it still needed is let go of, and who waits for it is told.
    fn moved(&mut self, before: u64, at: u64) -> Vec<Waker> {
        if !self.passing || before == at {
            return Vec::new();
        }
        let first = self.pieces.first_end().unwrap_or(0);
        if before < first && at >= first && !self.places.any_before(first) {
            self.let_go();
        }
        let bound = self.bound();
        let was_behind = before < bound && at >= bound;
        let room = self
            .room
            .take_if(|_| was_behind && !self.places.any_before(bound));
        room.into_iter().collect()
    }

    /// A reader went.
    fn after_change(&mut self) -> Vec<Waker> {
        if self.passing {
            self.let_go();
        }
        if self.over.is_some() {
            self.clear_if_deserted();
        }
        let full = self.is_full();
        let room = self.room.take_if(|_| !full);
        let deserted = self.places.is_deserted();
        let deserted = self.deserted.take_if(|_| deserted);
        room.into_iter().chain(deserted).collect()
    }

    /// Lets go of what is on disk and beyond the window, or of what all who read it have taken.
    fn let_go(&mut self) {
        let end = self.pieces.end();
        let from = if self.passing {
            self.places.slowest().unwrap_or(end)
        } else {
            self.on_disk.min(end.saturating_sub(WINDOW))
        };
        self.pieces.let_go(from);
    }

    fn clear_if_deserted(&mut self) {
        if self.places.taken() == 0 {
            let end = self.pieces.end();
            self.pieces.let_go(end);
            self.disk = None;
        }
    }

    fn bound(&self) -> u64 {
        self.pieces.end().saturating_sub(WINDOW)
    }

    fn is_full(&self) -> bool {
        self.passing && self.places.any_before(self.bound())
    }

    /// Someone reads it, or it is stored and nobody ever did, or it is stored and most of it is there.
    fn is_wanted(&self, expected: Option<u64>) -> bool {
        if self.passing || self.places.is_deserted() {
            let rest = expected.map(|expected| expected.saturating_sub(self.pieces.end()));
            let most_is_there = |rest| rest <= LITTLE || rest < self.pieces.end();
            return self.places.taken() > 0 || (!self.passing && rest.is_some_and(most_is_there));
        }
        true
    }
}

fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
