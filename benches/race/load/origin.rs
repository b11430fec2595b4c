//! Answers with as many bytes as the path says. Reads GET requests without content, and little of them.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio_rustls::TlsAcceptor;

use crate::pairs::Pairs;
use crate::{datagrams, listen, tls, wrong};

/// Serves on all these ports, each with a count of its own, and over TLS on one more.
pub async fn serve(arguments: &[String]) -> io::Result<()> {
    let pairs = Pairs(arguments);
    let ports = arguments.iter().filter(|word| !word.contains('='));
    let mut counts = Vec::new();
    for port in ports {
        let served = Rc::new(Cell::new(0));
        counts.push(served.clone());
        serve_streams(port, served.clone(), None).await?;
        let number: u16 = port.parse().map_err(|_| wrong("PORT"))?;
        let socket = UdpSocket::bind(("127.0.0.1", number)).await?;
        tokio::task::spawn_local(async move { datagrams::echo(socket, &served).await });
    }
    if let Some(port) = pairs.get("tls") {
        let (certificate, key): (String, String) = (pairs.need("certificate")?, pairs.need("key")?);
        let served = counts.first().ok_or_else(|| wrong("PORT"))?;
        let tls = tls::acceptor(&certificate, &key)?;
        serve_streams(port, served.clone(), Some(tls)).await?;
    }
    std::future::pending().await
}

async fn serve_streams(
    port: &str,
    served: Rc<Cell<u64>>,
    tls: Option<TlsAcceptor>,
) -> io::Result<()> {
    let listener = listen(port).await?;
    let port = port.to_owned();
    tokio::task::spawn_local(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (port, served, tls) = (port.clone(), served.clone(), tls.clone());
            // A client that goes away is none of the origin's business.
            tokio::task::spawn_local(async move {
                client.set_nodelay(true)?;
                match tls {
                    None => answer(client, port, served).await,
                    Some(tls) => answer(tls.accept(client).await?, port, served).await,
                }
            });
        }
    });
    Ok(())
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: S,
    port: String,
    served: Rc<Cell<u64>>,
) -> io::Result<()> {
    let (mut buf, mut filled) = (vec![0; 16 << 10], 0);
    // What is answered again and again is made once.
    let mut made: HashMap<Vec<u8>, (Vec<u8>, u64)> = HashMap::new();
    loop {
        let head = loop {
            let come = buf.get(..filled).unwrap_or_default();
            if let Some(end) = come.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
            let read = client
                .read(buf.get_mut(filled..).unwrap_or_default())
                .await?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
        };
        let request = buf.get(..head).unwrap_or_default();
        let path = request.split(|byte| *byte == b' ').nth(1);
        let path = path.unwrap_or_default();
        if path == b"/served" {
            let count = served.get().to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{count}",
                count.len()
            );
            client.write_all(answer.as_bytes()).await?;
        } else {
            served.set(served.get() + 1);
            if !made.contains_key(path) {
                made.insert(path.to_owned(), response(path, &port));
            }
            let (first, left) = made.get(path).expect("it was made");
            client.write_all(first).await?;
            more(&mut client, *left).await?;
        }
        client.flush().await?;
        buf.copy_within(head..filled, 0);
        filled -= head;
    }
}

/// The response of a path: its beginning, and how many bytes follow.
fn response(path: &[u8], port: &str) -> (Vec<u8>, u64) {
    let path = String::from_utf8_lossy(path);
    let mut segments = path.split('/').skip(1);
    let size: u64 = segments
        .next()
        .and_then(|size| size.parse().ok())
        .unwrap_or(0);
    let control = if path.ends_with("/kept") {
        "max-age=3600"
    } else {
        "no-store"
    };
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nserver: race\r\ndate: {}\r\ncontent-type: text/plain\r\ncontent-length: {size}\r\n\
         cache-control: {control}\r\norigin: {port}\r\n\r\n",
        date(SystemTime::now())
    )
    .into_bytes();
    let first = size.min(CHUNK as u64);
    bytes.resize(bytes.len() + first as usize, b'x');
    (bytes, size - first)
}

async fn more(client: &mut (impl AsyncWrite + Unpin), mut left: u64) -> io::Result<()> {
    while left > 0 {
        let size = left.min(CHUNK as u64);
        client
            .write_all(CONTENT.get(..size as usize).unwrap_or_default())
            .await?;
        left -= size;
    }
    Ok(())
}

/// An HTTP-date (RFC 9110 §5.6.7); the calendar is Howard Hinnant's `civil_from_days`.
fn date(at: SystemTime) -> String {
    let seconds = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + u64::from(month >= 10);
    let name = |names: &str, nth: u64| {
        names
            .split(' ')
            .nth(nth as usize)
            .unwrap_or_default()
            .to_owned()
    };
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        name("Thu Fri Sat Sun Mon Tue Wed", days % 7),
        name("Mar Apr May Jun Jul Aug Sep Oct Nov Dec Jan Feb", month),
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

/// As much as one write takes.
const CHUNK: usize = 256 << 10;
static CONTENT: [u8; CHUNK] = [b'x'; CHUNK];
