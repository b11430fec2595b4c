//! The datagrams of one socket on one worker: received in batches, answered from the address that they were sent to.
//! Knows no client from another and keeps nothing of them: who takes the datagrams does.
//! Start at [`bind_datagrams`], then [`Datagrams::receive`].
//!
//! Each worker has a socket of its own for an address (`SO_REUSEPORT`). The kernel chooses among them by a hash of both
//! addresses and ports, so that all datagrams of a client's socket come to one worker, as long as there are the same sockets.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(not(target_os = "linux"))]
use portable as system;

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// A socket that clients send datagrams to.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    bound: SocketAddr,
}

/// A client's datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Who sent it. Anybody can write any address here.
    pub client: SocketAddr,
    /// The address that it was sent to.
    pub local: SocketAddr,
    /// What it holds, which may be nothing.
    pub bytes: &'a [u8],
}

/// Room for one batch: enough for the largest datagrams that there are. Not kept in memory where it is not written to.
#[derive(Debug)]
pub struct Room(Box<[u8]>);

impl Default for Room {
    fn default() -> Self {
        Self(vec![0; BATCH * LARGEST].into())
    }
}

/// What is given each datagram: its source, its destination where the system tells it, and its bytes.
type Take<'a> = dyn FnMut(SocketAddr, Option<IpAddr>, &[u8]) + 'a;

/// Binds. Port 0 takes a free one; further workers then bind the port that came out.
///
/// Errors: the address is in use by somebody else, not this machine's, or not allowed.
pub fn bind_datagrams(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = new_socket(address)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // What comes while the worker does something else must have a place; how much that may be is the system's to say.
    let _ = socket.set_recv_buffer_size(RECEIVED);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Whether nobody else is bound there. `SO_REUSEPORT` would let two processes of one user share an address unnoticed.
pub fn is_usable_for_datagrams(address: SocketAddr) -> io::Result<()> {
    new_socket(address)?.bind(&address.into())
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // `[::]` beside `0.0.0.0` on one port: each takes its own family.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

impl Datagrams {
    /// Receives from a socket that was bound. To be called on the worker's runtime.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let bound = socket.local_addr()?;
        if bound.ip().is_unspecified() {
            // Without it an answer might leave from another address of this machine than the client wrote to.
            system::ask_destination(&socket, bound)?;
        }
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            bound,
        })
    }

    /// Waits for datagrams, and hands over as many as came with one call, at most 16. What can not be answered (no port, an address
    /// of many) is dropped.
    ///
    /// Errors: of the socket; the next call may go well. Cancel-safe: nothing was received where it is dropped.
    pub async fn receive(
        &self,
        room: &mut Room,
        mut take: impl FnMut(Datagram<'_>),
    ) -> io::Result<()> {
        self.socket.readable().await?;
        let received = self.socket.try_io(tokio::io::Interest::READABLE, || {
            system::receive(&self.socket, &mut room.0, &mut |client, local, bytes| {
                if !can_be_answered(client) {
                    return;
                }
                let local = local.unwrap_or_else(|| self.bound.ip()).to_canonical();
                take(Datagram {
                    client,
                    local: SocketAddr::new(local, self.bound.port()),
                    bytes,
                });
            })
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            received => received,
        }
    }

    /// Answers a client, from the address that it wrote to. Does not wait: where the system has no room now, the datagram is lost, as
    /// the network may lose it too.
    ///
    /// Errors: no room, too large, no way to the client.
    pub fn answer(&self, client: SocketAddr, local: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        if self.bound.ip().is_unspecified() {
            return system::send(&self.socket, client, local.ip(), bytes);
        }
        // Not through the runtime, which would first want to hear that there is room.
        let flags = rustix::net::SendFlags::DONTWAIT;
        rustix::net::sendto(&self.socket, bytes, flags, &client)?;
        Ok(())
    }
}

/// A source that an answer can be sent to: no forged one that would make us write to many, or to nobody.
fn can_be_answered(client: SocketAddr) -> bool {
    let nobody = match client.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    client.port() != 0 && !nobody
}

/// Datagrams of a batch.
const BATCH: usize = 16;

/// Bytes of the largest datagram: its length field has 16 bits (RFC 768).
const LARGEST: usize = 65_535;

/// Bytes that may wait in a socket.
const RECEIVED: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_to_one_place_or_is_not_sent() {
        for (client, expected) in [
            ("192.0.2.1:53", true),
            ("[2001:db8::1]:53", true),
            ("127.0.0.1:1", true),
            ("192.0.2.1:0", false),
            ("0.0.0.0:53", false),
            ("255.255.255.255:53", false),
            ("224.0.0.1:53", false),
            ("[ff02::1]:53", false),
            ("[::]:53", false),
        ] {
            let at = client.parse().expect("the table holds addresses");
            assert_eq!(can_be_answered(at), expected, "{client}");
        }
    }

    #[tokio::test]
    async fn an_answer_comes_from_the_address_that_was_written_to() {
        for bound in ["127.0.0.3:0", "0.0.0.0:0", "[::]:0"] {
            let socket = bind_datagrams(bound.parse().expect("an address")).expect("bound");
            let port = socket.local_addr().expect("an address").port();
            let server = Datagrams::new(socket).expect("a runtime");
            let six = bound.starts_with('[');
            let own = if six { "[::1]:0" } else { "127.0.0.1:0" };
            let client = UdpSocket::bind(own).await.expect("a client");
            let to = if six { "::1" } else { "127.0.0.3" };
            let to = SocketAddr::new(to.parse().expect("an address"), port);
            for sent in [&b"question"[..], b"", &[7; 60_000]] {
                client.send_to(sent, to).await.expect("sent");
                let mut room = Room::default();
                let mut answered = 0;
                while answered == 0 {
                    let take = |datagram: Datagram<'_>| {
                        assert_eq!(datagram.local, to, "{bound}");
                        assert!(datagram.bytes == sent);
                        let reply = b"answer";
                        let answer = server.answer(datagram.client, datagram.local, reply);
                        answer.expect("answered");
                        answered += 1;
                    };
                    server.receive(&mut room, take).await.expect("received");
                }
                let mut got = [0; 100];
                let (length, from) = client.recv_from(&mut got).await.expect("an answer");
                assert_eq!((&got[..length], from), (&b"answer"[..], to), "{bound}");
            }
        }
    }
}
