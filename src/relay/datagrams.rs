//! The datagrams of one client to an endpoint of an upstream and back: one flow, with one permit at a time and one record.
//! Receives nothing from clients (mode): it is given their datagrams, and gives back what answers them.
//! Start at [`Association::new`], then [`Association::carry`].
//!
//! Nothing is sent to a client that has sent nothing, and nothing of one endpoint after another has taken its place: the socket
//! towards an endpoint is the flow's own, and connected.

mod line;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use self::line::{Line, Police};
use super::endpoint::{Held, Visit};
use super::recording::Recording;
use super::tunnel::{killed_or, no_longer_permitted};
use super::{Caller, DatagramLimits, Refusal, Relay, Toward};
use crate::listener::Seat;
use crate::message::ProxyError;
use crate::policy::Grant;
use crate::pool::Failure;
use crate::proxy_protocol::Transport;
use crate::report::Flow;
use crate::stream::LazyDeadline;

/// One client's flow of datagrams. Shared by who receives from the client and who carries the answers.
#[derive(Debug)]
pub struct Association {
    relay: Relay,
    caller: Caller,
    toward: Toward,
    limits: DatagramLimits,
    /// In front of each datagram.
    header: Vec<u8>,
    line: Line,
    flow: OnceCell<Rc<Flow>>,
    police: OnceCell<Police>,
    idle: LazyDeadline,
    /// When the first datagram went out over this line.
    first: Cell<Option<Instant>>,
    seat: Seat,
    /// The endpoint does not take datagrams: told by who sent one.
    is_refused: Cell<bool>,
    refused: Notify,
}

/// Sends an answer to the client.
pub type Reply = dyn Fn(&[u8]) -> io::Result<()>;

/// Why a line came to its end.
enum Stop {
    /// All that was asked is answered.
    Answered,
    Idle,
    GivenUp,
    /// Nobody takes datagrams there.
    Refused(io::ErrorKind),
    Ended(String),
}

/// An endpoint that datagrams go to.
struct Open {
    grant: Grant,
    visit: Visit,
    held: Held,
    socket: Rc<UdpSocket>,
    peer: SocketAddr,
}

impl Association {
    /// A flow that nothing was decided about yet, and that has a place.
    pub fn new(
        relay: Relay,
        caller: Caller,
        toward: Toward,
        limits: DatagramLimits,
        seat: Seat,
    ) -> Self {
        let header = toward.header(caller.client, Transport::Datagram);
        Self {
            relay,
            caller,
            toward,
            limits,
            header,
            line: Line::default(),
            flow: OnceCell::new(),
            police: OnceCell::new(),
            idle: LazyDeadline::new(),
            first: Cell::new(None),
            seat,
            is_refused: Cell::new(false),
            refused: Notify::new(),
        }
    }

    /// Passes a datagram of the client's on; or keeps it until the flow is open, as far as there is room. Waits for nothing: what
    /// can not go now is lost, as in any network.
    pub fn pass(&self, bytes: &[u8]) {
        let counters = &self.relay.parts.counters;
        counters.datagrams_in.bump();
        if self.line.is_closed() {
            return counters.datagrams_dropped.bump();
        }
        let now = Instant::now();
        self.idle.set(now + self.limits.idle);
        self.seat.heard(now, self.limits.idle);
        let passes = self
            .police
            .get()
            .is_none_or(|police| police.passes(bytes.len()));
        let passed = match self.line.socket() {
            _ if !passes => false,
            Some(socket) => self.send(&socket, bytes),
            None => self.line.keep(bytes),
        };
        if !passed {
            counters.datagrams_dropped.bump();
        }
    }

    /// Whether the endpoint, or at least the network, was given it.
    fn send(&self, socket: &UdpSocket, bytes: &[u8]) -> bool {
        if let Some(flow) = self.flow.get() {
            let count = &flow.traffic.from_client;
            count.set(count.get() + bytes.len() as u64);
        }
        self.line.asked(bytes);
        if self.first.get().is_none() {
            self.first.set(Some(Instant::now()));
        }
        // Not through the runtime, which would first want to hear that there is room.
        let flags = rustix::net::SendFlags::DONTWAIT;
        let sent = if self.header.is_empty() {
            rustix::net::send(socket, bytes, flags)
        } else {
            rustix::net::send(socket, &[&self.header, bytes].concat(), flags)
        };
        match sent {
            Ok(_) => true,
            Err(rustix::io::Errno::CONNREFUSED) => {
                // Of a datagram before this one; this one was not sent.
                self.is_refused.set(true);
                self.refused.notify_one();
                self.line.has_kept()
            }
            // Too large for the way there, or no room now.
            Err(_) => false,
        }
    }

    /// Decides, opens and carries the answers until the flow has ended: all is answered, silence, refusal, an operator, a changed
    /// policy. Writes the record. What is refused goes on to swallow the client's datagrams for a second, so that not each of
    /// them is decided about and recorded.
    pub async fn carry(&self, reply: &Reply) {
        self.idle.set(Instant::now() + self.limits.idle);
        let parts = &self.relay.parts;
        let mut recording = Recording::begin(parts, &self.caller);
        let generation = parts.generation();
        let opened = tokio::select! {
            biased;
            () = self.seat.given_up() => {
                self.line.close();
                return recording.close(self.why_given_up());
            }
            opened = self.open(&mut recording) => opened,
        };
        match opened {
            Ok(open) => self.run(open, recording, generation, reply).await,
            Err(refusal) => {
                recording.note_refusal(&refusal);
                recording.finish();
                self.line.close();
                tokio::select! {
                    () = sleep(SWALLOWED) => {}
                    () = self.seat.given_up() => {}
                    () = parts.life.draining() => {}
                }
            }
        }
        self.line.close();
    }

    async fn open(&self, recording: &mut Recording) -> Result<Open, Refusal> {
        let grant = self
            .relay
            .admit_to(&self.caller, &self.toward, recording)
            .await?;
        let mut visit = Visit::begin(&self.toward.served.upstream, self.caller.client).await?;
        if let Some(flow) = recording.flow() {
            flow.state.set("relaying");
            self.flow.get_or_init(|| flow.clone());
        }
        let (held, socket, peer) = self.connect(&grant, &mut visit, recording)?;
        Ok(Open {
            grant,
            visit,
            held,
            socket,
            peer,
        })
    }

    /// A socket towards the next endpoint; what waits is sent there.
    fn connect(
        &self,
        grant: &Grant,
        visit: &mut Visit,
        recording: &mut Recording,
    ) -> Result<(Held, Rc<UdpSocket>, SocketAddr), Refusal> {
        let parts = &self.relay.parts;
        loop {
            let (held, permit) = visit.next(&parts.dice, (grant, &self.caller), recording)?;
            if self.police.get().is_none() {
                let rate = permit.obligations().bandwidth;
                self.relay
                    .take_up_endpoint(&permit, &self.caller, recording)?;
                self.police.get_or_init(|| Police::new(rate));
            }
            match parts.pool.associate(&permit) {
                Ok((socket, peer)) if self.comes_back(&socket, peer) => {
                    let detail = format!("{peer} is where this proxy itself receives datagrams");
                    let failure = Failure::new(ProxyError::AddressProhibited, detail);
                    visit.pass_over(&held, failure);
                }
                Ok((socket, peer)) => {
                    let socket = Rc::new(socket);
                    recording.origin(peer);
                    self.first.set(None);
                    self.is_refused.set(false);
                    for bytes in self.line.open(&socket) {
                        self.send(&socket, &bytes);
                    }
                    visit.arrived();
                    return Ok((held, socket, peer));
                }
                Err(failure) => visit.failed(&held, failure),
            }
        }
    }

    /// Whether what is sent there would be received here, and sent there again, for ever.
    fn comes_back(&self, socket: &UdpSocket, peer: SocketAddr) -> bool {
        let own = &self.caller.service.gate.own;
        socket
            .local_addr()
            .is_ok_and(|local| own.receives(peer, local))
    }

    async fn run(
        &self,
        mut open: Open,
        mut recording: Box<Recording>,
        generation: watch::Receiver<u64>,
        reply: &Reply,
    ) {
        loop {
            let stop = self
                .answers(&open, &recording, generation.clone(), reply)
                .await;
            let kind = match stop {
                Stop::Answered => return recording.finish(),
                Stop::Idle => {
                    if self.line.answers() == 0 {
                        recording.edit(|record| record.reason = Some(UNANSWERED.into()));
                    }
                    return recording.finish();
                }
                Stop::GivenUp => return recording.close(self.why_given_up()),
                Stop::Ended(reason) => return recording.cut(reason),
                Stop::Refused(kind) => kind,
            };
            let Open {
                grant,
                mut visit,
                held,
                peer,
                ..
            } = open;
            let failure = if kind == io::ErrorKind::ConnectionRefused {
                let detail = format!("{peer} takes no datagrams on this port");
                Failure::new(ProxyError::ConnectionRefused, detail)
            } else {
                Failure::dial(&kind.into(), peer)
            };
            if self.line.answers() > 0 {
                visit.renew();
            }
            visit.failed(&held, failure);
            drop(held);
            open = match self.connect(&grant, &mut visit, &mut recording) {
                Ok((held, socket, peer)) => Open {
                    grant,
                    visit,
                    held,
                    socket,
                    peer,
                },
                Err(refusal) => {
                    recording.note_refusal(&refusal);
                    return recording.finish();
                }
            };
        }
    }

    /// Why it ends where another flow has its place.
    fn why_given_up(&self) -> &'static str {
        if self.seat.is_answered() {
            GAVE_WAY
        } else {
            UNANSWERED_GAVE_WAY
        }
    }

    /// Gives answers of one endpoint to the client.
    async fn answers(
        &self,
        open: &Open,
        recording: &Recording,
        generation: watch::Receiver<u64>,
        reply: &Reply,
    ) -> Stop {
        let (Some(flow), service) = (self.flow.get(), &self.caller.service) else {
            return Stop::Idle;
        };
        let parts = &self.relay.parts;
        let stays = pin!(no_longer_permitted(
            parts, service, recording, None, generation
        ));
        let mut ended = pin!(killed_or(flow, stays));
        loop {
            tokio::select! {
                biased;
                reason = &mut ended => return Stop::Ended(reason),
                () = self.seat.given_up() => return Stop::GivenUp,
                () = self.refused.notified() => {
                    // Not one that was meant for the endpoint before.
                    if self.is_refused.take() {
                        return Stop::Refused(io::ErrorKind::ConnectionRefused);
                    }
                }
                ready = open.socket.ready(HEARD) => {
                    let taken = ready.and_then(|_| self.take_answers(open, flow, reply));
                    match taken {
                        Ok(()) if self.line.is_answered(self.limits.replies) => {
                            return Stop::Answered;
                        }
                        Ok(()) => {}
                        Err(error) => return Stop::Refused(error.kind()),
                    }
                }
                () = std::future::poll_fn(|cx| self.idle.poll_expired(cx)) => return Stop::Idle,
            }
        }
    }

    /// Passes on what has come, as much as there is, up to a batch. Errors: what the network says of datagrams sent before.
    fn take_answers(&self, open: &Open, flow: &Flow, reply: &Reply) -> io::Result<()> {
        let counters = &self.relay.parts.counters;
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(LARGEST, 0);
            for _ in 0..BATCH {
                let length = match receive(&open.socket, buffer) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                };
                self.idle.set(Instant::now() + self.limits.idle);
                self.seat.answered();
                if self.line.answered() == 1 {
                    let took = self.first.get().map(|first| first.elapsed());
                    open.held.picked.succeeded(took.unwrap_or_default(), None);
                }
                let passes = self.police.get().is_none_or(|police| police.passes(length));
                let bytes = buffer.get(..length).unwrap_or_default();
                if passes && reply(bytes).is_ok() {
                    counters.datagrams_out.bump();
                    let count = &flow.traffic.from_origin;
                    count.set(count.get() + length as u64);
                } else {
                    counters.datagrams_dropped.bump();
                }
                if self.line.is_answered(self.limits.replies) {
                    return Ok(());
                }
            }
            Ok(())
        })
    }
}

/// Takes one datagram, or what the network says of those that were sent before.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    // One at a time: what is ready for several kinds at once is not known to `try_io`.
    for kind in [Interest::READABLE, Interest::ERROR] {
        let received = socket.try_io(kind, || {
            let flags = rustix::net::RecvFlags::DONTWAIT;
            Ok(rustix::net::recv(socket, &mut *buffer, flags)?)
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received.map(|(length, _)| length),
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

thread_local! {
    /// One datagram, on its way through this worker.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is waited for: an answer, or that nobody is there to give one (ICMP), which is no answer to read.
const HEARD: Interest = Interest::READABLE.add(Interest::ERROR);

const UNANSWERED_GAVE_WAY: &str = "no answer came before another flow needed the place";

const GAVE_WAY: &str = "the client had been silent when another flow needed the place";

const UNANSWERED: &str = "no answer came within the idle limit";

/// How long the datagrams of a flow that was refused are swallowed.
const SWALLOWED: Duration = Duration::from_secs(1);

/// Answers that one flow passes on before others have their turn.
const BATCH: usize = 16;

/// Bytes of the largest datagram.
const LARGEST: usize = 65_535;
