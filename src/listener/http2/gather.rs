//! What goes out to a client, gathered. h2 hands over each frame of content by itself, and each would be a TLS record and a system
//! call of its own; here they wait until the connection has nothing more to say for now, and several streams' answers go as one.
//! Not a queue: what does not fit in waits at h2. Start at [`Gathered`].

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::Metered;

/// A client's stream, for h2. Until [`Outlet::hold`] it is as if nothing was between; from then on it flushes nothing by itself.
pub(super) struct Gathered(Rc<RefCell<Gathering>>);

/// The same stream, for who polls h2, and lets out what has gathered once h2 is at rest.
pub(super) struct Outlet(Rc<RefCell<Gathering>>);

struct Gathering {
    stream: Metered,
    bytes: BytesMut,
    held: bool,
    /// What became of the stream when nobody of h2's was there to be told.
    broken: Option<io::ErrorKind>,
}

impl Gathered {
    /// The stream, and where it is let out.
    pub(super) fn new(stream: Metered) -> (Self, Outlet) {
        // Borrowed only inside a poll, which never calls back into this.
        let shared = Rc::new(RefCell::new(Gathering {
            stream,
            bytes: BytesMut::new(),
            held: false,
            broken: None,
        }));
        (Self(shared.clone()), Outlet(shared))
    }
}

impl Outlet {
    /// From now on bytes go when there are many, or when they are let out.
    pub(super) fn hold(&self) {
        self.0.borrow_mut().held = true;
    }

    /// Lets out what has gathered; to be called whenever h2 was polled. Errors: the stream broke, as h2 is told at its next write.
    pub(super) fn poll_let_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathering = self.0.borrow_mut();
        let polled = gathering.poll_out(cx);
        if let Poll::Ready(Err(error)) = &polled {
            gathering.broken = Some(error.kind());
        }
        polled
    }
}

impl Gathering {
    /// Takes bytes in where they fit. Many at once go as they are: gathering them would only be a copy.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(kind) = self.broken {
            return Poll::Ready(Err(kind.into()));
        }
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if self.bytes.len() + length > ROOM {
            ready!(self.poll_empty(cx))?;
        }
        if length > ROOM {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(ROOM);
        }
        for slice in slices {
            self.bytes.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes.advance(count);
        }
        // A connection that is at rest holds no memory for this.
        self.bytes = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Gathered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_take(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_take(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathering = self.0.borrow_mut();
        match gathering.broken {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None if gathering.held => Poll::Ready(Ok(())),
            None => gathering.poll_out(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathering = self.0.borrow_mut();
        ready!(gathering.poll_out(cx))?;
        Pin::new(&mut gathering.stream).poll_shutdown(cx)
    }
}

/// Bytes that gather at most: as many as one record of TLS holds (RFC 8446 §5.1).
const ROOM: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::stream::Stream;

    fn gathered(room: usize) -> (Gathered, Outlet, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(room);
        let (metered, _meter) = Metered::new(Stream::boxed(ours));
        let (stream, outlet) = Gathered::new(metered);
        outlet.hold();
        (stream, outlet, theirs)
    }

    #[tokio::test]
    async fn what_is_small_waits_until_it_is_let_out_and_what_is_large_takes_it_along() {
        let (mut stream, outlet, mut theirs) = gathered(1 << 16);
        let mut got = [0; ROOM + 5];
        for piece in [&b"one"[..], b"two"] {
            stream.write_all(piece).await.expect("it fits");
            stream.flush().await.expect("it stays");
        }
        assert!(poll!(Box::pin(theirs.read(&mut got))).is_pending());
        poll_fn(|cx| outlet.poll_let_out(cx))
            .await
            .expect("it goes");
        assert_eq!(theirs.read(&mut got).await.expect("it is there"), 6);
        assert!(got.starts_with(b"onetwo"));

        stream.write_all(b"four").await.expect("it fits");
        let large = vec![b'x'; ROOM + 1];
        stream.write_all(&large).await.expect("it goes");
        theirs.read_exact(&mut got).await.expect("both are there");
        assert!(got.starts_with(b"fourx") && got.ends_with(b"x"));
    }

    #[tokio::test]
    async fn no_more_than_one_record_gathers_for_a_client_that_does_not_read() {
        let (mut stream, _outlet, _theirs) = gathered(1);
        let piece = [0; ROOM / 4];
        for _ in 0..4 {
            stream.write_all(&piece).await.expect("it fits");
        }
        assert!(poll!(Box::pin(stream.write(&piece))).is_pending());
    }

    #[tokio::test]
    async fn who_writes_next_is_told_that_the_stream_broke() {
        let (mut stream, outlet, theirs) = gathered(1);
        stream.write_all(b"lost").await.expect("it fits");
        drop(theirs);
        assert!(poll_fn(|cx| outlet.poll_let_out(cx)).await.is_err());
        assert!(stream.flush().await.is_err());
        assert!(stream.write(b"more").await.is_err());
    }

    #[tokio::test]
    async fn nothing_is_left_behind_where_the_stream_is_shut() {
        let (mut stream, _outlet, mut theirs) = gathered(1 << 10);
        stream.write_all(b"farewell").await.expect("it fits");
        stream.shutdown().await.expect("it is shut");
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.expect("it ends");
        assert_eq!(got, b"farewell");
    }
}
