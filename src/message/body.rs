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

    /// The body without its trailer section, for where fields are changed: a trailer must not say what a field may not.
    pub fn without_trailers(self) -> Self {
        self.trailing(|_| false)
    }

    /// The body with its trailer section changed.
    pub fn with_trailers(self, change: impl Fn(&mut HeaderMap) + Unpin + 'static) -> Self {
        self.trailing(move |trailers| {
            change(trailers);
            true
        })
    }

    fn trailing(self, change: impl Fn(&mut HeaderMap) -> bool + Unpin + 'static) -> Self {
        match self {
            Self::Stream(stream) => Self::stream(Trailing(stream, change)),
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

/// A body whose trailers are changed by a closure, which says whether they go on at all.
struct Trailing<F>(Frames, F);

impl<F: Fn(&mut HeaderMap) -> bool + Unpin> HttpBody for Trailing<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = ready!(self.0.as_mut().poll_frame(cx));
        if let Some(Ok(trailing)) = &mut frame
            && let Some(trailers) = trailing.trailers_mut()
            && !(self.1)(trailers)
        {
            // They are the last frame of a body.
            frame = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
