//! A body that is coded frame by frame as it comes.
//! Not the choice of the coding.
//! Start at [`Compressed`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use tokio::time::Instant;

use super::Coding;
use super::coding::{Encoder, PIECE};
use crate::message::{Body, BodyError};
use crate::stream::{LazyDeadline, give_way};

/// A coded body. Holds one frame of the inner one, the coder, and what has come out of it.
pub(super) struct Compressed {
    inner: Body,
    coding: Coding,
    /// Made with the first bytes: a body may be dropped before they come. None after the end.
    encoder: Option<Encoder>,
    state: State,
    /// What is left of the inner body's last frame.
    rest: Bytes,
    /// Each frame is brought out as soon as it has come, as where each is an event.
    each: bool,
    /// Bytes have gone in that have not been brought out, and since when.
    unflushed: bool,
    patience: LazyDeadline,
}

enum State {
    Going,
    Ending(Option<HeaderMap>),
    Ended,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl Compressed {
    pub(super) fn new(inner: Body, coding: Coding, each: bool) -> Self {
        Self {
            inner,
            coding,
            encoder: None,
            state: State::Going,
            rest: Bytes::new(),
            each,
            unflushed: false,
            patience: LazyDeadline::new(),
        }
    }

    /// Takes what comes until something is to be sent.
    fn poll_going(&mut self, cx: &mut Context<'_>) -> Polled {
        for _ in 0..PIECES {
            if self.rest.is_empty() {
                match Pin::new(&mut self.inner).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => self.rest = data,
                        Err(frame) => return self.end(frame.into_trailers().ok()),
                    },
                    Poll::Ready(None) => return self.end(None),
                    Poll::Ready(Some(Err(error))) => {
                        // What has come stays unfinished: a stream that ends well would hide it.
                        self.state = State::Ended;
                        self.encoder = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Pending => return self.poll_patience(cx),
                }
            }
            self.patience.clear();
            let piece = self.rest.split_to(self.rest.len().min(PIECE));
            let whole = self.rest.is_empty();
            let Ok(out) = self.code(&piece, self.each && whole) else {
                return self.fail();
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out))));
            }
        }
        // Much has gone in and nothing has come out: others want to run too.
        give_way(cx);
        Poll::Pending
    }

    /// The inner body is silent. What has come of it is withheld for a moment only, in which more may come.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Polled {
        if !self.unflushed {
            return Poll::Pending;
        }
        if self.patience.get().is_none() {
            self.patience.set(Instant::now() + PATIENCE);
        }
        ready!(self.patience.poll_expired(cx));
        self.patience.clear();
        match self.code(&[], true) {
            // An empty frame would end a chunked body.
            Ok(out) if out.is_empty() => Poll::Pending,
            Ok(out) => Poll::Ready(Some(Ok(Frame::data(out)))),
            Err(_) => self.fail(),
        }
    }

    fn code(&mut self, piece: &[u8], flush: bool) -> std::io::Result<Bytes> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(self.coding)?),
        };
        if !piece.is_empty() {
            encoder.write(piece)?;
            self.unflushed = true;
        }
        if flush && self.unflushed {
            encoder.flush()?;
            self.unflushed = false;
        } else if encoder.held() < LEAST {
            // Such as the head of a stream, which comes out at once and is of no use alone.
            return Ok(Bytes::new());
        }
        Ok(encoder.take())
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Polled {
        // Also an empty body is one in its coding.
        let encoder = match self.encoder.take() {
            Some(encoder) => Ok(encoder),
            None => Encoder::new(self.coding),
        };
        let Ok(out) = encoder.and_then(Encoder::finish) else {
            return self.fail();
        };
        self.state = State::Ending(trailers.map(without_digests));
        if out.is_empty() {
            return self.poll_ending();
        }
        Poll::Ready(Some(Ok(Frame::data(out))))
    }

    fn poll_ending(&mut self) -> Polled {
        let trailers = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ending(trailers) => trailers.filter(|trailers| !trailers.is_empty()),
            State::Going | State::Ended => None,
        };
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// The coder has failed, as where there is no memory for it.
    fn fail(&mut self) -> Polled {
        self.state = State::Ended;
        self.encoder = None;
        Poll::Ready(Some(Err(BodyError::Aborted)))
    }
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match self.state {
            State::Going => self.poll_going(cx),
            State::Ending(_) | State::Ended => self.poll_ending(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Going => false,
            State::Ending(trailers) => trailers.is_none(),
            State::Ended => true,
        }
    }
}

/// Trailers without digests of content that is not sent so (RFC 9530).
fn without_digests(mut trailers: HeaderMap) -> HeaderMap {
    for name in ["content-digest", "repr-digest", "digest", "content-md5"] {
        trailers.remove(name);
    }
    trailers
}

/// Pieces that are coded in a row without anything coming out.
const PIECES: usize = 8;

/// Bytes that are worth a frame of their own, where more will come.
const LEAST: usize = 1 << 10;

/// How long bytes are held back for more that may come.
const PATIENCE: Duration = Duration::from_millis(20);
