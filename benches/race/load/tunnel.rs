//! Ways through a proxy, and what is read of an HTTP answer there.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub async fn dial(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for a tunnel to an authority.
pub async fn connect(stream: &mut TcpStream, authority: &str, buf: &mut [u8]) -> io::Result<()> {
    let connect = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    stream.write_all(connect.as_bytes()).await?;
    let (head, come) = head(stream, buf).await?;
    // The tunnel's origin does not speak first.
    if !head.ok || come > 0 {
        return Err(io::Error::other("CONNECT was not answered by a 200 alone"));
    }
    Ok(())
}

/// Asks for a connection by SOCKS5, and offers no authentication (RFC 1928 §3, §4).
pub async fn socks(stream: &mut TcpStream, to: SocketAddrV4) -> io::Result<()> {
    stream.write_all(&[5, 1, 0]).await?;
    let mut method = [0; 2];
    stream.read_exact(&mut method).await?;
    if method != [5, 0] {
        return Err(io::Error::other("SOCKS wants authentication"));
    }
    let mut request = vec![5, 1, 0, 1];
    request.extend(to.ip().octets());
    request.extend(to.port().to_be_bytes());
    stream.write_all(&request).await?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await?;
    let [5, 0, _, kind] = reply else {
        return Err(io::Error::other("SOCKS did not connect"));
    };
    // The address that the proxy has bound, and its port.
    let rest = if kind == 4 { 18 } else { 6 };
    stream
        .read_exact(vec![0; rest].as_mut_slice())
        .await
        .map(drop)
}

/// Sends a request, reads its answer, and returns the length of its content. Anything but a 200 of a told length is an error.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
    buf: &mut [u8],
) -> io::Result<u64> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let (head, mut got) = head(stream, buf).await?;
    let size = head
        .length
        .ok_or_else(|| io::Error::other("an answer without Content-Length"))?;
    if !head.ok || got > size {
        return Err(io::Error::other(
            "an answer that is no 200, or longer than it says",
        ));
    }
    while got < size {
        got += read(stream, buf).await? as u64;
    }
    Ok(size)
}

/// What matters of a head.
pub struct Head {
    /// Whether it is that of a 200.
    pub ok: bool,
    /// What it says of how long its content is.
    pub length: Option<u64>,
}

impl Head {
    /// The head of a request is read like one of a response that is no 200.
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        Self {
            ok: text.starts_with("HTTP/1.1 200") || text.starts_with("HTTP/1.0 200"),
            length: length.and_then(|(_, value)| value.trim().parse().ok()),
        }
    }
}

/// Reads a head, and tells how many bytes of what follows came with it.
pub async fn head(
    stream: &mut (impl AsyncRead + Unpin),
    buf: &mut [u8],
) -> io::Result<(Head, u64)> {
    let mut filled = 0;
    loop {
        let room = buf.get_mut(filled..).unwrap_or_default();
        filled += read(stream, room).await?;
        let come = buf.get(..filled).unwrap_or_default();
        let Some(end) = come.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let head = Head::parse(come.get(..end).unwrap_or_default());
        return Ok((head, (filled - end - 4) as u64));
    }
}

/// Reads some bytes; the end is an error.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), buf: &mut [u8]) -> io::Result<usize> {
    match stream.read(buf).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        size => Ok(size),
    }
}
