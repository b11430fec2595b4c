//! The server side of HTTP/2 (RFC 9113): each stream is a request of its own, handled as those of HTTP/1 are.

use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::http::{Exchange, Handler, Trouble};
use super::settings::Limits;
use crate::lifeline::Lifeline;
use crate::message::{Body, BodyError, Interim, Reply, hop};
use crate::stream::{LazyDeadline, Stream};

/// Serves one connection until either side closes it. Requests run beside each other, each as a task of its own.
pub async fn serve<H: Handler + 'static>(
    stream: Stream,
    handler: Rc<H>,
    limits: &Limits,
    life: &Lifeline,
) {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head.size).unwrap_or(u32::MAX))
        // A slow reader holds at most this much for each of its streams.
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 4)
        .max_send_buffer_size(WINDOW as usize)
        // Rapid reset (CVE-2023-44487): streams that the client opened and reset at once.
        .max_concurrent_reset_streams(32)
        .max_pending_accept_reset_streams(32);
    let handshake =
        tokio::time::timeout(limits.header_time, builder.handshake::<_, Bytes>(stream)).await;
    let Ok(Ok(mut connection)) = handshake else {
        return;
    };
    let deadline = LazyDeadline::new();
    let open = Rc::new(std::cell::Cell::new(0usize));
    let mut draining = pin!(life.draining());
    let mut told = false;
    loop {
        let accepted = std::future::poll_fn(|cx| {
            if !told && draining.as_mut().poll(cx).is_ready() {
                told = true;
                connection.graceful_shutdown();
            }
            if let Poll::Ready(accepted) = connection.poll_accept(cx) {
                return Poll::Ready(accepted);
            }
            // Streams that are still answered keep the connection; without any, its idle limit runs.
            if open.get() > 0 {
                deadline.clear();
            } else if deadline.get().is_none() {
                deadline.set(Instant::now() + limits.idle);
            }
            ready!(deadline.poll_expired(cx));
            Poll::Ready(None)
        })
        .await;
        let Some(Ok((request, respond))) = accepted else {
            break;
        };
        deadline.clear();
        open.set(open.get() + 1);
        let (handler, open, limits) = (handler.clone(), open.clone(), limits.clone());
        life.spawn(async move {
            exchange(request, respond, &*handler, &limits).await;
            open.set(open.get() - 1);
        });
    }
    connection.graceful_shutdown();
    let rest = std::future::poll_fn(|cx| connection.poll_closed(cx));
    let _ = tokio::time::timeout(limits.idle, rest).await;
}

async fn exchange<H: Handler>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    handler: &H,
    limits: &Limits,
) {
    let (head, receive) = request.into_parts();
    let connect = head.method == Method::CONNECT;
    let target = match check(&head, limits) {
        Ok(target) => target,
        Err(trouble) => {
            let response = handler.refuse(&trouble, None);
            let _ = send(Reply::closing(response), &mut respond, &head.method, limits).await;
            return;
        }
    };
    let receive = Receiving::new(receive, limits);
    let tunnel = std::cell::RefCell::new(None);
    let body = if connect {
        *tunnel.borrow_mut() = Some(receive);
        Body::Empty
    } else if receive.stream.is_end_stream() {
        Body::Empty
    } else {
        Body::stream(receive)
    };
    let exchange = Exchange {
        target,
        interim: Interim::default(),
        version: Version::HTTP_2,
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = join_cookies(head.headers);
    let handled = handle(request, exchange, &mut respond, handler).await;
    let Some(mut reply) = handled else { return };
    let takeover = reply.takeover.take();
    let Some(sending) = send(reply, &mut respond, &head.method, limits).await else {
        return;
    };
    if let (Some(takeover), Some(receive)) = (takeover, tunnel.into_inner()) {
        takeover(Stream::boxed(Tunnel {
            receive,
            send: sending,
            queued: Bytes::new(),
            shut: false,
        }))
        .await;
    }
}

/// Runs the handler, passing its interim responses on. `None` where the client gave this stream up.
async fn handle<H: Handler>(
    request: Request<Body>,
    exchange: Exchange,
    respond: &mut SendResponse<Bytes>,
    handler: &H,
) -> Option<Reply> {
    let interim = exchange.interim.clone();
    let mut handling = pin!(handler.handle(request, exchange));
    std::future::poll_fn(|cx| {
        let handled = handling.as_mut().poll(cx);
        while let Some((status, headers)) = interim.pop() {
            let mut response = Response::new(());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            // An interim response that can not be sent is no loss: the final one follows.
            let _ = respond.send_informational(response);
        }
        match handled {
            Poll::Ready(reply) => Poll::Ready(Some(reply)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        }
    })
    .await
}

/// What HTTP/2 leaves to the application to check (RFC 9113 §8.2, §8.3); the target in HTTP/1's form.
fn check(head: &http::request::Parts, limits: &Limits) -> Result<Bytes, Trouble> {
    use crate::message::http1::HeadError::{Malformed, TooMany};
    if head.headers.len() > limits.head.count {
        return Err(Trouble::Malformed(TooMany));
    }
    if head.extensions.get::<h2::ext::Protocol>().is_some() {
        return Err(Trouble::Malformed(Malformed(
            "extended CONNECT is not offered here",
        )));
    }
    let target = match (
        head.method == Method::CONNECT,
        head.uri.authority(),
        head.uri.scheme(),
    ) {
        (true, Some(authority), _) => authority.to_string(),
        (false, Some(_), Some(_)) => head.uri.to_string(),
        (_, _, _) => return Err(Trouble::Malformed(Malformed("the :authority is missing"))),
    };
    let declared = head
        .headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let (Some(size), Some(limit)) = (declared, limits.body_size)
        && size > limit
    {
        return Err(Trouble::LargeBody);
    }
    Ok(Bytes::from(target))
}

/// Cookie crumbs become one field again (RFC 9113 §8.2.3).
fn join_cookies(mut headers: http::HeaderMap) -> http::HeaderMap {
    use http::header::COOKIE;
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let crumbs: Vec<&[u8]> = headers
            .get_all(COOKIE)
            .iter()
            .map(http::HeaderValue::as_bytes)
            .collect();
        if let Ok(joined) = http::HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
    headers
}

/// Sends a response whole; for a tunnel, its head. `None` where the stream broke.
async fn send(
    reply: Reply,
    respond: &mut SendResponse<Bytes>,
    method: &Method,
    limits: &Limits,
) -> Option<SendStream<Bytes>> {
    let (mut head, mut body) = reply.response.into_parts();
    head.version = Version::HTTP_2;
    hop::strip(&mut head.headers);
    let tunnel = *method == Method::CONNECT && head.status.is_success();
    let empty = *method == Method::HEAD || body.is_empty() || head.status == StatusCode::NO_CONTENT;
    if let (Some(size), false) = (body.size_hint().exact(), empty || tunnel) {
        head.headers
            .insert(http::header::CONTENT_LENGTH, size.into());
    }
    let mut stream = respond
        .send_response(Response::from_parts(head, ()), empty && !tunnel)
        .ok()?;
    if tunnel || empty {
        return Some(stream);
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            stream.send_reset(Reason::INTERNAL_ERROR);
            return None;
        };
        match frame.into_data() {
            Ok(data) => send_data(&mut stream, data, limits.body_idle).await?,
            Err(frame) => {
                let mut trailers = frame.into_trailers().ok()?;
                hop::strip_trailers(&mut trailers);
                stream.send_trailers(trailers).ok()?;
                return Some(stream);
            }
        }
    }
    stream.send_data(Bytes::new(), true).ok()?;
    Some(stream)
}

/// Sends as the client's window allows; a client that takes nothing for too long is cut off.
async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    stall_limit: Duration,
) -> Option<()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx));
        let Ok(granted) = tokio::time::timeout(stall_limit, capacity).await else {
            stream.send_reset(Reason::CANCEL);
            return None;
        };
        let granted = granted?.ok()?;
        let part = data.split_to(granted.min(data.len()));
        stream.send_data(part, false).ok()?;
    }
    Some(())
}

/// What the client sends on a stream.
struct Receiving {
    stream: RecvStream,
    silence: LazyDeadline,
    silence_limit: Duration,
    room: Option<u64>,
    ended: bool,
}

impl Receiving {
    fn new(stream: RecvStream, limits: &Limits) -> Self {
        Self {
            stream,
            silence: LazyDeadline::new(),
            silence_limit: limits.body_idle,
            room: limits.body_size,
            ended: false,
        }
    }

    /// The next bytes. The window is opened again as soon as they are taken: they are in our hands now.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let data = ready!(self.stream.poll_data(cx));
        if let Some(Ok(data)) = &data {
            let _ = self.stream.flow_control().release_capacity(data.len());
        }
        Poll::Ready(data)
    }
}

impl HttpBody for Receiving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if !this.ended {
            match this.poll_bytes(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    this.silence.clear();
                    if let Some(room) = this.room {
                        let Some(left) = room.checked_sub(data.len() as u64) else {
                            return Poll::Ready(Some(Err(BodyError::TooLarge)));
                        };
                        this.room = Some(left);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(BodyError::Aborted))),
                Poll::Ready(None) => this.ended = true,
                Poll::Pending => {
                    if this.silence.get().is_none() {
                        this.silence.set(Instant::now() + this.silence_limit);
                    }
                    ready!(this.silence.poll_expired(cx));
                    return Poll::Ready(Some(Err(BodyError::Timeout)));
                }
            }
        }
        match ready!(this.stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(None) => Poll::Ready(None),
            Err(_) => Poll::Ready(Some(Err(BodyError::Aborted))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A CONNECT stream as bytes (RFC 9113 §8.5).
struct Tunnel {
    receive: Receiving,
    send: SendStream<Bytes>,
    queued: Bytes,
    shut: bool,
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.queued.is_empty() {
            match ready!(self.receive.poll_bytes(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(data)) => self.queued = data,
                Some(Err(error)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error)));
                }
            }
        }
        let count = buf.remaining().min(self.queued.len());
        let part = self.queued.split_to(count);
        buf.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        self.send.reserve_capacity(buf.len());
        let granted = match ready!(self.send.poll_capacity(cx)) {
            Some(Ok(granted)) => granted.min(buf.len()),
            Some(Err(_)) | None => return Poll::Ready(Err(reset())),
        };
        let part = BytesMut::from(buf.get(..granted).unwrap_or_default()).freeze();
        self.send.send_data(part, false).map_err(|_| reset())?;
        Poll::Ready(Ok(granted))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A stream that is gone already is shut.
        let _ = self.send.send_data(Bytes::new(), true);
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // Unless it was shut in order, the client must not take what it got for the whole (RFC 9113 §8.5). After a proper
        // end no reset may follow: it could overtake what is still queued.
        if !self.shut {
            self.send.send_reset(Reason::CONNECT_ERROR);
        }
    }
}

/// Bytes of one stream that may be under way; four times as many on a connection.
const WINDOW: u32 = 256 << 10;
