//! What a proxy answers by itself: OPTIONS and TRACE where it is the last hop (RFC 9110 §7.6.2, §9.3.7, §9.3.8).
//! Start at [`max_forwards`].

use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, COOKIE, MAX_FORWARDS, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request, Response};

use crate::message::Body;
use crate::relay::Destination;

/// Counts a hop of TRACE and OPTIONS (RFC 9110 §7.6.2). The answer, where we are the last.
pub(super) fn max_forwards(
    request: &mut Request<Body>,
    to: &Destination,
) -> Option<Response<Body>> {
    if !matches!(*request.method(), Method::TRACE | Method::OPTIONS) {
        return None;
    }
    let field = request.headers().get(MAX_FORWARDS)?;
    let left: u32 = field.to_str().ok()?.parse().ok()?;
    if left == 0 {
        let traced = *request.method() == Method::TRACE;
        return Some(if traced {
            trace(request, to)
        } else {
            options()
        });
    }
    let left = HeaderValue::from(left - 1);
    request.headers_mut().insert(MAX_FORWARDS, left);
    None
}

/// What this proxy can do.
pub(super) fn options() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    response.headers_mut().insert(
        ALLOW,
        HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH"),
    );
    response
}

/// The request as it arrived, without what it keeps secret (RFC 9110 §9.3.8).
fn trace(request: &Request<Body>, to: &Destination) -> Response<Body> {
    let scheme = if to.secure { "https" } else { "http" };
    let mut text =
        format!("TRACE {scheme}://{}{} HTTP/1.1\r\n", to.authority, to.path).into_bytes();
    for (name, value) in request.headers() {
        if [PROXY_AUTHORIZATION, COOKIE, AUTHORIZATION].contains(name) {
            continue;
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    let mut response = Response::new(Body::Full(text.into()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
    response
}
