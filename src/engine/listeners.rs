//! The sockets of the process: bound before anyone is told, one for each worker, kept over reloads where the address stays.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use socket2::SockRef;

use super::handover::Inherited;
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
    bound: Vec<Bound>,
}

/// The sockets of one address. Cheap to clone.
#[derive(Debug, Clone)]
struct Bound {
    key: Key,
    actual: SocketAddr,
    /// Handles of our own, beside those of the workers: what a process that takes over is given. They hold a socket open after
    /// the workers have let go of it, so they go with it.
    copies: Arc<[TcpListener]>,
}

/// What workers have to change.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// For each worker, the sockets to accept from.
    pub(super) opened: Vec<Vec<(Key, &'static Entry, TcpListener)>>,
    /// Sockets to close.
    pub(super) closed: Vec<Key>,
    bound: Vec<Bound>,
}

impl Listeners {
    /// Binds what is new, for so many workers, or takes what was inherited. Nothing of the running state changes; on an error
    /// everything new is closed.
    pub(super) fn prepare(
        &self,
        config: &Config,
        workers: usize,
        inherited: &mut Inherited,
    ) -> Result<Change, Vec<Fault>> {
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
                if let Some(kept) = self.bound.iter().find(|bound| bound.key == key) {
                    change.bound.push(kept.clone());
                    continue;
                }
                match self.open(address.value, workers, inherited) {
                    Ok(opened) => {
                        for (place, socket) in opened.sockets.into_iter().enumerate() {
                            // More sockets than workers, after an upgrade to fewer: some accept from several.
                            if let Some(worker) = change.opened.get_mut(place % workers.max(1)) {
                                worker.push((key.clone(), listener.mode, socket));
                            }
                        }
                        change.bound.push(Bound {
                            key,
                            actual: opened.actual,
                            copies: opened.copies,
                        });
                    }
                    Err(error) => faults.push(cannot_bind(&address.at, address.value, &error)),
                }
            }
        }
        let stays = |key: &Key| change.bound.iter().any(|bound| bound.key == *key);
        change.closed = self
            .bound
            .iter()
            .map(|bound| &bound.key)
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
        inherited: &mut Inherited,
    ) -> std::io::Result<Opened> {
        let mut sockets = inherited.tcp(address);
        if sockets.is_empty() {
            // What this process listens on is in use by nobody else: a listener that got another name or mode takes it over.
            if !self.bound.iter().any(|own| meet(own.actual, address)) {
                is_usable(address)?;
            }
            sockets.push(bind(address)?);
        }
        let first = sockets.first().ok_or(ErrorKind::NotFound)?;
        let actual = first.local_addr()?;
        // A service manager's one socket is for all workers; of our own, each has one.
        let alone = !SockRef::from(first).reuse_port()?;
        while sockets.len() < workers {
            let another = match sockets.first() {
                Some(first) if alone => first.try_clone()?,
                Some(_) | None => bind(actual)?,
            };
            sockets.push(another);
        }
        let copies: std::io::Result<Vec<TcpListener>> =
            sockets.iter().map(TcpListener::try_clone).collect();
        Ok(Opened {
            actual,
            copies: copies?.into(),
            sockets,
        })
    }

    /// Handles of all sockets, for a process that takes over.
    pub(super) fn copies(&self) -> std::io::Result<Vec<OwnedFd>> {
        let copies = self.bound.iter().flat_map(|bound| &*bound.copies);
        copies
            .map(|copy| copy.try_clone().map(OwnedFd::from))
            .collect()
    }

    /// Lets go of the sockets, which are then open only as long as the workers accept from them.
    pub(super) fn release(&mut self) {
        for bound in &mut self.bound {
            bound.copies = Arc::default();
        }
    }

    /// Takes a change that was prepared.
    pub(super) fn commit(&mut self, change: &mut Change) {
        self.bound = std::mem::take(&mut change.bound);
    }

    /// The addresses that came out, with their listeners.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.bound
            .iter()
            .map(|bound| (&*bound.key.listener, bound.actual))
    }
}

/// Sockets of one address, one for each worker and more where more were inherited.
struct Opened {
    actual: SocketAddr,
    sockets: Vec<TcpListener>,
    copies: Arc<[TcpListener]>,
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
