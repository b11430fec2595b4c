//! The proxy's own sockets: a request to them would go round in circles, or reach what is not meant for clients.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;

/// The addresses that this process listens on.
#[derive(Debug, Default)]
pub struct OwnListeners(Mutex<Vec<SocketAddr>>);

impl OwnListeners {
    /// Takes the list that is in force from now on.
    pub fn replace(&self, addresses: Vec<SocketAddr>) {
        if let Ok(mut own) = self.0.lock() {
            *own = addresses;
        }
    }

    /// Whether a connection to `address` would come back to this process.
    pub fn contains(&self, address: SocketAddr) -> bool {
        // A poisoned list is one that a panic left behind: refusing is the safe reading.
        let Ok(own) = self.0.lock() else { return true };
        let same_port = own
            .iter()
            .filter(|listener| listener.port() == address.port());
        let ip = address.ip().to_canonical();
        let mut wildcard = false;
        for listener in same_port {
            if listener.ip().to_canonical() == ip {
                return true;
            }
            wildcard |= listener.ip().is_unspecified();
        }
        drop(own);
        // Behind a wildcard socket stands every address of this machine; only those can be bound.
        wildcard && (ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok())
    }
}
