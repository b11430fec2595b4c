//! A response out of what is stored: whole, a part of it, or only that nothing changed.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AGE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use jiff::Timestamp;

use crate::cache::conditional::{self, Outcome};
use crate::cache::contents::{Contents, Reader};
use crate::cache::range::{self, Wanted};
use crate::cache::{CacheStatus, Stored};
use crate::message::{Body, BodyError};
use crate::pool::Received;
use crate::route::Page;

/// A response, and what the cache had to do with it.
pub(in crate::relay) struct Answer {
    pub(in crate::relay) received: Received,
    pub(in crate::relay) status: Option<CacheStatus>,
}

/// A client's request, as an answer must fit it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
}

impl Answer {
    /// From what is stored. `None` where its content can not be had, or not all that is wanted of it.
    pub(super) fn of(
        stored: &Stored,
        asked: Asked<'_>,
        status: CacheStatus,
        now: Timestamp,
    ) -> Option<Self> {
        let mut answer = Self::brought(stored, &stored.headers, asked, status)?;
        let age = HeaderValue::from(stored.freshness.age(now).as_secs());
        answer.received.response.headers_mut().insert(AGE, age);
        Some(answer)
    }

    /// A page of a gateway's own, with which the cache has nothing to do.
    pub(super) fn own(page: &Page) -> Self {
        let body = Body::from(page.body.clone());
        Self {
            received: Received {
                response: made(page.status, page.headers.clone(), body),
                upgraded: None,
                delimited: true,
            },
            status: None,
        }
    }

    /// For the request that brought it: with the fields as they came, and the content that the cache is being filled with.
    pub(super) fn brought(
        stored: &Stored,
        fields: &HeaderMap,
        asked: Asked<'_>,
        status: CacheStatus,
    ) -> Option<Self> {
        let received = Received {
            response: respond(stored, fields, asked)?,
            upgraded: None,
            delimited: true,
        };
        Some(Self {
            received,
            status: Some(status),
        })
    }
}

fn respond(stored: &Stored, fields: &HeaderMap, asked: Asked<'_>) -> Option<Response<Body>> {
    let Asked { method, headers } = asked;
    let received = stored.freshness.received;
    match conditional::evaluate(method, headers, stored.status, fields, received) {
        Outcome::Send => {}
        Outcome::NotModified => {
            let fields = conditional::not_modified(fields);
            return Some(made(StatusCode::NOT_MODIFIED, fields, Body::Empty));
        }
        Outcome::Forward => return None,
    }
    if *method == Method::HEAD {
        return Some(made(stored.status, fields.clone(), Body::Empty));
    }
    let total = stored.contents.length();
    let wanted = total.map_or(Wanted::Whole, |total| {
        range::wanted(method, headers, stored.status, fields, total, received)
    });
    match (wanted, total) {
        (Wanted::One(part), Some(total)) => {
            let body = content(&stored.contents, Some(part.clone()))?;
            let fields = range::partial_fields(fields, &part, total);
            Some(made(StatusCode::PARTIAL_CONTENT, fields, body))
        }
        (Wanted::Unsatisfiable(total), _) => {
            let fields = range::unsatisfiable_fields(total);
            Some(made(StatusCode::RANGE_NOT_SATISFIABLE, fields, Body::Empty))
        }
        (Wanted::One(_) | Wanted::Whole, _) => {
            let body = content(&stored.contents, None)?;
            Some(made(stored.status, fields.clone(), body))
        }
    }
}

fn made(status: StatusCode, fields: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

/// All of the content, or a part of it.
fn content(contents: &Contents, part: Option<std::ops::Range<u64>>) -> Option<Body> {
    if part.is_none()
        && let Some(bytes) = contents.at_hand()
    {
        return Some(Body::from(bytes));
    }
    contents.reader(part).map(reading)
}

/// What a reader reads, as a body.
pub(super) fn reading(reader: Reader) -> Body {
    Body::stream(Reading(reader))
}

/// A reader of stored content, as a body.
struct Reading(Reader);

impl HttpBody for Reading {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        // Whatever the reason, what was to come does not come.
        polled.map(|frame| frame.map(|frame| frame.map_err(|_| BodyError::Truncated)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
