//! The thread on which upstreams are looked after: probes, names and files do not wait for a worker, nor a worker for them.
//! Not what is done there (probe).
//! Start at [`Upkeep::follow`].

use std::net::SocketAddr;
use std::sync::mpsc::{self as blocking, RecvTimeoutError};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use super::worker::{Line, Worker};
use crate::lifeline::Lifeline;
use crate::probe::{Keeper, Plan};
use crate::upstream::FIRST_LOOK;

/// The thread, where there are upstreams.
#[derive(Debug)]
pub(super) struct Upkeep {
    workers: Vec<Line>,
    running: Option<Running>,
    /// Told when what was new has been asked once.
    asked: Option<blocking::Receiver<()>>,
}

#[derive(Debug)]
struct Running {
    orders: mpsc::UnboundedSender<Order>,
    thread: JoinHandle<()>,
    /// What is in force, for a thread that takes the place of one that broke down.
    plan: Plan,
}

/// What to look after from now on.
#[derive(Debug)]
struct Order {
    plan: Plan,
    /// Told when each new source of endpoints has been asked once.
    asked: blocking::Sender<()>,
}

impl Upkeep {
    /// Has these looked after, as in [`Upkeep::follow`]. The workers are told of endpoints that have gone.
    pub(super) fn start(workers: &[Worker], plan: Plan) -> Self {
        let lines = workers.iter().map(|worker| worker.line().clone());
        let mut upkeep = Self {
            workers: lines.collect(),
            running: None,
            asked: None,
        };
        upkeep.follow(plan);
        upkeep
    }

    /// Has these looked after from now on. What is new among names and files is asked at once; requests for their upstreams wait for
    /// that, and nobody else does.
    pub(super) fn follow(&mut self, plan: Plan) {
        if self.running.is_none() && plan.upstreams.is_empty() {
            return;
        }
        let (asked, waiting) = blocking::channel();
        let order = Order {
            plan: plan.clone(),
            asked,
        };
        match &mut self.running {
            Some(running) => {
                running.plan = plan;
                // One that has broken down is found by the next look.
                let _ = running.orders.send(order);
            }
            None => self.running = start(order, &self.workers),
        }
        self.asked = Some(waiting);
    }

    /// Waits until what is new has been asked once, so that who hears that a configuration is in force finds its endpoints; but not
    /// long.
    pub(super) fn wait(&mut self) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        if asked.recv_timeout(FIRST_LOOK) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                "not all endpoints are known yet: their names are still being looked up"
            );
        }
    }

    /// Starts a thread anew that has broken down: without it, nobody would know who is well.
    pub(super) fn look(&mut self) {
        let broken = |running: &mut Running| running.thread.is_finished();
        if let Some(running) = self.running.take_if(broken) {
            tracing::error!("the thread that looks after upstreams broke down; it is started anew");
            self.follow(running.plan);
            self.asked = None;
        }
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        self.running = None;
    }
}

fn start(order: Order, workers: &[Line]) -> Option<Running> {
    let (orders, inbox) = mpsc::unbounded_channel();
    let plan = order.plan.clone();
    let workers = workers.to_vec();
    let thread = std::thread::Builder::new()
        .name("upkeep".to_owned())
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!(%error, "cannot build the runtime for upstreams");
                    return;
                }
            };
            runtime.block_on(run(order, inbox, workers));
            // A disk that does not answer is not waited for.
            runtime.shutdown_background();
        });
    match thread {
        Ok(thread) => Some(Running {
            orders,
            thread,
            plan,
        }),
        Err(error) => {
            tracing::error!(%error, "cannot start the thread that looks after upstreams");
            None
        }
    }
}

/// Until nobody gives orders any more.
async fn run(first: Order, mut inbox: mpsc::UnboundedReceiver<Order>, workers: Vec<Line>) {
    let life = Lifeline::new();
    let forget = move |address: SocketAddr| {
        for worker in &workers {
            worker.forget(address);
        }
    };
    let mut keeper = Keeper::new(&first.plan, life.clone(), forget);
    let mut next = Some(first);
    while let Some(order) = next {
        let asked = keeper.follow(order.plan);
        life.spawn_background(async move {
            asked.await;
            // Who waited may have lost patience.
            let _ = order.asked.send(());
        });
        next = inbox.recv().await;
    }
}
