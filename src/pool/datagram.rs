//! The one place that opens datagram sockets towards origins: to an address of a permit, and to nothing else.
//! Sends nothing: what is sent is its user's.
//! Start at [`Pool::associate`].

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Failure, Pool};
use crate::message::ProxyError;
use crate::policy::Permit;

impl Pool {
    /// A socket that sends to the first of the permit's addresses, and receives from there alone; it has a port of its own.
    /// Nothing is sent and nothing waited for: whether anybody is there shows only once something is sent.
    ///
    /// Errors: no route, no descriptor left.
    pub fn associate(&self, permit: &Permit) -> Result<(UdpSocket, SocketAddr), Failure> {
        let Some(address) = permit.addresses().first().copied() else {
            return Err(Failure::new(
                ProxyError::DnsError,
                "the name has no address",
            ));
        };
        let socket = open(address).map_err(|error| Failure::dial(&error, address))?;
        Ok((socket, address))
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    // A port that is drawn by the kernel: replies that somebody else makes up have to guess it (RFC 5452 §9.2).
    socket.bind(&any.into())?;
    socket.connect(&address.into())?;
    UdpSocket::from_std(socket.into())
}
