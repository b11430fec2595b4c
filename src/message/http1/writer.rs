//! From a body's frames to a peer: framing, gathering, vectored writes, a limit on a peer that does not read.
//! Used in both directions: requests to origins, responses to clients.
//! Encodes no head: it is handed one.
//! Start at [`Writer::poll_pump`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::encode;
use super::framing::Length;
use crate::message::body::{Body, BodyError};
use crate::message::hop;
use crate::stream::{LazyDeadline, WriteHalf, give_way};

/// Writes one message: a head that was encoded before, then a body.
#[derive(Debug)]
pub struct Writer {
    /// What goes first: the head, and small pieces that came before any other.
    front: BytesMut,
    queue: VecDeque<Bytes>,
    /// Small pieces behind the queue, as one: framing lines and a peer's tiny chunks must not cost an entry each.
    tail: BytesMut,
    queued: usize,
    length: Length,
    left: u64,
    ended: bool,
    stall: LazyDeadline,
    stall_limit: Duration,
    stalled: bool,
    failed: Option<WriteError>,
    written: u64,
}

/// Why a message was not written whole.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The body's source failed.
    #[error("the body failed")]
    Source(#[source] BodyError),
    /// The peer can not be written to.
    #[error("the peer can not be written to")]
    Sink(#[source] io::Error),
    /// The peer did not read for too long.
    #[error("the peer did not read for too long")]
    Stalled,
}

impl Writer {
    /// A writer that first sends `head`. Waits at most `stall_limit` for the peer to take a byte.
    pub fn new(head: BytesMut, length: Length, stall_limit: Duration) -> Self {
        let left = if let Length::Sized(size) = length {
            size
        } else {
            0
        };
        Self {
            queued: head.len(),
            front: head,
            queue: VecDeque::new(),
            tail: BytesMut::new(),
            length,
            left,
            ended: false,
            stall: LazyDeadline::new(),
            stall_limit,
            stalled: false,
            failed: None,
            written: 0,
        }
    }

    /// Bytes that the peer's socket took, heads and framing included.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds bytes behind what is queued.
    pub fn add(&mut self, bytes: Bytes) {
        self.push(bytes);
    }

    /// Moves frames from the body to the peer until the message is whole; some 128 KiB of them before other tasks have their turn.
    /// Cancel-safe: state stays in the writer.
    pub fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Body,
        half: &mut WriteHalf,
    ) -> Poll<Result<(), WriteError>> {
        let before = self.written;
        loop {
            let waiting = match self
                .failed
                .take()
                .map_or_else(|| self.gather(cx, body), Err)
            {
                Ok(waiting) => waiting,
                // What came before the failure still goes out: the peer may have asked for just that.
                Err(error) => {
                    if self.poll_flush(cx, half)?.is_pending() {
                        self.failed = Some(error);
                        return Poll::Pending;
                    }
                    return Poll::Ready(Err(error));
                }
            };
            ready!(self.poll_flush(cx, half))?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if waiting {
                return Poll::Pending;
            }
            if self.written - before >= TURN {
                // One body at full speed must not keep the worker from its other tasks.
                give_way(cx);
                return Poll::Pending;
            }
        }
    }

    /// Sends what is queued.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        half: &mut WriteHalf,
    ) -> Poll<Result<(), WriteError>> {
        while self.queued > 0 {
            match self.poll_write(cx, half) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(WriteError::Sink(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(count)) => self.advance(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(WriteError::Sink(error))),
                Poll::Pending => return self.poll_stalled(cx),
            }
        }
        // TLS takes more than its socket does: what it holds back must not wait for a next message.
        match Pin::new(&mut *half).poll_flush(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(WriteError::Sink(error))),
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    /// Takes frames while they are ready and few enough bytes are queued. Whether the body has none at the moment.
    fn gather(&mut self, cx: &mut Context<'_>, body: &mut Body) -> Result<bool, WriteError> {
        while !self.ended && self.queued < GATHER {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(None) => self.end(None)?,
                Poll::Ready(Some(Ok(frame))) => self.frame(frame)?,
                Poll::Ready(Some(Err(error))) => return Err(WriteError::Source(error)),
            }
        }
        Ok(false)
    }

    fn frame(&mut self, frame: Frame<Bytes>) -> Result<(), WriteError> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => Ok(()),
            Ok(data) => self.data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(mut trailers) => {
                    hop::strip_trailers(&mut trailers);
                    self.end(Some(&trailers))
                }
                Err(_) => Ok(()),
            },
        }
    }

    fn data(&mut self, data: Bytes) -> Result<(), WriteError> {
        match self.length {
            // A response to HEAD has fields of a body and no body.
            Length::Empty => {}
            Length::UntilClose => self.push(data),
            Length::Sized(_) => {
                let size = data.len() as u64;
                self.left = self
                    .left
                    .checked_sub(size)
                    .ok_or(WriteError::Source(BodyError::Truncated))?;
                self.push(data);
            }
            Length::Chunked => {
                let size = data.len();
                self.write_small(|small| encode::chunk_size(small, size));
                self.push(data);
                self.push_small(b"\r\n");
            }
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<&http::HeaderMap>) -> Result<(), WriteError> {
        if self.left > 0 {
            return Err(WriteError::Source(BodyError::Truncated));
        }
        self.ended = true;
        if self.length == Length::Chunked {
            self.write_small(|small| encode::last_chunk(small, trailers));
        }
        Ok(())
    }

    fn push(&mut self, bytes: Bytes) {
        if bytes.len() < SMALL {
            self.push_small(&bytes);
            return;
        }
        if !self.tail.is_empty() {
            self.queue.push_back(self.tail.split().freeze());
        }
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    fn push_small(&mut self, bytes: &[u8]) {
        self.write_small(|small| small.extend_from_slice(bytes));
    }

    /// Adds to the small pieces: to those in front as long as nothing stands behind them.
    fn write_small(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let small = if self.queue.is_empty() && self.tail.is_empty() {
            &mut self.front
        } else {
            &mut self.tail
        };
        let before = small.len();
        write(small);
        self.queued += small.len() - before;
    }

    fn poll_write(&self, cx: &mut Context<'_>, half: &mut WriteHalf) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); 16];
        let mut count = 0;
        let queue = self.queue.iter().map(|bytes| &bytes[..]);
        let pieces = [&self.front[..]].into_iter().chain(queue);
        let pieces = pieces.chain([&self.tail[..]]);
        for (slot, piece) in slices
            .iter_mut()
            .zip(pieces.filter(|piece| !piece.is_empty()))
        {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        match slices.get(..count).unwrap_or_default() {
            [only] => Pin::new(half).poll_write(cx, only),
            several => Pin::new(half).poll_write_vectored(cx, several),
        }
    }

    fn advance(&mut self, mut count: usize) {
        self.stalled = false;
        self.queued = self.queued.saturating_sub(count);
        self.written += count as u64;
        let of_front = count.min(self.front.len());
        self.front.advance(of_front);
        count -= of_front;
        while let Some(first) = self.queue.front_mut() {
            if first.len() > count {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.queue.pop_front();
        }
        self.tail.advance(count.min(self.tail.len()));
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if !self.stalled {
            self.stalled = true;
            self.stall.set(Instant::now() + self.stall_limit);
        }
        ready!(self.stall.poll_expired(cx));
        Poll::Ready(Err(WriteError::Stalled))
    }
}

/// Pieces below this are copied together.
const SMALL: usize = 1 << 10;
/// Bytes after which others have their turn.
const TURN: u64 = 128 << 10;
/// Bytes that are gathered before a write.
const GATHER: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, BufWriter};

    use super::*;
    use crate::stream::{Stream, split};

    #[tokio::test]
    async fn a_carrier_that_buffers_is_flushed_with_the_message() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let (_read, mut write) = split(Stream::boxed(BufWriter::new(ours)));
        let head = BytesMut::from("HTTP/1.1 200 OK\r\n\r\n");
        let mut writer = Writer::new(head, Length::Sized(4), Duration::from_secs(1));
        let mut body = Body::from(Bytes::from_static(b"tail"));
        let sent = std::future::poll_fn(|cx| writer.poll_pump(cx, &mut body, &mut write));
        sent.await.expect("it is sent");
        let mut got = [0; 23];
        theirs.read_exact(&mut got).await.expect("all of it");
        assert!(got.ends_with(b"tail"));
    }
}
