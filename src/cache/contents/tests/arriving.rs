//! While it comes, and when it has come or broken off.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn what_is_up_to_64_kib_long_becomes_one_piece_of_its_size() {
    let cases = [
        (0, 1),
        (1, 1),
        (3000, 1),
        (5000, 7),
        (64 * KIB, 1000),
        (64 * KIB, 64 * KIB),
    ];
    for (length, step) in cases {
        let content = content(length);
        for expected in [None, Some(length as u64)] {
            let (contents, mut filler) = Contents::filling(expected, ROOMY);
            push_all(&mut filler, &content, step).await;
            let few = |pieces: u64| contents.memory() <= length as u64 + pieces * PIECE_COST;
            assert!(few(2 + length as u64 / 2048 + 12), "{length} by {step}");
            assert!(contents.at_hand().is_none() && !contents.is_whole());
            filler.finish(None, &stored(&contents)).await.unwrap();
            assert_eq!(
                contents.at_hand(),
                Some(content.clone()),
                "{length} by {step}"
            );
            assert!(few(1));
        }
    }
}

#[tokio::test]
async fn what_is_kept_does_not_hold_the_buffer_that_it_came_in() {
    let buffer = content(MIB);
    let (contents, mut filler) = Contents::filling(None, ROOMY);
    filler.push(buffer.slice(500..600)).await.unwrap();
    filler.finish(None, &stored(&contents)).await.unwrap();
    assert!(buffer.is_unique());
}

#[test]
fn readers_on_any_thread_read_the_same_bytes_as_they_arrive() {
    let content = content(3 * MIB + 17);
    let (contents, mut filler) = Contents::filling(Some(content.len() as u64), ROOMY);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (reader, content) = (contents.reader(None).unwrap(), content.clone());
            thread::spawn(move || assert!(worker(bytes(reader)) == content))
        })
        .collect();
    worker(async {
        push_all(&mut filler, &content, 10_007).await;
        filler.finish(None, &stored(&contents)).await.unwrap();
    });
    for reader in readers {
        reader.join().unwrap();
    }
    assert!(worker(bytes(contents.reader(None).unwrap())) == content);
    assert!(contents.pieces().unwrap().concat() == content);
    assert!(contents.at_hand().is_none());
}

#[tokio::test]
async fn a_slow_reader_slows_nobody_while_it_is_stored() {
    let content = content(4 * MIB);
    let (contents, mut filler) = Contents::filling(None, ROOMY);
    let slow = contents.reader(None).unwrap();
    let mut fast = contents.reader(None).unwrap();
    let mut got = Vec::new();
    for piece in content.chunks(16 * KIB) {
        filler.push(Bytes::copy_from_slice(piece)).await.unwrap();
        got.extend_from_slice(&data(&mut fast).await);
    }
    assert!(now(&mut fast).await.is_none());
    filler.finish(None, &stored(&contents)).await.unwrap();
    assert!(frame(&mut fast).await.is_none() && got == content);
    assert!(bytes(slow).await == content);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_push_wakes_once_who_waits_and_nobody_else() {
    let (contents, mut filler) = Contents::filling(None, ROOMY);
    let mut waiting = contents.reader(None).unwrap();
    let _elsewhere = contents.reader(None).unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut waiting).poll_frame(&mut cx).is_pending());
    filler.push(content(300_000)).await.unwrap();
    filler.push(content(300_000)).await.unwrap();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn ranges_are_read_while_it_comes() {
    let content = content(200 * KIB);
    let (contents, mut filler) = Contents::filling(Some(content.len() as u64), ROOMY);
    filler.push(content.slice(..1000)).await.unwrap();
    assert!(contents.reader(Some(0..content.len() as u64 + 1)).is_none());
    assert_eq!(
        bytes(contents.reader(Some(10..20)).unwrap()).await,
        content.slice(10..20)
    );
    let mut later = contents.reader(Some(100_000..100_010)).unwrap();
    assert_eq!(later.size_hint().exact(), Some(10));
    assert!(now(&mut later).await.is_none());
    filler.push(content.slice(1000..100_005)).await.unwrap();
    assert_eq!(data(&mut later).await, content.slice(100_000..100_005));
    assert!(now(&mut later).await.is_none());
    filler.push(content.slice(100_005..)).await.unwrap();
    // A range ends with its last byte, not with the content.
    assert_eq!(data(&mut later).await, content.slice(100_005..100_010));
    assert!(frame(&mut later).await.is_none());
}

#[tokio::test]
async fn trailers_come_at_the_end_of_all_and_not_of_a_range() {
    let content = content(100);
    let (contents, mut filler) = Contents::filling(Some(100), ROOMY);
    let mut early = contents.reader(None).unwrap();
    filler.push(content.clone()).await.unwrap();
    data(&mut early).await;
    assert!(!early.is_end_stream() && now(&mut early).await.is_none());
    filler
        .finish(Some(trailers()), &stored(&contents))
        .await
        .unwrap();
    assert_eq!(all(early).await, (vec![], Some(trailers()), Ok(())));
    let late = contents.reader(None).unwrap();
    assert_eq!(
        all(late).await,
        (content.to_vec(), Some(trailers()), Ok(()))
    );
    let range = contents.reader(Some(0..100)).unwrap();
    assert_eq!(all(range).await, (content.to_vec(), None, Ok(())));
    // One who takes it at hand would lose them.
    assert!(contents.at_hand().is_none());
}

/// How a content ends before it is whole.
async fn break_off(filler: Filler, contents: &Contents, how: usize) {
    let mut filler = filler;
    match how {
        0 => drop(filler),
        1 => assert_eq!(filler.finish(None, &stored(contents)).await, Err(Abandoned)),
        2 => assert_eq!(filler.push(content(91)).await, Err(Abandoned)),
        _ => {
            assert_eq!(filler.push(content(91)).await, Err(Abandoned));
            assert_eq!(filler.push(content(1)).await, Err(Abandoned));
            assert_eq!(filler.finish(None, &stored(contents)).await, Err(Abandoned));
        }
    }
}

#[tokio::test]
async fn what_broke_off_never_looks_whole() {
    for how in 0..4 {
        let content = content(10);
        let (contents, mut filler) = Contents::filling(Some(100), ROOMY);
        let early = contents.reader(None).unwrap();
        let range = contents.reader(Some(5..50)).unwrap();
        let there = contents.reader(Some(2..10)).unwrap();
        filler.push(content.clone()).await.unwrap();
        break_off(filler, &contents, how).await;
        assert_eq!(
            all(early).await,
            (content.to_vec(), None, Err(Cut)),
            "{how}"
        );
        assert_eq!(all(range).await, (content[5..].to_vec(), None, Err(Cut)));
        assert_eq!(all(there).await, (content[2..].to_vec(), None, Ok(())));
        assert!(contents.has_failed() && !contents.is_whole());
        assert!(contents.at_hand().is_none() && contents.pieces().is_none());
        assert!(contents.reader(None).is_none() && contents.reader(Some(0..1)).is_none());
        assert_eq!(contents.memory(), 0, "nobody reads it any more");
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_that_was_not_announced_breaks_off() {
    let (contents, mut filler) = Contents::filling(None, ROOMY);
    let range = contents.reader(Some(50..150)).unwrap();
    let beyond = contents.reader(Some(150..160)).unwrap();
    filler.push(content(100)).await.unwrap();
    filler.finish(None, &stored(&contents)).await.unwrap();
    assert_eq!(all(range).await.2, Err(Cut));
    assert_eq!(all(beyond).await, (vec![], None, Err(Cut)));
}

#[tokio::test]
async fn a_fetch_goes_on_for_nobody_only_if_little_or_less_than_half_is_missing() {
    let mib = MIB as u64;
    // (announced, there when the last reader goes, worth going on)
    let cases = [
        (Some(10 * mib), 4 * mib, false),
        (Some(10 * mib), 5 * mib, false),
        (Some(10 * mib), 6 * mib, true),
        (Some(2 * mib), mib, true),
        (Some(mib), 1, true),
        (None, 6 * mib, false),
    ];
    for (expected, there, worth) in cases {
        let (contents, mut filler) = Contents::filling(expected, ROOMY);
        push_all(&mut filler, &content(there as usize), MIB).await;
        assert!(filler.should_go_on(), "nobody has read it yet: a refresh");
        let reader = contents.reader(None).unwrap();
        assert_eq!(filler.readers(), 1);
        let mut abandoned = Box::pin(filler.abandoned());
        let poll = |cx: &mut Context<'_>| Poll::Ready(abandoned.as_mut().poll(cx).is_ready());
        assert!(!poll_fn(poll).await);
        drop(abandoned);
        drop(reader);
        assert_eq!(filler.should_go_on(), worth, "{expected:?} {there}");
        if !worth {
            filler.abandoned().await;
            assert_eq!(filler.push(Bytes::new()).await, Err(Abandoned));
        }
    }
}

#[test]
fn a_reader_that_goes_on_another_thread_ends_a_fetch_from_a_silent_origin() {
    let (contents, filler) = Contents::filling(None, ROOMY);
    let reader = contents.reader(None).unwrap();
    let going = thread::spawn(move || drop(reader));
    worker(filler.abandoned());
    going.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However it is cut into pushes, whenever a reader begins, and whatever range it reads.
    #[test]
    fn any_range_of_any_pushes_is_the_same_bytes(
        pushes in prop::collection::vec(prop_oneof![1..20_usize, 1..5000_usize, 1..150_000_usize], 1..40),
        readers in prop::collection::vec((0.0..1.0, 0.0..1.0, 0..40_usize), 1..8),
        announced: bool,
    ) {
        let length = pushes.iter().sum::<usize>();
        let content = content(length);
        worker(async {
            let (contents, mut filler) = Contents::filling(announced.then_some(length as u64), ROOMY);
            let (mut begun, mut rest) = (Vec::new(), content.clone());
            let range = |&(a, b, _): &(f64, f64, usize)| {
                let at = |share: f64| (share * length as f64) as usize;
                at(a).min(at(b))..at(a).max(at(b))
            };
            for (step, push) in pushes.iter().enumerate() {
                for reader in readers.iter().filter(|reader| reader.2 == step) {
                    let range = range(reader);
                    let part = range.start as u64..range.end as u64;
                    begun.push((range, contents.reader(Some(part)).unwrap()));
                }
                filler.push(rest.split_to(*push)).await.unwrap();
            }
            filler.finish(None, &stored(&contents)).await.unwrap();
            for reader in readers.iter().map(range) {
                let part = reader.start as u64..reader.end as u64;
                begun.push((reader, contents.reader(Some(part)).unwrap()));
            }
            begun.push((0..length, contents.reader(None).unwrap()));
            for (range, reader) in begun {
                assert!(bytes(reader).await == content[range]);
            }
            let pieces = contents.pieces().unwrap();
            let most = length as u64 + (length as u64 / 2048 + 16) * PIECE_COST;
            assert!(pieces.concat() == content && contents.memory() <= most);
        });
    }
}
