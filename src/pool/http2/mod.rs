//! HTTP/2 to origins (RFC 9113): one connection carries many requests, each as a stream of its own.
//! Not the choice of a connection (the pool), nor frames and flow control, which are h2's.
//! Start at [`Line::open`] for a connection, and at `exchange` for a request on it.
//!
//! h2 itself and not hyper's client over it: hyper throws interim responses away in HTTP/2 and has no call for them, and what
//! it adds otherwise, a dispatcher with tasks for bodies, exists here already.

mod body;
mod exchange;
mod upload;
mod websocket;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::PingPong;
use h2::client::{Builder, SendRequest};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::outgoing::RESPONSE_HEAD;
use super::places::Place;
use super::shared::Group;
use super::{Failure, Pool};
use crate::message::ProxyError;
use crate::stream::Stream;

/// A connection. When the last reference goes, it closes, once its streams have ended.
#[derive(Debug)]
pub(super) struct Line {
    sender: SendRequest<Bytes>,
    peer: SocketAddr,
    open: Cell<usize>,
    idle_since: Cell<Instant>,
    retired: Cell<bool>,
    /// Who waits for a place on it.
    group: Rc<Group>,
    /// To find out whether the origin has said its settings; taken by who asks first.
    ping: RefCell<Option<PingPong>>,
    answered: Cell<bool>,
    answer: Notify,
    _place: Place,
}

impl Line {
    /// Begins HTTP/2 on a connection. Waits at most `limit` for the origin to take the first bytes.
    pub(super) async fn open(
        stream: Stream,
        peer: SocketAddr,
        (group, place): (Rc<Group>, Place),
        pool: &Pool,
        limit: Duration,
    ) -> Result<Rc<Self>, Failure> {
        let settings = settings();
        let begun = tokio::time::timeout(limit, settings.handshake::<_, Bytes>(stream)).await;
        let (sender, mut connection) = match begun {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => return Err(exchange::failure(&error)),
            Err(_) => {
                return Err(Failure::new(
                    ProxyError::ConnectionTimeout,
                    format!("{peer} took no bytes within {limit:?}"),
                ));
            }
        };
        let line = Rc::new(Self {
            sender,
            peer,
            open: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            retired: Cell::new(false),
            group,
            ping: RefCell::new(connection.ping_pong()),
            answered: Cell::new(false),
            answer: Notify::new(),
            _place: place,
        });
        let (weak, habits) = (Rc::downgrade(&line), pool.0.habits.clone());
        pool.life().spawn_background(async move {
            // Why it ended is told to each stream that it took along.
            let _ = connection.await;
            if let Some(line) = weak.upgrade().filter(|line| !line.is_busy()) {
                habits.closed(line.peer, line.idle_since().elapsed());
            }
        });
        Ok(line)
    }

    /// The origin's address.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether streams are open.
    pub(super) fn is_busy(&self) -> bool {
        self.open.get() > 0
    }

    /// Since when no stream is open.
    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }

    /// Whether another stream may be opened at some time: the origin neither closed nor said that it will.
    pub(super) fn is_usable(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let ready = self.sender.clone().poll_ready(&mut context);
        !self.retired.get() && matches!(ready, Poll::Ready(Ok(())))
    }

    /// Takes a place for a stream, if the origin allows one more now.
    pub(super) fn slot(self: &Rc<Self>) -> Option<Slot> {
        let allowed = self.sender.current_max_send_streams().min(STREAMS);
        // An origin that allows none at all just now is asked with one, which waits within its limits.
        (self.open.get() < allowed.max(1)).then(|| {
            self.open.set(self.open.get() + 1);
            Slot(self.clone())
        })
    }

    /// Opens no further stream: the origin does not answer.
    fn retire(&self) {
        self.retired.set(true);
    }
}

/// A place for one stream.
#[derive(Debug)]
pub(super) struct Slot(Rc<Line>);

impl Slot {
    /// The origin's address.
    pub(super) fn peer(&self) -> SocketAddr {
        self.0.peer
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let line = &self.0;
        line.open.set(line.open.get().saturating_sub(1));
        line.idle_since.set(Instant::now());
        line.group.freed();
    }
}

fn settings() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(STREAMS)
        .max_header_list_size(u32::try_from(RESPONSE_HEAD.size).unwrap_or(u32::MAX))
        .initial_window_size(WINDOW)
        // Streams belong to different clients: one that reads slowly must not stop the others.
        .initial_connection_window_size(WINDOW * STREAMS as u32)
        .max_send_buffer_size(WINDOW as usize);
    builder
}

/// Streams that we open on a connection, however many an origin allows.
const STREAMS: usize = 100;
/// Bytes of one stream that may be under way.
const WINDOW: u32 = 512 << 10;
