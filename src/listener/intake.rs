//! What a listener's connections are begun by.
//! Not what is served on them, which is the mode's.
//! Start at [`Intake`].

use std::sync::Arc;

use super::{Accepted, Admission, Limits, ProxyHeaders};
use crate::tls::acceptor::Server;

/// What a listener does with its connections. Asked anew for each one, so that a reload takes effect.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Its name.
    pub listener: Arc<str>,
    /// Its limits.
    pub limits: Limits,
    /// Whether connections are handed over as they are, without a look at what they begin with: of some protocols the server
    /// speaks first.
    pub opaque: bool,
    /// What it speaks, where that is looked at.
    pub accepted: Accepted,
    /// Whose PROXY headers it believes.
    pub proxy_headers: ProxyHeaders,
    /// Its count of connections.
    pub admission: Arc<Admission>,
    /// Its TLS, where it speaks that.
    pub tls: Option<Arc<Server>>,
}
