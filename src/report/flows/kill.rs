//! A switch that is thrown at most once, and a future that waits for it. Single-threaded.
//! Not a channel: it costs nothing while nobody waits, and little while nobody throws it.
//! Start at [`KillSwitch::kill`].

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use super::Flow;

/// Thrown or not, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct KillSwitch {
    reason: OnceCell<Arc<str>>,
    waiting: RefCell<SmallVec<[(u64, Waker); 1]>>,
    next: Cell<u64>,
}

impl KillSwitch {
    /// Throws it. `false` where it was thrown before.
    pub(super) fn kill(&self, reason: Arc<str>) -> bool {
        let first = self.reason.set(reason).is_ok();
        // Taken out first: a waker may drop its future at once, which looks at this list.
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
        first
    }

    pub(super) fn reason(&self) -> Option<Arc<str>> {
        self.reason.get().cloned()
    }

    /// Notes who to wake under the waiter's ticket; without one, gives it one.
    fn wait(&self, ticket: &mut Option<u64>, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        let known = waiting
            .iter_mut()
            .find(|(owner, _)| Some(*owner) == *ticket);
        if let Some((_, old)) = known {
            old.clone_from(waker);
            return;
        }
        let number = self.next.get();
        self.next.set(number + 1);
        *ticket = Some(number);
        waiting.push((number, waker.clone()));
    }

    fn leave(&self, ticket: u64) {
        // The waker is dropped after the borrow ends, as dropping it may run anything.
        let left = {
            let mut waiting = self.waiting.borrow_mut();
            let place = waiting.iter().position(|(owner, _)| *owner == ticket);
            place.map(|place| waiting.swap_remove(place))
        };
        drop(left);
    }
}

/// Waits for a flow to be killed, and gives the reason.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Killed {
    flow: Rc<Flow>,
    ticket: Option<u64>,
}

impl Killed {
    pub(super) fn new(flow: Rc<Flow>) -> Self {
        Self { flow, ticket: None }
    }
}

impl Future for Killed {
    type Output = Arc<str>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Arc<str>> {
        let this = &mut *self;
        if let Some(reason) = this.flow.switch.reason() {
            return Poll::Ready(reason);
        }
        this.flow.switch.wait(&mut this.ticket, context.waker());
        Poll::Pending
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.flow.switch.leave(ticket);
        }
    }
}
