//! The ends of the race: an origin, what asks it through a proxy, and a relay that does nothing else. One thread, closed loop; but for `paced`.
//! Not a proxy, and not a test of one: what is not as expected is counted as an error, with the first one's text.
//!
//! ```text
//! load origin [KEY=VALUE..] PORT..
//!                answers GET /SIZE with so many bytes, which may be kept where the path ends in /kept, and GET /served with the
//!                number of requests before; sends back each datagram that comes to one of the ports, and counts it with them
//!     tls         a port where the same is spoken over TLS, and counted with what comes to the first port
//!     certificate, key    PEM files for it
//! load relay PORT ADDRESS..    copies bytes between each client and one of these, in turn
//! load ask KEY=VALUE..    prints what it came to: {"requests": 1, "bytes": 1024, "seconds": 1.0, "errors": 0, "first": ""}
//!     to         where all connections go
//!     target     what stands in the request line
//!     host       the Host field
//!     seconds    how long new requests are made
//!     at-once    connections (1)
//!     connect    an authority that a CONNECT opens a tunnel to first
//!     socks      an IPv4 address and a port that SOCKS5, without authentication, opens a connection to first
//!     anchor     a PEM file: TLS is spoken, in the tunnel if there is one, to whom this certifies (or is) for the name in `host`
//!     once       "yes": a connection for each request
//!     names      a number, which stands for the * of `host` and `connect`, and is one more for each connection
//!     datagrams  a size: nothing of the above is asked for, but such a datagram sent, and expected back, over and over
//! load hold KEY=VALUE..    opens tunnels, prints the same of them, holds them, asks one byte through each, and prints the same of that
//!     to, connect    as above
//!     tunnels        how many
//!     seconds        how long they are idle
//! load paced KEY=VALUE..    the same at a fixed rate: to, target, host, seconds, at-once (64), and
//!     rate       requests in a second
//!     warm       seconds before those that count (0)
//! load sink PORT    takes what is sent
//! load upload KEY=VALUE..    sends contents of so many `bytes`: to, target, host, seconds
//! load slow KEY=VALUE..    reads a byte a second of each answer: to, target, host, seconds, at-once
//! ```

mod ask;
mod came;
mod datagrams;
mod disturb;
mod hold;
mod origin;
mod paced;
mod pairs;
mod tls;
mod tunnel;

use std::io;
use std::net::SocketAddr;
use std::process::exit;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use self::pairs::Pairs;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let ran = LocalSet::new().block_on(&runtime, async {
        match command.as_str() {
            "origin" => origin::serve(&rest).await,
            "relay" => relay(&rest).await,
            "ask" => ask::ask(&Pairs(&rest)).await,
            "hold" => hold::hold(&Pairs(&rest)).await,
            "paced" => paced::paced(&Pairs(&rest)),
            "sink" => disturb::sink(&rest).await,
            "upload" => disturb::upload(&Pairs(&rest)).await,
            "slow" => disturb::slow(&Pairs(&rest)).await,
            _ => Err(io::Error::other("no such command; see main.rs")),
        }
    });
    if let Err(error) = ran {
        eprintln!("load: {error}");
        exit(2);
    }
}

/// Parses nothing: what any proxy costs at least that is written in this way.
async fn relay(arguments: &[String]) -> io::Result<()> {
    let (port, origins) = arguments.split_first().ok_or_else(|| wrong("PORT"))?;
    let origins: Vec<SocketAddr> = origins.iter().filter_map(|to| to.parse().ok()).collect();
    let listener = listen(port).await?;
    for turn in 0.. {
        let (mut client, _) = listener.accept().await?;
        let to = *origins
            .get(turn % origins.len().max(1))
            .ok_or_else(|| wrong("ADDRESS"))?;
        tokio::task::spawn_local(async move {
            client.set_nodelay(true)?;
            let mut origin = TcpStream::connect(to).await?;
            origin.set_nodelay(true)?;
            tokio::io::copy_bidirectional_with_sizes(&mut client, &mut origin, 16 << 10, 64 << 10)
                .await
        });
    }
    Ok(())
}

async fn listen(port: &str) -> io::Result<TcpListener> {
    let port: u16 = port.parse().map_err(|_| wrong("PORT"))?;
    TcpListener::bind(("127.0.0.1", port)).await
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(format!("{what} is missing, or can not be read"))
}
