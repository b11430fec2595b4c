//! How much there may be at once: requests, those that wait for others to end, connections, retries. Shared by all workers.
//! A request that finds room touches one counter; the queue has a lock, which only those take who wait or make room for them.
//! Start at [`Upstream::enter`](super::Upstream::enter).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Upstream;
use super::budget::Budget;
use super::settings::{LimitSettings, PendingSettings};

/// Why something may not be done now. Each variant is a fact, fit for a client to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many requests as there may be are under way, and none may wait.
    #[error("too many requests are under way")]
    Requests,
    /// As many requests as may wait do so.
    #[error("too many requests are waiting")]
    Pending,
    /// It has waited for as long as it may.
    #[error("the request has waited too long for others to end")]
    PendingTime,
    /// It has waited, and made room for one of a higher priority.
    #[error("the request has made room for a more urgent one")]
    Displaced,
    /// There are as many connections as there may be.
    #[error("too many connections are open")]
    Connections,
    /// As many retries as there may be are under way.
    #[error("too many retries are under way")]
    Retries,
    /// The budget of retries is spent.
    #[error("the budget of retries is spent")]
    Budget,
}

impl Full {
    /// A word for records.
    pub fn token(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Pending => "pending",
            Self::PendingTime => "pending_time",
            Self::Displaced => "displaced",
            Self::Connections => "connections",
            Self::Retries => "retries",
            Self::Budget => "retry_budget",
        }
    }
}

#[derive(Debug)]
pub(super) struct Breaker {
    /// [`NONE`] is no limit.
    limit: AtomicU32,
    active: AtomicU32,
    /// How many wait: the queue's length, to be read without its lock.
    waiting: AtomicU32,
    queue: Mutex<Queue>,
    pub(super) connections: AtomicU32,
    pub(super) retries: AtomicU32,
    pub(super) budget: Budget,
    /// What was refused.
    pub(super) refused: AtomicU64,
}

/// Who waits: the most urgent first, and of these who came first.
#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<Turn, oneshot::Sender<Entered>>,
    next: u64,
}

type Turn = (Reverse<u8>, u64);

impl Breaker {
    pub(super) fn new(limits: &LimitSettings) -> Self {
        Self {
            limit: AtomicU32::new(limits.requests.unwrap_or(NONE)),
            active: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            queue: Mutex::default(),
            connections: AtomicU32::new(0),
            retries: AtomicU32::new(0),
            budget: Budget::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Counted requests that are under way, and those that wait.
    pub(super) fn counts(&self) -> (u32, u32) {
        let waiting = self.waiting.load(Ordering::Relaxed);
        (self.active.load(Ordering::Relaxed), waiting)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        // In order with `waiting`: who waits looks once more after it has said that it waits, and who makes room looks whether
        // anybody waits after it has made it, so that one of them sees the other.
        add_below(&self.active, limit, Ordering::SeqCst)
    }
}

/// Adds one where that stays within a limit.
pub(super) fn add_below(count: &AtomicU32, limit: u32, order: Ordering) -> bool {
    let more = |count: u32| (count < limit).then_some(count + 1);
    count.fetch_update(order, Ordering::Relaxed, more).is_ok()
}

/// A request that may be under way. Dropping it makes room for the next.
#[derive(Debug)]
#[must_use]
pub struct Entered {
    upstream: Arc<Upstream>,
    counted: bool,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.counted {
            let breaker = &self.upstream.breaker;
            breaker.active.fetch_sub(1, Ordering::SeqCst);
            if breaker.waiting.load(Ordering::SeqCst) > 0 {
                self.upstream.admit_waiting();
            }
        }
    }
}

impl Upstream {
    pub(super) async fn enter_within(
        self: &Arc<Self>,
        pending: Option<&PendingSettings>,
        priority: u8,
    ) -> Result<Entered, Full> {
        let breaker = &self.breaker;
        if breaker.limit.load(Ordering::Relaxed) == NONE {
            return Ok(self.entered(false));
        }
        if breaker.waiting.load(Ordering::Relaxed) == 0 && breaker.take() {
            return Ok(self.entered(true));
        }
        let Some(pending) = pending else {
            return Err(Full::Requests);
        };
        let (place, mut receiver) = self.join(priority, pending.most)?;
        self.admit_waiting();
        let waited = timeout(pending.time, &mut receiver).await;
        drop(place);
        match waited {
            Ok(Ok(entered)) => Ok(entered),
            Ok(Err(_)) => Err(Full::Displaced),
            // It may have been let in between the end of its time and now.
            Err(_) => receiver.try_recv().map_err(|_| Full::PendingTime),
        }
    }

    fn entered(self: &Arc<Self>, counted: bool) -> Entered {
        Entered {
            upstream: self.clone(),
            counted,
        }
    }

    /// Takes a place in the queue; where it is full, that of the last of a lower priority.
    fn join(
        &self,
        priority: u8,
        most: u32,
    ) -> Result<(Waiting<'_>, oneshot::Receiver<Entered>), Full> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.breaker.queue();
        if queue.waiting.len() >= most as usize {
            let last = queue.waiting.last_entry();
            let less_urgent = last.filter(|last| last.key().0.0 < priority);
            // Its sender is dropped, and so it hears of it.
            less_urgent.ok_or(Full::Pending)?.remove();
        }
        let turn = (Reverse(priority), queue.next);
        queue.next += 1;
        queue.waiting.insert(turn, sender);
        self.note_waiting(&queue);
        let place = Waiting {
            upstream: self,
            turn,
        };
        Ok((place, receiver))
    }

    fn note_waiting(&self, queue: &Queue) {
        let waiting = queue.waiting.len() as u32;
        self.breaker.waiting.store(waiting, Ordering::SeqCst);
    }

    /// Lets those in who wait, as many as there is room for.
    pub(super) fn admit_waiting(self: &Arc<Self>) {
        // Who has gone leaves its room: that is told when the lock is free again, as it looks for the next who waits.
        let mut unwanted = Vec::new();
        let mut queue = self.breaker.queue();
        while !queue.waiting.is_empty() && self.breaker.take() {
            let entered = self.entered(true);
            let first = queue.waiting.pop_first();
            let sent = first.map(|(_, sender)| sender.send(entered));
            if let Some(Err(entered)) = sent {
                unwanted.push(entered);
            }
        }
        self.note_waiting(&queue);
        drop(queue);
    }

    pub(super) fn limit_requests(self: &Arc<Self>, limits: &LimitSettings) {
        let limit = limits.requests.unwrap_or(NONE);
        self.breaker.limit.store(limit, Ordering::SeqCst);
        self.admit_waiting();
    }
}

/// A place in the queue, given up when it is dropped.
struct Waiting<'a> {
    upstream: &'a Upstream,
    turn: Turn,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = self.upstream.breaker.queue();
        queue.waiting.remove(&self.turn);
        self.upstream.note_waiting(&queue);
    }
}

/// A connection that is counted as open. Dropping it counts it as closed.
#[derive(Debug)]
#[must_use]
pub struct Connected {
    pub(super) upstream: Arc<Upstream>,
    pub(super) endpoint: Arc<super::Endpoint>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let count = |count: &AtomicU32| count.fetch_sub(1, Ordering::Relaxed);
        count(&self.endpoint.load.connections);
        count(&self.upstream.breaker.connections);
    }
}

/// A retry that is under way. Dropping it ends it.
#[derive(Debug)]
#[must_use]
pub struct Retrying {
    pub(super) upstream: Arc<Upstream>,
}

impl Drop for Retrying {
    fn drop(&mut self) {
        let retries = &self.upstream.breaker.retries;
        retries.fetch_sub(1, Ordering::Relaxed);
    }
}

/// No limit.
pub(super) const NONE: u32 = u32::MAX;
