//! What a connection can be used for, and so what it is looked up by.
//! Holds no connection.
//! Start at [`Key`].

use crate::addr::Authority;
use crate::tls::connector::{Offered, Pins};

/// What a connection can be used for: only the same origin over the same kind of transport, verified in the same way. Cheap to
/// clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whether it is under TLS.
    pub secure: bool,
    /// The origin, by the name that it was judged and verified by.
    pub authority: Authority,
    /// The keys of which one must be in the origin's chain.
    pub pins: Pins,
    /// Whether HTTP/2 is not offered; see [`needs_http1`](super::needs_http1).
    pub http1_only: bool,
}

impl Key {
    /// What is offered in TLS.
    pub(super) fn offered(&self) -> Offered {
        if self.http1_only {
            Offered::Http1
        } else {
            Offered::Any
        }
    }

    /// Whether HTTP/2 may come of it.
    pub(super) fn may_share(&self) -> bool {
        self.secure && !self.http1_only
    }
}
