//! The datagram sockets of the process: bound before anyone is told, one for each worker, kept over reloads where the address stays.

use std::net::{SocketAddr, UdpSocket};

use super::listeners::{Key, cannot_bind, meet};
use crate::config::Config;
use crate::fault::Fault;
use crate::listener::{bind_datagrams, is_usable_for_datagrams};
use crate::mode::Entry;
use crate::proxy_protocol::Transport;

/// The sockets in force.
#[derive(Debug, Default)]
pub(super) struct DatagramSockets {
    bound: Vec<(Key, SocketAddr)>,
}

/// What workers have to change.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// For each worker, the sockets to receive from.
    pub(super) opened: Vec<Vec<(Key, &'static Entry, UdpSocket)>>,
    /// Sockets to close.
    pub(super) closed: Vec<Key>,
    bound: Vec<(Key, SocketAddr)>,
}

impl DatagramSockets {
    /// Binds what is new, for so many workers. Nothing of the running state changes; on an error everything new is closed.
    pub(super) fn prepare(&self, config: &Config, workers: usize) -> Result<Change, Vec<Fault>> {
        let mut change = Change {
            opened: (0..workers).map(|_| Vec::new()).collect(),
            ..Change::default()
        };
        let mut faults = Vec::new();
        let listeners = config.listeners.iter();
        for listener in listeners.filter(|one| one.transport() == Transport::Datagram) {
            for address in &listener.bind {
                let key = Key {
                    listener: listener.name.clone(),
                    mode: listener.mode.name,
                    configured: address.value,
                };
                if let Some(kept) = self.bound.iter().find(|(bound, _)| *bound == key) {
                    change.bound.push(kept.clone());
                    continue;
                }
                match self.open(address.value, workers) {
                    Ok((actual, sockets)) => {
                        for (worker, socket) in change.opened.iter_mut().zip(sockets) {
                            worker.push((key.clone(), listener.mode, socket));
                        }
                        change.bound.push((key, actual));
                    }
                    Err(error) => faults.push(cannot_bind(&address.at, address.value, &error)),
                }
            }
        }
        let stays = |key: &Key| change.bound.iter().any(|(bound, _)| bound == key);
        let bound = self.bound.iter().map(|(key, _)| key);
        change.closed = bound.filter(|key| !stays(key)).cloned().collect();
        if faults.is_empty() {
            Ok(change)
        } else {
            Err(faults)
        }
    }

    fn open(
        &self,
        address: SocketAddr,
        workers: usize,
    ) -> std::io::Result<(SocketAddr, Vec<UdpSocket>)> {
        if !self.bound.iter().any(|(_, own)| meet(*own, address)) {
            is_usable_for_datagrams(address)?;
        }
        let first = bind_datagrams(address)?;
        let actual = first.local_addr()?;
        let mut sockets = vec![first];
        while sockets.len() < workers {
            sockets.push(bind_datagrams(actual)?);
        }
        Ok((actual, sockets))
    }

    /// Takes a change that was prepared.
    pub(super) fn commit(&mut self, change: &mut Change) {
        self.bound = std::mem::take(&mut change.bound);
    }

    /// The addresses that came out, with their listeners.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        let bound = self.bound.iter();
        bound.map(|(key, address)| (&*key.listener, *address))
    }
}
