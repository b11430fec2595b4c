//! Listening sockets: one for each worker, sharing an address through `SO_REUSEPORT`, so that the kernel spreads connections.
//! Accepts nothing itself.
//! Start at [`bind`].

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Binds and listens. Port 0 takes a free one; further workers then bind the port that came out.
///
/// Errors: the address is in use by somebody else, not this machine's, or not allowed.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // `[::]` beside `0.0.0.0` on one port: each takes its own family.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether nobody else listens there. `SO_REUSEPORT` would let two processes of one user share an address unnoticed.
pub fn is_usable(address: SocketAddr) -> std::io::Result<()> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// Connections that wait to be accepted; the kernel caps it by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
