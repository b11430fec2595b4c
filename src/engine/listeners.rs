//! The sockets of the process: bound before anyone is told, one for each worker, kept over reloads where the address stays.
//! Connections and datagrams alike: what differs is a [`Socket`]'s.
//! Start at [`Listeners::prepare`].

use std::io::{ErrorKind, Result};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use socket2::SockRef;

use super::handover::Inherited;
use crate::config::Config;
use crate::fault::{Fault, Location};
use crate::listener::{bind, bind_datagrams, is_usable, is_usable_for_datagrams};
use crate::mode::Entry;
use crate::proxy_protocol::Transport;

/// Which socket: the listener and the address as configured (port 0 stays port 0).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) listener: Arc<str>,
    pub(super) mode: &'static str,
    pub(super) configured: SocketAddr,
}

/// What a listener receives by.
pub(super) trait Socket: AsFd + From<OwnedFd> {
    /// What comes in by it.
    const TRANSPORT: Transport;
    /// Binds one more to an address.
    fn bind(address: SocketAddr) -> Result<Self>;
    /// Whether nobody else has the address.
    fn is_usable(address: SocketAddr) -> Result<()>;
    /// Those that were open before this process began.
    fn inherit(inherited: &mut Inherited, address: SocketAddr) -> Vec<Self>;

    /// The address that it is bound to.
    fn actual(&self) -> Result<SocketAddr> {
        let local = SockRef::from(self).local_addr()?;
        Ok(local.as_socket().ok_or(ErrorKind::InvalidInput)?)
    }

    /// Whether others may be bound beside it.
    fn is_one_of_many(&self) -> Result<bool> {
        SockRef::from(self).reuse_port()
    }

    /// Another handle of the same.
    fn copy(&self) -> Result<Self> {
        self.descriptor().map(Self::from)
    }

    /// A handle of any kind.
    fn descriptor(&self) -> Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }
}

impl Socket for TcpListener {
    const TRANSPORT: Transport = Transport::Stream;

    fn bind(address: SocketAddr) -> Result<Self> {
        bind(address)
    }

    fn is_usable(address: SocketAddr) -> Result<()> {
        is_usable(address)
    }

    fn inherit(inherited: &mut Inherited, address: SocketAddr) -> Vec<Self> {
        inherited.tcp(address)
    }
}

impl Socket for UdpSocket {
    const TRANSPORT: Transport = Transport::Datagram;

    fn bind(address: SocketAddr) -> Result<Self> {
        bind_datagrams(address)
    }

    fn is_usable(address: SocketAddr) -> Result<()> {
        is_usable_for_datagrams(address)
    }

    fn inherit(inherited: &mut Inherited, address: SocketAddr) -> Vec<Self> {
        inherited.udp(address)
    }
}

/// The sockets in force, of one kind.
#[derive(Debug)]
pub(super) struct Listeners<S> {
    bound: Vec<Bound<S>>,
}

/// The sockets of one address.
#[derive(Debug)]
struct Bound<S> {
    key: Key,
    actual: SocketAddr,
    /// Handles of our own, beside those of the workers: what a process that takes over is given. They hold a socket open after
    /// the workers have let go of it, so they go with it.
    copies: Arc<[S]>,
}

/// What workers have to change.
#[derive(Debug)]
pub(super) struct Change<S> {
    /// For each worker, the sockets to receive from.
    pub(super) opened: Vec<Vec<(Key, &'static Entry, S)>>,
    /// Sockets to close.
    pub(super) closed: Vec<Key>,
    bound: Vec<Bound<S>>,
}

/// Sockets of one address, one for each worker and more where more were inherited.
struct Opened<S> {
    actual: SocketAddr,
    sockets: Vec<S>,
    copies: Arc<[S]>,
}

impl<S> Default for Listeners<S> {
    fn default() -> Self {
        Self { bound: Vec::new() }
    }
}

impl<S> Clone for Bound<S> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            actual: self.actual,
            copies: self.copies.clone(),
        }
    }
}

impl<S: Socket> Listeners<S> {
    /// Binds what is new, for so many workers, or takes what was inherited. Nothing of the running state changes; on an error
    /// everything new is closed.
    pub(super) fn prepare(
        &self,
        config: &Config,
        workers: usize,
        inherited: &mut Inherited,
    ) -> std::result::Result<Change<S>, Vec<Fault>> {
        let mut change = Change {
            opened: (0..workers).map(|_| Vec::new()).collect(),
            closed: Vec::new(),
            bound: Vec::new(),
        };
        let mut faults = Vec::new();
        let listeners = config.listeners.iter();
        for listener in listeners.filter(|one| one.transport() == S::TRANSPORT) {
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
                    Ok(opened) => change.take(key, listener.mode, opened),
                    Err(error) => faults.push(cannot_bind(&address.at, address.value, &error)),
                }
            }
        }
        let stays = |key: &Key| change.bound.iter().any(|bound| bound.key == *key);
        let bound = self.bound.iter().map(|bound| &bound.key);
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
        inherited: &mut Inherited,
    ) -> Result<Opened<S>> {
        let mut sockets = S::inherit(inherited, address);
        if sockets.is_empty() {
            // What this process listens on is in use by nobody else: a listener that got another name or mode takes it over.
            if !self.bound.iter().any(|own| meet(own.actual, address)) {
                S::is_usable(address)?;
            }
            sockets.push(S::bind(address)?);
        }
        let first = sockets.first().ok_or(ErrorKind::NotFound)?;
        let actual = first.actual()?;
        // A service manager's one socket is for all workers; of our own, each has one.
        let alone = !first.is_one_of_many()?;
        while sockets.len() < workers {
            let another = match sockets.first() {
                Some(first) if alone => first.copy()?,
                Some(_) | None => S::bind(actual)?,
            };
            sockets.push(another);
        }
        let copies: Result<Vec<S>> = sockets.iter().map(S::copy).collect();
        Ok(Opened {
            actual,
            copies: copies?.into(),
            sockets,
        })
    }

    /// Handles of all sockets, for a process that takes over.
    pub(super) fn copies(&self) -> Result<Vec<OwnedFd>> {
        let copies = self.bound.iter().flat_map(|bound| &*bound.copies);
        copies.map(S::descriptor).collect()
    }

    /// Lets go of the sockets, which are then open only as long as the workers receive from them.
    pub(super) fn release(&mut self) {
        for bound in &mut self.bound {
            bound.copies = Arc::new([]);
        }
    }

    /// What workers know the sockets by.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.bound.iter().map(|bound| &bound.key)
    }

    /// Takes a change that was prepared.
    pub(super) fn commit(&mut self, change: &mut Change<S>) {
        self.bound = std::mem::take(&mut change.bound);
    }

    /// The addresses that came out, with their listeners.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        let bound = self.bound.iter();
        bound.map(|bound| (&*bound.key.listener, bound.actual))
    }

    /// The addresses that came out.
    pub(super) fn places(&self) -> Vec<SocketAddr> {
        self.bound.iter().map(|bound| bound.actual).collect()
    }
}

impl<S> Change<S> {
    fn take(&mut self, key: Key, mode: &'static Entry, opened: Opened<S>) {
        let workers = self.opened.len().max(1);
        for (place, socket) in opened.sockets.into_iter().enumerate() {
            // More sockets than workers, after an upgrade to fewer: some receive from several.
            if let Some(worker) = self.opened.get_mut(place % workers) {
                worker.push((key.clone(), mode, socket));
            }
        }
        self.bound.push(Bound {
            key,
            actual: opened.actual,
            copies: opened.copies,
        });
    }
}

/// Whether two sockets of one family would take connections to one address.
fn meet(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (any || a.ip() == b.ip())
}

fn cannot_bind(at: &Location, address: SocketAddr, error: &std::io::Error) -> Fault {
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
