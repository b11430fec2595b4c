//! The body of a response as it arrives; when it ends, its connection goes back to the pool if everything on it was whole.
//! Not the head, which was read before.
//! Start at [`ResponseBody::new`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::Pool;
use super::http1::Http1;
use super::key::Key;
use super::late::Late;
use super::places::Place;
use crate::message::BodyError;
use crate::message::http1::decoder::{Decoder, Part};
use crate::message::http1::reader::Reader;
use crate::stream::{Silence, TooLong, WriteHalf};

/// A response body on its connection.
pub(super) struct ResponseBody {
    line: Option<Line>,
    decoder: Decoder,
    silence: Silence,
    pool: Pool,
}

/// The connection, and what it may be used for afterwards.
pub(super) struct Line {
    pub(super) reader: Reader,
    pub(super) request: Request,
    pub(super) made: Made,
    pub(super) reusable: bool,
}

/// How far the request is.
pub(super) enum Request {
    /// It was sent whole.
    Sent(WriteHalf),
    /// It is still being sent.
    Late(Late),
    /// The origin took only a part of it: what would be written next would be read as the rest.
    Cut,
}

/// What a connection was made for and when; see [`Http1`].
#[derive(Debug)]
pub(super) struct Made {
    pub(super) key: Key,
    pub(super) peer: std::net::SocketAddr,
    pub(super) generation: u64,
    pub(super) patience: Option<Duration>,
    pub(super) place: Place,
}

impl ResponseBody {
    pub(super) fn new(line: Line, decoder: Decoder, pool: Pool) -> Self {
        let silence = Silence::new(pool.limits(&line.made.key).body_idle);
        Self {
            line: Some(line),
            decoder,
            silence,
            pool,
        }
    }

    /// The response is whole. The connection is kept only if the request is whole too and nothing unasked has arrived.
    pub(super) fn give_back(&mut self) {
        let Some(line) = self.line.take() else { return };
        let write = match line.request {
            Request::Sent(write) => Some(write),
            Request::Late(late) => late.finish(),
            Request::Cut => None,
        };
        let Some(write) = write.filter(|_| line.reusable && line.reader.is_empty()) else {
            return;
        };
        let key = line.made.key.clone();
        self.pool
            .give_back(key, Http1::again(line.reader, write, line.made));
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.line = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let Some(line) = &mut body.line else {
            return Poll::Ready(None);
        };
        let polled = line.reader.poll_part(cx, &mut body.decoder);
        let frame = match ready!(body.silence.poll(cx, polled)) {
            Ok(Ok(Part::Data(data))) => Frame::data(data),
            Ok(Ok(Part::Trailers(trailers))) => Frame::trailers(trailers),
            Ok(Ok(Part::End | Part::More)) => {
                body.give_back();
                return Poll::Ready(None);
            }
            Ok(Err(error)) => return body.fail(error),
            Err(TooLong) => return body.fail(BodyError::Timeout),
        };
        if body.decoder.is_done() {
            body.give_back();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.line.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder
            .whole()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
