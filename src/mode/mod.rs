//! What the client speaks, turned into an intent: a mode reads, asks the relay, and renders the outcome in its protocol.
//! Opens no connection and judges nothing.
//! Start at [`Mode`]; [`table::MODES`] lists them.

mod balanced;
mod client;
mod forward;
mod gateway;
mod own;
mod socks;
pub mod table;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::lifeline::{Lifeline, Tail};
use crate::listener::{Conn, Datagrams, Intake};
use crate::relay::{Relay, Service};

/// Serves the connections of one listener on one worker.
pub trait Mode {
    /// Serves a connection to its end, or up to the point from which only its tail is left. Dropping the future ends it.
    fn serve(
        self: Rc<Self>,
        conn: Conn,
        life: Lifeline,
    ) -> Pin<Box<dyn Future<Output = Option<Tail>>>>;

    /// Serves the datagrams of a socket, by the intake in force, until `stop` is notified or the drain is over. A mode that takes
    /// none has no socket of the kind.
    fn datagrams(
        self: Rc<Self>,
        _socket: Datagrams,
        _intake: Rc<dyn Fn() -> Arc<Intake>>,
        _life: Lifeline,
        _stop: Rc<Notify>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(std::future::ready(()))
    }
}

/// What a mode is built from, on each worker.
#[derive(Debug, Clone)]
pub struct Means {
    /// The relay of the worker.
    pub relay: Relay,
    /// The listener's parts.
    pub service: Arc<Service>,
}

/// A mode in the table.
#[derive(Debug)]
pub struct Entry {
    /// Its word in `mode = "…"`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Whether it acts as the origin for its clients (RFC 9110 §3.7), and the configuration says where requests go.
    pub gateway: bool,
    /// Whether it is handed connections as they are, whatever they begin with.
    pub opaque: bool,
    /// Builds it for a worker.
    pub build: fn(Means) -> Rc<dyn Mode>,
}
