//! A response on its way to a client over HTTP/2.
//! Decides nothing of what is answered.
//! Start at [`send`].

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{Method, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame};

use crate::listener::Limits;
use crate::message::{Body, BodyError, Reply, hop};
use crate::stream::Silence;

/// Sends a response whole; for a tunnel, its head. `None` where the stream broke.
pub(super) async fn send(
    reply: Reply,
    respond: &mut SendResponse<Bytes>,
    method: &Method,
    limits: &Limits,
) -> Option<SendStream<Bytes>> {
    let (mut head, mut body) = reply.response.into_parts();
    head.version = Version::HTTP_2;
    hop::strip_connection(&mut head.headers);
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
    while let Some(frame) = next_frame(&mut body, &mut stream).await? {
        let Ok(frame) = frame else {
            stream.send_reset(Reason::INTERNAL_ERROR);
            return None;
        };
        match frame.into_data() {
            Ok(data) => {
                let last = !data.is_empty() && body.is_empty();
                send_data(&mut stream, data, last, limits.body_idle).await?;
                if last {
                    // Who follows the body has to see its end too.
                    let _ = body.frame().await;
                    return Some(stream);
                }
            }
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

/// The next frame of a body. `None` at once where the client gives the stream up meanwhile: nobody waits for more of it.
async fn next_frame(
    body: &mut Body,
    stream: &mut SendStream<Bytes>,
) -> Option<Option<Result<Frame<Bytes>, BodyError>>> {
    std::future::poll_fn(|cx| {
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut *body).poll_frame(cx).map(Some)
    })
    .await
}

/// Sends as the client's window allows; a client that takes nothing for too long is cut off. With `last`, the stream ends with it.
async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    last: bool,
    stall_limit: Duration,
) -> Option<()> {
    let stall = Silence::new(stall_limit);
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let granted = std::future::poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(None));
            }
            let polled = stream.poll_capacity(cx);
            stall.poll(cx, polled)
        });
        let Ok(granted) = granted.await else {
            stream.send_reset(Reason::CANCEL);
            return None;
        };
        let granted = granted?.ok()?;
        let part = data.split_to(granted.min(data.len()));
        stream.send_data(part, last && data.is_empty()).ok()?;
    }
    Some(())
}
