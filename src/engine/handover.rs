//! Listening sockets that a new process takes over, from the one that runs or from the service manager: between the two no
//! connection is refused. Not what becomes of the old process, which drains (the main loop).
//! Start at [`Inherited::take`] for the new process, and [`Successor::start`] for the old one.

use std::ffi::OsString;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use socket2::{Domain, SockRef, Type};
use tokio::time::Instant;

/// Sockets that were open before this process began. Each is taken once.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    sockets: Vec<OwnedFd>,
    /// The process before this one, which waits to hear that this one serves.
    predecessor: Option<UnixStream>,
}

impl Inherited {
    /// What this process was given by its predecessor, else by the service manager (`LISTEN_FDS`). To be called once, at the
    /// start. Errors: the predecessor broke off.
    pub(super) fn take() -> std::io::Result<Self> {
        if std::env::var_os(HANDOVER).is_some() {
            return Self::from_predecessor();
        }
        let mut given = ListenFd::from_env();
        let mut sockets = Vec::new();
        for place in 0..given.len() {
            // What is of the one kind stays where it is when it is asked for as the other.
            match given.take_tcp_listener(place) {
                Ok(socket) => sockets.extend(socket.map(OwnedFd::from)),
                Err(_) => sockets.extend(given.take_udp_socket(place)?.map(OwnedFd::from)),
            }
        }
        Ok(Self {
            sockets,
            predecessor: None,
        })
    }

    fn from_predecessor() -> std::io::Result<Self> {
        let mut stream = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
        // What is inherited by a child of ours must not be the way to our predecessor.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut sockets = Vec::new();
        while receive(&mut stream, &mut sockets)? {}
        Ok(Self {
            sockets,
            predecessor: Some(stream),
        })
    }

    /// Whether another process served before this one, and serves still.
    pub(super) fn follows(&self) -> bool {
        self.predecessor.is_some()
    }

    /// The listening sockets of an address.
    pub(super) fn tcp(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let sockets = self.of(address, Type::STREAM);
        sockets.into_iter().map(TcpListener::from).collect()
    }

    /// The datagram sockets of an address.
    pub(super) fn udp(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        let sockets = self.of(address, Type::DGRAM);
        sockets.into_iter().map(UdpSocket::from).collect()
    }

    /// The admin socket, which a predecessor alone hands on.
    pub(super) fn admin(&mut self) -> Option<UnixListener> {
        let is_admin = |socket: &mut OwnedFd| {
            let local = SockRef::from(&*socket).local_addr();
            local.is_ok_and(|local| local.domain() == Domain::UNIX)
        };
        let found = self.sockets.extract_if(.., is_admin).next();
        found.map(UnixListener::from)
    }

    fn of(&mut self, address: SocketAddr, kind: Type) -> Vec<OwnedFd> {
        let fits = |socket: &mut OwnedFd| {
            let socket = SockRef::from(&*socket);
            let local = socket.local_addr().ok().and_then(|local| local.as_socket());
            local == Some(address) && socket.r#type().is_ok_and(|own| own == kind)
        };
        let found: Vec<OwnedFd> = self.sockets.extract_if(.., fits).collect();
        for socket in &found {
            // A service manager leaves it as it was made. A socket that can not be made ready tells so when it is used.
            let _ = SockRef::from(socket).set_nonblocking(true);
        }
        found
    }

    /// This process serves: tells its predecessor, which drains. What nobody has taken is closed.
    pub(super) fn ready(mut self) {
        for socket in &self.sockets {
            let local = SockRef::from(socket).local_addr().ok();
            let address = local.and_then(|local| local.as_socket());
            tracing::warn!(
                ?address,
                "a socket was handed to the process, and no listener has its address"
            );
        }
        if let Some(stream) = &mut self.predecessor
            && let Err(error) = stream.write_all(&[READY])
        {
            tracing::warn!(%error, "the process before this one is gone");
        }
    }
}

/// A new process of the same program that is to take over.
#[derive(Debug)]
pub(super) struct Successor {
    child: Child,
    stream: UnixStream,
}

impl Successor {
    /// Starts the program anew, as this process was started, and hands it these sockets. Blocks for a moment.
    ///
    /// Errors: it can not be started, or ends before it has taken them.
    pub(super) fn start(sockets: &[OwnedFd]) -> std::io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut words = std::env::args_os();
        let program = words.next().unwrap_or_else(|| OsString::from("egret"));
        let child = Command::new(program)
            .args(words)
            .env(HANDOVER, "stdin")
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDNAMES")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let mut successor = Self {
            child,
            stream: ours,
        };
        match successor.hand_over(sockets) {
            Ok(()) => Ok(successor),
            Err(error) => {
                successor.end(PATIENCE);
                Err(error)
            }
        }
    }

    fn hand_over(&mut self, sockets: &[OwnedFd]) -> std::io::Result<()> {
        self.stream.set_write_timeout(Some(PATIENCE))?;
        for some in sockets.chunks(AT_ONCE) {
            let borrowed: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            send(&self.stream, &borrowed)?;
        }
        send(&self.stream, &[])
    }

    /// Waits until it serves. Its process id. Blocks, at most for `limit` and a little.
    ///
    /// Errors: it ended, or was too slow; it is ended then.
    pub(super) fn serves(mut self, limit: Duration) -> std::io::Result<u32> {
        let mut answer = [0];
        let waited = self
            .stream
            .set_read_timeout(Some(limit))
            .and_then(|()| self.stream.read_exact(&mut answer));
        match waited {
            Ok(()) if answer == [READY] => Ok(self.child.id()),
            waited => {
                // One that gives up closes its end of the stream first, and then writes why.
                let gives_up = waited.is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof);
                self.end(if gives_up { PATIENCE } else { Duration::ZERO });
                Err(std::io::Error::other(
                    "the new process did not begin to serve; what it wrote says why",
                ))
            }
        }
    }

    /// Ends it, after it had so much time to end by itself.
    fn end(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        // One that has ended by itself can not be ended; either way nothing of it is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends some sockets; none says that there are no more.
fn send(stream: &UnixStream, sockets: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let count = u8::try_from(sockets.len()).unwrap_or(u8::MAX);
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(std::io::Error::other("too many sockets at once"));
    }
    let count = [count];
    sendmsg(
        stream,
        &[IoSlice::new(&count)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives some sockets; `false` where there are no more.
fn receive(stream: &mut UnixStream, sockets: &mut Vec<OwnedFd>) -> std::io::Result<bool> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut count = [0];
    let received = recvmsg(
        &*stream,
        &mut [IoSliceMut::new(&mut count)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let before = sockets.len();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            sockets.extend(some);
        }
    }
    if sockets.len() - before != usize::from(count[0]) {
        return Err(std::io::Error::other(
            "sockets were lost on the way from the process before this one: raise the limit of open files",
        ));
    }
    Ok(count != [0])
}

/// Says in the environment of a new process that its predecessor hands over by its standard input.
const HANDOVER: &str = "EGRET_HANDOVER";
/// Sockets in one message; the kernel takes up to 253.
const AT_ONCE: usize = 64;
/// Longest wait for one message.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a process that serves says to its predecessor.
const READY: u8 = b'R';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_arrive_whole_and_are_found_by_their_address() {
        let listeners: Vec<TcpListener> = (0..70)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
            .collect();
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let addresses: Vec<SocketAddr> = listeners
            .iter()
            .map(|socket| socket.local_addr().expect("bound"))
            .collect();
        let of_datagrams = datagrams.local_addr().expect("bound");
        let mut sockets: Vec<OwnedFd> = listeners.into_iter().map(OwnedFd::from).collect();
        sockets.push(datagrams.into());
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        for some in sockets.chunks(AT_ONCE) {
            let borrowed: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            send(&ours, &borrowed).expect("sent");
        }
        send(&ours, &[]).expect("sent");
        drop(sockets);
        let mut inherited = Inherited::default();
        while receive(&mut theirs, &mut inherited.sockets).expect("received") {}
        assert_eq!(inherited.sockets.len(), 71);
        assert!(inherited.tcp(of_datagrams).is_empty());
        assert_eq!(inherited.udp(of_datagrams).len(), 1);
        for address in addresses {
            let found = inherited.tcp(address);
            assert_eq!(found.len(), 1, "{address}");
            std::net::TcpStream::connect(address).expect("it still listens");
            assert!(inherited.tcp(address).is_empty(), "each is taken once");
        }
    }

    #[test]
    fn a_predecessor_that_goes_is_an_error() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        drop(ours);
        assert!(receive(&mut theirs, &mut Vec::new()).is_err());
    }
}
