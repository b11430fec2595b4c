//! Batches and addresses as Linux has them: recvmmsg(2), and `IP_PKTINFO` (ip(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmsg, setsockopt, sockopt,
};
use tokio::net::UdpSocket;

use super::{LARGEST, Take};

/// Wants to know of each datagram where it was sent to.
pub(super) fn ask_destination(socket: &std::net::UdpSocket, bound: SocketAddr) -> io::Result<()> {
    if bound.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    Ok(())
}

/// Takes what there is, as far as there is room, with one call.
pub(super) fn receive(socket: &UdpSocket, room: &mut [u8], take: &mut Take<'_>) -> io::Result<()> {
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = room
        .chunks_exact_mut(LARGEST)
        .map(|chunk| [IoSliceMut::new(chunk)])
        .collect();
    // Made anew for each call: the kernel writes into it how much of it it used, and would take that for the room there is.
    let space = Some(cmsg_space!(in6_pktinfo));
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(slices.len(), space);
    let received = recvmmsg(
        socket.as_raw_fd(),
        &mut headers,
        slices.iter_mut(),
        MsgFlags::MSG_DONTWAIT,
        None,
    )?;
    for message in received {
        let Some(client) = message.address.as_ref().and_then(address) else {
            continue;
        };
        take(
            client,
            destination(&message),
            message.iovs().next().unwrap_or_default(),
        );
    }
    Ok(())
}

/// Sends to a client from this address of ours.
pub(super) fn send(
    socket: &UdpSocket,
    client: SocketAddr,
    local: IpAddr,
    bytes: &[u8],
) -> io::Result<()> {
    let send = |control: ControlMessage<'_>| {
        sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(bytes)],
            &[control],
            MsgFlags::MSG_DONTWAIT,
            Some(&SockaddrStorage::from(client)),
        )
    };
    match local {
        IpAddr::V4(ip) => send(ControlMessage::Ipv4PacketInfo(&in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: in_addr {
                s_addr: u32::from(ip).to_be(),
            },
            ipi_addr: in_addr { s_addr: 0 },
        })),
        IpAddr::V6(ip) => send(ControlMessage::Ipv6PacketInfo(&in6_pktinfo {
            ipi6_addr: in6_addr {
                s6_addr: ip.octets(),
            },
            // The scope of the client's address says which interface, where that matters.
            ipi6_ifindex: 0,
        })),
    }?;
    Ok(())
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let four = || storage.as_sockaddr_in().map(|four| SocketAddr::from(*four));
    let six = || storage.as_sockaddr_in6().map(|six| SocketAddr::from(*six));
    four().or_else(six)
}

fn destination(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<IpAddr> {
    message.cmsgs().ok()?.find_map(|control| {
        if let ControlMessageOwned::Ipv4PacketInfo(info) = control {
            return Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into());
        }
        if let ControlMessageOwned::Ipv6PacketInfo(info) = control {
            return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
        }
        None
    })
}
