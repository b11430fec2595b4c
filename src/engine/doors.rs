//! What a worker listens by: its sockets, and how each leads to its mode.
//! Not the orders of the main loop (worker), and no protocol (listener, mode).
//! Start at [`Doors::open`].

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;
use http::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::colleagues::{Colleagues, Passed, Share};
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
use crate::relay::{Caller, Parts, Refusal, Relay};
use crate::report::Protocol;

/// Where the doors of a worker lead.
pub(super) struct Doors {
    intakes: RefCell<HashMap<Arc<str>, Arc<Intake>>>,
    open: RefCell<HashMap<Key, Vec<Opened>>>,
    /// Those that the last reload closed: others may have accepted for them before they heard of it.
    closed: RefCell<HashMap<Key, Rc<Door>>>,
    parts: Rc<Parts>,
    colleagues: Colleagues,
}

/// A door that is open.
struct Opened {
    door: Rc<Door>,
    stop: Rc<Notify>,
}

impl Doors {
    pub(super) fn new(snapshot: &Snapshot, parts: Rc<Parts>, colleagues: Colleagues) -> Rc<Self> {
        Rc::new(Self {
            intakes: RefCell::new(snapshot.intakes.clone()),
            open: RefCell::default(),
            closed: RefCell::default(),
            parts,
            colleagues,
        })
    }

    /// Follows another snapshot from now on.
    pub(super) fn replace(&self, snapshot: &Snapshot) {
        self.closed.borrow_mut().clear();
        self.intakes.replace(snapshot.intakes.clone());
        self.parts.pool.replace(snapshot.origin.clone());
        self.parts.replace(
            snapshot.services.clone(),
            snapshot.interception.clone(),
            snapshot.cache.clone(),
            Some(snapshot.dns.build()),
        );
    }

    /// Accepts connections from a socket.
    pub(super) fn open(
        self: &Rc<Self>,
        key: Key,
        mode: &'static Entry,
        socket: std::net::TcpListener,
    ) {
        let socket = TcpListener::from_std(socket);
        self.begin(key, mode, socket, accept::run);
    }

    /// Receives datagrams from a socket.
    pub(super) fn open_datagrams(
        self: &Rc<Self>,
        key: Key,
        mode: &'static Entry,
        socket: std::net::UdpSocket,
    ) {
        let socket = Datagrams::new(socket);
        self.begin(key, mode, socket, |socket, door, life, stop| {
            let mode = door.mode.clone();
            mode.datagrams(socket, Rc::new(move || door.intake()), life, stop)
        });
    }

    /// Makes a door for a socket, and lets it be served until it is closed.
    fn begin<S, F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        key: Key,
        mode: &'static Entry,
        socket: io::Result<S>,
        serve: impl FnOnce(S, Rc<Door>, Lifeline, Rc<Notify>) -> F,
    ) {
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, listener = %key.listener, "cannot use a socket");
                return;
            }
        };
        let Some(door) = self.door(&key, mode) else {
            return;
        };
        let (life, stop) = (&self.parts.life, Rc::new(Notify::new()));
        life.spawn(serve(socket, door.clone(), life.clone(), stop.clone()));
        let mut open = self.open.borrow_mut();
        open.entry(key).or_default().push(Opened { door, stop });
    }

    /// Accepts nothing more from the sockets of a key.
    pub(super) fn close(&self, key: &Key) {
        for Opened { door, stop } in self.open.borrow_mut().remove(key).into_iter().flatten() {
            stop.notify_one();
            self.closed.borrow_mut().insert(key.clone(), door);
        }
    }

    /// Forgets all doors: each holds this in turn.
    pub(super) fn clear(&self) {
        self.open.borrow_mut().clear();
        self.closed.borrow_mut().clear();
    }

    /// Serves a connection that another worker has accepted.
    pub(super) fn take(self: &Rc<Self>, passed: Passed) {
        let Passed {
            key,
            mode,
            stream,
            peer,
            share,
        } = passed;
        // Whoever passed it may have heard of this listener earlier, or of its end later.
        let open = self.open.borrow().get(&key).and_then(|doors| {
            let first = doors.first()?;
            Some(first.door.clone())
        });
        let closed = || self.closed.borrow().get(&key).cloned();
        let Some(door) = open.or_else(closed).or_else(|| self.door(&key, mode)) else {
            return;
        };
        match TcpStream::from_std(stream) {
            Ok(stream) => accept::serve(stream, peer, share, &door, &self.parts.life),
            // Nothing can be told to the client.
            Err(error) => tracing::debug!(%error, "cannot serve a connection of another worker"),
        }
    }

    fn door(self: &Rc<Self>, key: &Key, mode: &'static Entry) -> Option<Rc<Door>> {
        let service = self.parts.service(&key.listener)?;
        let intake = self.intakes.borrow().get(&key.listener).cloned()?;
        let means = Means {
            relay: Relay::new(self.parts.clone()),
            service,
        };
        Some(Rc::new(Door {
            all: self.clone(),
            key: key.clone(),
            entry: mode,
            last_intake: RefCell::new(intake),
            mode: (mode.build)(means.clone()),
            means,
        }))
    }
}

/// One socket's way to its mode.
struct Door {
    all: Rc<Doors>,
    key: Key,
    entry: &'static Entry,
    last_intake: RefCell<Arc<Intake>>,
    mode: Rc<dyn Mode>,
    means: Means,
}

impl Taker for Door {
    type Share = Share;

    fn intake(&self) -> Arc<Intake> {
        if let Some(intake) = self.all.intakes.borrow().get(&self.key.listener) {
            self.last_intake.replace(intake.clone());
        }
        // A listener that a reload took away still finishes what it has accepted, by what it last accepted.
        self.last_intake.borrow().clone()
    }

    async fn serve(&self, conn: Conn) -> Option<Tail> {
        self.mode
            .clone()
            .serve(conn, self.all.parts.life.clone())
            .await
    }

    fn pass_on(&self, stream: TcpStream, peer: SocketAddr) -> Option<(TcpStream, Share)> {
        let colleagues = &self.all.colleagues;
        // Who drains passes nothing on: others may be gone before it is.
        let passes = !self.all.parts.life.is_draining();
        let Some(share) = passes.then(|| colleagues.with_fewer()).flatten() else {
            return Some((stream, colleagues.own()));
        };
        let back = stream.into_std().and_then(|stream| {
            let passed = Passed {
                key: self.key.clone(),
                mode: self.entry,
                stream,
                peer,
                share,
            };
            passed.send().err().map(TcpStream::from_std).transpose()
        });
        match back {
            Ok(back) => Some((back?, colleagues.own())),
            Err(error) => {
                tracing::debug!(%error, "cannot pass a connection on");
                None
            }
        }
    }

    fn accepted(&self) -> impl Sized + 'static {
        self.all.parts.counters.accepted()
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
            self.all.parts.counters.connections_refused.bump();
        }
    }
}
