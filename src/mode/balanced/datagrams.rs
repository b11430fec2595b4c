//! The datagrams of a listener on one worker: told apart by client, each client's own flow.
//! Not what becomes of a flow, which is the relay's.
//! Start at [`serve`].

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Balanced, toward};
use crate::lifeline::Lifeline;
use crate::listener::{Admitted, Datagram, Datagrams, Intake, Room};
use crate::relay::Association;
use crate::report;

/// What a flow is known by: the client, and where it sent to.
type Key = (SocketAddr, SocketAddr);

/// The flows of one socket.
#[derive(Debug, Default)]
struct Flows {
    flows: RefCell<HashMap<Key, Seat>>,
    /// Those that may have to make room, the oldest first; some of them have ended or were answered meanwhile.
    newcomers: RefCell<VecDeque<Newcomer>>,
    /// Told when the last one has ended.
    empty: Notify,
}

/// A flow, which counts until it has ended or made room.
#[derive(Debug)]
struct Seat {
    flow: Rc<Association>,
    _admitted: Admitted,
}

#[derive(Debug)]
struct Newcomer {
    begun: Instant,
    key: Key,
    flow: Weak<Association>,
}

/// A flow's place among the others, and the end of it.
struct Place {
    flows: Rc<Flows>,
    key: Key,
    flow: Rc<Association>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.flows.remove(&self.key, &self.flow);
    }
}

impl Flows {
    fn find(&self, key: &Key) -> Option<Rc<Association>> {
        self.flows.borrow().get(key).map(|seat| seat.flow.clone())
    }

    fn add(&self, key: Key, flow: &Rc<Association>, admitted: Admitted) {
        let seat = Seat {
            flow: flow.clone(),
            _admitted: admitted,
        };
        let mut flows = self.flows.borrow_mut();
        flows.insert(key, seat);
        let mut newcomers = self.newcomers.borrow_mut();
        if newcomers.len() > 2 * flows.len() + SWEEP_FROM {
            newcomers.retain(|one| one.waiting().is_some());
        }
        newcomers.push_back(Newcomer {
            begun: Instant::now(),
            key,
            flow: Rc::downgrade(flow),
        });
    }

    /// Ends the oldest flow that may be of a client that is nobody, if that had its time; whether there was one.
    fn make_room(&self) -> bool {
        let mut newcomers = self.newcomers.borrow_mut();
        while let Some(oldest) = newcomers.front() {
            let waiting = oldest.waiting();
            if waiting.is_some() && oldest.begun.elapsed() < GRACE {
                return false;
            }
            let key = oldest.key;
            newcomers.pop_front();
            if let Some(flow) = waiting {
                self.remove(&key, &flow);
                flow.give_way();
                return true;
            }
        }
        false
    }

    /// Takes a flow out, if it is still there: another of the same client may have its place.
    fn remove(&self, key: &Key, flow: &Rc<Association>) {
        let mut flows = self.flows.borrow_mut();
        if flows
            .get(key)
            .is_some_and(|seat| Rc::ptr_eq(&seat.flow, flow))
        {
            flows.remove(key);
        }
        if flows.is_empty() {
            self.empty.notify_one();
        }
    }

    async fn ended(&self) {
        while !self.flows.borrow().is_empty() {
            self.empty.notified().await;
        }
    }
}

impl Newcomer {
    /// The flow, while nothing says that its client is somebody.
    fn waiting(&self) -> Option<Rc<Association>> {
        self.flow.upgrade().filter(|flow| flow.may_give_way())
    }
}

/// Receives until `stop` is notified, or the drain has begun and no flow is left: what is under way goes on, nothing new begins.
pub(super) async fn serve(
    mode: Rc<Balanced>,
    socket: Datagrams,
    intake: Rc<dyn Fn() -> Arc<Intake>>,
    life: Lifeline,
    stop: Rc<Notify>,
) {
    let door = Door {
        mode,
        socket: Rc::new(socket),
        intake,
        flows: Rc::default(),
        life: life.clone(),
    };
    let mut over = pin!(async {
        life.draining().await;
        door.flows.ended().await;
    });
    let mut stopped = pin!(stop.notified());
    let mut room = Room::default();
    loop {
        let received = tokio::select! {
            biased;
            () = &mut stopped => return,
            () = &mut over => return,
            received = door.socket.receive(&mut room, |datagram| door.take(datagram)) => received,
        };
        if let Err(error) = received {
            tracing::warn!(%error, "cannot receive datagrams; trying again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

struct Door {
    mode: Rc<Balanced>,
    socket: Rc<Datagrams>,
    intake: Rc<dyn Fn() -> Arc<Intake>>,
    flows: Rc<Flows>,
    life: Lifeline,
}

impl Door {
    fn take(&self, datagram: Datagram<'_>) {
        let key = (datagram.client, datagram.local);
        let flow = self.flows.find(&key).or_else(|| self.begin(key));
        match flow {
            Some(flow) => flow.pass(datagram.bytes),
            None => self
                .mode
                .means
                .relay
                .parts()
                .counters
                .datagrams_dropped
                .bump(),
        }
    }

    /// A new flow, where there may be one more or another makes room. Its client may be anybody's forgery: what it costs is bounded in
    /// number and in time, and where there are too many nothing is written down.
    fn begin(&self, key: Key) -> Option<Rc<Association>> {
        let (client, local) = key;
        let counters = &self.mode.means.relay.parts().counters;
        if self.life.is_draining() {
            return None;
        }
        let intake = (self.intake)();
        let (admission, limits) = (&intake.admission, &intake.limits);
        let admit = || admission.admit(limits);
        // Those that are nobody must not keep others out until they are idle; nor do they go for who may have no more.
        let makes_room = || admission.may_have_more(client.ip(), limits) && self.flows.make_room();
        let admitted = admit().or_else(|| makes_room().then(admit)?);
        let admitted = admitted.and_then(|one| one.of_client(client.ip(), limits));
        let Some(admitted) = admitted else {
            counters.connections_refused.bump();
            return None;
        };
        let canonical = SocketAddr::new(client.ip().to_canonical(), client.port());
        let ends = (canonical, Some(local));
        let (caller, balancing) = self.mode.caller(ends, report::Protocol::Udp, None)?;
        let served = balancing.choose(None, &[])?;
        let toward = toward(served, &balancing, None, Some(local));
        let relay = self.mode.means.relay.clone();
        let flow = Rc::new(Association::new(relay, caller, toward, balancing.datagrams));
        self.flows.add(key, &flow, admitted);
        let place = Place {
            flows: self.flows.clone(),
            key,
            flow: flow.clone(),
        };
        let (carried, socket, open) = (flow.clone(), self.socket.clone(), counters.accepted());
        self.life.spawn(async move {
            let _of_flow = (open, place);
            carried
                .carry(&move |answer: &[u8]| socket.answer(client, local, answer))
                .await;
        });
        Some(flow)
    }
}

/// How long an answer may take before another flow can have the place. So long it takes at least to fill all places anew, whoever
/// forges clients, and however fast.
const GRACE: Duration = Duration::from_secs(1);

/// Fewer newcomers are never swept.
const SWEEP_FROM: usize = 64;
