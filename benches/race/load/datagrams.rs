//! Both ends of a flow of datagrams: what sends each one and waits for it, and what sends it back.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use crate::came::Came;

/// One flow, until the time is over. An error where one does not come back, or not as it was.
pub async fn flow(
    to: SocketAddr,
    size: usize,
    end: Instant,
    came: &RefCell<Came>,
) -> io::Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
    socket.connect(to).await?;
    let (mut sent, mut come) = (vec![b'x'; size], vec![0; 64 << 10]);
    let mut number: u64 = 0;
    while Instant::now() < end {
        // So that none is taken for another one.
        for (byte, digit) in sent.iter_mut().zip(number.to_be_bytes()) {
            *byte = digit;
        }
        number += 1;
        socket.send(&sent).await?;
        let got = timeout(PATIENCE, socket.recv(&mut come)).await;
        let got = got.map_err(|_| io::Error::other("a datagram did not come back"))??;
        if come.get(..got) != Some(sent.as_slice()) {
            return Err(io::Error::other("a datagram that is not the one sent"));
        }
        came.borrow_mut().answer(got as u64);
    }
    Ok(())
}

pub async fn echo(socket: UdpSocket, served: &Cell<u64>) -> io::Result<()> {
    let mut buf = vec![0; 64 << 10];
    loop {
        // An error is of one client that has gone away.
        let Ok((got, client)) = socket.recv_from(&mut buf).await else {
            continue;
        };
        served.set(served.get() + 1);
        socket
            .send_to(buf.get(..got).unwrap_or_default(), client)
            .await
            .ok();
    }
}

/// On loopback, what has not come by then was lost.
const PATIENCE: Duration = Duration::from_secs(1);
