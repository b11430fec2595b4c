//! What a proxy answers by itself: OPTIONS and TRACE where it is the last hop (RFC 9110 §7.6.2, §9.3.7, §9.3.8).
//! Start at [`max_forwards`].

use std::rc::Rc;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, COOKIE, MAX_FORWARDS, PROXY_AUTHORIZATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::message::Body;
use crate::relay::{Destination, allowed};
use crate::route::Page;

/// Counts a hop of TRACE and OPTIONS (RFC 9110 §7.6.2). Where we are the last, the destination is the answer: it is given to who
/// may have what was asked for.
pub(super) fn max_forwards(head: &mut Parts, to: &mut Destination) {
    if !matches!(head.method, Method::TRACE | Method::OPTIONS) {
        return;
    }
    let field = head.headers.get(MAX_FORWARDS);
    let left = field.and_then(|field| field.to_str().ok()?.parse::<u32>().ok());
    let Some(left) = left else {
        return;
    };
    if let Some(left) = left.checked_sub(1) {
        let left = HeaderValue::from(left);
        head.headers.insert(MAX_FORWARDS, left);
        return;
    }
    let page = match head.method {
        Method::TRACE => trace(&head.headers, to),
        _ => page(ALLOW, allowed(to.by.is_some()), Bytes::new()),
    };
    to.own = Some(Rc::new(page));
}

/// What this proxy, or this gateway, can do.
pub(super) fn options(gateway: bool) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    response.headers_mut().insert(ALLOW, allowed(gateway));
    response
}

fn page(name: HeaderName, value: HeaderValue, body: Bytes) -> Page {
    Page {
        status: StatusCode::OK,
        headers: HeaderMap::from_iter([(name, value)]),
        body,
    }
}

/// The request as it arrived, without what it keeps secret (RFC 9110 §9.3.8).
fn trace(headers: &HeaderMap, to: &Destination) -> Page {
    let scheme = if to.secure { "https" } else { "http" };
    let mut text =
        format!("TRACE {scheme}://{}{} HTTP/1.1\r\n", to.authority, to.path).into_bytes();
    for (name, value) in headers {
        if [PROXY_AUTHORIZATION, COOKIE, AUTHORIZATION].contains(name) {
            continue;
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    let kind = HeaderValue::from_static("message/http");
    page(CONTENT_TYPE, kind, text.into())
}
