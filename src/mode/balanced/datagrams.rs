//! The datagrams of a listener on one worker: told apart by client, each client's own flow.
//! Not what becomes of a flow, which is the relay's.
//! Start at [`serve`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Balanced, toward};
use crate::lifeline::Lifeline;
use crate::listener::{Datagram, Datagrams, Intake, Room, Seat};
use crate::relay::Association;
use crate::report;

/// What a flow is known by: the client, and where it sent to.
type Key = (SocketAddr, SocketAddr);

/// The flows of one socket.
#[derive(Debug, Default)]
struct Flows {
    flows: RefCell<HashMap<Key, Rc<Association>>>,
    /// Told when the last one has ended.
    empty: Notify,
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
        self.flows.borrow().get(key).cloned()
    }

    fn add(&self, key: Key, flow: &Rc<Association>) {
        self.flows.borrow_mut().insert(key, flow.clone());
    }

    /// Takes a flow out, if it is still there: another of the same client may have its place.
    fn remove(&self, key: &Key, flow: &Rc<Association>) {
        let mut flows = self.flows.borrow_mut();
        if flows.get(key).is_some_and(|there| Rc::ptr_eq(there, flow)) {
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
        let canonical = SocketAddr::new(client.ip().to_canonical(), client.port());
        let ends = (canonical, Some(local));
        let (caller, balancing) = self.mode.caller(ends, report::Protocol::Udp, None)?;
        let served = balancing.choose(None, &[])?;
        let intake = (self.intake)();
        let Some(seat) = Seat::take(&intake.admission, &intake.limits, client.ip()) else {
            counters.connections_refused.bump();
            return None;
        };
        let toward = toward(served, &balancing, None, Some(local));
        let relay = self.mode.means.relay.clone();
        let limits = balancing.datagrams;
        let flow = Rc::new(Association::new(relay, caller, toward, limits, seat));
        self.flows.add(key, &flow);
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
