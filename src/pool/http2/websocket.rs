//! A WebSocket on a stream of HTTP/2 to an origin (RFC 8441): the upgrade that HTTP/1.1 has is asked for with extended CONNECT,
//! and its answer told as HTTP/1.1's.
//! Not the client's side, which is the listener's, nor the tunnel that follows.
//! Start at [`Slot::switch`].

use std::rc::Rc;

use h2::ext::Protocol;
use h2::{Ping, Reason, RecvStream};
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Method, Response, StatusCode, Version};
use tokio::time::timeout;

use super::exchange::{request, trim, unsent};
use super::upload::Upload;
use super::{Line, Slot};
use crate::lifeline::Lifeline;
use crate::message::http1::framing::Length;
use crate::message::http2::Tunnel;
use crate::message::{Body, Interim, ProxyError, websocket};
use crate::pool::key::Key;
use crate::pool::outgoing::{Outgoing, Received, SendError, Stop};
use crate::pool::{Failure, Pool};
use crate::stream::Stream;

impl Slot {
    /// Opens a WebSocket. The answer is a 101 with the proof of the client's key, and the stream as bytes; or what else the
    /// origin says.
    ///
    /// Errors: as [`Slot::send`], and an origin that opens none. Dropping the future resets the stream.
    pub(super) async fn switch(
        self,
        pool: &Pool,
        key: &Key,
        outgoing: &Outgoing<'_>,
        interim: &Interim,
    ) -> Result<Received, SendError> {
        let limits = pool.limits(key);
        let patience = outgoing.patience.unwrap_or(limits.response);
        let failed = |failure| SendError::Origin(failure, Some(Body::Empty));
        // An origin that is silent is one that does not say that it does.
        let opens = timeout(patience, self.0.opens_websockets(pool.life())).await;
        if !opens.unwrap_or(false) {
            return Err(failed(Failure::new(
                ProxyError::UpgradeFailed,
                "the origin opens no WebSocket over HTTP/2 (RFC 8441)",
            )));
        }
        let mut request = request(outgoing, key.secure).map_err(failed)?;
        *request.method_mut() = Method::CONNECT;
        request
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        // The key proves nothing here (RFC 8441 §5).
        let nonce = request.headers_mut().remove(SEC_WEBSOCKET_KEY);
        request.headers_mut().remove(CONTENT_LENGTH);
        let (response, stream) = (self.0.sender.clone())
            .send_request(request, false)
            .map_err(|error| failed(unsent(&error)))?;
        let mut upload = Upload::new(stream, Length::Empty, Body::Empty, false, limits.body_idle);
        let received = match self
            .response_head(patience, response, &mut upload, interim)
            .await
        {
            Ok(received) => received,
            Err(Stop::Client(error)) => return Err(SendError::Client(error)),
            Err(Stop::Origin(failure)) => return Err(failed(failure)),
        };
        if received.status().is_success() {
            return Ok(self.switched(received, upload, nonce));
        }
        upload.close();
        self.receive(pool, limits.body_idle, received, upload, &Method::GET)
            .map_err(|failure| SendError::Origin(failure, None))
    }

    /// Any 2xx opens it (RFC 8441 §5).
    fn switched(
        self,
        received: Response<RecvStream>,
        upload: Upload,
        nonce: Option<HeaderValue>,
    ) -> Received {
        let (head, receive) = received.into_parts();
        let tunnel = Tunnel::new(receive, upload.into_stream(), Reason::CANCEL, self);
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.version_mut() = Version::HTTP_11;
        let headers = response.headers_mut();
        *headers = head.headers;
        trim(headers);
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let proof = nonce.map(|nonce| HeaderValue::try_from(websocket::proof(nonce.as_bytes())));
        if let Some(Ok(proof)) = proof {
            headers.insert(SEC_WEBSOCKET_ACCEPT, proof);
        }
        Received {
            response,
            upgraded: Some(Stream::boxed(tunnel)),
            delimited: true,
        }
    }
}

impl Line {
    /// Whether the origin said that it takes extended CONNECT. It says so first of all (RFC 9113 §3.4), so where nothing was
    /// said yet, it was when a ping is answered.
    async fn opens_websockets(self: &Rc<Self>, life: &Lifeline) -> bool {
        let said = || self.sender.is_extended_connect_protocol_enabled();
        if said() {
            return true;
        }
        let ping = self.ping.borrow_mut().take();
        if let Some(mut ping) = ping {
            let line = Rc::downgrade(self);
            life.spawn_background(async move {
                let _ = ping.ping(Ping::opaque()).await;
                if let Some(line) = line.upgrade() {
                    line.answered.set(true);
                    line.answer.notify_waiters();
                }
            });
        }
        while !self.answered.get() {
            self.answer.notified().await;
        }
        said()
    }
}
