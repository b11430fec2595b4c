//! One datagram at a time, where the system has nothing better. A socket that is bound to all addresses answers from the one that
//! the system chooses.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;

use super::Take;

/// Nothing tells where a datagram was sent to.
pub(super) fn ask_destination(_socket: &std::net::UdpSocket, _bound: SocketAddr) -> io::Result<()> {
    Ok(())
}

/// Takes one datagram.
pub(super) fn receive(socket: &UdpSocket, room: &mut [u8], take: &mut Take<'_>) -> io::Result<()> {
    let (length, client) = socket.try_recv_from(room)?;
    take(client, None, room.get(..length).unwrap_or_default());
    Ok(())
}

/// Sends to a client.
pub(super) fn send(
    socket: &UdpSocket,
    client: SocketAddr,
    _local: IpAddr,
    bytes: &[u8],
) -> io::Result<()> {
    rustix::net::sendto(socket, bytes, rustix::net::SendFlags::DONTWAIT, &client)?;
    Ok(())
}
