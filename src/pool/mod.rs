//! Origin side: from a [`Permit`] to a ready connection, kept for the next request.
//! Knows nothing of clients, routes or retries (relay). No permit, no connection.
//! Start at [`Pool::lease`].

mod connection;
mod datagram;
mod dial;
mod endpoint;
mod failure;
mod habits;
mod http1;
mod http2;
mod idle;
mod keep_alive;
mod key;
mod late;
mod open;
mod outgoing;
mod places;
mod replay;
mod response_body;
mod settings;
mod shared;
mod terms;
mod upload;
mod watch;

pub use connection::{Connection, needs_http1};
pub use endpoint::Dialled;
pub use failure::{Failure, Retry};
pub use key::Key;
pub use open::Handshake;
pub use outgoing::{Outgoing, Received, SendError};
pub use replay::KEPT as REPLAYABLE;
pub use settings::Settings;
pub use terms::{Protocol, Terms};

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use self::http1::Http1;
use crate::lifeline::Lifeline;
use crate::message::http1::HeadLimits;
use crate::policy::Permit;
use crate::stream::Stream;
use crate::tls::connector::Trust;
use crate::upstream::balance::Equals;

/// One worker's connections to origins. Clones share them.
#[derive(Debug, Clone)]
pub struct Pool(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    idle: idle::Idle,
    shared: shared::Shared,
    habits: Rc<habits::Habits>,
    places: places::Places,
    /// Whether idle connections are watched.
    watched: Cell<bool>,
    origin: RefCell<Origin>,
    balancer: RefCell<Rc<Equals>>,
    /// Counts changes of trust: a connection that was made under another is not used again.
    generation: Cell<u64>,
    life: Lifeline,
}

/// What a reload may change.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Limits.
    pub settings: Settings,
    /// Trust.
    pub trust: Trust,
}

/// A connection for one request.
#[derive(Debug)]
pub struct Lease {
    /// The connection.
    pub connection: Connection,
    /// Whether it was there before, and carried a request or was made ready for one.
    pub reused: bool,
    /// How long dialling took.
    pub connect: Option<Duration>,
    /// How long the TLS handshake took.
    pub tls: Option<Duration>,
}

impl Pool {
    /// An empty pool whose late requests hang on `life`.
    pub fn new(origin: Origin, life: Lifeline) -> Self {
        let balancer = RefCell::new(Rc::new(Equals::new(origin.settings.balance)));
        Self(Rc::new(Inner {
            idle: idle::Idle::default(),
            shared: shared::Shared::default(),
            habits: Rc::default(),
            places: places::Places::default(),
            watched: Cell::new(false),
            origin: RefCell::new(origin),
            balancer,
            generation: Cell::new(0),
            life,
        }))
    }

    /// Takes new settings. Where trust has changed, connections that were made under the old one are not used again.
    pub fn replace(&self, origin: Origin) {
        let changed = self.0.origin.borrow().trust != origin.trust;
        *self.0.balancer.borrow_mut() = Rc::new(Equals::new(origin.settings.balance));
        *self.0.origin.borrow_mut() = origin;
        if changed {
            self.0.generation.set(self.0.generation.get() + 1);
            self.0.idle.clear();
            self.0.shared.clear();
        }
    }

    pub(super) fn life(&self) -> &Lifeline {
        &self.0.life
    }

    fn habits(&self) -> &habits::Habits {
        &self.0.habits
    }

    /// The limits in force where no terms say otherwise.
    pub fn settings(&self) -> Settings {
        self.0.origin.borrow().settings
    }

    /// The limits in force for connections with a key.
    pub fn limits(&self, key: &Key) -> Settings {
        match &key.terms {
            Some(terms) => *terms.limits(),
            None => self.settings(),
        }
    }

    /// Limits of response heads.
    pub fn head_limits(&self) -> HeadLimits {
        outgoing::RESPONSE_HEAD
    }

    /// Opens a connection to one of the permit's addresses. Waits at most the connect limit.
    ///
    /// Errors: refused, unroutable, timed out. Dropping the future abandons every attempt.
    pub async fn dial(&self, permit: &Permit) -> Result<(Stream, SocketAddr), Failure> {
        let (tcp, peer) = dial::dial(&self.in_turn(permit), self.settings().connect).await?;
        Ok((Stream::from_tcp(tcp), peer))
    }

    /// The permit with the address in front whose turn it is, among those of the first one's family.
    fn in_turn<'a>(&self, permit: &'a Permit) -> dial::InTurn<'a> {
        dial::InTurn::new(permit, &self.0.balancer.borrow())
    }

    /// Drops idle connections that are too old or were closed by their origins.
    pub fn sweep(&self) {
        let default = self.settings().idle;
        let limit = |key: &Key| {
            let terms = key.terms.as_ref();
            terms.map_or(default, |terms| terms.limits().idle)
        };
        self.0.idle.sweep(limit, &self.0.habits);
        self.0.shared.sweep(limit);
        self.0.places.sweep();
    }

    /// How many connections are idle.
    pub fn idle(&self) -> usize {
        self.0.idle.len() + self.0.shared.idle()
    }

    fn give_back(&self, key: Key, connection: Http1) {
        if self.is_outdated(&key, connection.generation()) {
            return;
        }
        if !self.0.watched.replace(true) {
            let watch = watch::watch(Rc::downgrade(&self.0));
            self.0.life.spawn_background(watch);
        }
        let room = (
            self.settings().idle_total,
            self.limits(&key).idle_per_origin,
        );
        self.0.idle.put(key, connection, room, &self.0.habits);
    }

    /// Whether what was made in this generation must not be used again. Terms have their own trust, and other terms another
    /// key.
    fn is_outdated(&self, key: &Key, generation: u64) -> bool {
        key.terms.is_none() && generation != self.0.generation.get()
    }
}

#[cfg(test)]
mod tests;
