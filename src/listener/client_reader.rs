//! The client's bytes on an HTTP/1 connection, shared by the loop that reads heads and the body that is being read.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::settings::Limits;
use crate::message::http1::HeadLimits;
use crate::message::http1::decoder::{Decoder, Part};
use crate::message::http1::framing::Length;
use crate::message::http1::head::RequestHead;
use crate::message::http1::reader::{ReadError, Reader};
use crate::message::{Body, BodyError};
use crate::stream::{LazyDeadline, ReadHalf};

/// The reading side of a client's connection. Borrowed only inside a poll.
pub(super) struct Inbound {
    reader: RefCell<Reader>,
    decoder: RefCell<Decoder>,
    silence: LazyDeadline,
    silence_limit: Cell<Duration>,
    room: Cell<Option<u64>>,
    failed: Cell<bool>,
}

impl Inbound {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader: RefCell::new(reader),
            decoder: RefCell::new(Decoder::new(Length::Empty, HeadLimits::default())),
            silence: LazyDeadline::new(),
            silence_limit: Cell::new(Duration::ZERO),
            room: Cell::new(None),
            failed: Cell::new(false),
        }
    }

    pub(super) fn poll_request(
        &self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
    ) -> Poll<Result<RequestHead, ReadError>> {
        self.reader.borrow_mut().poll_request(cx, limits)
    }

    /// Begins the body that follows a head.
    pub(super) fn begin(this: &Rc<Self>, length: Length, limits: &Limits) -> Body {
        *this.decoder.borrow_mut() = Decoder::new(length, limits.head);
        this.room.set(limits.body_size);
        this.silence_limit.set(limits.body_idle);
        this.silence.clear();
        if length == Length::Empty {
            Body::Empty
        } else {
            Body::stream(Incoming(this.clone()))
        }
    }

    /// Whether the request was read whole and well.
    pub(super) fn is_whole(&self) -> bool {
        !self.failed.get() && self.decoder.borrow().is_done()
    }

    /// Whether no byte waits to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.reader.borrow().is_empty()
    }

    /// Whether the connection broke while the client waits. A clean close is no break: the client may only be done with sending.
    pub(super) fn is_broken(&self, cx: &mut Context<'_>) -> bool {
        self.is_whole() && self.reader.borrow_mut().is_broken(cx)
    }

    /// Reads once and throws away what came; 0 at the end.
    pub(super) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<usize> {
        self.reader.borrow_mut().poll_discard(cx)
    }

    pub(super) fn into_parts(self) -> (ReadHalf, BytesMut) {
        self.reader.into_inner().into_parts()
    }

    fn poll_part(&self, cx: &mut Context<'_>) -> Poll<Result<Part, BodyError>> {
        let part = self
            .reader
            .borrow_mut()
            .poll_part(cx, &mut self.decoder.borrow_mut());
        if part.is_pending() {
            if self.silence.get().is_none() {
                self.silence.set(Instant::now() + self.silence_limit.get());
            }
            ready!(self.silence.poll_expired(cx));
            return Poll::Ready(Err(BodyError::Timeout));
        }
        self.silence.clear();
        part
    }

    fn count(&self, size: usize) -> Result<(), BodyError> {
        let Some(room) = self.room.get() else {
            return Ok(());
        };
        let left = room.checked_sub(size as u64).ok_or(BodyError::TooLarge)?;
        self.room.set(Some(left));
        Ok(())
    }
}

/// A request body as it arrives.
struct Incoming(Rc<Inbound>);

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let inbound = &self.0;
        if inbound.failed.get() {
            return Poll::Ready(None);
        }
        let part = ready!(inbound.poll_part(cx));
        let frame = part.and_then(|part| match part {
            Part::Data(data) => inbound.count(data.len()).map(|()| Some(Frame::data(data))),
            Part::Trailers(trailers) => Ok(Some(Frame::trailers(trailers))),
            Part::End | Part::More => Ok(None),
        });
        if frame.is_err() {
            inbound.failed.set(true);
        }
        Poll::Ready(frame.transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .decoder
            .borrow()
            .whole()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
