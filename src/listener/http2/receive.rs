//! What a client sends on a stream of HTTP/2, as a request's body.
//! Not how its head is checked, which is `request`.
//! Start at [`Receiving`].

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::listener::Limits;
use crate::message::BodyError;
use crate::message::http2::poll_bytes;
use crate::stream::{Silence, TooLong};

/// What the client sends on a stream.
pub(super) struct Receiving {
    stream: RecvStream,
    size: Option<u64>,
    silence: Silence,
    room: Option<u64>,
    ended: bool,
    /// Set where this is dropped before its end.
    unread: Rc<Cell<bool>>,
}

impl Receiving {
    /// `size` is what the head declared; h2 holds the client to it.
    pub(super) fn new(stream: RecvStream, size: Option<u64>, limits: &Limits) -> Self {
        Self {
            stream,
            size,
            silence: Silence::new(limits.body_idle),
            room: limits.body_size,
            ended: false,
            unread: Rc::default(),
        }
    }

    /// Says, later on, whether this was dropped while more was to come.
    pub(super) fn unread(&self) -> Rc<Cell<bool>> {
        self.unread.clone()
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.unread.set(!self.stream.is_end_stream());
    }
}

impl HttpBody for Receiving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if !this.ended {
            let polled = poll_bytes(&mut this.stream, cx);
            match ready!(this.silence.poll(cx, polled)) {
                Ok(Some(Ok(data))) => {
                    if let Some(room) = this.room {
                        let Some(left) = room.checked_sub(data.len() as u64) else {
                            return Poll::Ready(Some(Err(BodyError::TooLarge)));
                        };
                        this.room = Some(left);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Some(Err(_))) => return Poll::Ready(Some(Err(BodyError::Aborted))),
                Ok(None) => this.ended = true,
                Err(TooLong) => return Poll::Ready(Some(Err(BodyError::Timeout))),
            }
        }
        match ready!(this.stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(None) => Poll::Ready(None),
            Err(_) => Poll::Ready(Some(Err(BodyError::Aborted))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.size
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
