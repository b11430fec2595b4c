//! A request on its way to an origin: written as the client sends it, its beginning kept where it may have to be sent again.
//! Not the framing, which is the writer's.
//! Start at [`Upload::poll`].

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;

use super::replay::Replayable;
use crate::message::http1::framing::Length;
use crate::message::http1::writer::{WriteError, Writer};
use crate::message::{Body, BodyError};
use crate::stream::WriteHalf;

/// A request in the sending.
#[derive(Debug)]
pub(super) struct Upload {
    writer: Writer,
    source: Replayable,
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
        Self {
            writer: Writer::new(head, length, stall_limit),
            source: Replayable::new(body, length, keep),
            progress: Progress::Sending,
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        self.progress
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
        match ready!(self.writer.poll_pump(cx, self.source.body(), write)) {
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

    /// Sends the rest. Gives the writing side back if the request was then written whole; a client whose body broke learns of it
    /// from its own connection.
    pub(super) async fn finish(mut self, mut write: WriteHalf) -> Option<WriteHalf> {
        let sent = std::future::poll_fn(|cx| self.poll(cx, &mut write)).await;
        (sent.is_ok() && self.progress == Progress::Sent).then_some(write)
    }

    /// Whether the origin can not have seen a byte of the request.
    pub(super) fn is_untouched(&self) -> bool {
        self.writer.written() == 0
    }

    /// The body from its beginning, if it can be had again.
    pub(super) fn into_body(self) -> Option<Body> {
        self.source.again()
    }
}
