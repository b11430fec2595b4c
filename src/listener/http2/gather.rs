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
