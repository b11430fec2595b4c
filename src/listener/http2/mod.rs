//! The server side of HTTP/2 (RFC 9113): each stream is a request of its own, handled as those of HTTP/1 are.
//! Not TLS: it is spoken with prior knowledge. Frames and flow control are h2's.
//! Start at [`serve`].

mod gather;
mod meter;
mod receive;
mod request;
mod send;
#[cfg(test)]
mod tests;
mod websocket;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response, Version};
use tokio::time::Instant;

use self::gather::{Gathered, Outlet};
use self::meter::{Meter, Metered};
use self::receive::Receiving;
use self::request::{check, join_cookies};
use self::send::send;
use super::http::{Exchange, Handler, Trouble};
use super::settings::Limits;
use crate::lifeline::Lifeline;
use crate::message::http1::head::RequestHead;
use crate::message::http2::Tunnel;
use crate::message::{Body, Interim, Reply};
use crate::stream::{LazyDeadline, Stream};

/// Serves one connection until either side closes it. Requests run beside each other, each as a task of its own.
pub async fn serve<H: Handler + 'static>(
    stream: Stream,
    handler: Rc<H>,
    limits: &Limits,
    life: &Lifeline,
) {
    let (stream, meter) = Metered::new(stream);
    let (stream, outlet) = Gathered::new(stream);
    let handshake = settings(limits).handshake::<_, Bytes>(stream);
    let mut connection = match tokio::time::timeout(limits.header_time, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            let trouble = broken_protocol(&error).unwrap_or(Trouble::Broken);
            return handler.abandoned(&trouble);
        }
        Err(_) => return handler.abandoned(&Trouble::SlowHttp2),
    };
    outlet.hold();
    let deadline = LazyDeadline::new();
    let open = Rc::new(Streams::default());
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
            let broken = matches!(outlet.poll_let_out(cx), Poll::Ready(Err(_)));
            if broken || meter.is_spent() {
                return Poll::Ready(None);
            }
            // Streams that are still answered keep the connection; without any, its idle limit runs.
            if open.are_any(cx) {
                deadline.clear();
            } else if deadline.get().is_none() {
                deadline.set(Instant::now() + limits.idle);
            }
            ready!(deadline.poll_expired(cx));
            Poll::Ready(None)
        })
        .await;
        let (request, respond) = match accepted {
            Some(Ok(accepted)) => accepted,
            // Streams that a broken connection takes with it are recorded each for itself.
            Some(Err(error)) => {
                if let Some(trouble) = broken_protocol(&error) {
                    handler.abandoned(&trouble);
                }
                break;
            }
            None => break,
        };
        deadline.clear();
        let whose = (handler.clone(), limits.clone(), Open::new(&open));
        // In a box: a task is moved several times on its way through the runtime.
        life.spawn(Box::pin(exchange(request, respond, whose)));
    }
    end((connection, &outlet), &meter, &*handler, limits).await;
}

/// Lets the streams that are open come to their end, unless the client flooded the connection.
async fn end<H: Handler>(
    (mut connection, outlet): (Connection<Gathered, Bytes>, &Outlet),
    meter: &Meter,
    handler: &H,
    limits: &Limits,
) {
    let mut patience = limits.idle;
    if meter.is_spent() {
        patience = patience.min(FAREWELL);
        // RFC 9113 §10.5: suspicious activity may be treated as a connection error of this type.
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        handler.abandoned(&Trouble::Http2(Reason::ENHANCE_YOUR_CALM));
    } else {
        connection.graceful_shutdown();
    }
    let rest = std::future::poll_fn(|cx| {
        let closed = connection.poll_closed(cx).map(drop);
        // Where the stream is broken, nobody is left to wait for.
        match outlet.poll_let_out(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => closed,
        }
    });
    let _ = tokio::time::timeout(patience, rest).await;
}

fn settings(limits: &Limits) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head.size).unwrap_or(u32::MAX))
        // A slow reader holds at most this much for each of its streams.
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 4)
        .max_send_buffer_size(WINDOW as usize)
        // WebSockets (RFC 8441 §3).
        .enable_connect_protocol()
        // Rapid reset (CVE-2023-44487): streams that the client opened and reset at once.
        .max_concurrent_reset_streams(32)
        .max_pending_accept_reset_streams(32);
    builder
}

/// The trouble where an end says that the client broke the protocol, or says so of us.
fn broken_protocol(error: &h2::Error) -> Option<Trouble> {
    let reason = error
        .reason()
        .filter(|reason| *reason != Reason::NO_ERROR)?;
    Some(Trouble::Http2(reason))
}

/// The streams of a connection that are being answered.
#[derive(Default)]
struct Streams {
    count: Cell<usize>,
    /// Wakes the connection. While its client takes nothing h2 does not, and the idle limit would never begin.
    connection: RefCell<Option<Waker>>,
}

/// A stream that is being answered, counted until it ends, be it by a panic.
struct Open(Rc<Streams>);

impl Streams {
    /// Whether there are any. If so, the task is woken when there are none any more.
    fn are_any(&self, cx: &Context<'_>) -> bool {
        let any = self.count.get() > 0;
        if any {
            let mut connection = self.connection.borrow_mut();
            match &mut *connection {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *connection = Some(cx.waker().clone()),
            }
        }
        any
    }
}

impl Open {
    fn new(open: &Rc<Streams>) -> Self {
        open.count.set(open.count.get() + 1);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.count.get().saturating_sub(1);
        self.0.count.set(left);
        if left == 0
            && let Some(waker) = self.0.connection.take()
        {
            waker.wake();
        }
    }
}

async fn exchange<H: Handler>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    (handler, limits, _open): (Rc<H>, Limits, Open),
) {
    let (handler, limits) = (&*handler, &limits);
    let (head, receive) = request.into_parts();
    let connect = head.method == Method::CONNECT;
    let checked = match check(&head, receive.is_end_stream(), limits) {
        Ok(checked) => checked,
        Err(trouble) => {
            let method = head.method.clone();
            let response = handler.refuse(&trouble, Some(&as_sent(head)));
            let sent = send(Reply::closing(response), &mut respond, &method, limits).await;
            if let Some(sending) = sent.filter(|_| !receive.is_end_stream()) {
                leave(sending).await;
            }
            return;
        }
    };
    let (mut tunnel, mut unread) = (None, None);
    let body = if connect {
        tunnel = Some(receive);
        Body::Empty
    } else if receive.is_end_stream() {
        Body::Empty
    } else {
        let receiving = Receiving::new(receive, checked.size, limits);
        unread = Some(receiving.unread());
        Body::stream(receiving)
    };
    let exchange = Exchange {
        target: checked.target,
        interim: Interim::default(),
        version: Version::HTTP_2,
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = join_cookies(head.headers);
    if checked.websocket {
        *request.method_mut() = Method::GET;
        websocket::to_upgrade(request.headers_mut());
    }
    let handled = handle(request, exchange, &mut respond, handler).await;
    let Some(mut reply) = handled else { return };
    // A connection that breaks: RFC 8441 §5, RFC 9113 §8.5.
    let broken = if checked.websocket {
        websocket::from_upgrade(&mut reply);
        Reason::CANCEL
    } else {
        Reason::CONNECT_ERROR
    };
    let takeover = reply.takeover.take();
    let Some(sending) = send(reply, &mut respond, &head.method, limits).await else {
        return;
    };
    if unread.is_some_and(|unread| unread.get()) {
        return leave(sending).await;
    }
    if let (Some(takeover), Some(receive)) = (takeover, tunnel) {
        let tunnel = Tunnel::new(receive, sending, broken, ());
        takeover(Stream::boxed(tunnel)).await;
    }
}

/// Leaves a stream that was answered before all of its request had come. With the last handle it is reset (RFC 9113 §8.1); some
/// clients lose an answer that a reset comes along with.
async fn leave(mut sending: SendStream<Bytes>) {
    let reset = std::future::poll_fn(|cx| sending.poll_reset(cx));
    let _ = tokio::time::timeout(LINGER, reset).await;
}

/// A head that is refused, for its record. Its target may be anything and is not kept.
fn as_sent(head: http::request::Parts) -> RequestHead {
    RequestHead {
        method: head.method,
        target: Bytes::new(),
        version: Version::HTTP_2,
        headers: head.headers,
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
    // In a box of its own, so that a stream whose answer is on its way does not hold room for what has made it.
    let mut handling = Box::pin(handler.handle(request, exchange));
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

/// How long a stream that was answered before all of its request had come is left to the client.
const LINGER: Duration = Duration::from_millis(100);

/// How long a client that flooded the connection has to take the word that ends it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Bytes of one stream that may be under way; four times as many on a connection.
const WINDOW: u32 = 256 << 10;
