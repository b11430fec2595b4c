//! A bounded queue between the workers, which never wait for it, and threads that do.
//! Not for values that come back: those have a channel of their own. Start at [`Queue`].

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue of jobs that each weigh something.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    jobs: VecDeque<(usize, T)>,
    weight: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                weight: 0,
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    /// Adds a job unless the queue would hold more than `most` with it, or is closed; the job comes back then.
    pub(super) fn push(&self, job: T, weight: usize, most: usize) -> Result<(), T> {
        let mut state = lock(&self.state);
        let with = state.weight.saturating_add(weight);
        if state.closed || with > most {
            return Err(job);
        }
        state.weight = with;
        state.jobs.push_back((weight, job));
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// The next job; waits for one. `None` when the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            if let Some((weight, job)) = state.jobs.pop_front() {
                state.weight -= weight;
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next job, if one comes in time; otherwise whether the queue is still open.
    pub(super) fn pop_within(&self, limit: Duration) -> Result<Option<T>, Closed> {
        let state = lock(&self.state);
        let (mut state, _) = self
            .filled
            .wait_timeout_while(state, limit, |state| state.jobs.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        match state.jobs.pop_front() {
            Some((weight, job)) => {
                state.weight -= weight;
                Ok(Some(job))
            }
            None if state.closed => Err(Closed),
            None => Ok(None),
        }
    }

    /// Whether nothing more will come.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// No more jobs; those that wait are still given out.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.filled.notify_all();
    }
}

/// The queue is closed and empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed;

/// Locks; what a thread that panicked left behind is used on: nothing here is left half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
