//! A connection that may carry a request, whichever version of HTTP is spoken on it.
//! Neither codec: `http1` and `http2` are.
//! Start at [`Connection::send`].

use std::net::SocketAddr;

use http::HeaderMap;
use http::uri::{Authority, PathAndQuery};

use super::Pool;
use super::http1::{self, Http1};
use super::http2::Slot;
use super::key::Key;
use super::outgoing::{Outgoing, Received, SendError};
use crate::message::{Body, Interim};

/// A connection for one request.
#[derive(Debug)]
pub struct Connection(Kind);

#[derive(Debug)]
enum Kind {
    Http1(Box<Http1>),
    Http2(Slot),
}

impl Connection {
    pub(super) fn http1(connection: Http1) -> Self {
        Self(Kind::Http1(Box::new(connection)))
    }

    pub(super) fn http2(slot: Slot) -> Self {
        Self(Kind::Http2(slot))
    }

    /// The origin's address.
    pub fn peer(&self) -> SocketAddr {
        match &self.0 {
            Kind::Http1(connection) => connection.peer(),
            Kind::Http2(slot) => slot.peer(),
        }
    }

    /// Whether other requests flow beside this one (HTTP/2): then it may be refused however new the connection is.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Kind::Http2(_))
    }

    /// Sends a request and waits for the final response head; interim responses go to `interim` as they come.
    ///
    /// With `keep`, the beginning of the body is kept so that it can be sent again. Errors: see [`SendError`]. Dropping the
    /// future closes the connection; in HTTP/2, it resets the stream and nothing else.
    pub async fn send(
        self,
        pool: &Pool,
        key: Key,
        outgoing: &Outgoing<'_>,
        body: Body,
        keep: bool,
        interim: &Interim,
    ) -> Result<Received, SendError> {
        match self.0 {
            Kind::Http1(connection) => {
                connection
                    .send(pool, key, outgoing, body, keep, interim)
                    .await
            }
            Kind::Http2(slot) => slot.send(pool, &key, outgoing, body, keep, interim).await,
        }
    }
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut asked = headers.get_all(http::header::UPGRADE).iter();
    let first = asked.next();
    asked.next().is_none()
        && first.is_some_and(|first| first.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Whether a request can only be sent over HTTP/1.1: it asks for another protocol, authenticates its connection, or has a
/// target that HTTP/2's types here can not say.
pub fn needs_http1(target: &str, host: &str, headers: &HeaderMap) -> bool {
    let said = PathAndQuery::try_from(target).is_ok_and(|path| path.as_str() == target)
        && Authority::try_from(host).is_ok();
    headers.contains_key(http::header::UPGRADE)
        || http1::is_bound(headers, http::header::AUTHORIZATION)
        || !said
}
