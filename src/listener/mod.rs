//! The client's side: sockets, accepting, limits, the first bytes, HTTP as a server.
//! Knows no policy and no origin: whoever handles a connection does.
//! Start at [`accept::run`].

pub mod accept;
mod admission;
mod begin;
mod client_reader;
mod datagrams;
pub mod http;
mod http1;
mod http2;
mod intake;
mod preface;
mod seats;
mod settings;
mod socket;

pub use admission::{Admission, Admitted};
pub use datagrams::{Datagram, Datagrams, Room, bind_datagrams, is_usable_for_datagrams};
pub use http1::serve as serve_http1;
pub use http2::serve as serve_http2;
pub use intake::Intake;
pub use preface::{Accepted, PrefaceError, Protocol, ProxyHeaders};
pub use seats::Seat;
pub use settings::Limits;
pub use socket::{bind, is_usable};

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::stream::Stream;
use crate::tls::acceptor::ClientTls;

/// A client's connection whose first bytes are known, ready for a mode.
#[derive(Debug)]
pub struct Conn {
    /// The bytes, from the first one on.
    pub stream: Stream,
    /// The client's address, from a trusted PROXY header where there was one.
    pub client: SocketAddr,
    /// The address that the client connected to, from a trusted PROXY header where there was one.
    pub local: Option<SocketAddr>,
    /// The listener's name.
    pub listener: Arc<str>,
    /// What the first bytes say, inside TLS where there is TLS.
    pub protocol: Protocol,
    /// What the TLS handshake found out, where there was one.
    pub tls: Option<Rc<ClientTls>>,
}
