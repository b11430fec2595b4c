//! The two-way copy of a tunnel, in one task: half-close, limits, and an end that both sides can believe.
//! Decides nothing about who may talk to whom, and writes no records: it returns how it ended.
//! Start at [`duplex`].

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::direction::{Broken, Direction, Tally};
use super::{LazyDeadline, Stream};

/// How long a tunnel may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time without a byte moved either way, after which the tunnel ends.
    pub idle: Duration,
    /// Time after which the tunnel ends in any case, if there is such a limit.
    pub total: Option<Duration>,
}

/// Bytes carried so far. Counted live, so that whoever holds it can show a running tunnel.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes read from the client.
    pub from_client: Cell<u64>,
    /// Bytes read from the origin.
    pub from_origin: Cell<u64>,
}

/// One of the two sides of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who asked for the tunnel.
    Client,
    /// Whom it leads to.
    Origin,
}

/// How a tunnel ended.
#[derive(Debug)]
pub enum Ended {
    /// Both sides closed in good order, or one did and then took no more of what the other still sent.
    Closed {
        /// The side that was done first.
        first: Side,
    },
    /// The client's connection failed in the middle.
    ClientReset(io::Error),
    /// The origin's connection failed in the middle.
    OriginReset(io::Error),
    /// No byte moved for the idle limit.
    Idle,
    /// The total limit was reached.
    Total,
    /// The future `kill` was done.
    Killed,
}

/// Carries bytes both ways until both sides are done, a side fails, a limit is reached, or `kill` is done.
///
/// A side that closes for writing is passed on as such, and the other direction goes on (TCP half-close, RFC 9293
/// §3.6). Unless both sides closed in good order, whoever has not yet been told of a clean end sees a cut (a reset for
/// TCP): half a download must not look whole. An idle tunnel holds no buffers. Between two plain TCP connections on
/// Linux, large transfers stay inside the kernel.
///
/// Errors are outcomes here, see [`Ended`]. Dropping the future closes both connections as the sockets' state has it.
pub async fn duplex(
    client: Stream,
    origin: Stream,
    limits: &Limits,
    traffic: &Traffic,
    kill: impl Future<Output = ()>,
) -> Ended {
    let mut kill = pin!(kill);
    let mut tunnel = Tunnel::new(client, origin, limits);
    let ended = poll_fn(|cx| tunnel.poll(cx, traffic, kill.as_mut())).await;
    tunnel.close();
    ended
}

/// The running tunnel. `outward` leads from the client to the origin, `back` the other way.
struct Tunnel<'a> {
    client: Stream,
    origin: Stream,
    outward: Direction,
    back: Direction,
    first: Option<Side>,
    /// A side that takes no more, while what it has sent is still being delivered.
    failed: Option<Ended>,
    deadline: LazyDeadline,
    total_at: Option<Instant>,
    lingering: bool,
    limits: &'a Limits,
}

impl<'a> Tunnel<'a> {
    fn new(client: Stream, origin: Stream, limits: &'a Limits) -> Self {
        let now = Instant::now();
        let tunnel = Self {
            client,
            origin,
            outward: Direction::default(),
            back: Direction::default(),
            first: None,
            failed: None,
            deadline: LazyDeadline::new(),
            total_at: limits.total.and_then(|total| now.checked_add(total)),
            lingering: false,
            limits,
        };
        tunnel.expire_after(limits.idle, now);
        tunnel
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        traffic: &Traffic,
        kill: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<Ended> {
        if kill.poll(cx).is_ready() {
            return Poll::Ready(Ended::Killed);
        }
        let active = Cell::new(false);
        if let Some(ended) = self.poll_directions(cx, traffic, &active) {
            return Poll::Ready(ended);
        }
        if let Some(ended) = self.settle() {
            return Poll::Ready(ended);
        }
        if active.get() && !self.lingering {
            self.expire_after(self.limits.idle, Instant::now());
        }
        match self.deadline.poll_expired(cx) {
            Poll::Ready(()) => Poll::Ready(self.expired()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_directions(
        &mut self,
        cx: &mut Context<'_>,
        traffic: &Traffic,
        active: &Cell<bool>,
    ) -> Option<Ended> {
        let (client, origin) = (&mut self.client, &mut self.origin);
        let read = &traffic.from_client;
        let outward = self
            .outward
            .poll(cx, client, origin, Tally { read, active });
        if let Poll::Ready(Err(broken)) = outward
            && let Some(ended) = self.broken(Side::Client, broken)
        {
            return Some(ended);
        }
        let (client, origin) = (&mut self.client, &mut self.origin);
        let read = &traffic.from_origin;
        let back = self.back.poll(cx, origin, client, Tally { read, active });
        if let Poll::Ready(Err(broken)) = back {
            return self.broken(Side::Origin, broken);
        }
        None
    }

    /// What follows when the direction that leads away from `source` broke; `Some` if the tunnel ends with it.
    fn broken(&mut self, source: Side, broken: Broken) -> Option<Ended> {
        let (direction, opposite, target) = match source {
            Side::Client => (&mut self.outward, &mut self.back, Side::Origin),
            Side::Origin => (&mut self.back, &mut self.outward, Side::Client),
        };
        let error = match broken {
            Broken::Reading(error) => {
                return Some(self.failed.take().unwrap_or_else(|| reset(source, error)));
            }
            Broken::Writing(error) => error,
        };
        if opposite.is_discarding() {
            return Some(self.failed.take().unwrap_or_else(|| reset(target, error)));
        }
        // What the target sent before it went is still delivered: often an answer that says why. It stops reading, so
        // what is on its way to it is thrown away.
        direction.discard();
        // A broken pipe says that the target's clean end came before its reset (RFC 9293 §3.10.7.4, CLOSE-WAIT: an EPIPE
        // in Linux); so its end, once read, is a true one. After any other error it may stand for a cut.
        if !opposite.source_ended() && error.kind() != io::ErrorKind::BrokenPipe {
            opposite.distrust_end();
            self.failed = Some(reset(target, error));
        }
        None
    }

    /// Looks whether the tunnel has come to its end, or one side of it for good.
    fn settle(&mut self) -> Option<Ended> {
        let (outward, back) = (&self.outward, &self.back);
        if self.first.is_none() && outward.source_ended() {
            self.first = Some(Side::Client);
        } else if self.first.is_none() && back.source_ended() {
            self.first = Some(Side::Origin);
        }
        if outward.has_ended() && back.has_ended() {
            return Some(self.closed());
        }
        let one_sided = outward.has_ended() && back.is_discarding()
            || back.has_ended() && outward.is_discarding();
        if one_sided && self.failed.is_some() {
            return Some(self.closed());
        }
        if one_sided && !self.lingering {
            // Closing a socket that holds unread bytes resets the connection, and the reset can overtake the last bytes
            // that the peer is still to get (RFC 9112 §9.6). So read on for a while.
            self.lingering = true;
            self.expire_after(LINGER, Instant::now());
        }
        None
    }

    fn expired(&mut self) -> Ended {
        if self.lingering {
            return self.closed();
        }
        if self.total_at.is_some_and(|total| total <= Instant::now()) {
            return Ended::Total;
        }
        self.failed.take().unwrap_or(Ended::Idle)
    }

    fn closed(&mut self) -> Ended {
        let first = self.first.unwrap_or(Side::Client);
        self.failed.take().unwrap_or(Ended::Closed { first })
    }

    fn expire_after(&self, limit: Duration, now: Instant) {
        let at = now.checked_add(limit);
        match (at, self.total_at) {
            (Some(at), Some(total)) => self.deadline.set(at.min(total)),
            (Some(at), None) | (None, Some(at)) => self.deadline.set(at),
            (None, None) => self.deadline.clear(),
        }
    }

    fn close(self) {
        close(self.client, &self.back);
        close(self.origin, &self.outward);
    }
}

/// Closes one side, at which `direction` leads. It was told of a clean end, or it must not see one.
fn close(side: Stream, direction: &Direction) {
    if direction.has_ended() && !direction.is_distrusted() {
        drop(side);
    } else {
        side.abort();
    }
}

fn reset(side: Side, error: io::Error) -> Ended {
    match side {
        Side::Client => Ended::ClientReset(error),
        Side::Origin => Ended::OriginReset(error),
    }
}

/// How long a side that has been told of the end may still send what nobody takes.
const LINGER: Duration = Duration::from_secs(5);
