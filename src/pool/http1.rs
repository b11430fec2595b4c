//! One HTTP/1.1 connection to an origin: a request goes out, a response comes back, both flow at once.
//! Not the bytes of HTTP (message::http1) and not the choice of a connection (the pool).
//! Start at [`Http1::send`].

use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, Version};
use tokio::time::Instant;

use super::key::Key;
use super::late::Late;
use super::outgoing::{
    Outgoing, RESPONSE_HEAD, Received, SendError, Stop, ambiguous, check_count, drop_false_length,
};
use super::places::Place;
use super::response_body::{Line, Made, Request, ResponseBody};
use super::upload::{Progress, Upload};
use super::{Failure, Pool, Retry, keep_alive};
use crate::message::http1::decoder::Decoder;
use crate::message::http1::framing::{self, Length};
use crate::message::http1::head::ResponseHead;
use crate::message::http1::reader::{ReadError, Reader};
use crate::message::http1::{HeadError, encode};
use crate::message::{Body, Interim, ProxyError, hop};
use crate::stream::{LazyDeadline, Stream, WriteHalf, split};

/// An open connection to an origin.
#[derive(Debug)]
pub(super) struct Http1 {
    reader: Reader,
    write: WriteHalf,
    peer: SocketAddr,
    /// Which trust it was made under; see [`Pool::replace`].
    generation: u64,
    idle_since: Instant,
    /// How long it may be idle and used again, as its origin said.
    patience: Option<Duration>,
    /// Whether it has carried a request before.
    used: bool,
    place: Place,
}

impl Http1 {
    /// A connection that was just opened, under the trust of this generation.
    pub(super) fn new(stream: Stream, peer: SocketAddr, generation: u64, place: Place) -> Self {
        let (read, write) = split(stream);
        Self {
            reader: Reader::new(read, BytesMut::new()),
            write,
            peer,
            generation,
            idle_since: Instant::now(),
            patience: None,
            used: false,
            place,
        }
    }

    /// A connection whose exchange is over, for the next one.
    pub(super) fn again(reader: Reader, write: WriteHalf, made: Made) -> Self {
        Self {
            reader,
            write,
            peer: made.peer,
            generation: made.generation,
            idle_since: Instant::now(),
            patience: made.patience,
            used: true,
            place: made.place,
        }
    }

    /// The origin's address.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// How long it may be idle and used again, as its origin said.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// It waits for its next request.
    pub(super) fn was_put(&self) {
        self.place.is_idle();
    }

    pub(super) fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.reader.is_quiet(cx)
    }

    fn into_stream(self) -> Option<Stream> {
        let (read, buf) = self.reader.into_parts();
        let mut stream = read.reunite(self.write).ok()?;
        stream.unread(buf);
        Some(stream)
    }

    /// Sends a request and waits for the final response head; interim responses go to `interim` as they come.
    ///
    /// With `keep`, the beginning of the body is kept so that it can be sent again. Errors: see [`SendError`]. Dropping the
    /// future closes the connection.
    pub(super) async fn send(
        mut self,
        pool: &Pool,
        key: Key,
        outgoing: &Outgoing<'_>,
        body: Body,
        keep: bool,
        interim: &Interim,
    ) -> Result<Received, SendError> {
        let mut head = BytesMut::new();
        encode::request_head(
            &mut head,
            outgoing.method,
            outgoing.target,
            outgoing.host,
            outgoing.headers,
            outgoing.length,
        );
        let limits = pool.limits(&key);
        let patience = outgoing.patience.unwrap_or(limits.response);
        let idle = self.idle_since.elapsed();
        let mut upload = Upload::new(head, outgoing.length, body, keep, limits.body_idle);
        let head = self
            .response_head(patience, &mut upload, outgoing.method, interim)
            .await;
        let head = match head {
            Ok(head) => head,
            Err(Stop::Client(error)) => return Err(SendError::Client(error)),
            Err(Stop::Origin(failure)) => {
                if self.used && failure.error == ProxyError::ConnectionTerminated {
                    pool.habits().closed_in_use(self.peer, idle);
                }
                return Err(SendError::Origin(failure, upload.into_body()));
            }
        };
        self.receive(pool, key, head, upload, outgoing)
            .map_err(|failure| SendError::Origin(failure, None))
    }

    async fn response_head(
        &mut self,
        limit: Duration,
        upload: &mut Upload,
        method: &Method,
        interim: &Interim,
    ) -> Result<ResponseHead, Stop> {
        let deadline = LazyDeadline::new();
        let limits = RESPONSE_HEAD;
        let mut waiting_since_sent = false;
        let mut interims = 0;
        std::future::poll_fn(|cx| {
            match upload.poll(cx, &mut self.write) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Stop::Client(error))),
                Poll::Ready(Ok(())) if !waiting_since_sent => {
                    waiting_since_sent = true;
                    deadline.set(Instant::now() + limit);
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            loop {
                let head = match self.reader.poll_response(cx, limits) {
                    Poll::Ready(Ok(head)) => head,
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(Stop::Origin(failure(upload, &error))));
                    }
                    Poll::Pending => break,
                };
                if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS
                {
                    return Poll::Ready(Ok(head));
                }
                interims += 1;
                if let Err(failure) = check_interim(method, &head, interims) {
                    return Poll::Ready(Err(Stop::Origin(failure)));
                }
                let mut headers = head.headers;
                hop::strip(&mut headers);
                interim.push(head.status, headers);
            }
            ready!(deadline.poll_expired(cx));
            Poll::Ready(Err(Stop::Origin(Failure::new(
                ProxyError::ConnectionReadTimeout,
                "the origin did not answer in time",
            ))))
        })
        .await
    }

    fn receive(
        self,
        pool: &Pool,
        key: Key,
        mut head: ResponseHead,
        upload: Upload,
        outgoing: &Outgoing<'_>,
    ) -> Result<Received, Failure> {
        let method = outgoing.method;
        let outgoing_bound = is_bound(outgoing.headers, AUTHORIZATION);
        let length = framing::of_response(method, head.status, head.version, &head.headers)
            .map_err(ambiguous)?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let stream = self.into_stream();
            return Ok(Received {
                response: response(head, Body::Empty),
                upgraded: stream,
                delimited: true,
            });
        }
        let hop = hop::read(&head.headers);
        let persistent = if head.version == Version::HTTP_11 {
            !hop.close
        } else {
            hop.keep_alive && !hop.close
        };
        // A 204 or 304 that announces chunks may be followed by some: such a connection is not used again.
        let unclear =
            length == Length::Empty && head.headers.contains_key(http::header::TRANSFER_ENCODING);
        let bound = is_bound(&head.headers, WWW_AUTHENTICATE);
        let said = keep_alive::said(&head.headers);
        let reusable = persistent
            && !said.over
            && !unclear
            && !bound
            && !outgoing_bound
            && length != Length::UntilClose;
        drop_false_length(length, method, head.status, &mut head.headers);
        let made = Made {
            key,
            peer: self.peer,
            generation: self.generation,
            patience: said.patience,
            place: self.place,
        };
        let request = match upload.progress() {
            Progress::Sent => Request::Sent(self.write),
            Progress::Sending => Request::Late(Late::spawn(pool.life(), upload.finish(self.write))),
            Progress::Refused => Request::Cut,
        };
        let line = Line {
            reader: self.reader,
            request,
            made,
            reusable,
        };
        let mut body =
            ResponseBody::new(line, Decoder::new(length, pool.head_limits()), pool.clone());
        let body = if length == Length::Empty {
            body.give_back();
            Body::Empty
        } else {
            Body::stream(body)
        };
        Ok(Received {
            response: response(head, body),
            upgraded: None,
            delimited: length != Length::UntilClose,
        })
    }
}

/// Whether authentication of the connection itself is under way (NTLM, Negotiate; RFC 4559 §6): whoever used the connection
/// next would be taken for this client.
pub(super) fn is_bound(headers: &HeaderMap, name: HeaderName) -> bool {
    headers.get_all(name).iter().any(|value| {
        let scheme = value
            .as_bytes()
            .split(|b| *b == b' ')
            .next()
            .unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}

fn response(head: ResponseHead, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers;
    response
}

/// An origin that never comes to the point is cut off; an interim response with framing is ambiguous.
fn check_interim(method: &Method, head: &ResponseHead, count: usize) -> Result<(), Failure> {
    framing::of_response(method, head.status, head.version, &head.headers).map_err(ambiguous)?;
    check_count(count)
}

/// What a failed read means, given how much of the request was sent.
fn failure(upload: &Upload, error: &ReadError) -> Failure {
    let terminated = "the origin closed the connection before it answered";
    match error {
        ReadError::Closed | ReadError::Io(_) => {
            let retry = if upload.is_untouched() {
                Retry::Yes
            } else {
                Retry::IfReused
            };
            Failure::new(ProxyError::ConnectionTerminated, terminated).with_retry(retry)
        }
        ReadError::Truncated => Failure::new(
            ProxyError::ResponseIncomplete,
            "the origin closed the connection inside its response head",
        ),
        ReadError::Head(error @ (HeadError::TooLarge | HeadError::TooMany)) => Failure::new(
            ProxyError::ResponseHeadSize,
            format!("the origin's response is refused: {error}"),
        ),
        ReadError::Head(error) => Failure::new(
            ProxyError::ProtocolError,
            format!("the origin's response is malformed: {error}"),
        ),
    }
}
