use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io::ErrorKind;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::*;

const LIMITS: Limits = Limits {
    idle: Duration::from_secs(20),
    total: None,
};

const SHORT: Duration = Duration::from_millis(100);

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own peer dials the test"
)]
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (peer, ours) = tokio::join!(TcpStream::connect(at), listener.accept());
    (peer.unwrap(), ours.unwrap().0)
}

/// The peers of a tunnel and the tunnel's own two streams.
struct Setup {
    client: TcpStream,
    origin: TcpStream,
    client_side: Stream,
    origin_side: Stream,
}

async fn setup() -> Setup {
    let (client, client_side) = pair().await;
    let (origin, origin_side) = pair().await;
    Setup {
        client,
        origin,
        client_side: Stream::from_tcp(client_side),
        origin_side: Stream::from_tcp(origin_side),
    }
}

/// CPU time of this thread, which runs both the test and the tunnel.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.try_into().unwrap(),
        now.tv_nsec.try_into().unwrap(),
    )
}

/// Bytes that do not repeat in any period that a buffer could have.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

async fn send_all(mut to: impl AsyncWrite + Unpin, bytes: &[u8]) {
    to.write_all(bytes).await.unwrap();
    to.shutdown().await.unwrap();
}

async fn digest_of_all(mut from: impl AsyncRead + Unpin) -> (usize, [u8; 32]) {
    let (mut hash, mut total, mut buf) = (Sha256::new(), 0, vec![0; 100_000]);
    loop {
        let n = from.read(&mut buf).await.unwrap();
        if n == 0 {
            return (total, hash.finalize().into());
        }
        total += n;
        hash.update(&buf[..n]);
    }
}

fn digest(bytes: &[u8]) -> (usize, [u8; 32]) {
    (bytes.len(), Sha256::digest(bytes).into())
}

#[tokio::test]
async fn much_data_both_ways_arrives_exact_and_is_counted() {
    let up = noise(64 << 20, 1);
    let down = noise(64 << 20, 2);
    let s = setup().await;
    let traffic = Traffic::default();
    let (client_read, client_write) = s.client.into_split();
    let (origin_read, origin_write) = s.origin.into_split();
    let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, pending());
    let (ended, (), (), at_origin, at_client) = tokio::join!(
        tunnel,
        send_all(client_write, &up),
        send_all(origin_write, &down),
        digest_of_all(origin_read),
        digest_of_all(client_read),
    );
    assert!(matches!(ended, Ended::Closed { .. }), "{ended:?}");
    assert_eq!(at_origin, digest(&up));
    assert_eq!(at_client, digest(&down));
    assert_eq!(traffic.from_client.get(), up.len() as u64);
    assert_eq!(traffic.from_origin.get(), down.len() as u64);
}

#[tokio::test]
async fn a_side_that_is_no_tcp_carries_the_same_bytes() {
    let (up, down) = (noise(3 << 20, 3), noise(3 << 20, 4));
    let (client, client_side) = tokio::io::duplex(10_000);
    let (origin, origin_side) = pair().await;
    let (client_read, client_write) = tokio::io::split(client);
    let (origin_read, origin_write) = origin.into_split();
    let traffic = Traffic::default();
    let client_side = Stream::boxed(client_side);
    let origin_side = Stream::from_tcp(origin_side);
    let tunnel = duplex(client_side, origin_side, &LIMITS, &traffic, pending());
    let (ended, (), (), at_origin, at_client) = tokio::join!(
        tunnel,
        send_all(client_write, &up),
        send_all(origin_write, &down),
        digest_of_all(origin_read),
        digest_of_all(client_read),
    );
    assert!(matches!(ended, Ended::Closed { .. }), "{ended:?}");
    assert_eq!(at_origin, digest(&up));
    assert_eq!(at_client, digest(&down));
}

#[tokio::test]
async fn a_carrier_that_buffers_is_flushed_when_the_source_pauses() {
    let (mut client, client_side) = pair().await;
    let (mut origin, origin_side) = pair().await;
    let buffered = tokio::io::BufWriter::with_capacity(4096, origin_side);
    let traffic = Traffic::default();
    let origin_side = Stream::boxed(buffered);
    let client_side = Stream::from_tcp(client_side);
    let tunnel = duplex(client_side, origin_side, &LIMITS, &traffic, pending());
    let peers = async {
        client.write_all(b"ping").await.unwrap();
        let mut got = [0; 4];
        origin.read_exact(&mut got).await.unwrap();
        got
    };
    tokio::select! {
        ended = tunnel => unreachable!("{ended:?}"),
        got = peers => assert_eq!(&got, b"ping"),
    }
}

#[tokio::test]
async fn half_close_is_passed_on_and_the_other_way_goes_on() {
    for client_first in [true, false] {
        let s = setup().await;
        let (first, second) = if client_first {
            (s.client, s.origin)
        } else {
            (s.origin, s.client)
        };
        let traffic = Traffic::default();
        let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, pending());
        let peers = async move {
            let ((mut first_read, first_write), mut second) = (first.into_split(), second);
            send_all(first_write, b"question").await;
            let mut heard = Vec::new();
            second.read_to_end(&mut heard).await.unwrap();
            send_all(&mut second, b"answer").await;
            let mut answer = Vec::new();
            first_read.read_to_end(&mut answer).await.unwrap();
            (heard, answer)
        };
        let (ended, (heard, answer)) = tokio::join!(tunnel, peers);
        assert_eq!(
            (heard.as_slice(), answer.as_slice()),
            (&b"question"[..], &b"answer"[..])
        );
        let expected = if client_first {
            Side::Client
        } else {
            Side::Origin
        };
        assert!(
            matches!(ended, Ended::Closed { first } if first == expected),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn what_was_put_back_is_sent_first() {
    let mut s = setup().await;
    s.client_side.unread(BytesMut::from(&b"second "[..]));
    s.client_side.unread(BytesMut::from(&b"first "[..]));
    let rest = noise(1 << 20, 5);
    let traffic = Traffic::default();
    let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, pending());
    let peers = async {
        let (origin_read, origin_write) = s.origin.into_split();
        drop(origin_write);
        let ((), got) = tokio::join!(send_all(s.client, &rest), digest_of_all(origin_read));
        got
    };
    let (_, got) = tokio::join!(tunnel, peers);
    let sent = [&b"first second "[..], &rest].concat();
    assert_eq!(got, digest(&sent));
    assert_eq!(traffic.from_client.get(), sent.len() as u64);
}

#[tokio::test]
async fn an_idle_tunnel_ends_and_a_busy_one_does_not() {
    let mut s = setup().await;
    let limits = Limits {
        idle: 4 * SHORT,
        total: None,
    };
    let traffic = Traffic::default();
    let begun = Instant::now();
    let tunnel = duplex(s.client_side, s.origin_side, &limits, &traffic, pending());
    let peers = async {
        let mut byte = [0];
        for _ in 0..6 {
            tokio::time::sleep(SHORT).await;
            s.client.write_all(b"x").await.unwrap();
            s.origin.read_exact(&mut byte).await.unwrap();
        }
        let last = begun.elapsed();
        // The client never said that it was done, so the origin must not see a clean end.
        let end = s.origin.read(&mut byte).await;
        (last, end)
    };
    let (ended, (last, end)) = tokio::join!(tunnel, peers);
    assert!(matches!(ended, Ended::Idle), "{ended:?}");
    assert!(begun.elapsed() >= last + 3 * SHORT);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn the_total_limit_ends_a_busy_tunnel() {
    let mut s = setup().await;
    let limits = Limits {
        idle: Duration::from_secs(20),
        total: Some(SHORT),
    };
    let traffic = Traffic::default();
    let tunnel = duplex(s.client_side, s.origin_side, &limits, &traffic, pending());
    let client = async {
        while s.client.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let (ended, ()) = tokio::join!(tunnel, client);
    assert!(matches!(ended, Ended::Total), "{ended:?}");
}

#[tokio::test]
async fn a_killed_tunnel_is_cut_for_both_sides() {
    let mut s = setup().await;
    let (kill, killed) = oneshot::channel::<()>();
    let traffic = Traffic::default();
    let killed = async { killed.await.unwrap() };
    let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, killed);
    let peers = async {
        let mut byte = [0];
        s.client.write_all(b"x").await.unwrap();
        s.origin.read_exact(&mut byte).await.unwrap();
        kill.send(()).unwrap();
        [
            s.client.read(&mut byte).await,
            s.origin.read(&mut byte).await,
        ]
    };
    let (ended, ends) = tokio::join!(tunnel, peers);
    assert!(matches!(ended, Ended::Killed), "{ended:?}");
    for end in ends {
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_for_the_other() {
    for of_client in [true, false] {
        let s = setup().await;
        let (failing, mut other) = if of_client {
            (s.client, s.origin)
        } else {
            (s.origin, s.client)
        };
        let traffic = Traffic::default();
        let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, pending());
        let peers = async {
            let mut byte = [0];
            other.write_all(b"x").await.unwrap();
            let mut failing = failing;
            failing.read_exact(&mut byte).await.unwrap();
            failing.set_zero_linger().unwrap();
            drop(failing);
            other.read(&mut byte).await
        };
        let (ended, end) = tokio::join!(tunnel, peers);
        let as_it_was = match of_client {
            true => matches!(ended, Ended::ClientReset(_)),
            false => matches!(ended, Ended::OriginReset(_)),
        };
        assert!(as_it_was, "{ended:?}");
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn the_last_answer_of_an_origin_that_closed_reaches_a_client_that_still_sends() {
    let s = setup().await;
    let answer = noise(8 << 20, 6);
    let traffic = Traffic::default();
    let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, pending());
    let origin = async {
        let mut origin = s.origin;
        send_all(&mut origin, &answer).await;
        while traffic.from_origin.get() < answer.len() as u64 {
            tokio::task::yield_now().await;
        }
        // Closed for reading too: what the client sends from now on is answered with a reset.
        drop(origin);
    };
    let (client_read, mut client_write) = s.client.into_split();
    let (done, mut is_done) = oneshot::channel::<()>();
    let client = async {
        let mut sent = 0;
        let send = async {
            while client_write.write_all(&[7; 1000]).await.is_ok() && is_done.try_recv().is_err() {
                sent += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            client_write.shutdown().await.ok();
        };
        let read = async {
            let got = digest_of_all(client_read).await;
            done.send(()).ok();
            got
        };
        tokio::join!(send, read).1
    };
    let (ended, (), got) = tokio::join!(tunnel, origin, client);
    assert_eq!(got, digest(&answer));
    assert!(
        matches!(
            ended,
            Ended::Closed {
                first: Side::Origin
            }
        ),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_sender_back() {
    let s = setup().await;
    let much = noise(64 << 20, 7);
    let traffic = Traffic::default();
    let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, pending());
    let (origin_read, origin_write) = s.origin.into_split();
    drop(origin_write);
    let (sent, heard) = (Cell::new(0), Cell::new(false));
    let client = async {
        let mut client = s.client;
        for chunk in much.chunks(64 << 10) {
            client.write_all(chunk).await.unwrap();
            sent.set(sent.get() + chunk.len());
        }
        client.shutdown().await.unwrap();
    };
    let origin = async {
        // Waits until the sender stands still: sockets are full, and the tunnel takes no more.
        let mut before = usize::MAX;
        let mut cpu = Duration::ZERO;
        while before != sent.get() || before == 0 {
            before = sent.get();
            cpu = cpu_time();
            tokio::time::sleep(SHORT).await;
        }
        // Standing still means waiting, not asking again and again.
        assert!(cpu_time() - cpu < SHORT / 5, "the tunnel was busy");
        assert!(before < much.len(), "everything was taken");
        heard.set(true);
        digest_of_all(origin_read).await
    };
    let (_, (), got) = tokio::join!(tunnel, client, origin);
    assert!(heard.get());
    assert_eq!(got, digest(&much));
}

#[tokio::test]
async fn bytes_of_a_killed_tunnel_reach_no_other() {
    for round in 0..4 {
        let mut s = setup().await;
        let much = vec![0xee; 64 << 20];
        let traffic = Traffic::default();
        // Killed once the origin's side is full, so that bytes are on their way in the middle.
        let full = async {
            let mut before = u64::MAX;
            while before != traffic.from_client.get() || before == 0 {
                before = traffic.from_client.get();
                tokio::time::sleep(SHORT / 2).await;
            }
        };
        let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, full);
        let (ended, sent) = tokio::join!(tunnel, s.client.write_all(&much));
        assert!(matches!(ended, Ended::Killed), "{ended:?}");
        assert!(sent.is_err());

        let s = setup().await;
        let clean = noise(4 << 20, round);
        let traffic = Traffic::default();
        let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, pending());
        let (origin_read, origin_write) = s.origin.into_split();
        drop(origin_write);
        let (_, (), got) = tokio::join!(
            tunnel,
            send_all(s.client, &clean),
            digest_of_all(origin_read)
        );
        assert_eq!(got, digest(&clean));
    }
}

#[tokio::test]
async fn pieces_of_all_sizes_pass_between_copying_and_splicing() {
    let s = setup().await;
    let all = noise(48 << 20, 9);
    let traffic = Traffic::default();
    let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, pending());
    let (mut origin_read, origin_write) = s.origin.into_split();
    drop(origin_write);
    let sizes = [1, 3_000_000, 100, 70_000, 5, 1_000_000, 20_000, 9_000];
    let client = async {
        let (mut client, mut rest, mut sizes) = (s.client, &all[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let n = rest.len().min(*sizes.next().unwrap());
            client.write_all(&rest[..n]).await.unwrap();
            tokio::task::yield_now().await;
            rest = &rest[n..];
        }
        client.shutdown().await.unwrap();
    };
    let origin = async {
        let (mut hash, mut total, mut sizes) = (Sha256::new(), 0, sizes.iter().rev().cycle());
        loop {
            let mut buf = vec![0; *sizes.next().unwrap()];
            let n = origin_read.read(&mut buf).await.unwrap();
            if n == 0 {
                return (total, <[u8; 32]>::from(hash.finalize()));
            }
            total += n;
            hash.update(&buf[..n]);
        }
    };
    let (ended, (), got) = tokio::join!(tunnel, client, origin);
    assert!(matches!(ended, Ended::Closed { .. }), "{ended:?}");
    assert_eq!(got, digest(&all));
}

#[tokio::test]
async fn an_idle_tunnel_is_small() {
    let s = setup().await;
    let traffic = Traffic::default();
    let tunnel = duplex(s.client_side, s.origin_side, &LIMITS, &traffic, pending());
    assert!(size_of_val(&tunnel) < 1024, "{}", size_of_val(&tunnel));
}

#[tokio::test]
async fn halves_read_and_write_and_become_one_again() {
    let (mut peer, ours) = pair().await;
    let (other, _keep) = pair().await;
    let mut stream = Stream::from_tcp(ours);
    stream.unread(BytesMut::from(&b"ab"[..]));
    let (mut read, mut write) = split(stream);
    assert!(write.is_write_vectored());
    peer.write_all(b"cd").await.unwrap();
    let mut got = [0; 4];
    read.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"abcd");
    write.write_all(b"efgh").await.unwrap();
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"efgh");
    let (other_read, other_write) = split(Stream::from_tcp(other));
    let NotOnePair(read, other_write) = read.reunite(other_write).unwrap_err();
    drop(other_read.reunite(other_write).unwrap());
    let stream = read.reunite(write).unwrap();
    assert!(stream.as_tcp().is_some());
}

#[tokio::test]
async fn a_deadline_can_be_moved_both_ways_and_taken_away() {
    let ms = Duration::from_millis;
    // (first, then, when it must expire; none: never)
    for (first, then, expected) in [
        (Some(ms(30)), Some(ms(90)), Some(ms(90))),
        (Some(ms(5000)), Some(ms(40)), Some(ms(40))),
        (Some(ms(30)), None, None),
        (None, Some(ms(30)), Some(ms(30))),
    ] {
        let deadline = LazyDeadline::new();
        let begun = Instant::now();
        let row = format!("{first:?} {then:?}");
        if let Some(first) = first {
            deadline.set(begun + first);
        }
        let wait = timeout(ms(1000), deadline.expired());
        let mover = async {
            tokio::task::yield_now().await;
            match then {
                Some(then) => deadline.set(begun + then),
                None => deadline.clear(),
            }
        };
        let (waited, ()) = tokio::join!(wait, mover);
        assert_eq!(waited.is_ok(), expected.is_some(), "{row}");
        if let Some(expected) = expected {
            assert!(begun.elapsed() >= expected, "{row}");
            assert!(begun.elapsed() < expected + ms(800), "{row}");
            let again = poll_fn(|cx| Poll::Ready(deadline.poll_expired(cx).is_ready())).await;
            assert!(again, "{row}: expired once, but not twice");
        }
        deadline.set(Instant::now() + ms(20));
        deadline.expired().await;
    }
}
