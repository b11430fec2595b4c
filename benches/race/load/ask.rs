//! Asks through a proxy, as fast as it is answered, on so many connections. Each answer must be a 200 of a known length.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::came::Came;
use crate::pairs::Pairs;
use crate::{datagrams, tls, tunnel};

/// Asks until the time is over; then waits for the answers that are on their way, as the proxy works for them too.
pub async fn ask(pairs: &Pairs<'_>) -> io::Result<()> {
    let plan = Rc::new(Plan::read(pairs)?);
    let came = Rc::new(RefCell::new(Came::default()));
    let started = Instant::now();
    let end = started + plan.time;
    let all: Vec<_> = (0..plan.at_once)
        .map(|_| {
            let (plan, came) = (plan.clone(), came.clone());
            tokio::task::spawn_local(async move {
                while Instant::now() < end {
                    let asked = timeout(PATIENCE + plan.time, plan.connection(end, &came)).await;
                    let Err(error) = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                    else {
                        continue;
                    };
                    came.borrow_mut().error(&error);
                    sleep(Duration::from_millis(10)).await;
                }
            })
        })
        .collect();
    for one in all {
        one.await.map_err(io::Error::other)?;
    }
    came.borrow().print(started.elapsed());
    Ok(())
}

struct Plan {
    to: SocketAddr,
    time: Duration,
    at_once: usize,
    target: String,
    host: String,
    connect: Option<String>,
    socks: Option<SocketAddrV4>,
    tls: Option<TlsConnector>,
    once: bool,
    /// The number in the next connection's name.
    names: Option<Cell<u64>>,
    datagrams: Option<usize>,
}

impl Plan {
    fn read(pairs: &Pairs<'_>) -> io::Result<Self> {
        let datagrams = pairs.may("datagrams")?;
        let http = |key: &str| match datagrams {
            Some(_) => Ok(String::new()),
            None => pairs.need(key),
        };
        Ok(Self {
            to: pairs.need("to")?,
            time: Duration::from_secs_f64(pairs.need("seconds")?),
            at_once: pairs.may("at-once")?.unwrap_or(1),
            target: http("target")?,
            host: http("host")?,
            connect: pairs.may("connect")?,
            socks: pairs.may("socks")?,
            tls: pairs.get("anchor").map(tls::connector).transpose()?,
            once: pairs.get("once").is_some(),
            names: pairs.may("names")?.map(Cell::new),
            datagrams,
        })
    }

    /// One connection, for one request or for as many as there is time for.
    async fn connection(&self, end: Instant, came: &RefCell<Came>) -> io::Result<()> {
        if let Some(size) = self.datagrams {
            return datagrams::flow(self.to, size, end, came).await;
        }
        let name = self.names.as_ref().map(|next| next.replace(next.get() + 1));
        let named = |text: &str| match name {
            Some(number) => text.replace('*', &number.to_string()),
            None => text.to_owned(),
        };
        let host = named(&self.host);
        let mut stream = tunnel::dial(self.to).await?;
        let mut buf = vec![0; 256 << 10];
        if let Some(authority) = &self.connect {
            tunnel::connect(&mut stream, &named(authority), &mut buf).await?;
        }
        if let Some(to) = self.socks {
            tunnel::socks(&mut stream, to).await?;
        }
        let Some(tls) = &self.tls else {
            return self.requests(&mut stream, &host, &mut buf, end, came).await;
        };
        let name = host.split(':').next().unwrap_or_default().to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let mut stream = tls.connect(name, stream).await?;
        self.requests(&mut stream, &host, &mut buf, end, came)
            .await?;
        // All has been answered; whoever has closed already needs no word of it.
        stream.shutdown().await.ok();
        Ok(())
    }

    async fn requests<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        host: &str,
        buf: &mut [u8],
        end: Instant,
        came: &RefCell<Came>,
    ) -> io::Result<()> {
        let target = &self.target;
        let close = if self.once {
            "connection: close\r\n"
        } else {
            ""
        };
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: race\r\naccept: */*\r\n{close}\r\n"
        );
        loop {
            let bytes = tunnel::exchange(stream, request.as_bytes(), buf).await?;
            came.borrow_mut().answer(bytes);
            if self.once || Instant::now() >= end {
                return Ok(());
            }
        }
    }
}

/// How much longer than asked for one connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
