//! A request's body whose beginning is kept, so that it can be sent again over another connection.
//! Sends nothing.
//! Start at [`Replayable::again`].

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};

use crate::message::http1::framing::Length;
use crate::message::{Body, BodyError};

/// A body on its way.
#[derive(Debug)]
pub(super) struct Replayable {
    length: Length,
    body: Body,
    kept: Option<Rc<RefCell<Kept>>>,
    full: Option<Bytes>,
}

impl Replayable {
    /// With `keep`, the beginning is kept.
    pub(super) fn new(body: Body, length: Length, keep: bool) -> Self {
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
            length,
            body,
            kept,
            full,
        }
    }

    /// What is left of the body.
    pub(super) fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body from its beginning, if it can be had again.
    pub(super) fn again(self) -> Option<Body> {
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
            // Nothing was there to lose: an empty body is only ever asked for its end.
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
