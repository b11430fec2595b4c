//! One handle for every task of a worker: it spawns, it counts, and it tells when to drain.
//! Not a scheduler: tokio's current-thread runtime runs the tasks.
//! Start at [`Lifeline::spawn`]; nothing else in the crate spawns.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;

/// What is left of a connection's life once its negotiation is over. A future of its own, so that what the negotiation
/// needed is given back: tunnels live long, and there are many.
pub type Tail = Pin<Box<dyn Future<Output = ()>>>;

/// A worker's lifeline; clones share one drain signal and one count.
#[derive(Debug, Clone, Default)]
pub struct Lifeline(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    draining: Cell<bool>,
    handed_over: Cell<bool>,
    drain: Notify,
    tasks: Cell<usize>,
    idle: Notify,
}

impl Lifeline {
    /// A lifeline without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task on this worker. A panic ends that task alone: tokio catches it, and the count is kept by a guard.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let guard = Guard::new(&self.0);
        // Not an `async` block: it would have room for the task twice, to capture it and to wait for it.
        let counted = task.map(move |()| drop(guard));
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        tokio::task::spawn_local(counted);
    }

    /// Runs a task that a drain does not wait for: housekeeping that never ends by itself.
    pub fn spawn_background(&self, task: impl Future<Output = ()> + 'static) {
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        tokio::task::spawn_local(task);
    }

    /// Runs a task in the background that must not be missing: one that panics is begun anew, a second later. `what` it does is for
    /// the log.
    pub fn spawn_anew<F: Future<Output = ()>>(
        &self,
        what: String,
        mut begin: impl FnMut() -> F + 'static,
    ) {
        self.spawn_background(async move {
            loop {
                let mut task = Box::pin(begin());
                let polled = std::future::poll_fn(|cx| {
                    let poll = AssertUnwindSafe(|| task.as_mut().poll(cx));
                    match catch_unwind(poll) {
                        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
                        Ok(Poll::Pending) => Poll::Pending,
                        Err(panic) => Poll::Ready(Err(panic)),
                    }
                });
                let Err(_panic) = polled.await else {
                    return;
                };
                tracing::error!("{what}: this broke down, and is begun anew");
                drop(task);
                tokio::time::sleep(ANEW).await;
            }
        });
    }

    /// Starts the drain: [`Lifeline::draining`] returns everywhere.
    pub fn drain(&self) {
        self.0.draining.set(true);
        self.0.drain.notify_waiters();
    }

    /// Starts the drain of a process whose listening sockets another one has: nobody is to notice. Clients that are idle may
    /// have sent a request already, so they are closed a little later ([`Lifeline::parting`]).
    pub fn hand_over(&self) {
        self.0.handed_over.set(true);
        self.drain();
    }

    /// How long clients that are idle are kept once the drain has begun.
    pub fn patience(&self) -> Duration {
        if self.0.handed_over.get() {
            PATIENCE
        } else {
            Duration::ZERO
        }
    }

    /// Waits until the drain has begun and clients that are idle are kept no longer. Cancel-safe.
    pub async fn parting(&self) {
        self.draining().await;
        let patience = self.patience();
        if !patience.is_zero() {
            tokio::time::sleep(patience).await;
        }
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Waits until the drain begins. Cancel-safe.
    pub async fn draining(&self) {
        let notified = self.0.drain.notified();
        if !self.is_draining() {
            notified.await;
        }
    }

    /// How many tasks are running.
    pub fn tasks(&self) -> usize {
        self.0.tasks.get()
    }

    /// Waits until no task is left. Cancel-safe.
    pub async fn finished(&self) {
        while self.0.tasks.get() > 0 {
            self.0.idle.notified().await;
        }
    }
}

/// Long enough for a request that was on its way, and for the next one of a client that asks without a pause.
const PATIENCE: Duration = Duration::from_secs(5);

/// Until a task that broke down is begun anew: what breaks down at once must not keep the thread busy.
const ANEW: Duration = Duration::from_secs(1);

struct Guard(Rc<Shared>);

impl Guard {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.tasks.set(shared.tasks.get() + 1);
        Self(shared.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let left = self.0.tasks.get() - 1;
        self.0.tasks.set(left);
        if left == 0 {
            self.0.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_must_not_be_missing_is_begun_anew_until_it_ends_by_itself() {
        let (sender, mut begun) = mpsc::unbounded_channel();
        let run = async move {
            let life = Lifeline::new();
            let mut times = 0;
            life.spawn_anew("counting".to_owned(), move || {
                times += 1;
                let sender = sender.clone();
                async move {
                    tokio::task::yield_now().await;
                    sender.send(times).expect("it is waited for");
                    assert!(times > 2, "this breaks down on purpose");
                }
            });
            let mut all = Vec::new();
            while let Some(time) = begun.recv().await {
                all.push(time);
            }
            all
        };
        // The channel ends with the task, and so with what begins it.
        assert_eq!(LocalSet::new().run_until(run).await, [1, 2, 3]);
    }
}
