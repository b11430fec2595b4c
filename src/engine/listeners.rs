//! The sockets of the process: bound before anyone is told, one for each worker, kept over reloads where the address stays.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::config::Config;
use crate::fault::{Fault, Location};
use crate::listener::{bind, is_usable};
use crate::mode::Entry;
use crate::proxy_protocol::Transport;

/// Which socket: the listener and the address as configured (port 0 stays port 0).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) listener: Arc<str>,
    pub(super) mode: &'static str,
    pub(super) configured: SocketAddr,
}

/// The sockets in force.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    bound: Vec<(Key, SocketAddr)>,
}

/// What workers have to change.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// For each worker, the sockets to accept from.
    pub(super) opened: Vec<Vec<(Key, &'static Entry, TcpListener)>>,
    /// Sockets to close.
    pub(super) closed: Vec<Key>,
    bound: Vec<(Key, SocketAddr)>,
}

impl Listeners {
    /// Binds what is new, for so many workers. Nothing of the running state changes; on an error everything new is closed.
    pub(super) fn prepare(&self, config: &Config, workers: usize) -> Result<Change, Vec<Fault>> {
        let mut change = Change {
            opened: (0..workers).map(|_| Vec::new()).collect(),
            ..Change::default()
        };
        let mut faults = Vec::new();
        let listeners = config.listeners.iter();
        for listener in listeners.filter(|one| one.transport() == Transport::Stream) {
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
        change.closed = self
            .bound
            .iter()
            .map(|(key, _)| key)
            .filter(|key| !stays(key))
            .cloned()
            .collect();
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
    ) -> std::io::Result<(SocketAddr, Vec<TcpListener>)> {
        // What this process listens on is in use by nobody else: a listener that got another name or mode takes it over.
        if !self.bound.iter().any(|(_, own)| meet(*own, address)) {
            is_usable(address)?;
        }
        let first = bind(address)?;
        let actual = first.local_addr()?;
        let mut sockets = vec![first];
        while sockets.len() < workers {
            sockets.push(bind(actual)?);
        }
        Ok((actual, sockets))
    }

    /// Takes a change that was prepared.
    pub(super) fn commit(&mut self, change: &mut Change) {
        self.bound = std::mem::take(&mut change.bound);
    }

    /// The addresses that came out, with their listeners.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.bound
            .iter()
            .map(|(key, address)| (&*key.listener, *address))
    }
}

/// Whether two sockets of one family would take connections to one address.
pub(super) fn meet(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (any || a.ip() == b.ip())
}

pub(super) fn cannot_bind(at: &Location, address: SocketAddr, error: &std::io::Error) -> Fault {
    let known = [
        (
            ErrorKind::AddrInUse,
            "another process listens there: stop it, or choose another port",
        ),
        (
            ErrorKind::PermissionDenied,
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        ),
        (
            ErrorKind::AddrNotAvailable,
            "the address is not one of this machine's",
        ),
    ];
    let remedy = known
        .iter()
        .find(|(kind, _)| *kind == error.kind())
        .map_or("choose another address", |(_, remedy)| remedy);

    Fault::at(at, format!("cannot listen on {address}: {error}"), remedy)
}
