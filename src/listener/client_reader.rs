//! The client's bytes on an HTTP/1 connection, shared by the loop that reads heads and the body that is being read.
//! Writes nothing and decides nothing: framing was decided before a body begins.
//! Start at [`ClientReader::begin`].

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::settings::Limits;
use tokio::sync::Notify;

use crate::message::http1::HeadLimits;
use crate::message::http1::decoder::{Decoder, Part};
use crate::message::http1::framing::Length;
use crate::message::http1::head::RequestHead;
use crate::message::http1::reader::{ReadError, Reader};
use crate::message::{Body, BodyError};
use crate::stream::{ReadHalf, Silence};

/// The reading side of a client's connection. Borrowed only inside a poll.
pub(super) struct ClientReader {
    reader: RefCell<Reader>,
    decoder: RefCell<Decoder>,
    silence: Silence,
    room: Cell<Option<u64>>,
    failed: Cell<bool>,
    released: Notify,
}

impl ClientReader {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader: RefCell::new(reader),
            decoder: RefCell::new(Decoder::new(Length::Empty, HeadLimits::default())),
            silence: Silence::new(Duration::ZERO),
            room: Cell::new(None),
            failed: Cell::new(false),
            released: Notify::new(),
        }
    }

    pub(super) fn poll_request(
        &self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
    ) -> Poll<Result<RequestHead, ReadError>> {
        self.reader.borrow_mut().poll_request(cx, limits)
    }

    /// Waits until a body that was handed out is dropped. Cancel-safe.
    pub(super) async fn released(&self) {
        self.released.notified().await;
    }

    /// Begins the body that follows a head.
    pub(super) fn begin(this: &Rc<Self>, length: Length, limits: &Limits) -> Body {
        *this.decoder.borrow_mut() = Decoder::new(length, limits.head);
        this.room.set(limits.body_size);
        this.silence.restart(limits.body_idle);
        if length == Length::Empty {
            Body::Empty
        } else {
            Body::stream(RequestBody(this.clone()))
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
        self.silence
            .poll(cx, part)
            .map(|part| part.unwrap_or(Err(BodyError::Timeout)))
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
struct RequestBody(Rc<ClientReader>);

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.0.released.notify_one();
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let reader = &self.0;
        if reader.failed.get() {
            return Poll::Ready(None);
        }
        let part = ready!(reader.poll_part(cx));
        let frame = part.and_then(|part| match part {
            Part::Data(data) => reader.count(data.len()).map(|()| Some(Frame::data(data))),
            Part::Trailers(trailers) => Ok(Some(Frame::trailers(trailers))),
            Part::End | Part::More => Ok(None),
        });
        if frame.is_err() {
            reader.failed.set(true);
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
