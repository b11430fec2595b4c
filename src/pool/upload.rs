//! A request on its way to an origin: written as the client sends it, its beginning kept where it may have to be sent again.
//! Not the framing, which is the writer's.
//! Start at [`Upload::poll`].

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};

use crate::message::http1::framing::Length;
use crate::message::http1::writer::{WriteError, Writer};
use crate::message::{Body, BodyError};
use crate::stream::WriteHalf;

/// A request in the sending.
#[derive(Debug)]
pub(super) struct Upload {
    writer: Writer,
    length: Length,
    body: Body,
    kept: Option<Rc<RefCell<Kept>>>,
    full: Option<Bytes>,
    progress: Progress,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Under way.
    Sending,
    /// Written whole.
    Sent,
    /// The origin takes no more; a response may still come (RFC 9112 §9.5).
    Refused,
}

impl Upload {
    pub(super) fn new(
        head: BytesMut,
        length: Length,
        body: Body,
        keep: bool,
        stall_limit: Duration,
    ) -> Self {
        let kept = (keep && matches!(body, Body::Stream(_)))
            .then(|| Rc::new(RefCell::new(Kept::default())));
        let full = match &body {
            Body::Full(bytes) if keep => Some(bytes.clone()),
            Body::Empty | Body::Full(_) | Body::Stream(_) => None,
        };
        let body = match &kept {
            Some(kept) => Body::stream(Keeping {
                body,
                kept: kept.clone(),
            }),
            None => body,
        };
        Self {
            writer: Writer::new(head, length, stall_limit),
            length,
            body,
            kept,
            full,
            progress: Progress::Sending,
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Whether the whole request was written.
    pub(super) fn is_done(&self) -> bool {
        self.progress == Progress::Sent
    }

    /// Sends on. Ready when there is nothing more to do; an error is the client's: its body failed.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        write: &mut WriteHalf,
    ) -> Poll<Result<(), BodyError>> {
        if self.progress != Progress::Sending {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.writer.poll_pump(cx, &mut self.body, write)) {
            Ok(()) => self.progress = Progress::Sent,
            Err(WriteError::Source(error)) => {
                self.progress = Progress::Refused;
                return Poll::Ready(Err(error));
            }
            // The origin may have answered before it stopped reading: whoever reads finds out.
            Err(WriteError::Sink(_) | WriteError::Stalled) => self.progress = Progress::Refused,
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the origin can not have seen a byte of the request.
    pub(super) fn is_untouched(&self) -> bool {
        self.writer.written() == 0
    }

    /// The body from its beginning, if it can be had again.
    pub(super) fn into_body(self) -> Option<Body> {
        if let Some(kept) = self.kept {
            let frames = std::mem::take(&mut *kept.borrow_mut());
            return (!frames.overflowed).then(|| {
                Body::stream(Replay {
                    front: frames.data.freeze(),
                    rest: self.body,
                })
            });
        }
        if self.length == Length::Empty {
            // Nothing was there to lose: the writer only ever asked an empty body for its end.
            return Some(Body::Empty);
        }
        self.full.map(Body::Full)
    }
}

/// The beginning of a body, copied together: a client chooses how small its chunks are.
#[derive(Debug, Default)]
struct Kept {
    data: BytesMut,
    overflowed: bool,
}

struct Keeping {
    body: Body,
    kept: Rc<RefCell<Kept>>,
}

impl HttpBody for Keeping {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let kept = &mut *self.kept.borrow_mut();
        match frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok())
            .map(Frame::data_ref)
        {
            Some(Some(data)) if !kept.overflowed && kept.data.len() + data.len() <= KEPT => {
                kept.data.extend_from_slice(data);
            }
            // Too much, or trailers: what was kept is not the whole beginning any more.
            Some(_) => {
                *kept = Kept {
                    overflowed: true,
                    ..Kept::default()
                }
            }
            None => {}
        }
        Poll::Ready(frame)
    }
}

struct Replay {
    front: Bytes,
    rest: Body,
}

impl HttpBody for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.front.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.front)))));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }
}

/// Bytes of a body that are kept for sending again.
pub const KEPT: usize = 64 << 10;
