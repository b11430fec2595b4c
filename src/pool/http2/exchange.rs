//! One request on a stream of HTTP/2 and the head of its response; both flow at once.
//! Not the bodies, which are `upload` and `body`.
//! Start at [`Slot::send`].

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::Slot;
use super::body::ResponseBody;
use super::upload::Upload;
use crate::message::http1::framing::{self, Length};
use crate::message::{Body, Interim, ProxyError, hop};
use crate::pool::connection::is_websocket;
use crate::pool::key::Key;
use crate::pool::late::Late;
use crate::pool::outgoing::{
    Outgoing, RESPONSE_HEAD, Received, SendError, Stop, ambiguous, check_count, drop_false_length,
};
use crate::pool::upload::Progress;
use crate::pool::{Failure, Pool, Retry};
use crate::stream::LazyDeadline;

impl Slot {
    /// Sends a request and waits for the final response head; see [`Connection::send`](crate::pool::Connection::send).
    ///
    /// Dropping the future resets the stream.
    pub(in crate::pool) async fn send(
        self,
        pool: &Pool,
        key: &Key,
        outgoing: &Outgoing<'_>,
        body: Body,
        keep: bool,
        interim: &Interim,
    ) -> Result<Received, SendError> {
        if is_websocket(outgoing.headers) {
            return self.switch(pool, key, outgoing, interim).await;
        }
        let limits = pool.limits(key);
        let patience = outgoing.patience.unwrap_or(limits.response);
        let request =
            request(outgoing, key.secure).map_err(|failure| SendError::Origin(failure, None))?;
        // The copy keeps hold of the stream that it opens: it must go at once, or dropping the rest would not reset it.
        let begun = (self.0.sender.clone()).send_request(request, outgoing.length == Length::Empty);
        let (response, stream) = match begun {
            Ok(begun) => begun,
            Err(error) => return Err(SendError::Origin(unsent(&error), Some(body))),
        };
        let mut upload = Upload::new(stream, outgoing.length, body, keep, limits.body_idle);
        let waited = self
            .response_head(patience, response, &mut upload, interim)
            .await;
        let received = match waited {
            Ok(received) => received,
            Err(Stop::Client(error)) => return Err(SendError::Client(error)),
            Err(Stop::Origin(failure)) => {
                return Err(SendError::Origin(failure, upload.into_body()));
            }
        };
        self.receive(pool, limits.body_idle, received, upload, outgoing.method)
            .map_err(|failure| SendError::Origin(failure, None))
    }

    pub(super) async fn response_head(
        &self,
        limit: Duration,
        mut response: ResponseFuture,
        upload: &mut Upload,
        interim: &Interim,
    ) -> Result<Response<RecvStream>, Stop> {
        let deadline = LazyDeadline::new();
        let mut waiting_since_sent = false;
        let mut interims = 0;
        std::future::poll_fn(|cx| {
            match upload.poll(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Stop::Client(error))),
                Poll::Ready(Ok(())) if !waiting_since_sent => {
                    waiting_since_sent = true;
                    deadline.set(Instant::now() + limit);
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            while let Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
                interims += 1;
                if let Err(failure) = pass(head, interims, interim) {
                    return Poll::Ready(Err(Stop::Origin(failure)));
                }
            }
            if let Poll::Ready(received) = Pin::new(&mut response).poll(cx) {
                return Poll::Ready(received.map_err(|error| Stop::Origin(failure(&error))));
            }
            ready!(deadline.poll_expired(cx));
            // It may be the whole connection that leads nowhere any more.
            self.0.retire();
            Poll::Ready(Err(Stop::Origin(Failure::new(
                ProxyError::ConnectionReadTimeout,
                "the origin did not answer in time",
            ))))
        })
        .await
    }

    pub(super) fn receive(
        self,
        pool: &Pool,
        idle: Duration,
        received: Response<RecvStream>,
        upload: Upload,
        method: &Method,
    ) -> Result<Received, Failure> {
        let (head, stream) = received.into_parts();
        let mut headers = head.headers;
        if headers.len() > RESPONSE_HEAD.count {
            return Err(Failure::new(
                ProxyError::ResponseHeadSize,
                "the origin's response is refused: it has too many fields",
            ));
        }
        trim(&mut headers);
        let length = framing::of_response(method, head.status, Version::HTTP_2, &headers)
            .map_err(ambiguous)?;
        drop_false_length(length, method, head.status, &mut headers);
        let slot = Rc::new(self);
        let late = (upload.progress() == Progress::Sending).then(|| {
            let slot = slot.clone();
            Late::spawn(pool.life(), async move {
                upload.finish().await;
                drop(slot);
                None
            })
        });
        let body = if stream.is_end_stream() {
            // The origin may still want the rest of the request.
            late.map(Late::finish);
            Body::Empty
        } else {
            let body = ResponseBody::new(stream, length, late, slot, idle);
            if length == Length::Empty {
                // Its end comes in a frame of its own. To reset the stream instead would look like an attack.
                pool.life().spawn_background(body.await_end());
                Body::Empty
            } else {
                Body::stream(body)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.version_mut() = Version::HTTP_2;
        *response.headers_mut() = headers;
        Ok(Received {
            response,
            upgraded: None,
            delimited: true,
        })
    }
}

/// The head of a request (RFC 9113 §8.3.1): no Host beside `:authority`, no field of a connection, the length anew.
pub(super) fn request(outgoing: &Outgoing<'_>, secure: bool) -> Result<Request<()>, Failure> {
    let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(outgoing.host)
        .path_and_query(outgoing.target)
        .build()
        .map_err(|_| {
            Failure::new(
                ProxyError::RequestError,
                "the request's target can not be sent over HTTP/2",
            )
        })?;
    let method = outgoing.method;
    let mut headers = outgoing.headers.clone();
    hop::strip_connection(&mut headers);
    for name in [HOST, CONTENT_LENGTH] {
        headers.remove(name);
    }
    match outgoing.length {
        Length::Sized(size) => {
            headers.insert(CONTENT_LENGTH, size.into());
        }
        // Methods that usually carry content say that there is none (RFC 9110 §8.6).
        Length::Empty if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            headers.insert(CONTENT_LENGTH, 0.into());
        }
        Length::Empty | Length::Chunked | Length::UntilClose => {}
    }
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Passes an interim response on. An origin that never comes to the point is cut off, and there is no switching of protocols
/// (RFC 9113 §8.6).
fn pass(head: Response<()>, count: usize, interim: &Interim) -> Result<(), Failure> {
    if head.status() == StatusCode::SWITCHING_PROTOCOLS {
        let detail = "the origin switches protocols inside HTTP/2";
        return Err(Failure::new(ProxyError::ProtocolError, detail));
    }
    check_count(count)?;
    let (head, ()) = head.into_parts();
    let mut headers = head.headers;
    trim(&mut headers);
    hop::strip(&mut headers);
    interim.push(head.status, headers);
    Ok(())
}

/// Many origins let blanks begin or end a value, though they must not (RFC 9113 §8.2.1). In HTTP/1 they mean nothing, so they
/// go: no reader after us is to stumble over them.
pub(super) fn trim(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let trimmed = value.as_bytes().trim_ascii();
        if trimmed.len() < value.len()
            && let Ok(trimmed) = HeaderValue::from_bytes(trimmed)
        {
            *value = trimmed;
        }
    }
}

/// What it means that not a byte of a request has left.
pub(super) fn unsent(error: &h2::Error) -> Failure {
    let failure = failure(error);
    let retry = match failure.retry {
        Retry::OverHttp1 => Retry::OverHttp1,
        Retry::Never | Retry::IfReused | Retry::Yes => Retry::Yes,
    };
    failure.with_retry(retry)
}

/// What the end of a stream before its response means.
pub(super) fn failure(error: &h2::Error) -> Failure {
    let reason = error.reason().unwrap_or(Reason::NO_ERROR);
    let undone = error.is_remote() && (error.is_go_away() || reason == Reason::REFUSED_STREAM);
    if error.is_remote() && reason == Reason::HTTP_1_1_REQUIRED {
        let detail = "the origin wants this request over HTTP/1.1";
        return Failure::new(ProxyError::ProtocolError, detail).with_retry(Retry::OverHttp1);
    }
    if undone {
        // RFC 9113 §6.8, §8.7: neither the streams behind the last one of a GOAWAY nor a refused one were processed.
        let detail = "the origin did not take the request";
        return Failure::new(ProxyError::ConnectionTerminated, detail).with_retry(Retry::Yes);
    }
    if error.is_remote() {
        return Failure::new(
            ProxyError::ConnectionTerminated,
            format!("the origin broke the request off ({reason:?})"),
        );
    }
    if error.is_library() {
        return Failure::new(
            ProxyError::ProtocolError,
            format!("the origin's response is malformed ({reason:?})"),
        );
    }
    let detail = "the origin closed the connection before it answered";
    Failure::new(ProxyError::ConnectionTerminated, detail).with_retry(Retry::IfReused)
}
