//! Accepts connections of one socket on one worker, within the limits, and hands them over once their first bytes are known.
//! Speaks no protocol: what is answered to who is not let in comes from the [`Taker`].
//! Start at [`run`].

use std::cell::Cell;
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Response, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::http::Trouble;
use super::preface::{self, PrefaceError};
use super::{Accepted, Admission, Admitted, Conn, Limits, Preface, Protocol, ProxyHeaders};
use crate::lifeline::{Lifeline, Tail};
use crate::message::Body;
use crate::message::http1::encode;
use crate::message::http1::framing::Length;
use crate::stream::Stream;

/// What a listener does with its connections. Asked anew for each one, so that a reload takes effect.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its name.
    pub listener: Arc<str>,
    /// Its limits.
    pub limits: Limits,
    /// What it speaks.
    pub accepted: Accepted,
    /// Whose PROXY headers it believes.
    pub proxy_headers: ProxyHeaders,
    /// Its count of connections.
    pub admission: Arc<Admission>,
}

/// Who takes the connections.
pub trait Taker {
    /// The terms in force.
    fn terms(&self) -> Arc<Terms>;

    /// Serves a connection to its end, or up to its tail.
    fn serve(&self, conn: Conn) -> impl Future<Output = Option<Tail>>;

    /// A connection was accepted; what is returned lives as long as it.
    fn accepted(&self) -> impl Sized + 'static;

    /// Answers and records a connection that is not served.
    fn refuse(&self, client: SocketAddr, trouble: Trouble) -> Response<Body>;

    /// Records a connection that ended before it could be served, and that is not answered.
    fn dropped(&self, client: SocketAddr, why: Dropped);
}

/// Why a connection was not served.
#[derive(Debug, thiserror::Error)]
pub enum Dropped {
    /// It is not let in.
    #[error("{0}")]
    Trouble(Trouble),
    /// Its first bytes are no beginning.
    #[error("{0}")]
    Preface(PrefaceError),
}

/// Accepts until the drain begins or `stop` is notified. A connection's task outlives this.
pub async fn run<T: Taker + 'static>(
    socket: TcpListener,
    taker: Rc<T>,
    life: Lifeline,
    stop: Rc<Notify>,
) {
    let mut draining = pin!(life.draining());
    let mut stopped = pin!(stop.notified());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut draining => break,
            () = &mut stopped => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take(stream, peer, &taker, &life),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: others must finish first, and asking at once again helps nobody.
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // What the kernel has accepted already would be reset with the socket.
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok((stream, peer))) = socket.poll_accept(&mut cx) {
        take(stream, peer, &taker, &life);
    }
}

fn take<T: Taker + 'static>(stream: TcpStream, peer: SocketAddr, taker: &Rc<T>, life: &Lifeline) {
    let taker = taker.clone();
    let open = taker.accepted();
    let of_task = life.clone();
    life.spawn(async move {
        let _open = open;
        // Boxed, so that the room it takes is given back before the tail begins.
        let tail = Box::pin(connection(stream, peer, &*taker, &of_task)).await;
        if let Some((_admitted, tail)) = tail {
            drop(taker);
            tail.await;
        }
    });
}

async fn connection<T: Taker>(
    stream: TcpStream,
    peer: SocketAddr,
    taker: &T,
    life: &Lifeline,
) -> Option<(Admitted, Tail)> {
    let terms = taker.terms();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let _ = stream.set_nodelay(true);
    let mut stream = Stream::from_tcp(stream);
    let begun = tokio::select! {
        biased;
        begun = begin(&mut stream, peer, &terms) => begun,
        // Who has said nothing is owed nothing.
        () = life.draining() => return None,
    };
    let (admitted, preface) = match begun {
        Ok(begun) => begun,
        Err(Turned::Away(client, trouble, Some(Protocol::Http1) | None)) => {
            refuse(stream, taker, client, trouble).await;
            return None;
        }
        Err(Turned::Away(client, trouble, Some(_))) => {
            taker.dropped(client, Dropped::Trouble(trouble));
            return None;
        }
        // Whoever connects to see whether the port is open says nothing and is no news.
        Err(Turned::Broken(PrefaceError::Closed)) => return None,
        Err(Turned::Broken(error)) => {
            taker.dropped(peer, Dropped::Preface(error));
            return None;
        }
    };
    let conn = Conn {
        stream,
        client: preface.client,
        listener: terms.listener.clone(),
        protocol: preface.protocol,
    };
    taker.serve(conn).await.map(|tail| (admitted, tail))
}

/// Why a connection does not begin.
enum Turned {
    /// It is not let in; the protocol, where it is known.
    Away(SocketAddr, Trouble, Option<Protocol>),
    /// It did not say what it is.
    Broken(PrefaceError),
}

/// Counts the connection in and reads what it begins with.
async fn begin(
    stream: &mut Stream,
    peer: SocketAddr,
    terms: &Terms,
) -> Result<(Admitted, Preface), Turned> {
    let limits = &terms.limits;
    let full = |client, protocol| Turned::Away(client, Trouble::Connections, protocol);
    let mut admitted = terms
        .admission
        .admit(limits)
        .ok_or_else(|| full(peer, None))?;
    // Behind a balancer all connections come from one address: there the client is known from the PROXY header only.
    if !terms.proxy_headers.trusts(peer.ip()) {
        admitted = admitted
            .of_client(peer.ip(), limits)
            .ok_or_else(|| full(peer, None))?;
    }
    let reading = preface::read(stream, peer, &terms.proxy_headers);
    let preface = tokio::time::timeout(limits.first_byte, reading)
        .await
        .map_err(|_| Turned::Away(peer, Trouble::Silent, None))?
        .map_err(Turned::Broken)?;
    let protocol = Some(preface.protocol);
    let admitted = admitted
        .of_client(preface.client.ip(), limits)
        .ok_or_else(|| full(preface.client, protocol))?;
    if !terms.accepted.takes(preface.protocol) {
        let trouble = Trouble::Protocol(terms.accepted);
        return Err(Turned::Away(preface.client, trouble, protocol));
    }
    Ok((admitted, preface))
}

/// Answers without having read a request, then closes so that the answer survives. Under a flood of connections only some are
/// answered: an answer takes a moment, and moments times a flood is memory.
async fn refuse<T: Taker>(mut stream: Stream, taker: &T, client: SocketAddr, trouble: Trouble) {
    let Some(_writing) = Writing::begin() else {
        taker.dropped(client, Dropped::Trouble(trouble));
        return;
    };
    let answer = to_bytes(taker.refuse(client, trouble));
    let refusal = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // What the client has sent by now must be read, or the kernel resets the connection and the answer is lost.
        let mut rest = [0; 1024];
        for _ in 0..64 {
            if stream.read(&mut rest).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(())
    };
    // A client that does not take the answer is no reason to wait.
    let _ = tokio::time::timeout(Duration::from_secs(1), refusal).await;
    if let Some(tcp) = stream.as_tcp() {
        let _ = socket2::SockRef::from(tcp).shutdown(Shutdown::Both);
    }
}

/// An answer whose body is at hand, as HTTP/1.1.
fn to_bytes(response: Response<Body>) -> BytesMut {
    let (head, body) = response.into_parts();
    let body = match body {
        Body::Full(bytes) => bytes,
        Body::Empty | Body::Stream(_) => Bytes::new(),
    };
    let mut bytes = BytesMut::new();
    let length = Length::Sized(body.len() as u64);
    encode::response_head(&mut bytes, head.status, &head.headers, length, false);
    encode::finish_response_head(&mut bytes, Version::HTTP_11, false);
    bytes.extend_from_slice(&body);
    bytes
}

/// One refusal that is being written, counted on its worker.
struct Writing(());

impl Writing {
    fn begin() -> Option<Self> {
        let writing = WRITING.get();
        (writing < REFUSALS).then(|| {
            WRITING.set(writing + 1);
            Self(())
        })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.set(WRITING.get().saturating_sub(1));
    }
}

thread_local! {
    static WRITING: Cell<usize> = const { Cell::new(0) };
}

/// Errors that concern a connection which is gone already, not the socket (accept(2)).
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

/// Refusals that one worker writes at once.
const REFUSALS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_refusals_are_written_at_once() {
        let mut writing: Vec<Writing> = std::iter::from_fn(Writing::begin).collect();
        assert_eq!(writing.len(), REFUSALS);
        assert!(Writing::begin().is_none());
        writing.pop();
        assert!(Writing::begin().is_some());
    }
}
