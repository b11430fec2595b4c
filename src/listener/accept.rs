//! Accepts connections of one socket on one worker, within the limits, and hands them over once their first bytes are known.

use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::preface::{self, PrefaceError};
use super::{Accepted, Admission, Admitted, Conn, Limits, Protocol, ProxyHeaders};
use crate::lifeline::{Lifeline, Tail};
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

    /// A connection ended before it could be served.
    fn dropped(&self, client: SocketAddr, why: Dropped);
}

/// Why a connection was not served.
#[derive(Debug, thiserror::Error)]
pub enum Dropped {
    /// A limit of connections is reached.
    #[error("too many connections")]
    Limit,
    /// It did not say anything in time.
    #[error("the first byte did not arrive in time")]
    Silent,
    /// Its first bytes are no beginning.
    #[error("{0}")]
    Preface(PrefaceError),
    /// Its protocol is not accepted here.
    #[error("this protocol is not accepted on this port")]
    Protocol,
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
            () = &mut draining => return,
            () = &mut stopped => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let taker = taker.clone();
                let open = taker.accepted();
                life.spawn(async move {
                    let _open = open;
                    // Boxed, so that the room it takes is given back before the tail begins.
                    let tail = Box::pin(connection(stream, peer, &*taker)).await;
                    if let Some((_admitted, tail)) = tail {
                        drop(taker);
                        tail.await;
                    }
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: others must finish first, and asking at once again helps nobody.
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection<T: Taker>(
    stream: TcpStream,
    peer: SocketAddr,
    taker: &T,
) -> Option<(Admitted, Tail)> {
    let terms = taker.terms();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let _ = stream.set_nodelay(true);
    let mut stream = Stream::from_tcp(stream);
    let Some(admitted) = terms.admission.admit(peer.ip(), &terms.limits) else {
        taker.dropped(peer, Dropped::Limit);
        refuse(stream, OVERLOADED).await;
        return None;
    };
    let preface = tokio::time::timeout(
        terms.limits.first_byte,
        preface::read(&mut stream, peer, &terms.proxy_headers),
    )
    .await;
    let preface = match preface {
        Ok(Ok(preface)) => preface,
        // Whoever connects to see whether the port is open says nothing and is no news.
        Ok(Err(PrefaceError::Closed)) => return None,
        Ok(Err(error)) => {
            taker.dropped(peer, Dropped::Preface(error));
            return None;
        }
        Err(_) => {
            taker.dropped(peer, Dropped::Silent);
            refuse(stream, SILENT).await;
            return None;
        }
    };
    if !terms.accepted.takes(preface.protocol) {
        taker.dropped(preface.client, Dropped::Protocol);
        if preface.protocol == Protocol::Http1 {
            refuse(stream, NOT_ACCEPTED).await;
        }
        return None;
    }
    let conn = Conn {
        stream,
        client: preface.client,
        listener: terms.listener.clone(),
        protocol: preface.protocol,
    };
    taker.serve(conn).await.map(|tail| (admitted, tail))
}

/// Answers without having read anything, then closes so that the answer survives.
async fn refuse(mut stream: Stream, answer: &'static [u8]) {
    let refusal = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        // What the client has sent by now must be read, or the kernel resets the connection and the answer is lost.
        let mut rest = [0; 1024];
        for _ in 0..64 {
            if tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await? == 0 {
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

const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nproxy-status: egret; error=connection_limit_reached\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\nconnection: close\r\n\r\nToo many connections\n";
const SILENT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nproxy-status: egret; error=http_request_error\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\nconnection: close\r\n\r\nNo request came in time.\r\n";
const NOT_ACCEPTED: &[u8] = b"HTTP/1.1 403 Forbidden\r\nproxy-status: egret; error=http_request_denied\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 45\r\nconnection: close\r\n\r\nThis port does not accept HTTP requests now.\n";
