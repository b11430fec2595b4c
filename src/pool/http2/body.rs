//! The body of a response as it arrives on a stream of HTTP/2.
//! Not its head, which was read before.
//! Start at [`ResponseBody::new`].

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::Slot;
use crate::message::BodyError;
use crate::message::http1::HeadError;
use crate::message::http1::framing::Length;
use crate::pool::late::Late;
use crate::stream::{Silence, TooLong};

/// A response body. Dropped before its end, it resets the stream.
pub(super) struct ResponseBody {
    line: Option<Streaming>,
    size: Option<u64>,
    silence: Silence,
}

struct Streaming {
    receive: RecvStream,
    /// No data comes any more; trailers may.
    data_ended: bool,
    late: Option<Late>,
    /// Held until the end, so that the stream counts as open.
    _slot: Rc<Slot>,
}

impl ResponseBody {
    /// `length` is what the head declared; h2 holds the origin to it.
    pub(super) fn new(
        receive: RecvStream,
        length: Length,
        late: Option<Late>,
        slot: Rc<Slot>,
        idle: Duration,
    ) -> Self {
        let size = match length {
            Length::Sized(size) => Some(size),
            Length::Empty => Some(0),
            Length::Chunked | Length::UntilClose => None,
        };
        Self {
            line: Some(Streaming {
                receive,
                data_ended: false,
                late,
                _slot: slot,
            }),
            size,
            silence: Silence::new(idle),
        }
    }

    /// Waits for the end of a body that must be empty; one that is not is reset.
    pub(super) async fn await_end(mut self) {
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            if frame.is_data() {
                return;
            }
        }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.line = None;
        Poll::Ready(Some(Err(error)))
    }

    /// The response is whole; the origin may still want the rest of the request.
    fn end(&mut self) {
        if let Some(late) = self.line.take().and_then(|line| line.late) {
            late.finish();
        }
    }
}

impl Streaming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        while !self.data_ended {
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(data)) => {
                    // The window is opened again as soon as bytes are taken: they are in our hands now.
                    let _ = self.receive.flow_control().release_capacity(data.len());
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.receive.poll_trailers(cx));
        Poll::Ready(
            trailers
                .transpose()
                .map(|trailers| trailers.map(Frame::trailers)),
        )
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let Some(line) = &mut body.line else {
            return Poll::Ready(None);
        };
        let polled = line.poll(cx);
        let frame = match ready!(body.silence.poll(cx, polled)) {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return body.fail(broken(&error)),
            Ok(None) => {
                body.end();
                return Poll::Ready(None);
            }
            Err(TooLong) => return body.fail(BodyError::Timeout),
        };
        if frame.is_trailers() || line.receive.is_end_stream() {
            body.end();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.line.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.size
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn broken(error: &h2::Error) -> BodyError {
    if error.is_library() {
        return BodyError::Malformed(HeadError::Malformed("the origin's HTTP/2 is malformed"));
    }
    BodyError::Truncated
}
