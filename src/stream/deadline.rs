//! A timer for one connection that costs next to nothing to move.
//! Not a timeout of a future: it says when it expired, and the connection decides what that means.
//! Start at [`LazyDeadline::set`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

/// One deadline that its connection moves often and that rarely comes.
///
/// Moving it later is one store: the runtime's timer stays where it is, fires early, and is then set again. Only a
/// deadline earlier than the registered one touches the timer at once. One task at a time may wait for it.
#[derive(Default)]
pub struct LazyDeadline {
    wanted: Cell<Option<Instant>>,
    timer: RefCell<Timer>,
}

#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Who waits; with a timer, also who is registered with it.
    waiter: Option<Waker>,
}

impl LazyDeadline {
    /// A deadline that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the deadline. A task that waits is woken when it comes.
    pub fn set(&self, at: Instant) {
        let before = self.wanted.replace(Some(at));
        if before.is_some_and(|before| before <= at) {
            return;
        }
        let mut timer = self.timer.borrow_mut();
        match &mut timer.sleep {
            Some(sleep) if at < sleep.deadline() => sleep.as_mut().reset(at),
            Some(sleep) if !sleep.is_elapsed() => return,
            Some(_) | None => {}
        }
        // The waiter has to look: nothing is registered for it, or perhaps no longer.
        if let Some(waiter) = timer.waiter.take() {
            waiter.wake();
        }
    }

    /// Takes the deadline away: it does not expire until it is set again.
    pub fn clear(&self) {
        self.wanted.set(None);
    }

    /// The deadline as it stands.
    pub fn get(&self) -> Option<Instant> {
        self.wanted.get()
    }

    /// Ready once the deadline has passed, and again at every later call until it is moved.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.timer.borrow_mut();
        let timer = &mut *timer;
        let registered = timer
            .waiter
            .as_ref()
            .is_some_and(|waiter| waiter.will_wake(cx.waker()));
        let Some(wanted) = self.wanted.get() else {
            // A timer that still runs must know this waiter: set() relies on it.
            let known = |sleep: &mut Pin<Box<Sleep>>| register(sleep, cx) || sleep.is_elapsed();
            if !registered && timer.sleep.as_mut().is_none_or(known) {
                timer.waiter = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        let sleep = timer
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(wanted)));
        if registered && !sleep.is_elapsed() && sleep.deadline() <= wanted {
            return Poll::Pending;
        }
        timer.waiter = None;
        if sleep.is_elapsed() && sleep.deadline() < wanted {
            sleep.as_mut().reset(wanted);
        }
        if register(sleep, cx) {
            timer.waiter = Some(cx.waker().clone());
        }
        if sleep.is_elapsed() && wanted <= sleep.deadline() {
            return Poll::Ready(());
        }
        if sleep.is_elapsed() {
            // It came between the two looks, too early for the deadline as moved.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Waits until the deadline has passed. Cancel-safe.
    pub async fn expired(&self) {
        poll_fn(|cx| self.poll_expired(cx)).await;
    }
}

/// Whether the task is now registered with the timer. It is not if the timer fired, nor if the task has used up its
/// budget: then it is woken soon, and must ask again.
fn register(sleep: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> bool {
    if !has_budget_remaining() {
        cx.waker().wake_by_ref();
        return false;
    }
    sleep.as_mut().poll(cx).is_pending()
}

impl fmt::Debug for LazyDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LazyDeadline")
            .field(&self.wanted.get())
            .finish()
    }
}
