//! A CONNECT stream of HTTP/2 as bytes, be it a tunnel's or a WebSocket's, with a client or with an origin, relayed as those of
//! every other protocol.
//! Not its head: when this begins, the 2xx has been sent.
//! Start at [`Tunnel::new`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A CONNECT stream as bytes (RFC 9113 §8.5, RFC 8441 §5).
pub struct Tunnel<H = ()> {
    receive: RecvStream,
    send: SendStream<Bytes>,
    queued: Bytes,
    shut: bool,
    broken: Reason,
    _held: H,
}

impl<H> Tunnel<H> {
    /// A tunnel over both directions of a stream whose 2xx has been sent. `broken` tells the peer of an end out of order;
    /// `held` is let go with the tunnel.
    pub fn new(receive: RecvStream, send: SendStream<Bytes>, broken: Reason, held: H) -> Self {
        Self {
            receive,
            send,
            queued: Bytes::new(),
            shut: false,
            broken,
            _held: held,
        }
    }
}

/// The next bytes of a stream. The window is opened again as soon as they are taken: they are in our hands now.
pub fn poll_bytes(
    stream: &mut RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, h2::Error>>> {
    let data = ready!(stream.poll_data(cx));
    if let Some(Ok(data)) = &data {
        let _ = stream.flow_control().release_capacity(data.len());
    }
    Poll::Ready(data)
}

impl<H: Unpin> AsyncRead for Tunnel<H> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.queued.is_empty() {
            match ready!(poll_bytes(&mut self.receive, cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(data)) => self.queued = data,
                Some(Err(error)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error)));
                }
            }
        }
        let count = buf.remaining().min(self.queued.len());
        let part = self.queued.split_to(count);
        buf.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl<H: Unpin> AsyncWrite for Tunnel<H> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        self.send.reserve_capacity(buf.len());
        let granted = match ready!(self.send.poll_capacity(cx)) {
            Some(Ok(granted)) => granted.min(buf.len()),
            Some(Err(_)) | None => return Poll::Ready(Err(reset())),
        };
        let part = BytesMut::from(buf.get(..granted).unwrap_or_default()).freeze();
        self.send.send_data(part, false).map_err(|_| reset())?;
        Poll::Ready(Ok(granted))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A stream that is gone already is shut.
        let _ = self.send.send_data(Bytes::new(), true);
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

impl<H> Drop for Tunnel<H> {
    fn drop(&mut self) {
        // Unless it was shut in order, the peer must not take what it got for the whole (RFC 9113 §8.5). After a proper
        // end no reset may follow: it could overtake what is still queued.
        if !self.shut {
            self.send.send_reset(self.broken);
        }
    }
}
