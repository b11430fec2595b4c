//! The server side of HTTP/1.x: requests are read one after the other, each is handled, its response is written.
//! Parses nothing itself (message::http1) and answers nothing itself (the handler).
//! Start at [`serve`].

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::BytesMut;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as HttpBody;
use tokio::time::Instant;

use super::client_reader::ClientReader;
use super::http::{Exchange, Handler, Trouble};
use super::settings::Limits;
use crate::lifeline::{Lifeline, Tail};
use crate::message::http1::framing::{self, Length};
use crate::message::http1::head::RequestHead;
use crate::message::http1::reader::{ReadError, Reader};
use crate::message::http1::writer::{WriteError, Writer};
use crate::message::http1::{HeadError, encode};
use crate::message::{Body, BodyError, Interim, Reply, hop};
use crate::stream::{LazyDeadline, Stream, WriteHalf, split};

/// Serves one connection until either side closes it, or a tunnel is left. Every wait for the client is bounded by `limits`.
pub async fn serve<H: Handler>(
    stream: Stream,
    handler: &H,
    limits: &Limits,
    life: &Lifeline,
) -> Option<Tail> {
    let (read, write) = split(stream);
    let mut server = Server {
        reader: Rc::new(ClientReader::new(Reader::new(read, BytesMut::new()))),
        write,
        limits,
        life,
        handler,
        deadline: LazyDeadline::new(),
    };
    let mut first = true;
    loop {
        let next = match server.next_request(first).await {
            Ok(Some(head)) => server.exchange(head).await,
            Ok(None) => return None,
            Err(Trouble::Broken) => {
                handler.abandoned(&Trouble::Broken);
                return None;
            }
            Err(trouble) => {
                server.refuse(&trouble, None).await;
                Next::Linger
            }
        };
        first = false;
        match next {
            Next::Again => {}
            Next::Close => return None,
            Next::Linger => {
                server.linger().await;
                return None;
            }
            Next::Takeover(takeover) => return server.into_stream().map(takeover),
        }
    }
}

struct Server<'a, H> {
    reader: Rc<ClientReader>,
    write: WriteHalf,
    limits: &'a Limits,
    life: &'a Lifeline,
    handler: &'a H,
    /// For the next request head: one for the whole connection, so that a request costs no timer.
    deadline: LazyDeadline,
}

/// What becomes of the connection after an exchange.
enum Next {
    Again,
    Close,
    /// The client may still be sending: it gets the chance to read the answer before the connection goes (RFC 9112 §9.6).
    Linger,
    Takeover(crate::message::Takeover),
}

impl<H: Handler> Server<'_, H> {
    /// Waits for a request head. `None` where the connection ends without one.
    async fn next_request(&self, first: bool) -> Result<Option<RequestHead>, Trouble> {
        let deadline = &self.deadline;
        deadline.set(
            Instant::now()
                + if first {
                    self.limits.header_time
                } else {
                    self.limits.idle
                },
        );
        let mut begun = first;
        let mut draining = pin!(self.life.draining());
        let mut parting = false;
        std::future::poll_fn(|cx| {
            match self.reader.poll_request(cx, self.limits.head) {
                Poll::Ready(Ok(head)) => return Poll::Ready(Ok(Some(head))),
                Poll::Ready(Err(ReadError::Head(error))) => {
                    return Poll::Ready(Err(Trouble::Malformed(error)));
                }
                Poll::Ready(Err(ReadError::Truncated)) => {
                    return Poll::Ready(Err(Trouble::Truncated));
                }
                // Between two requests either side may leave; within one, it is news.
                Poll::Ready(Err(ReadError::Io(_))) if !self.reader.is_empty() => {
                    return Poll::Ready(Err(Trouble::Broken));
                }
                Poll::Ready(Err(ReadError::Closed | ReadError::Io(_))) => {
                    return Poll::Ready(Ok(None));
                }
                Poll::Pending => {}
            }
            if !begun && !self.reader.is_empty() {
                begun = true;
                deadline.set(Instant::now() + self.limits.header_time);
            }
            if !begun && !parting && draining.as_mut().poll(cx).is_ready() {
                parting = true;
                // What is answered from now on says that the connection closes.
                deadline.set(Instant::now() + self.life.patience().min(self.limits.idle));
            }
            match deadline.poll_expired(cx) {
                Poll::Ready(()) if begun => Poll::Ready(Err(Trouble::SlowHead)),
                Poll::Ready(()) => Poll::Ready(Ok(None)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    async fn exchange(&mut self, head: RequestHead) -> Next {
        let length = match check(&head, self.limits) {
            Ok(length) => length,
            Err(trouble) => {
                self.refuse(&trouble, Some(&head)).await;
                return Next::Linger;
            }
        };
        let hop = hop::read(&head.headers);
        let persistent = if head.version == Version::HTTP_11 {
            !hop.close
        } else {
            hop.keep_alive && !hop.close
        };
        let (method, version) = (head.method.clone(), head.version);
        let body = ClientReader::begin(&self.reader, length, self.limits);
        let exchange = Exchange {
            target: head.target,
            interim: Interim::default(),
            version,
        };
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.version_mut() = head.version;
        *request.headers_mut() = head.headers;
        let Some((reply, interim)) = self.handle(request, exchange).await else {
            return Next::Close;
        };
        if let Some(mut interim) = interim {
            let write = &mut self.write;
            if std::future::poll_fn(|cx| interim.poll_flush(cx, write))
                .await
                .is_err()
            {
                return Next::Close;
            }
        }
        let keep = persistent && !reply.close && self.reader.is_whole() && !self.life.is_draining();
        self.respond(reply, &method, version, keep).await
    }

    /// Runs the handler, passing its interim responses on. `None` where the client is gone.
    async fn handle(
        &mut self,
        request: Request<Body>,
        exchange: Exchange,
    ) -> Option<(Reply, Option<Writer>)> {
        let interim = exchange.interim.clone();
        let can_take_interim = exchange.version == Version::HTTP_11;
        // In a box, so that a connection which waits for its next request does not hold room for one under way.
        let mut handling = Box::pin(self.handler.handle(request, exchange));
        let mut out: Option<Writer> = None;
        let (write, reader, limit) = (&mut self.write, &self.reader, self.limits.body_idle);
        std::future::poll_fn(|cx| {
            let handled = handling.as_mut().poll(cx);
            let mut bytes = BytesMut::new();
            while let Some((status, headers)) = interim.pop() {
                // RFC 9110 §15.2: never to an HTTP/1.0 client.
                if can_take_interim {
                    encode::interim(&mut bytes, status, &headers);
                }
            }
            if !bytes.is_empty() {
                out.get_or_insert_with(|| Writer::new(BytesMut::new(), Length::UntilClose, limit))
                    .add(bytes.freeze());
            }
            if let Some(writer) = &mut out {
                match writer.poll_flush(cx, write) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(None),
                    // What is left goes out in front of the final response.
                    Poll::Pending => {}
                }
            }
            match handled {
                Poll::Ready(reply) => Poll::Ready(Some((reply, out.take()))),
                Poll::Pending if reader.is_broken(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    async fn respond(
        &mut self,
        reply: Reply,
        method: &Method,
        version: Version,
        keep: bool,
    ) -> Next {
        let Reply {
            response, takeover, ..
        } = reply;
        let (head, body) = response.into_parts();
        let tunnel = takeover.is_some();
        let length = response_length(method, head.status, version, &body, tunnel);
        let keep = keep && (length != Length::UntilClose || tunnel);
        let mut bytes = BytesMut::new();
        let keep_length =
            framing::has_no_body(method, head.status) && head.status != StatusCode::NO_CONTENT;
        if tunnel {
            encode::interim(&mut bytes, head.status, &head.headers);
        } else {
            encode::response_head(&mut bytes, head.status, &head.headers, length, keep_length);
            encode::finish_response_head(&mut bytes, version, keep);
        }
        let writer = Writer::new(bytes, length, self.limits.body_idle);
        let body = if length == Length::Empty {
            Body::Empty
        } else {
            body
        };
        // Where the close is the end of the body, a close before that must not look like it (RFC 9112 §8): not after a broken
        // body, nor where this exchange is dropped.
        let ends_at_close = length == Length::UntilClose;
        if ends_at_close {
            self.write.abort_on_end(true);
        }
        let written = self.write_all(writer, body).await;
        if ends_at_close && written.is_ok() {
            self.write.abort_on_end(false);
        }
        match (written, takeover) {
            (Ok(()), Some(takeover)) => Next::Takeover(takeover),
            (Ok(()), None) if keep && self.reader.is_whole() => Next::Again,
            (Ok(()), None) => Next::Linger,
            // A body that broke must look broken: the connection goes without a proper end.
            (Err(_), _) => Next::Close,
        }
    }

    async fn write_all(&mut self, mut writer: Writer, mut body: Body) -> Result<(), WriteError> {
        let (write, reader) = (&mut self.write, &self.reader);
        std::future::poll_fn(|cx| {
            let pumped = writer.poll_pump(cx, &mut body, write);
            // While an origin is silent nothing is written: only reading tells that nobody waits any more.
            if pumped.is_pending() && reader.is_broken(cx) {
                let broken = std::io::ErrorKind::ConnectionReset.into();
                return Poll::Ready(Err(WriteError::Sink(broken)));
            }
            pumped
        })
        .await
    }

    /// Answers what never became a request.
    async fn refuse(&mut self, trouble: &Trouble, head: Option<&RequestHead>) {
        let response: Response<Body> = self.handler.refuse(trouble, head);
        let method = head.map_or(Method::GET, |head| head.method.clone());
        // Nothing more can be done for a client that does not take its refusal.
        let _ = self
            .respond(Reply::closing(response), &method, Version::HTTP_11, false)
            .await;
    }

    /// Reads on for a moment and throws away, so that a reset does not take the answer from the client.
    async fn linger(mut self) {
        if tokio::io::AsyncWriteExt::shutdown(&mut self.write)
            .await
            .is_err()
        {
            return;
        }
        // An answer that came early leaves the rest of the request on its way to the origin; it has limits of its own.
        while Rc::strong_count(&self.reader) > 1 {
            self.reader.released().await;
        }
        let limit = self.limits.body_idle.min(LINGER);
        let discard = async {
            let mut left = LINGER_BYTES;
            while left > 0 {
                match std::future::poll_fn(|cx| self.reader.poll_discard(cx)).await {
                    0 => return,
                    read => left = left.saturating_sub(read),
                }
            }
        };
        let _ = tokio::time::timeout(limit, discard).await;
    }

    fn into_stream(self) -> Option<Stream> {
        let (read, buf) = Rc::into_inner(self.reader)?.into_parts();
        let mut stream = read.reunite(self.write).ok()?;
        stream.unread(buf);
        Some(stream)
    }
}

/// What is checked before anyone handles a request: framing, Host, declared size.
fn check(head: &RequestHead, limits: &Limits) -> Result<Length, Trouble> {
    framing::check_host(head.version, &head.headers).map_err(Trouble::Malformed)?;
    let length = framing::of_request(head.version, &head.headers).map_err(Trouble::Malformed)?;
    match (length, limits.body_size) {
        (Length::Sized(size), Some(limit)) if size > limit => Err(Trouble::LargeBody),
        // RFC 9110 §9.3.6, §9.3.8: content has no meaning there, and a tunnel's first bytes are no content.
        (Length::Sized(_) | Length::Chunked, _)
            if matches!(head.method, Method::CONNECT | Method::TRACE) =>
        {
            Err(Trouble::Malformed(HeadError::Malformed(
                "this method takes no content",
            )))
        }
        (length, _) => Ok(length),
    }
}

fn response_length(
    method: &Method,
    status: StatusCode,
    version: Version,
    body: &Body,
    tunnel: bool,
) -> Length {
    if tunnel || framing::has_no_body(method, status) {
        return Length::Empty;
    }
    match body.size_hint().exact() {
        Some(0) => Length::Empty,
        Some(size) => Length::Sized(size),
        None if version == Version::HTTP_10 => Length::UntilClose,
        None => Length::Chunked,
    }
}

/// A body error as the client's trouble.
impl From<&BodyError> for Trouble {
    fn from(error: &BodyError) -> Self {
        match error {
            BodyError::Malformed(error) => Self::Malformed(*error),
            BodyError::TooLarge => Self::LargeBody,
            BodyError::Timeout => Self::SlowBody,
            BodyError::Io(_) | BodyError::Truncated | BodyError::Aborted => Self::Truncated,
        }
    }
}

/// Longest time that is spent on a client which goes on sending after its answer.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);
/// Most bytes that are read from such a client.
const LINGER_BYTES: usize = 1 << 20;
