//! One worker: a thread with a current-thread runtime, its own sockets, pool and records; it follows commands of the main loop.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use super::listeners::Key;
use super::snapshot::Snapshot;
use crate::gate::Seen;
use crate::lifeline::{Lifeline, Tail};
use crate::listener::Intake;
use crate::listener::accept::{self, Dropped, Taker};
use crate::listener::http::Trouble;
use crate::listener::{Conn, Datagrams};
use crate::message::{Body, Interim};
use crate::mode::{Entry, Means, Mode};
use crate::pool::Pool;
use crate::relay::{Caller, Parts, Refusal, Relay};
use crate::report::{Protocol, Reporter};

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
        snapshot: Arc<Snapshot>,
        reporter: Reporter,
        ended: mpsc::UnboundedSender<u16>,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let ending = Ending { number, ended };
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let _ending = ending;
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                match runtime {
                    Ok(runtime) => tokio::task::LocalSet::new()
                        .block_on(&runtime, run(number, &snapshot, reporter, inbox)),
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
    number: u16,
    snapshot: &Arc<Snapshot>,
    reporter: Reporter,
    mut inbox: mpsc::UnboundedReceiver<Command>,
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
    let floor = Rc::new(Floor {
        intakes: RefCell::new(snapshot.intakes.clone()),
        parts: parts.clone(),
    });
    life.spawn_background(sweep(parts.clone()));
    let mut doors: HashMap<Key, Vec<Rc<Notify>>> = HashMap::new();
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Replace(snapshot) => floor.replace(&snapshot),
            Command::Open(sockets) => {
                for (key, mode, socket) in sockets {
                    if let Some(stop) = floor.open(&key, mode, socket) {
                        doors.entry(key).or_default().push(stop);
                    }
                }
            }
            Command::OpenDatagrams(sockets) => {
                for (key, mode, socket) in sockets {
                    if let Some(stop) = floor.open_datagrams(&key, mode, socket) {
                        doors.entry(key).or_default().push(stop);
                    }
                }
            }
            Command::Close(key) => {
                for stop in doors.remove(&key).unwrap_or_default() {
                    stop.notify_one();
                }
            }
            Command::JudgeAgain => parts.judge_again(),
            Command::Ask(question) => question(&parts),
            Command::Drain(limit) => {
                parts.life.drain();
                return drain(&parts, inbox, limit).await;
            }
            Command::HandOver(limit) => {
                parts.life.hand_over();
                return drain(&parts, inbox, limit).await;
            }
        }
    }
}

/// Waits for what is under way; questions are still answered meanwhile.
async fn drain(parts: &Rc<Parts>, mut inbox: mpsc::UnboundedReceiver<Command>, limit: Duration) {
    let over = tokio::time::sleep(limit);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = parts.life.finished() => return,
            () = &mut over => {
                tracing::warn!(worker = parts.worker, left = parts.life.tasks(), "the time of the drain is over; what is left is cut");
                return;
            }
            command = inbox.recv() => match command {
                Some(Command::Ask(question)) => question(parts),
                // A second drain is one that can not wait.
                Some(Command::Drain(limit)) => over.as_mut().reset(tokio::time::Instant::now() + limit),
                Some(Command::Replace(_) | Command::Open(_) | Command::OpenDatagrams(_) | Command::Close(_) | Command::JudgeAgain | Command::HandOver(_)) => {}
                None => return,
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

/// Where the doors of a worker lead.
struct Floor {
    intakes: RefCell<HashMap<Arc<str>, Arc<Intake>>>,
    parts: Rc<Parts>,
}

impl Floor {
    fn replace(&self, snapshot: &Snapshot) {
        self.intakes.replace(snapshot.intakes.clone());
        self.parts.pool.replace(snapshot.origin.clone());
        self.parts.replace(
            snapshot.services.clone(),
            snapshot.interception.clone(),
            snapshot.cache.clone(),
            Some(snapshot.dns.build()),
        );
    }

    fn open(
        self: &Rc<Self>,
        key: &Key,
        mode: &'static Entry,
        socket: std::net::TcpListener,
    ) -> Option<Rc<Notify>> {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, listener = %key.listener, "cannot use a listening socket");
                return None;
            }
        };
        let door = self.door(key, mode)?;
        let stop = Rc::new(Notify::new());
        self.parts.life.spawn(accept::run(
            socket,
            door,
            self.parts.life.clone(),
            stop.clone(),
        ));
        Some(stop)
    }

    fn open_datagrams(
        self: &Rc<Self>,
        key: &Key,
        mode: &'static Entry,
        socket: std::net::UdpSocket,
    ) -> Option<Rc<Notify>> {
        let socket = match Datagrams::new(socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, listener = %key.listener, "cannot use a datagram socket");
                return None;
            }
        };
        let door = self.door(key, mode)?;
        let (life, stop) = (self.parts.life.clone(), Rc::new(Notify::new()));
        let mode = door.mode.clone();
        let serving = mode.datagrams(
            socket,
            Rc::new(move || door.intake()),
            life.clone(),
            stop.clone(),
        );
        life.spawn(serving);
        Some(stop)
    }

    fn door(self: &Rc<Self>, key: &Key, mode: &'static Entry) -> Option<Rc<Door>> {
        let service = self.parts.service(&key.listener)?;
        let intake = self.intakes.borrow().get(&key.listener).cloned()?;
        let means = Means {
            relay: Relay::new(self.parts.clone()),
            service,
        };
        Some(Rc::new(Door {
            floor: self.clone(),
            listener: key.listener.clone(),
            last_intake: RefCell::new(intake),
            mode: (mode.build)(means.clone()),
            means,
        }))
    }
}

/// One socket's way to its mode.
struct Door {
    floor: Rc<Floor>,
    listener: Arc<str>,
    last_intake: RefCell<Arc<Intake>>,
    mode: Rc<dyn Mode>,
    means: Means,
}

impl Taker for Door {
    fn intake(&self) -> Arc<Intake> {
        if let Some(intake) = self.floor.intakes.borrow().get(&self.listener) {
            self.last_intake.replace(intake.clone());
        }
        // A listener that a reload took away still finishes what it has accepted, by what it last accepted.
        self.last_intake.borrow().clone()
    }

    async fn serve(&self, conn: Conn) -> Option<Tail> {
        self.mode
            .clone()
            .serve(conn, self.floor.parts.life.clone())
            .await
    }

    fn accepted(&self) -> impl Sized + 'static {
        self.floor.parts.counters.accepted()
    }

    fn refuse(&self, client: SocketAddr, trouble: Trouble) -> Response<Body> {
        self.count(trouble);
        let refusal = Refusal::Trouble(trouble);
        self.means
            .relay
            .refuse(&self.caller(client), &refusal, None)
    }

    fn dropped(&self, client: SocketAddr, why: Dropped) {
        let relay = &self.means.relay;
        match why {
            Dropped::Trouble(trouble) => {
                self.count(trouble);
                relay.abandoned(&self.caller(client), &trouble);
            }
            Dropped::Tls(error) => relay.broken_off(&self.caller(client), error.to_string()),
            Dropped::Preface(error) => relay.broken_off(&self.caller(client), error.to_string()),
        }
    }
}

impl Door {
    fn caller(&self, client: SocketAddr) -> Caller {
        Caller {
            service: self.means.relay.service(&self.means.service),
            client,
            local: None,
            protocol: if self.last_intake.borrow().opaque {
                Protocol::Tcp
            } else {
                Protocol::Http11
            },
            interim: Interim::default(),
            within: None,
            hello: Seen::Nothing,
            tls: None,
        }
    }

    fn count(&self, trouble: Trouble) {
        if trouble == Trouble::Connections {
            self.floor.parts.counters.connections_refused.bump();
        }
    }
}
