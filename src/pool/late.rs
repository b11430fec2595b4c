//! The rest of a request whose response came early (RFC 9112 §9.5): it flows on beside the response, in a task of its own, so
//! that a client which sends all before it reads does not stand still.
//! Not the usual way: a request that is whole when its response comes never gets here.
//! Start at [`Late::spawn`].

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::lifeline::Lifeline;
use crate::stream::WriteHalf;

/// A request that is still being sent. Dropped, it stops, unless it was let go.
#[derive(Debug)]
pub(super) struct Late(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    sent: RefCell<Option<WriteHalf>>,
    let_go: Cell<bool>,
    stop: Notify,
}

impl Late {
    /// Runs `sending` until the request is whole, its body fails, or nobody wants it any more. It gives the writing side of a
    /// connection that can be used again.
    pub(super) fn spawn(
        life: &Lifeline,
        sending: impl Future<Output = Option<WriteHalf>> + 'static,
    ) -> Self {
        let shared = Rc::new(Shared::default());
        let of_task = shared.clone();
        life.spawn(async move {
            let sent = tokio::select! {
                biased;
                () = of_task.stop.notified() => None,
                sent = sending => sent,
            };
            *of_task.sent.borrow_mut() = sent;
        });
        Self(shared)
    }

    /// The response is whole. Gives the writing side of the connection if the request is whole too; else lets it go on to its
    /// own end, as the origin may want the rest of it. Every wait in there is bounded by the limits of both sides.
    pub(super) fn finish(self) -> Option<WriteHalf> {
        self.0.let_go.set(true);
        self.0.sent.borrow_mut().take()
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        if !self.0.let_go.get() {
            self.0.stop.notify_one();
        }
    }
}
