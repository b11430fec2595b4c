//! Accepts connections of one socket on one worker, within the limits, and hands them over once their first bytes are known, or to
//! another worker before that.
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

use super::begin::{Turned, begin};
use super::http::Trouble;
use super::intake::Intake;
use super::{Admitted, Conn, PrefaceError};
use crate::lifeline::{Lifeline, Tail};
use crate::message::Body;
use crate::message::http1::encode;
use crate::message::http1::framing::Length;
use crate::stream::Stream;
use crate::tls::acceptor::HandshakeError;

/// Who takes the connections.
pub trait Taker {
    /// Counts one connection of a worker for as long as it is kept.
    type Share: 'static;

    /// The intake in force.
    fn intake(&self) -> Arc<Intake>;

    /// Serves a connection to its end, or up to its tail.
    fn serve(&self, conn: Conn) -> impl Future<Output = Option<Tail>>;

    /// Passes a connection to another worker, where that has clearly fewer; or gives it back, with its share, to be served here. `None`
    /// also where it was lost on the way.
    fn pass_on(&self, stream: TcpStream, peer: SocketAddr) -> Option<(TcpStream, Self::Share)>;

    /// A connection will be served here; what is returned lives as long as it.
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
    /// The TLS handshake failed.
    #[error("{0}")]
    Tls(HandshakeError),
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
    if let Some((stream, share)) = taker.pass_on(stream, peer) {
        serve(stream, peer, share, taker, life);
    }
}

/// Serves a connection that this worker, or another one, has accepted.
pub fn serve<T: Taker + 'static>(
    stream: TcpStream,
    peer: SocketAddr,
    share: T::Share,
    taker: &Rc<T>,
    life: &Lifeline,
) {
    let taker = taker.clone();
    let open = (taker.accepted(), share);
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
    let intake = taker.intake();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let _ = stream.set_nodelay(true);
    let stream = Stream::from_tcp(stream);
    let begun = tokio::select! {
        biased;
        begun = begin(stream, peer, &intake) => begun,
        // Who has said nothing is owed nothing.
        () = life.parting() => return None,
    };
    let (admitted, conn) = match begun {
        Ok(begun) => begun,
        Err(turned) => {
            turn(turned, taker).await;
            return None;
        }
    };
    taker.serve(conn).await.map(|tail| (admitted, tail))
}

/// Answers and records a connection that does not begin.
async fn turn<T: Taker>(turned: Turned, taker: &T) {
    match turned {
        Turned::Away(client, trouble, Some(stream)) => {
            refuse(*stream, taker, client, trouble).await;
        }
        Turned::Away(client, trouble, None) => taker.dropped(client, Dropped::Trouble(trouble)),
        // Whoever connects to see whether the port is open says nothing and is no news.
        Turned::Broken(_, PrefaceError::Closed) => {}
        Turned::Broken(client, error) => taker.dropped(client, Dropped::Preface(error)),
        Turned::Tls(client, error) => taker.dropped(client, Dropped::Tls(error)),
    }
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
