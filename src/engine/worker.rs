//! One worker: a thread with a current-thread runtime, its own sockets, pool and records; it follows commands of the main loop.
//! Serves nothing itself (doors, mode).
//! Start at [`Worker::start`].

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use super::colleagues::{Colleagues, Received};
use super::doors::Doors;
use super::listeners::Key;
use super::snapshot::Snapshot;
use crate::lifeline::Lifeline;
use crate::mode::Entry;
use crate::pool::Pool;
use crate::relay::Parts;
use crate::report::Reporter;

/// A question to a worker's parts, answered on its thread.
type Question = Box<dyn FnOnce(&Rc<Parts>) + Send>;

/// What a worker is told.
pub(super) enum Command {
    /// Follow this from now on.
    Replace(Arc<Snapshot>),
    /// Accept from these sockets.
    Open(Vec<(Key, &'static Entry, std::net::TcpListener)>),
    /// Receive datagrams from these sockets.
    OpenDatagrams(Vec<(Key, &'static Entry, std::net::UdpSocket)>),
    /// Accept from this one no longer.
    Close(Key),
    /// Let open tunnels be judged again.
    JudgeAgain,
    /// Answer a question.
    Ask(Question),
    /// Accept nothing more; end when everything has ended, or when the time is over.
    Drain(Duration),
    /// The same, where another process has the sockets and goes on.
    HandOver(Duration),
}

/// A worker as the main loop knows it.
#[derive(Debug)]
pub(super) struct Worker {
    line: Line,
    thread: std::thread::JoinHandle<()>,
}

/// The way to a worker. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Line(mpsc::UnboundedSender<Command>);

/// What comes to a worker.
struct Inbox {
    commands: mpsc::UnboundedReceiver<Command>,
    received: Received,
}

/// Tells that a worker's thread is over when it is dropped: also by a panic, which nobody else would notice.
struct Ending {
    number: u16,
    ended: mpsc::UnboundedSender<u16>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // The main loop may be gone already: then nobody counts.
        let _ = self.ended.send(self.number);
    }
}

impl Worker {
    pub(super) fn start(
        number: u16,
        (colleagues, received): (Colleagues, Received),
        snapshot: Arc<Snapshot>,
        reporter: Reporter,
        ended: mpsc::UnboundedSender<u16>,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let inbox = Inbox {
            commands: inbox,
            received,
        };
        let ending = Ending { number, ended };
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let _ending = ending;
                let runtime = Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default());
                match runtime {
                    Ok(runtime) => {
                        runtime.block_on(run((number, colleagues), &snapshot, reporter, inbox));
                    }
                    Err(error) => tracing::error!(%error, "cannot build the runtime of a worker"),
                }
            })?;
        let line = Line(commands);
        Ok(Self { line, thread })
    }

    /// The way to it.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Waits for its end; `false` if that was a panic. Ends one that was not drained.
    pub(super) fn join(self) -> bool {
        drop(self.line);
        let ended = self.thread.join().is_ok();
        if !ended {
            tracing::error!("a worker ended with a panic");
        }
        ended
    }
}

impl Line {
    /// Tells it. A worker that has ended takes nothing more.
    pub(super) fn tell(&self, command: Command) {
        let _ = self.0.send(command);
    }

    /// Tells it that an endpoint is gone: connections to it are of no use any more.
    pub(super) fn forget(&self, address: SocketAddr) {
        self.tell(Command::Ask(Box::new(move |parts| {
            parts.pool.forget(address);
        })));
    }

    /// Asks and waits for the answer; `None` where the worker has ended.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Rc<Parts>) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        self.tell(Command::Ask(Box::new(move |parts| {
            // Who asked may have gone.
            let _ = sender.send(question(parts));
        })));
        tokio::time::timeout(Duration::from_secs(5), answer)
            .await
            .ok()?
            .ok()
    }
}

async fn run(
    (number, colleagues): (u16, Colleagues),
    snapshot: &Arc<Snapshot>,
    reporter: Reporter,
    mut inbox: Inbox,
) {
    let life = Lifeline::new();
    let pool = Pool::new(snapshot.origin.clone(), life.clone());
    let parts = Rc::new(Parts::new(
        number,
        snapshot.dns.build(),
        pool,
        reporter,
        life.clone(),
    ));
    parts.replace(
        snapshot.services.clone(),
        snapshot.interception.clone(),
        snapshot.cache.clone(),
        None,
    );
    let doors = Doors::new(snapshot, parts.clone(), colleagues);
    life.spawn_background(sweep(parts.clone()));
    loop {
        let command = tokio::select! {
            biased;
            command = inbox.commands.recv() => command,
            Some(passed) = inbox.received.recv() => {
                doors.take(passed);
                continue;
            }
        };
        let Some(command) = command else { break };
        match command {
            Command::Replace(snapshot) => doors.replace(&snapshot),
            Command::Open(sockets) => {
                for (key, mode, socket) in sockets {
                    doors.open(key, mode, socket);
                }
            }
            Command::OpenDatagrams(sockets) => {
                for (key, mode, socket) in sockets {
                    doors.open_datagrams(key, mode, socket);
                }
            }
            Command::Close(key) => doors.close(&key),
            Command::JudgeAgain => parts.judge_again(),
            Command::Ask(question) => question(&parts),
            Command::Drain(limit) => {
                parts.life.drain();
                break drain(&parts, &doors, inbox, limit).await;
            }
            Command::HandOver(limit) => {
                parts.life.hand_over();
                break drain(&parts, &doors, inbox, limit).await;
            }
        }
    }
    doors.clear();
}

/// Waits for what is under way; questions are still answered meanwhile, and what others passed on before they drained is served.
async fn drain(parts: &Rc<Parts>, doors: &Rc<Doors>, mut inbox: Inbox, limit: Duration) {
    let over = tokio::time::sleep(limit);
    tokio::pin!(over);
    loop {
        tokio::select! {
            biased;
            Some(passed) = inbox.received.recv() => doors.take(passed),
            command = inbox.commands.recv() => match command {
                Some(Command::Ask(question)) => question(parts),
                // A second drain is one that can not wait.
                Some(Command::Drain(limit)) => over.as_mut().reset(tokio::time::Instant::now() + limit),
                Some(Command::Replace(_) | Command::Open(_) | Command::OpenDatagrams(_) | Command::Close(_) | Command::JudgeAgain | Command::HandOver(_)) => {}
                None => return,
            },
            () = parts.life.finished() => {
                // From now on others keep what they accept. What they have passed on before that is the last.
                inbox.received.close();
                match inbox.received.try_recv() {
                    Ok(passed) => doors.take(passed),
                    Err(_) => return,
                }
            }
            () = &mut over => {
                tracing::warn!(worker = parts.worker, left = parts.life.tasks(), "the time of the drain is over; what is left is cut");
                return;
            }
        }
    }
}

async fn sweep(parts: Rc<Parts>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(2));
    loop {
        ticks.tick().await;
        parts.pool.sweep();
    }
}
