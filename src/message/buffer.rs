//! Bodies that are taken from their sender faster than their receiver takes them.
//! A slow client then holds no origin while it sends, nor a slow reader while it reads. Not a store: what is buffered is passed on
//! once, and for each message at most its limit and one segment is held.
//! Start at [`collect`] for requests, [`read_ahead`] for responses.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, BodyError};
use crate::lifeline::Lifeline;

/// Takes a body from its sender until it is whole or `limit` bytes have come: whole, it is a [`Body::Full`], with a declared size;
/// larger, it is a stream that begins with what has come. A body that says at once that it is larger is passed on as it is:
/// waiting for its beginning would gain nothing.
///
/// Errors: those of the body. Dropping the future drops the body.
pub async fn collect(mut body: Body, limit: usize) -> Result<Body, BodyError> {
    let whole = matches!(body, Body::Empty | Body::Full(_));
    if whole || body.size_hint().lower() > limit as u64 {
        return Ok(body);
    }
    // Grows as bytes come, not as they are announced. Copied together: the sender chooses how small its chunks are.
    let mut front = BytesMut::new();
    while front.len() <= limit {
        let Some(frame) = body.frame().await else {
            return Ok(Body::from(front.freeze()));
        };
        match frame?.into_data() {
            Ok(data) => front.extend_from_slice(&data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return Ok(Body::stream(Front {
                    front: front.freeze(),
                    trailers: Some(trailers),
                    rest: Body::Empty,
                }));
            }
        }
    }
    Ok(Body::stream(Front {
        front: front.freeze(),
        trailers: None,
        rest: body,
    }))
}

/// A body whose beginning has come.
struct Front {
    front: Bytes,
    trailers: Option<HeaderMap>,
    rest: Body,
}

impl HttpBody for Front {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.front.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.front)))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.front.is_empty() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let front = self.front.len() as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(front));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(front));
        }
        hint
    }
}

/// Reads a body ahead of its reader, up to `limit` bytes, by a task of `life`: its connection is free as soon as the rest fits.
/// What comes is passed on at once; frames may be joined. The task ends with the body, or when the reader is dropped.
///
/// An error of the body is told when all that came before it has been read.
pub fn read_ahead(body: Body, limit: usize, life: &Lifeline) -> Body {
    if !matches!(body, Body::Stream(_)) || body.is_end_stream() {
        return body;
    }
    let shared = Rc::new(RefCell::new(Shared {
        left: body.size_hint(),
        ..Shared::default()
    }));
    life.spawn(fill(body, limit, shared.clone()));
    Body::stream(Reader(shared))
}

/// What the two sides share; never borrowed over an await.
#[derive(Debug, Default)]
struct Shared {
    /// In the order of arrival. The last one is filled up before another is begun: a frame may be a small part of a large
    /// piece of memory, which would then stay as long as the frame.
    segments: VecDeque<BytesMut>,
    held: usize,
    /// How the body ended, once it did; taken by the reader.
    end: Option<Result<Option<HeaderMap>, BodyError>>,
    finished: bool,
    /// What is still to come for the reader, as the head declared it.
    left: SizeHint,
    reader_gone: bool,
    reader: Option<Waker>,
    filler: Option<Waker>,
}

impl Shared {
    fn push(&mut self, data: &[u8]) {
        self.held += data.len();
        match self.segments.back_mut() {
            Some(last) if last.len() + data.len() <= SEGMENT => last.extend_from_slice(data),
            Some(_) | None => self.segments.push_back(BytesMut::from(data)),
        }
        self.wake_reader();
    }

    fn finish(&mut self, end: Result<Option<HeaderMap>, BodyError>) {
        self.end = Some(end);
        self.finished = true;
        self.wake_reader();
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn wake_filler(&mut self) {
        if let Some(filler) = self.filler.take() {
            filler.wake();
        }
    }
}

async fn fill(mut body: Body, limit: usize, shared: Rc<RefCell<Shared>>) {
    // The reader is told of an end in any case, even if the body panics.
    let unfinished = Unfinished(shared.clone());
    let end = loop {
        let frame = poll_fn(|cx| poll_next(&mut body, limit, &shared, cx)).await;
        match frame {
            None => break Ok(None),
            Some(Err(error)) => break Err(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => shared.borrow_mut().push(&data),
                Err(frame) => break Ok(frame.into_trailers().ok()),
            },
        }
    };
    // The body goes first: its connection is free before the client reads the end.
    drop(body);
    shared.borrow_mut().finish(end);
    drop(unfinished);
}

/// The next frame, once there is room for one. `None` also where nobody reads any more.
fn poll_next(
    body: &mut Body,
    limit: usize,
    shared: &RefCell<Shared>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    {
        let mut shared = shared.borrow_mut();
        if shared.reader_gone {
            return Poll::Ready(None);
        }
        // Also woken by a reader that leaves while the body is silent.
        shared.filler = Some(cx.waker().clone());
        if shared.held >= limit {
            return Poll::Pending;
        }
    }
    Pin::new(body).poll_frame(cx)
}

struct Unfinished(Rc<RefCell<Shared>>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        if !shared.finished {
            shared.finish(Err(BodyError::Aborted));
        }
    }
}

/// The reader's side.
struct Reader(Rc<RefCell<Shared>>);

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut shared = self.0.borrow_mut();
        if let Some(segment) = shared.segments.pop_front() {
            shared.held -= segment.len();
            shared.left = less(&shared.left, segment.len() as u64);
            shared.wake_filler();
            return Poll::Ready(Some(Ok(Frame::data(segment.freeze()))));
        }
        if !shared.finished {
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(match shared.end.take() {
            Some(Ok(Some(trailers))) => Some(Ok(Frame::trailers(trailers))),
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(None)) | None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.0.borrow();
        let more = matches!(&shared.end, Some(Ok(Some(_)) | Err(_)));
        shared.finished && shared.segments.is_empty() && !more
    }

    fn size_hint(&self) -> SizeHint {
        self.0.borrow().left
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.reader_gone = true;
        shared.segments.clear();
        shared.wake_filler();
    }
}

fn less(hint: &SizeHint, taken: u64) -> SizeHint {
    let mut left = SizeHint::new();
    left.set_lower(hint.lower().saturating_sub(taken));
    if let Some(upper) = hint.upper() {
        left.set_upper(upper.saturating_sub(taken));
    }
    left
}

/// Bytes that are joined to one frame.
const SEGMENT: usize = 64 << 10;

#[cfg(test)]
mod tests;
