//! The body of a message as it passes through: nothing, bytes at hand, or a stream of frames.
//! Not its framing on the wire, which is `http1`.
//! Start at [`Body`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::http1::HeadError;

/// A body. Only a stream costs an allocation.
#[derive(Default)]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// Content that is at hand.
    Full(Bytes),
    /// Content that arrives.
    Stream(Frames),
}

/// Frames as they arrive.
pub type Frames = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError>>>;

/// Why a body ended before it was whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection that it came on broke.
    #[error("the connection broke inside a body")]
    Io(#[source] io::Error),
    /// Its framing is not HTTP.
    #[error("a body is malformed")]
    Malformed(#[source] HeadError),
    /// Its sender closed too early.
    #[error("the connection was closed before the body was whole")]
    Truncated,
    /// It is larger than the limit.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// Its sender was silent for too long.
    #[error("the sender of a body was silent for too long")]
    Timeout,
    /// Its other side went away, or an operator ended it.
    #[error("the exchange was ended")]
    Aborted,
}

impl Body {
    /// A body of frames.
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self::Stream(Box::pin(body))
    }

    /// Whether nothing will come.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    /// The body with its trailer section changed, for where fields are: a trailer must not say what a field may not. A
    /// section of which nothing is left is not sent.
    pub fn map_trailers(self, change: impl FnMut(&mut HeaderMap) + Unpin + 'static) -> Self {
        match self {
            Self::Stream(stream) => Self::stream(MapTrailers { stream, change }),
            Self::Empty | Self::Full(_) => self,
        }
    }

    /// The next frame, `None` at the end. Cancel-safe: a frame is either returned or still to come.
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Body::Empty",
            Self::Full(_) => "Body::Full",
            Self::Stream(_) => "Body::Stream",
        })
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        match body {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *body = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

struct MapTrailers<F> {
    stream: Frames,
    change: F,
}

impl<F: FnMut(&mut HeaderMap) + Unpin> HttpBody for MapTrailers<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut frame = match ready!(this.stream.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        let trailers = frame.trailers_mut().map(|trailers| {
            (this.change)(trailers);
            trailers.is_empty()
        });
        Poll::Ready((trailers != Some(true)).then_some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }
}
