//! A sender and a reader that are each driven by the test, so that what is held is known at every moment.
//! Start at [`Sender`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{collect, read_ahead};
use crate::lifeline::Lifeline;
use crate::message::{Body, BodyError};

/// What arrives in a body, sent by the test.
#[derive(Clone, Default)]
struct Sender(Rc<RefCell<Sent>>);

#[derive(Default)]
struct Sent {
    frames: VecDeque<Option<Result<Frame<Bytes>, BodyError>>>,
    declared: Option<u64>,
    polled: usize,
    dropped: bool,
    waker: Option<Waker>,
}

struct Receiver(Sender);

impl Sender {
    fn body(&self) -> Body {
        Body::stream(Receiver(self.clone()))
    }

    fn push(&self, frame: Option<Result<Frame<Bytes>, BodyError>>) {
        let mut sent = self.0.borrow_mut();
        sent.frames.push_back(frame);
        if let Some(waker) = sent.waker.take() {
            waker.wake();
        }
    }

    fn data(&self, data: &[u8]) {
        self.push(Some(Ok(Frame::data(Bytes::copy_from_slice(data)))));
    }

    fn trailers(&self) {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        self.push(Some(Ok(Frame::trailers(trailers))));
    }

    fn end(&self) {
        self.push(None);
    }

    fn waiting(&self) -> usize {
        self.0.borrow().frames.len()
    }

    fn is_dropped(&self) -> bool {
        self.0.borrow().dropped
    }
}

impl HttpBody for Receiver {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut sent = self.0.0.borrow_mut();
        sent.polled += 1;
        match sent.frames.pop_front() {
            Some(frame) => Poll::Ready(frame),
            None => {
                sent.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let declared = self.0.0.borrow().declared;
        declared.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.0.borrow_mut().dropped = true;
    }
}

/// Runs on one thread with local tasks, as a worker does.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Lets the other tasks run until nothing moves.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn rest(mut body: Body) -> (Vec<u8>, Option<HeaderMap>, Option<BodyError>) {
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

fn broken() -> BodyError {
    BodyError::Io(io::Error::from(io::ErrorKind::ConnectionReset))
}

#[test]
fn a_small_request_is_whole_before_it_is_passed_on() {
    run(async {
        let sender = Sender::default();
        for part in [&b"a"[..], b"bc", b"", b"def"] {
            sender.data(part);
        }
        sender.end();
        let body = collect(sender.body(), 6).await.expect("a body");
        assert!(matches!(&body, Body::Full(bytes) if bytes == "abcdef"));
        assert!(sender.is_dropped());

        let sender = Sender::default();
        sender.end();
        let body = collect(sender.body(), 6).await.expect("a body");
        assert!(matches!(body, Body::Empty));
    });
}

#[test]
fn a_request_that_is_not_whole_waits_and_one_that_is_too_large_does_not() {
    run(async {
        let sender = Sender::default();
        sender.data(b"abc");
        let mut collecting = std::pin::pin!(collect(sender.body(), 6));
        let first = std::future::poll_fn(|cx| Poll::Ready(collecting.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        sender.data(b"defg");
        let body = collecting.await.expect("a body");
        sender.data(b"h");
        sender.trailers();
        sender.end();
        let (data, trailers, error) = rest(body).await;
        assert_eq!(data, b"abcdefgh");
        assert!(trailers.is_some() && error.is_none());

        let sender = Sender::default();
        sender.0.borrow_mut().declared = Some(7);
        let body = collect(sender.body(), 6).await.expect("a body");
        assert_eq!(body.size_hint().exact(), Some(7));
        assert_eq!(sender.0.borrow().polled, 0);
    });
}

#[test]
fn trailers_and_errors_of_a_request_keep_their_kind() {
    run(async {
        let sender = Sender::default();
        sender.data(b"abc");
        sender.trailers();
        let body = collect(sender.body(), 6).await.expect("a body");
        assert_eq!(body.size_hint().exact(), Some(3));
        let (data, trailers, _) = rest(body).await;
        assert_eq!((&*data, trailers.map(|t| t.len())), (&b"abc"[..], Some(1)));

        let sender = Sender::default();
        sender.data(b"abc");
        sender.push(Some(Err(BodyError::Timeout)));
        let error = collect(sender.body(), 6).await.expect_err("an error");
        assert!(matches!(error, BodyError::Timeout));

        let sender = Sender::default();
        sender.data(b"abcdefg");
        sender.push(Some(Err(broken())));
        let body = collect(sender.body(), 6).await.expect("a body");
        let (data, _, error) = rest(body).await;
        assert_eq!(data, b"abcdefg");
        assert!(matches!(error, Some(BodyError::Io(_))));
    });
}

#[test]
fn a_response_is_read_ahead_and_its_sender_is_free_before_it_is_read() {
    run(async {
        let (sender, life) = (Sender::default(), Lifeline::new());
        sender.0.borrow_mut().declared = Some(6);
        let body = read_ahead(sender.body(), 100, &life);
        sender.data(b"abc");
        sender.data(b"def");
        sender.trailers();
        settle().await;
        assert!(sender.is_dropped());
        assert_eq!(life.tasks(), 0);
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(6));
        let (data, trailers, error) = rest(body).await;
        assert_eq!(data, b"abcdef");
        assert!(trailers.is_some() && error.is_none());
    });
}

#[test]
fn no_more_is_read_ahead_than_the_limit_and_a_frame() {
    run(async {
        let (sender, life) = (Sender::default(), Lifeline::new());
        let part = [b'x'; 40 << 10];
        for _ in 0..10 {
            sender.data(&part);
        }
        sender.end();
        let mut body = read_ahead(sender.body(), 100 << 10, &life);
        settle().await;
        assert_eq!(sender.waiting(), 8, "3 of 10 frames, and the end");
        let frame = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data").len(), part.len());
        settle().await;
        assert_eq!(sender.waiting(), 7);
        let (data, _, error) = rest(body).await;
        assert_eq!(data.len(), 9 * part.len());
        assert!(error.is_none() && sender.is_dropped());
    });
}

#[test]
fn small_frames_are_joined_and_each_is_passed_on_at_once() {
    run(async {
        let (sender, life) = (Sender::default(), Lifeline::new());
        let mut body = read_ahead(sender.body(), 1 << 20, &life);
        for _ in 0..1_000 {
            sender.data(b"x");
        }
        settle().await;
        while sender.waiting() > 0 {
            settle().await;
        }
        let frame = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data").len(), 1_000);
        let mut next = std::pin::pin!(body.frame());
        let first = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_ready())).await;
        assert!(!first);
        sender.data(b"y");
        let frame = next.await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), "y");
    });
}

#[test]
fn an_error_comes_after_what_came_before_it() {
    run(async {
        let (sender, life) = (Sender::default(), Lifeline::new());
        let body = read_ahead(sender.body(), 100, &life);
        sender.data(b"abc");
        sender.push(Some(Err(broken())));
        settle().await;
        assert!(!body.is_end_stream());
        let (data, _, error) = rest(body).await;
        assert_eq!(data, b"abc");
        assert!(matches!(error, Some(BodyError::Io(_))));
    });
}

#[test]
fn a_reader_that_leaves_lets_the_sender_go() {
    run(async {
        for limit in [1, 100] {
            let (sender, life) = (Sender::default(), Lifeline::new());
            let body = read_ahead(sender.body(), limit, &life);
            sender.data(b"abc");
            settle().await;
            assert!(!sender.is_dropped());
            drop(body);
            settle().await;
            assert!(sender.is_dropped(), "{limit}");
            assert_eq!(life.tasks(), 0);
        }
    });
}
