//! The proxy's own sockets: a request to them would go round in circles, or reach what is not meant for clients.

use std::net::{SocketAddr, UdpSocket};

use arc_swap::ArcSwap;

/// The addresses that this process listens on. Read for every address that is dialled, by all workers, without a lock.
#[derive(Debug, Default)]
pub struct OwnListeners {
    streams: ArcSwap<Vec<SocketAddr>>,
    datagrams: ArcSwap<Vec<SocketAddr>>,
}

impl OwnListeners {
    /// The addresses that were given: for connections, and for datagrams.
    pub fn new(streams: Vec<SocketAddr>, datagrams: Vec<SocketAddr>) -> Self {
        Self {
            streams: ArcSwap::from_pointee(streams),
            datagrams: ArcSwap::from_pointee(datagrams),
        }
    }

    /// Takes the lists that are in force from now on: for connections, and for datagrams.
    pub fn replace(&self, streams: Vec<SocketAddr>, datagrams: Vec<SocketAddr>) {
        self.streams.store(streams.into());
        self.datagrams.store(datagrams.into());
    }

    /// Whether datagrams to `address` would come back to this process. `local` is our end of a socket that is connected there: where
    /// that is the same address, it is this machine's.
    pub fn receives(&self, address: SocketAddr, local: SocketAddr) -> bool {
        let (ip, own_ip) = (address.ip().to_canonical(), local.ip().to_canonical());
        let here = ip.is_loopback() || ip == own_ip;
        let own = self.datagrams.load();
        let mut same_port = own.iter().filter(|own| own.port() == address.port());
        same_port.any(|own| {
            let own = own.ip().to_canonical();
            ip.is_unspecified() || own == ip || own.is_unspecified() && here
        })
    }

    /// The same, where there is no socket yet.
    pub fn may_receive(&self, address: SocketAddr) -> bool {
        is_one_of(&self.datagrams.load(), address)
    }

    /// Whether a connection to `address` would come back to this process.
    pub fn contains(&self, address: SocketAddr) -> bool {
        is_one_of(&self.streams.load(), address)
    }
}

/// Opens a socket only for an address with the port of a wildcard listener: whether it is one of this machine's changes with its
/// interfaces, and the kernel is the one to ask.
fn is_one_of(own: &[SocketAddr], address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let same_port = || own.iter().filter(|own| own.port() == address.port());
    // What goes to the unspecified address goes to this machine, to whatever of it listens.
    if same_port().any(|own| ip.is_unspecified() || own.ip().to_canonical() == ip) {
        return true;
    }
    let wildcard = same_port().any(|own| own.ip().is_unspecified());
    wildcard && (ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_listener_stands_for_every_address_of_this_machine() {
        let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let addresses = vec![at("0.0.0.0:3128"), at("192.0.2.7:1080")];
        let own = OwnListeners::new(addresses.clone(), Vec::new());
        let by_datagrams = OwnListeners::new(Vec::new(), addresses);
        for (address, is_own) in [
            ("127.0.0.1:3128", true),
            ("127.9.9.9:3128", true),
            ("0.0.0.0:3128", true),
            ("[::ffff:127.0.0.1]:3128", true),
            ("127.0.0.1:80", false),
            ("203.0.113.9:3128", false),
            ("192.0.2.7:1080", true),
            ("[::ffff:192.0.2.7]:1080", true),
            ("192.0.2.7:3129", false),
            ("0.0.0.0:1080", true),
            ("[::]:1080", true),
        ] {
            let address = at(address);
            assert_eq!(own.contains(address), is_own, "{address}");
            assert_eq!(by_datagrams.may_receive(address), is_own, "{address}");
            assert!(!own.may_receive(address) && !by_datagrams.contains(address));
        }
        own.replace(Vec::new(), Vec::new());
        assert!(!own.contains(at("127.0.0.1:3128")));
    }

    #[test]
    fn datagrams_come_back_from_where_they_are_received() {
        let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let own = OwnListeners::new(
            vec![at("192.0.2.1:80")],
            vec![at("0.0.0.0:53"), at("192.0.2.7:54")],
        );
        for (address, local, comes_back) in [
            ("127.0.0.1:53", "127.0.0.1:1", true),
            ("127.9.9.9:53", "127.0.0.1:1", true),
            ("192.0.2.9:53", "192.0.2.9:1", true),
            ("192.0.2.9:53", "192.0.2.1:1", false),
            ("192.0.2.7:54", "192.0.2.1:1", true),
            ("[::ffff:192.0.2.7]:54", "[::ffff:192.0.2.1]:1", true),
            ("127.0.0.1:54", "127.0.0.1:1", false),
            ("192.0.2.1:80", "192.0.2.1:1", false),
        ] {
            assert_eq!(
                own.receives(at(address), at(local)),
                comes_back,
                "{address}"
            );
        }
    }
}
