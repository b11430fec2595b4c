//! Asks through a proxy, as fast as it is answered, on so many connections. Each answer must be a 200 of a known length.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::wrong;

/// Asks until the time is over; then waits for the answers that are on their way, as the proxy works for them too.
pub async fn ask(arguments: &[String]) -> io::Result<()> {
    let plan = Rc::new(Plan::read(arguments)?);
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
    let came = came.borrow();
    println!(
        "{{\"requests\": {}, \"bytes\": {}, \"seconds\": {:.6}, \"errors\": {}, \"first\": {:?}}}",
        came.requests,
        came.bytes,
        started.elapsed().as_secs_f64(),
        came.errors,
        came.first
    );
    Ok(())
}

struct Plan {
    to: SocketAddr,
    request: Vec<u8>,
    time: Duration,
    at_once: usize,
    connect: Option<String>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    once: bool,
}

/// What came of it.
#[derive(Default)]
struct Came {
    requests: u64,
    bytes: u64,
    errors: u64,
    first: String,
}

impl Came {
    fn error(&mut self, error: &io::Error) {
        if self.errors == 0 {
            self.first = error.to_string();
        }
        self.errors += 1;
    }
}

impl Plan {
    fn read(arguments: &[String]) -> io::Result<Self> {
        let get = |key: &str| {
            let pairs = arguments.iter().filter_map(|pair| pair.split_once('='));
            let mut found = pairs.filter(|(name, _)| *name == key);
            found.next().map(|(_, value)| value.to_owned())
        };
        let need = |key: &str| get(key).ok_or_else(|| wrong(key));
        let (target, host) = (need("target")?, need("host")?);
        let once = get("once").is_some();
        let close = if once { "connection: close\r\n" } else { "" };
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: race\r\naccept: */*\r\n{close}\r\n"
        );
        let tls = get("anchor").map(|file| connector(&file)).transpose()?;
        let name = host.split(':').next().unwrap_or_default().to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other);
        Ok(Self {
            to: need("to")?.parse().map_err(|_| wrong("to"))?,
            request: request.into_bytes(),
            time: need("seconds")?
                .parse()
                .map(Duration::from_secs_f64)
                .map_err(|_| wrong("seconds"))?,
            at_once: get("at-once")
                .map_or(Ok(1), |count| count.parse())
                .map_err(|_| wrong("at-once"))?,
            connect: get("connect"),
            tls: tls.map(|tls| name.map(|name| (tls, name))).transpose()?,
            once,
        })
    }

    /// One connection, for one request or for as many as there is time for.
    async fn connection(&self, end: Instant, came: &RefCell<Came>) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.to).await?;
        stream.set_nodelay(true)?;
        let mut buf = vec![0; 256 << 10];
        if let Some(authority) = &self.connect {
            let connect = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
            stream.write_all(connect.as_bytes()).await?;
            let (head, come) = head(&mut stream, &mut buf).await?;
            // The tunnel's origin does not speak first.
            if !head.ok || come > 0 {
                return Err(io::Error::other("CONNECT was not answered by a 200 alone"));
            }
        }
        match &self.tls {
            None => self.requests(stream, &mut buf, end, came).await,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await?;
                self.requests(stream, &mut buf, end, came).await
            }
        }
    }

    async fn requests<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        buf: &mut [u8],
        end: Instant,
        came: &RefCell<Came>,
    ) -> io::Result<()> {
        loop {
            stream.write_all(&self.request).await?;
            stream.flush().await?;
            let (head, mut got) = head(&mut stream, buf).await?;
            let size = head
                .length
                .ok_or_else(|| io::Error::other("an answer without Content-Length"))?;
            if !head.ok || got > size {
                return Err(io::Error::other(
                    "an answer that is no 200, or longer than it says",
                ));
            }
            while got < size {
                got += read(&mut stream, buf).await? as u64;
            }
            let mut came = came.borrow_mut();
            came.requests += 1;
            came.bytes += size;
            if self.once || Instant::now() >= end {
                return Ok(());
            }
        }
    }
}

/// What matters of a head.
struct Head {
    ok: bool,
    length: Option<u64>,
}

/// Reads a head, and tells how many bytes of what follows came with it.
async fn head(stream: &mut (impl AsyncRead + Unpin), buf: &mut [u8]) -> io::Result<(Head, u64)> {
    let mut filled = 0;
    loop {
        let room = buf.get_mut(filled..).unwrap_or_default();
        filled += read(stream, room).await?;
        let come = buf.get(..filled).unwrap_or_default();
        let Some(end) = come.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(come.get(..end).unwrap_or_default());
        let length = text.lines().filter_map(|line| line.split_once(':'));
        let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let head = Head {
            ok: text.starts_with("HTTP/1.1 200") || text.starts_with("HTTP/1.0 200"),
            length: length
                .filter_map(|(_, value)| value.trim().parse().ok())
                .next(),
        };
        return Ok((head, (filled - end - 4) as u64));
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), buf: &mut [u8]) -> io::Result<usize> {
    match stream.read(buf).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        size => Ok(size),
    }
}

/// Trusts this certificate only.
fn connector(file: &str) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(file).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// How much longer than asked for one connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
