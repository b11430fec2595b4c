//! Responses before and after, and bodies that come in time.
//! Start at [`RESPONSES`].

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;

use super::{Coding, Compress};
use crate::fault::{Fault, Faults, Source};
use crate::message::{Body, BodyError};
use crate::settings::Table;

type Fields<'a> = &'a [(&'static str, &'a str)];
type Sent = Result<Frame<Bytes>, BodyError>;

fn read(setting: &str) -> (Option<Compress>, String) {
    let faults = Faults::new();
    let source = Source::new("egret.toml", format!("compress = {setting}"));
    let table = Table::parse(&source, &faults);
    let value = table.take_value("compress").expect("the key");
    let compress = Compress::read(value, &faults);
    let told = faults.into_vec().iter().map(Fault::render).collect();
    (compress, told)
}

fn headers(fields: Fields<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::try_from(*value).expect("a value"));
    }
    headers
}

fn answer(status: u16, fields: Fields<'_>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = headers(fields);
    response
}

fn apply(method: &Method, request: Fields<'_>, response: Response<Body>) -> Response<Body> {
    let compress = read("true").0.expect("on");
    compress.plan(method, &headers(request)).apply(response)
}

fn field<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().expect("text"))
}

fn text(size: usize) -> Bytes {
    let line = b"It was the best of times, it was the worst of times. ";
    Bytes::from(line.iter().copied().cycle().take(size).collect::<Vec<u8>>())
}

/// What can be decoded of coded bytes, whole or not.
fn decode(coding: Coding, coded: &[u8]) -> Vec<u8> {
    let mut decoder: Box<dyn Read + '_> = match coding {
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(coded).expect("a decoder")),
        Coding::Brotli => Box::new(brotli::Decompressor::new(coded, 4096)),
        Coding::Gzip => Box::new(flate2::read::GzDecoder::new(coded)),
    };
    let (mut decoded, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = decoder.read(&mut part) {
        decoded.extend_from_slice(part.get(..length).expect("what was read"));
    }
    decoded
}

async fn all(body: &mut Body) -> (Vec<u8>, Option<HeaderMap>, Option<BodyError>) {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return (data, trailers, Some(error)),
        };
        match frame.into_data() {
            Ok(part) => data.extend_from_slice(&part),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    (data, trailers, None)
}

/// A body that the test sends frame by frame.
struct Arriving(mpsc::UnboundedReceiver<Sent>);

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        self.0.poll_recv(cx)
    }
}

fn arriving() -> (mpsc::UnboundedSender<Sent>, Body) {
    let (send, receive) = mpsc::unbounded_channel();
    (send, Body::stream(Arriving(receive)))
}

fn data(bytes: impl Into<Bytes>) -> Sent {
    Ok(Frame::data(bytes.into()))
}

const GZIP: Fields<'static> = &[("accept-encoding", "gzip")];
const TEXT: (&str, &str) = ("content-type", "text/plain");

#[tokio::test]
async fn content_comes_back_as_it_was_in_each_coding() {
    for coding in Coding::ALL {
        for size in [1_024, 100_000, 3_000_000] {
            let response = answer(200, &[TEXT], Body::Full(text(size)));
            let accept = [("accept-encoding", coding.token())];
            let (head, mut body) = apply(&Method::GET, &accept, response).into_parts();
            assert_eq!(
                head.headers.get(CONTENT_ENCODING).expect("coded"),
                coding.token()
            );
            assert_eq!(body.size_hint().exact(), None);
            let (coded, _, error) = all(&mut body).await;
            assert!(error.is_none() && body.is_end_stream());
            assert!(
                coded.len() < size / 5,
                "{coding:?}: {size} to {}",
                coded.len()
            );
            assert!(decode(coding, &coded) == text(size), "{coding:?} {size}");
        }
    }
}

#[test]
fn fields_tell_of_the_coding() {
    let fields = [
        ("content-type", "Text/HTML; charset=utf-8"),
        ("content-length", "5000"),
        ("accept-ranges", "bytes"),
        ("etag", "\"x\""),
        ("vary", "origin"),
    ];
    for method in [Method::GET, Method::HEAD] {
        let body = match method {
            Method::HEAD => Body::Empty,
            _ => Body::Full(text(5_000)),
        };
        let response = apply(&method, GZIP, answer(200, &fields, body));
        assert_eq!(field(&response, "content-encoding"), "gzip");
        assert_eq!(field(&response, "etag"), "W/\"x\"");
        let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
        assert_eq!(vary, ["origin", "accept-encoding"]);
        for name in ["content-length", "accept-ranges"] {
            assert!(!response.headers().contains_key(name), "{method} {name}");
        }
        assert_eq!(
            matches!(response.body(), Body::Empty),
            method == Method::HEAD
        );
    }
    // Another client would have got it otherwise.
    let response = apply(
        &Method::GET,
        &[],
        answer(200, &fields, Body::Full(text(5_000))),
    );
    assert_eq!(field(&response, "content-encoding"), "");
    assert_eq!(field(&response, "etag"), "\"x\"");
    assert_eq!(field(&response, "content-length"), "5000");
    assert_eq!(response.headers().get_all("vary").iter().count(), 2);

    let fields = [("etag", "\"x\""), ("vary", "a, Accept-Encoding")];
    let response = apply(&Method::GET, GZIP, answer(304, &fields, Body::Empty));
    assert_eq!(field(&response, "etag"), "W/\"x\"");
    assert_eq!(field(&response, "vary"), "a, Accept-Encoding");
    assert_eq!(field(&response, "content-encoding"), "");
}

/// The status, the fields, the size of the content, and whether it is compressed.
const RESPONSES: &[(u16, Fields<'static>, usize, bool)] = &[
    (200, &[TEXT], 5_000, true),
    (404, &[TEXT], 5_000, true),
    (
        500,
        &[("content-type", "application/problem+json")],
        5_000,
        true,
    ),
    (200, &[("content-type", "application/wasm")], 5_000, true),
    (200, &[("content-type", "image/svg+xml")], 5_000, true),
    (
        200,
        &[("content-type", "text/plain"), ("etag", "W/\"x\"")],
        5_000,
        true,
    ),
    (200, &[], 5_000, false),
    (200, &[("content-type", "image/png")], 5_000, false),
    (200, &[("content-type", "application/grpc")], 5_000, false),
    (200, &[("content-type", "text")], 5_000, false),
    (200, &[TEXT], 1_023, false),
    (200, &[TEXT], 0, false),
    (204, &[TEXT], 0, false),
    (
        206,
        &[TEXT, ("content-range", "bytes 0-4999/9999")],
        5_000,
        false,
    ),
    (206, &[TEXT], 5_000, false),
    (
        416,
        &[TEXT, ("content-range", "bytes */9999")],
        5_000,
        false,
    ),
    (200, &[TEXT, ("content-encoding", "br")], 5_000, false),
    (200, &[TEXT, ("content-encoding", "identity")], 5_000, false),
    (
        200,
        &[TEXT, ("cache-control", "max-age=1, No-Transform")],
        5_000,
        false,
    ),
    (200, &[TEXT, ("repr-digest", "sha-256=:x:")], 5_000, false),
    (301, &[TEXT], 5_000, false),
];

#[test]
fn only_what_may_be_and_is_worth_it_is_compressed() {
    for (status, fields, size, expected) in RESPONSES {
        let body = Body::from(text(*size));
        let response = apply(&Method::GET, GZIP, answer(*status, fields, body));
        let coded = field(&response, "content-encoding") == "gzip";
        assert_eq!(coded, *expected, "{status} {fields:?} {size}");
        assert_eq!(
            field(&response, "vary").is_empty(),
            !expected,
            "{status} {fields:?}"
        );
        assert_eq!(matches!(response.body(), Body::Stream(_)), *expected);
    }
}

#[test]
fn a_request_that_another_site_made_for_a_user_is_not_answered_compressed() {
    let cases: &[(Fields<'_>, bool)] = &[
        (&[("cookie", "a=b")], true),
        (
            &[("cookie", "a=b"), ("sec-fetch-site", "same-origin")],
            true,
        ),
        (&[("cookie", "a=b"), ("sec-fetch-site", "none")], true),
        (&[("sec-fetch-site", "cross-site")], true),
        (
            &[("cookie", "a=b"), ("sec-fetch-site", "cross-site")],
            false,
        ),
        (&[("cookie", "a=b"), ("sec-fetch-site", "same-site")], false),
        (
            &[("authorization", "x"), ("sec-fetch-site", "cross-site")],
            false,
        ),
        (&[("cookie", "a=b"), ("sec-fetch-site", "x")], false),
        (&[("cache-control", "no-transform")], false),
    ];
    for (fields, expected) in cases {
        let request = [GZIP, fields].concat();
        let response = answer(200, &[TEXT], Body::Full(text(5_000)));
        let response = apply(&Method::GET, &request, response);
        let coded = field(&response, "content-encoding") == "gzip";
        assert_eq!(coded, *expected, "{fields:?}");
        assert_eq!(field(&response, "vary"), "accept-encoding", "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_come_is_not_withheld_from_the_client() {
    for coding in Coding::ALL {
        let (send, body) = arriving();
        let accept = [("accept-encoding", coding.token())];
        let response = apply(&Method::GET, &accept, answer(200, &[TEXT], body));
        let mut body = response.into_body();
        let mut coded = Vec::new();
        for (part, so_far) in [
            ("one ", "one "),
            ("two ", "one two "),
            ("three", "one two three"),
        ] {
            send.send(data(part)).expect("sent");
            let next = tokio::time::timeout(Duration::from_secs(1), body.frame());
            let frame = next
                .await
                .expect("in time")
                .expect("a frame")
                .expect("no error");
            coded.extend_from_slice(&frame.into_data().expect("data"));
            assert_eq!(decode(coding, &coded), so_far.as_bytes(), "{coding:?}");
        }
        // Nothing new: nothing is sent, however long it takes.
        let next = tokio::time::timeout(Duration::from_secs(60), body.frame());
        assert!(next.await.is_err());
        drop(send);
        let (rest, _, error) = all(&mut body).await;
        coded.extend_from_slice(&rest);
        assert_eq!(decode(coding, &coded), b"one two three", "{coding:?}");
        assert!(error.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_sent_as_soon_as_it_has_come() {
    for coding in Coding::ALL {
        let (send, body) = arriving();
        let accept = [("accept-encoding", coding.token())];
        let kind = ("content-type", "text/event-stream; charset=utf-8");
        let mut body = apply(&Method::GET, &accept, answer(200, &[kind], body)).into_body();
        let mut coded = Vec::new();
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            send.send(data(event)).expect("sent");
            let began = tokio::time::Instant::now();
            let frame = body.frame().await.expect("a frame").expect("no error");
            assert_eq!(began.elapsed(), Duration::ZERO, "{coding:?}");
            coded.extend_from_slice(&frame.into_data().expect("data"));
            assert!(
                decode(coding, &coded).ends_with(event.as_bytes()),
                "{coding:?}"
            );
        }
    }
}

#[tokio::test]
async fn trailers_pass_without_digests_and_errors_keep_their_kind() {
    for coding in Coding::ALL {
        let accept = [("accept-encoding", coding.token())];
        let (send, body) = arriving();
        let trailers = headers(&[("x-sum", "1"), ("repr-digest", "sha-256=:x:")]);
        send.send(data("content")).expect("sent");
        send.send(Ok(Frame::trailers(trailers))).expect("sent");
        let mut body = apply(&Method::GET, &accept, answer(200, &[TEXT], body)).into_body();
        let (coded, trailers, error) = all(&mut body).await;
        assert_eq!(decode(coding, &coded), b"content");
        assert_eq!(trailers, Some(headers(&[("x-sum", "1")])));
        assert!(error.is_none() && body.is_end_stream());

        let (send, body) = arriving();
        send.send(data("content")).expect("sent");
        send.send(Err(BodyError::Timeout)).expect("sent");
        let mut body = apply(&Method::GET, &accept, answer(200, &[TEXT], body)).into_body();
        let (_, _, error) = all(&mut body).await;
        assert!(matches!(error, Some(BodyError::Timeout)));
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn an_empty_stream_is_one_in_its_coding() {
    for coding in Coding::ALL {
        let accept = [("accept-encoding", coding.token())];
        let (_, body) = arriving();
        let mut body = apply(&Method::GET, &accept, answer(200, &[TEXT], body)).into_body();
        let (coded, _, error) = all(&mut body).await;
        assert!(error.is_none() && !coded.is_empty(), "{coding:?}");
        assert!(decode(coding, &coded).is_empty());
    }
}

#[tokio::test]
async fn a_large_body_comes_out_in_parts() {
    let random = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let large: Vec<u8> = (0..500_000).flat_map(random).collect();
    for coding in Coding::ALL {
        let accept = [("accept-encoding", coding.token())];
        let response = answer(200, &[TEXT], Body::from(Bytes::from(large.clone())));
        let mut body = apply(&Method::GET, &accept, response).into_body();
        let mut coded = Vec::new();
        while let Some(frame) = body.frame().await {
            let part = frame.expect("no error").into_data().expect("data");
            assert!(part.len() <= 1 << 20, "{coding:?}: {}", part.len());
            coded.extend_from_slice(&part);
        }
        assert!(decode(coding, &coded) == large, "{coding:?}");
    }
}

#[test]
fn settings_say_codings_types_and_size() {
    let (compress, _) = read(
        "{ codings = [\"gzip\", \"br\"], types = [\"application/x-a\", \"*+b\"], min-size = \"10B\" }",
    );
    let compress = compress.expect("valid");
    for (kind, size, expected) in [
        ("application/x-a", 10, "gzip"),
        ("application/x-a+b", 10, "gzip"),
        ("application/x-a", 9, ""),
        ("text/plain", 5_000, ""),
    ] {
        let request = headers(&[("accept-encoding", "br, gzip, zstd")]);
        let response = answer(200, &[("content-type", kind)], Body::Full(text(size)));
        let response = compress.plan(&Method::GET, &request).apply(response);
        assert_eq!(
            field(&response, "content-encoding"),
            expected,
            "{kind} {size}"
        );
    }
    let (off, told) = read("false");
    assert!(off.is_none() && told.is_empty());
    for (setting, told) in [
        ("\"gzip\"", "expected true, false, or a table"),
        ("{ codings = [] }", "no coding is left"),
        ("{ codings = [\"gzipp\"] }", "Did you mean \"gzip\"?"),
        ("{ types = [\"text\"] }", "\"text\" is not a media type"),
        ("{ types = [\"te xt/*\"] }", "is not a media type"),
        ("{ min-size = 5 }", "expected a size"),
        ("{ level = 5 }", "unknown key"),
    ] {
        let (compress, faults) = read(setting);
        assert!(
            compress.is_none() && faults.contains(told),
            "{setting}: {faults}"
        );
    }
}
