//! A stream in two halves, for a task that reads while another writes on the same worker.
//! Not for two threads: the halves share their stream without a lock.
//! Start at [`split`].

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;

/// The reading half of a stream.
#[derive(Debug)]
pub struct ReadHalf {
    // Borrowed only inside one poll, which never calls back into another half.
    shared: Rc<RefCell<Stream>>,
}

/// The writing half of a stream. Dropping it does not shut the stream down; [`tokio::io::AsyncWriteExt::shutdown`] does.
#[derive(Debug)]
pub struct WriteHalf {
    shared: Rc<RefCell<Stream>>,
}

/// Why two halves did not become one stream again: they come from two streams. Both are given back.
#[derive(Debug, thiserror::Error)]
#[error("the two halves belong to different streams")]
pub struct NotOnePair(pub ReadHalf, pub WriteHalf);

/// Splits a stream in two. The connection closes when both halves are dropped.
pub fn split(stream: Stream) -> (ReadHalf, WriteHalf) {
    let shared = Rc::new(RefCell::new(stream));
    let read = ReadHalf {
        shared: Rc::clone(&shared),
    };
    (read, WriteHalf { shared })
}

impl WriteHalf {
    /// With `true`, an end from now on is seen as a cut, whatever brings it about: [`Stream::abort`] ahead of time. For a
    /// message whose only proper end is the end of the stream. With `false`, an end is a proper one again.
    pub fn abort_on_end(&self, abort: bool) {
        self.shared.borrow().abort_on_end(abort);
    }
}

impl ReadHalf {
    /// The stream again. Errors: [`NotOnePair`] if `write` is the half of another stream.
    pub fn reunite(self, write: WriteHalf) -> Result<Stream, NotOnePair> {
        if !Rc::ptr_eq(&self.shared, &write.shared) {
            return Err(NotOnePair(self, write));
        }
        drop(write);
        let shared = Rc::into_inner(self.shared).expect("two halves hold the only two references");
        Ok(shared.into_inner())
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.borrow_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.shared.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.shared.borrow_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.shared.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.borrow_mut()).poll_shutdown(cx)
    }
}
