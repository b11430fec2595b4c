//! The reading side of one HTTP/1 connection: a buffer, heads taken from it, bodies decoded out of it.
//! Knows neither clients nor origins.
//! Start at [`Reader`].

use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::decoder::{Decoder, Part};
use super::fields::Scan;
use super::{HeadError, HeadLimits, head};
use crate::message::body::BodyError;
use crate::stream::{ReadHalf, poll_read_shared};

/// Bytes that arrived and are not taken yet, in front of the rest of a stream.
#[derive(Debug)]
pub struct Reader {
    half: ReadHalf,
    buf: BytesMut,
    scan: Scan,
    closed: bool,
}

/// Why no head came.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer closed before the first byte of a head.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed inside a head.
    #[error("the peer closed the connection inside a header section")]
    Truncated,
    /// The bytes are not a head.
    #[error("malformed message")]
    Head(#[source] HeadError),
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
}

impl Reader {
    /// A reader over a half, with bytes that were read before.
    pub fn new(half: ReadHalf, buf: BytesMut) -> Self {
        Self {
            half,
            buf,
            scan: Scan::default(),
            closed: false,
        }
    }

    /// Whether no byte is buffered.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// The half and what was read but not taken.
    pub fn into_parts(self) -> (ReadHalf, BytesMut) {
        (self.half, self.buf)
    }

    /// Polls for a request head.
    pub fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
    ) -> Poll<Result<head::RequestHead, ReadError>> {
        loop {
            if let Some(head) = head::parse_request(&mut self.buf, &mut self.scan, limits)
                .map_err(ReadError::Head)?
            {
                return Poll::Ready(Ok(head));
            }
            ready!(self.poll_more_head(cx))?;
        }
    }

    /// Polls for a response head.
    pub fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
    ) -> Poll<Result<head::ResponseHead, ReadError>> {
        loop {
            if let Some(head) = head::parse_response(&mut self.buf, &mut self.scan, limits)
                .map_err(ReadError::Head)?
            {
                return Poll::Ready(Ok(head));
            }
            ready!(self.poll_more_head(cx))?;
        }
    }

    /// Polls for the next part of a body. The end of the stream is an error unless it ends this body.
    pub fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &mut Decoder,
    ) -> Poll<Result<Part, BodyError>> {
        loop {
            match decoder
                .decode(&mut self.buf)
                .map_err(BodyError::Malformed)?
            {
                Part::More => {}
                part @ (Part::Data(_) | Part::Trailers(_) | Part::End) => {
                    return Poll::Ready(Ok(part));
                }
            }
            if ready!(self.poll_fill_body(cx, decoder.expects())).map_err(BodyError::Io)? == 0 {
                return Poll::Ready(if decoder.ends_at_close() {
                    Ok(Part::End)
                } else {
                    Err(BodyError::Truncated)
                });
            }
        }
    }

    /// Whether the peer is silent and there: no byte, no close, no error. What an idle connection must be to be used again.
    pub fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.buf.is_empty() && !self.closed && self.poll_fill_head(cx).is_pending()
    }

    /// Whether the connection broke. A byte or a clean close is kept for whoever reads next.
    pub fn is_broken(&mut self, cx: &mut Context<'_>) -> bool {
        self.buf.is_empty()
            && !self.closed
            && matches!(self.poll_fill_head(cx), Poll::Ready(Err(_)))
    }

    /// Reads once and throws away what came; the number of bytes, 0 at the end of the stream or where it broke.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        self.buf.clear();
        if self.closed {
            return Poll::Ready(0);
        }
        self.poll_fill_head(cx).map(|read| read.unwrap_or(0))
    }

    fn poll_more_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        let count = ready!(self.poll_fill_head(cx)).map_err(ReadError::Io)?;
        Poll::Ready(match (count, self.buf.is_empty()) {
            (0, true) => Err(ReadError::Closed),
            (0, false) => Err(ReadError::Truncated),
            (_, _) => Ok(()),
        })
    }

    /// Heads are read through a buffer that all connections of a worker share, so that an idle one holds no memory.
    fn poll_fill_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(poll_read_shared(
            &mut self.half,
            cx,
            &mut self.buf,
            usize::MAX
        ))?;
        self.closed |= count == 0;
        Poll::Ready(Ok(count))
    }

    /// Bodies are read straight into the buffer that their frames are cut from.
    fn poll_fill_body(
        &mut self,
        cx: &mut Context<'_>,
        expects: Option<u64>,
    ) -> Poll<io::Result<usize>> {
        let want = expects.map_or(FILL, |left| {
            usize::try_from(left)
                .unwrap_or(FILL)
                .clamp(FILL_LEAST, FILL)
        });
        self.buf.reserve(want);
        let count = ready!(read_into(&mut self.half, cx, &mut self.buf))?;
        self.closed |= count == 0;
        Poll::Ready(Ok(count))
    }
}

/// Reads into the spare room of `buf`.
fn read_into(
    half: &mut ReadHalf,
    cx: &mut Context<'_>,
    buf: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    // `read_buf` is the safe way into spare room; its future is made anew for each poll and holds nothing between polls.
    let mut read = std::pin::pin!(tokio::io::AsyncReadExt::read_buf(half, buf));
    read.as_mut().poll(cx)
}

/// Room for one read of a body.
const FILL: usize = 64 << 10;
/// The least room for one read: small bodies come with their head, and what follows is unknown.
const FILL_LEAST: usize = 4 << 10;
