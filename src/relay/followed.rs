//! Bodies that are counted as they pass, and end the record of their exchange.
//! Not the record itself (recording).
//! Start at [`Followed`].

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::recording::Recording;
use crate::message::{Body, BodyError};
use crate::report::{Flow, Killed};
use crate::stream::LazyDeadline;

/// A response body that ends its record, and that an operator can end.
pub(super) struct Followed {
    pub(super) body: Body,
    pub(super) recording: Option<Box<Recording>>,
    pub(super) killed: Option<Killed>,
    /// When all of it must have passed.
    pub(super) deadline: Option<LazyDeadline>,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(killed) = &mut this.killed
            && let Poll::Ready(reason) = Pin::new(killed).poll(cx)
        {
            this.killed = None;
            if let Some(recording) = this.recording.take() {
                recording.cut(reason.to_string());
            }
            return Poll::Ready(Some(Err(BodyError::Aborted)));
        }
        let deadline = this.deadline.as_ref();
        if deadline.is_some_and(|deadline| deadline.poll_expired(cx).is_ready()) {
            this.deadline = None;
            if let Some(recording) = this.recording.take() {
                recording.cut("the time of the exchange was over");
            }
            return Poll::Ready(Some(Err(BodyError::Timeout)));
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(flow)) = (
                    frame.data_ref(),
                    this.recording.as_deref().and_then(Recording::flow),
                ) {
                    let counter = &flow.traffic.from_origin;
                    counter.set(counter.get() + data.len() as u64);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(recording) = this.recording.take() {
                    recording.cut(format!("the origin's response broke: {error}"));
                }
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                if let Some(mut recording) = this.recording.take() {
                    recording.finish();
                }
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request body that is counted.
pub(super) fn counted(body: Body, flow: Rc<Flow>) -> Body {
    let look = move |data: &Bytes| {
        let counter = &flow.traffic.from_client;
        counter.set(counter.get() + data.len() as u64);
        Ok(())
    };
    Body::stream(Watched { body, look })
}

/// A request body of which no more passes than its route takes: so many bytes.
pub(super) fn bounded(body: Body, mut left: u64) -> Body {
    let look = move |data: &Bytes| {
        left = left
            .checked_sub(data.len() as u64)
            .ok_or(BodyError::TooLarge)?;
        Ok(())
    };
    Body::stream(Watched { body, look })
}

/// A body that is looked at as it passes, and ends where that finds an error.
struct Watched<F> {
    body: Body,
    look: F,
}

impl<F> HttpBody for Watched<F>
where
    F: FnMut(&Bytes) -> Result<(), BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(error) = (self.look)(data)
        {
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
