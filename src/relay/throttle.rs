//! At most so many bytes per second each way: the obligation `bandwidth`.
//! Not the rate of requests, which is the gate's.
//! Start at [`Meter`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant};

use crate::message::{Body, BodyError};
use crate::settings::ByteSize;
use crate::stream::{LazyDeadline, Stream};

/// A stream from which at most `rate` bytes are read each second. Writing is bounded by whoever is read from.
pub(super) fn stream(stream: Stream, rate: ByteSize) -> Stream {
    Stream::boxed(Throttled {
        inner: stream,
        meter: Meter::new(rate),
    })
}

/// A body that yields at most `rate` bytes each second.
pub(super) fn body(body: Body, rate: ByteSize) -> Body {
    match body {
        Body::Stream(inner) => Body::stream(ThrottledBody {
            inner: Body::Stream(inner),
            meter: Meter::new(rate),
        }),
        Body::Empty | Body::Full(_) => body,
    }
}

/// When the next byte may pass: each batch pushes that time on by its size.
#[derive(Debug)]
struct Meter {
    rate: f64,
    due: Instant,
    wait: LazyDeadline,
}

impl Meter {
    fn new(rate: ByteSize) -> Self {
        Self {
            rate: rate.0.max(1) as f64,
            due: Instant::now(),
            wait: LazyDeadline::new(),
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.due <= Instant::now() {
            return Poll::Ready(());
        }
        self.wait.set(self.due);
        self.wait.poll_expired(cx)
    }

    /// Bytes that pass within a tenth of a second, so that the flow is even.
    fn batch(&self) -> usize {
        ((self.rate / 10.0) as usize).clamp(1, 1 << 20)
    }

    fn passed(&mut self, bytes: usize) {
        let start = self.due.max(Instant::now());
        self.due = start + Duration::from_secs_f64(bytes as f64 / self.rate);
    }
}

struct Throttled {
    inner: Stream,
    meter: Meter,
}

impl AsyncRead for Throttled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.meter.poll_ready(cx));
        let room = buf.remaining().min(this.meter.batch());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        buf.advance(count);
        this.meter.passed(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Throttled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

struct ThrottledBody {
    inner: Body,
    meter: Meter,
}

impl HttpBody for ThrottledBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        ready!(this.meter.poll_ready(cx));
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            this.meter.passed(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
