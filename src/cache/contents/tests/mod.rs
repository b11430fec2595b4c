//! What is promised of a content, over real threads, runtimes and files. Helpers, and what holds of any content; `arriving`, `passing`
//! and `on_disk` have the rest.

mod arriving;
mod on_disk;
mod passing;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Body as _, Frame};
use jiff::Timestamp;

use super::places::WINDOW;
use super::*;
use crate::cache::{Freshness, Key, Stored, Vary};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const ROOMY: Limits = Limits {
    in_memory: 64 << 20,
    largest: 64 << 20,
};

/// Bytes that do not repeat soon.
fn content(length: usize) -> Bytes {
    let byte = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    (0..length as u64).map(byte).collect()
}

fn stored(contents: &Contents) -> Stored {
    Stored {
        key: Key::new("http://a.example/", ""),
        vary: Vary {
            names: [].into(),
            values: Default::default(),
        },
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        freshness: Freshness::plain(Timestamp::UNIX_EPOCH, Duration::ZERO, Duration::ZERO),
        guarded: false,
        held: None,
        contents: contents.clone(),
    }
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    trailers
}

async fn frame(reader: &mut Reader) -> Option<Result<Frame<Bytes>, Cut>> {
    poll_fn(|cx| Pin::new(&mut *reader).poll_frame(cx)).await
}

/// The next bytes; the reader must have some.
async fn data(reader: &mut Reader) -> Bytes {
    frame(reader).await.unwrap().unwrap().into_data().unwrap()
}

/// What is there now: `None` where the reader must wait.
async fn now(reader: &mut Reader) -> Option<Option<Result<Frame<Bytes>, Cut>>> {
    poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *reader).poll_frame(cx) {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => None,
        })
    })
    .await
}

/// All the bytes, the trailers, and whether it broke off.
async fn all(mut reader: Reader) -> (Vec<u8>, Option<HeaderMap>, Result<(), Cut>) {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = frame(&mut reader).await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(cut) => return (bytes, trailers, Err(cut)),
        }
    }
    (bytes, trailers, Ok(()))
}

async fn bytes(reader: Reader) -> Vec<u8> {
    let (bytes, _, end) = all(reader).await;
    assert_eq!(end, Ok(()));
    bytes
}

async fn push_all(filler: &mut Filler, content: &Bytes, step: usize) {
    let mut rest = content.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(step.min(rest.len()));
        filler.push(piece).await.unwrap();
    }
}

/// A runtime as a worker has it.
fn worker<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}

#[tokio::test]
async fn what_is_at_hand_is_given_out_without_a_copy() {
    let content = content(1000);
    let contents = Contents::whole(content.clone());
    assert_eq!(contents.at_hand().unwrap().as_ptr(), content.as_ptr());
    let mut reader = contents.reader(Some(10..20)).unwrap();
    assert_eq!(reader.size_hint().exact(), Some(10));
    assert!(!reader.is_end_stream());
    let slice = data(&mut reader).await;
    assert_eq!(slice.as_ptr(), content.slice(10..).as_ptr());
    assert_eq!(slice.len(), 10);
    assert!(reader.is_end_stream());
    assert!(contents.is_whole() && !contents.is_on_disk() && !contents.has_failed());
    assert_eq!(contents.length(), Some(1000));
}

#[tokio::test]
async fn a_range_that_is_not_there_is_not_read() {
    let contents = Contents::whole(content(100));
    #[expect(clippy::reversed_empty_ranges, reason = "that is the case")]
    let cases = [0..101, 101..101, 50..40, 0..u64::MAX];
    for range in cases {
        assert!(contents.reader(Some(range.clone())).is_none(), "{range:?}");
    }
    assert!(
        bytes(contents.reader(Some(100..100)).unwrap())
            .await
            .is_empty()
    );
    assert!(
        bytes(Contents::whole(Bytes::new()).reader(None).unwrap())
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn parts_give_what_they_have_and_nothing_else() {
    let content = content(100);
    let parts = Parts::new(100).with(10, content.slice(10..30)).unwrap();
    let parts = parts.with(30, content.slice(30..50)).unwrap();
    let contents = Contents::parts(parts);
    let reader = contents.reader(Some(20..40)).unwrap();
    assert_eq!(bytes(reader).await, content.slice(20..40));
    assert!(contents.reader(Some(0..20)).is_none());
    assert!(contents.reader(None).is_none());
    assert!(!contents.is_whole() && contents.at_hand().is_none());
    assert_eq!(contents.length(), Some(100));
}
