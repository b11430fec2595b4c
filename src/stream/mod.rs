//! Bytes: one type for any byte stream, putting back what was peeked, the two-way copy of a tunnel, and how a copy lets others run.
//! Knows nothing of HTTP, TLS or policy, and dials nothing: what it carries was opened by somebody else.
//! Start at [`Stream`], then [`duplex`].

mod deadline;
mod direction;
mod duplex;
mod give_way;
mod shared;
mod silence;
#[cfg(target_os = "linux")]
mod splice;
mod split;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub use deadline::LazyDeadline;
pub use duplex::{Ended, Limits, Side, Traffic, duplex};
pub use give_way::give_way;
pub use shared::poll_read_shared;
pub use silence::{Silence, TooLong};
pub use split::{NotOnePair, ReadHalf, WriteHalf, split};

/// A two-way byte stream of any kind: TLS over TCP, an HTTP/2 stream, an in-memory pipe.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// What carries the bytes of a [`Stream`].
pub enum Io {
    /// A plain TCP connection, which the kernel can relay by itself.
    Tcp(TcpStream),
    /// Anything else.
    Boxed(Box<dyn Duplex>),
}

/// The byte stream of one side, client or origin.
///
/// Reads yield first what was put back with [`Stream::unread`], then what the carrier delivers. Reading and writing are
/// cancel-safe exactly as far as the carrier is; TCP is.
pub struct Stream {
    prefix: BytesMut,
    io: Io,
}

impl Stream {
    /// A stream over a TCP connection.
    pub fn from_tcp(tcp: TcpStream) -> Self {
        Self::from_parts(BytesMut::new(), Io::Tcp(tcp))
    }

    /// A stream over anything else.
    pub fn boxed(io: impl Duplex + 'static) -> Self {
        Self::from_parts(BytesMut::new(), Io::Boxed(Box::new(io)))
    }

    /// A stream that yields `prefix` first and then what `io` delivers; undoes [`Stream::into_parts`].
    pub fn from_parts(prefix: BytesMut, io: Io) -> Self {
        Self { prefix, io }
    }

    /// Puts bytes back, in front of all that is still to be read.
    pub fn unread(&mut self, mut bytes: BytesMut) {
        if !self.prefix.is_empty() {
            bytes.extend_from_slice(&self.prefix);
        }
        self.prefix = bytes;
    }

    /// The TCP connection, if the stream is a plain one. Bytes put back are not seen through it: see
    /// [`Stream::unread_len`] before reading from it.
    pub fn as_tcp(&self) -> Option<&TcpStream> {
        match &self.io {
            Io::Tcp(tcp) => Some(tcp),
            Io::Boxed(_) => None,
        }
    }

    /// How many bytes were put back and not read again.
    pub fn unread_len(&self) -> usize {
        self.prefix.len()
    }

    /// The bytes put back and the carrier.
    pub fn into_parts(self) -> (BytesMut, Io) {
        (self.prefix, self.io)
    }

    /// Makes the end of this stream visible as a cut, not as a clean end, once it is dropped: TCP sends a reset and
    /// forgets what was not yet sent. Of another carrier nothing is closed in good order, which TLS and HTTP/2 show.
    pub fn abort(self) {
        self.abort_on_end(true);
    }

    /// Whether the end of this stream, once it is dropped, is to be seen as a cut.
    fn abort_on_end(&self, abort: bool) {
        if let Io::Tcp(tcp) = &self.io {
            // Fails only on a socket that is no longer connected: then there is nobody left to tell.
            let linger = abort.then_some(Duration::ZERO);
            socket2::SockRef::from(tcp).set_linger(linger).ok();
        }
    }

    fn read_prefix(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.prefix.len().min(buf.remaining());
        if let Some(front) = self.prefix.get(..n) {
            buf.put_slice(front);
        }
        self.prefix.advance(n);
        if self.prefix.is_empty() {
            // Gives the memory back: a tunnel may live for days after its first bytes.
            self.prefix = BytesMut::new();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() && buf.remaining() > 0 {
            self.read_prefix(buf);
            return Poll::Ready(Ok(()));
        }
        match &mut self.io {
            Io::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Io::Boxed(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Io::Boxed(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Io::Boxed(io) => Pin::new(io).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(tcp) => tcp.is_write_vectored(),
            Io::Boxed(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Io::Boxed(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Io::Boxed(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the bytes: they may be anything, credentials among it.
        f.debug_struct("Stream")
            .field("unread", &self.prefix.len())
            .field("io", &self.io)
            .finish()
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(tcp) => tcp.fmt(f),
            Self::Boxed(_) => f.write_str("Boxed"),
        }
    }
}
