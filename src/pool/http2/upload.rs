//! A request's body on its way to an origin over HTTP/2, as the origin's window allows.
//! Not its head, which has left when this begins.
//! Start at [`Upload::poll`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body as HttpBody, Frame};

use crate::message::http1::framing::Length;
use crate::message::{Body, BodyError, hop};
use crate::pool::replay::Replayable;
use crate::pool::upload::Progress;
use crate::stream::Silence;

/// A body in the sending.
#[derive(Debug)]
pub(super) struct Upload {
    source: Replayable,
    stream: SendStream<Bytes>,
    queued: Bytes,
    /// What is still to come of a known size.
    left: Option<u64>,
    stall: Silence,
    progress: Progress,
}

impl Upload {
    /// Waits at most `stall_limit` for the origin to take a byte.
    pub(super) fn new(
        stream: SendStream<Bytes>,
        length: Length,
        body: Body,
        keep: bool,
        stall_limit: Duration,
    ) -> Self {
        let (left, progress) = match length {
            Length::Empty => (None, Progress::Sent),
            Length::Sized(size) => (Some(size), Progress::Sending),
            Length::Chunked | Length::UntilClose => (None, Progress::Sending),
        };
        Self {
            source: Replayable::new(body, length, keep),
            stream,
            queued: Bytes::new(),
            left,
            stall: Silence::new(stall_limit),
            progress,
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// The sending side of a stream that something else than a body goes on.
    pub(super) fn into_stream(self) -> SendStream<Bytes> {
        self.stream
    }

    /// Ends the sending side: nothing else will go on it.
    pub(super) fn close(&mut self) {
        let _ = self.stream.send_data(Bytes::new(), true);
    }

    /// The body from its beginning, if it can be had again.
    pub(super) fn into_body(self) -> Option<Body> {
        self.source.again()
    }

    /// Sends the rest. A client whose body broke learns of it from its own connection.
    pub(super) async fn finish(mut self) {
        let _ = std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    /// Sends on. Ready when there is nothing more to do; an error is the client's: its body failed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while self.progress == Progress::Sending {
            if !self.queued.is_empty() {
                ready!(self.poll_send(cx));
                continue;
            }
            // The origin may have answered without the rest of it (RFC 9113 §8.1): whoever reads finds out.
            if self.stream.poll_reset(cx).is_ready() {
                self.progress = Progress::Refused;
                continue;
            }
            let frame = ready!(Pin::new(self.source.body()).poll_frame(cx));
            if let Err(error) = self.frame(frame) {
                self.progress = Progress::Refused;
                self.stream.send_reset(Reason::CANCEL);
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn frame(&mut self, frame: Option<Result<Frame<Bytes>, BodyError>>) -> Result<(), BodyError> {
        let Some(frame) = frame else {
            return self.end(None);
        };
        match frame?.into_data() {
            Ok(data) => {
                if let Some(left) = self.left {
                    let left = left.checked_sub(data.len() as u64);
                    self.left = Some(left.ok_or(BodyError::Truncated)?);
                }
                self.queued = data;
                Ok(())
            }
            Err(frame) => self.end(frame.into_trailers().ok()),
        }
    }

    fn end(&mut self, trailers: Option<http::HeaderMap>) -> Result<(), BodyError> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(BodyError::Truncated);
        }
        let sent = match trailers {
            Some(mut trailers) => {
                hop::strip_trailers(&mut trailers);
                self.stream.send_trailers(trailers)
            }
            None => self.stream.send_data(Bytes::new(), true),
        };
        self.progress = match sent {
            Ok(()) => Progress::Sent,
            Err(_) => Progress::Refused,
        };
        Ok(())
    }

    /// Sends of what is queued as much as the window allows; an origin that takes nothing for too long is given up.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.reserve_capacity(self.queued.len());
        let granted = match self.stream.capacity() {
            // What was granted before is not announced again.
            0 => {
                let polled = self.stream.poll_capacity(cx);
                match ready!(self.stall.poll(cx, polled)) {
                    Ok(Some(Ok(granted))) => granted,
                    Ok(Some(Err(_)) | None) => 0,
                    Err(_) => {
                        self.stream.send_reset(Reason::CANCEL);
                        0
                    }
                }
            }
            granted => granted,
        };
        let part = self.queued.split_to(granted.min(self.queued.len()));
        if part.is_empty() || self.stream.send_data(part, false).is_err() {
            self.progress = Progress::Refused;
        }
        Poll::Ready(())
    }
}
