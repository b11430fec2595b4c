//! What is too large to be stored: those who read it already have it, and nobody waits for ever.

use tokio::time::{Instant, advance, timeout};

use super::*;

const SMALL: Limits = Limits {
    in_memory: 256 << 10,
    largest: 64 << 20,
};

/// A content that has begun to pass, with its first readers.
async fn passing(content: &Bytes, readers: usize) -> (Contents, Filler, Vec<Reader>) {
    let (contents, mut filler) = Contents::filling(Some(content.len() as u64), SMALL);
    let readers = (0..readers)
        .map(|_| contents.reader(None).unwrap())
        .collect();
    push_all(&mut filler, &content.slice(..512 * KIB), 64 * KIB).await;
    assert!(filler.is_passing() && contents.reader(None).is_none());
    (contents, filler, readers)
}

/// Whether a push that could go on does so.
async fn goes_on(filler: &mut Filler, piece: Bytes) -> bool {
    let mut push = Box::pin(filler.push(piece));
    poll_fn(|cx| Poll::Ready(push.as_mut().poll(cx).is_ready())).await
}

#[test]
fn memory_is_bounded_while_it_passes() {
    let content = content(16 * MIB);
    worker(async {
        let (contents, mut filler, readers) = passing(&content, 3).await;
        let most = WINDOW + 64 * KIB as u64 + 64 * PIECE_COST;
        let mut peak = 0;
        let filling = async {
            for piece in content.slice(512 * KIB..).chunks(40_000) {
                filler.push(Bytes::copy_from_slice(piece)).await.unwrap();
                peak = peak.max(contents.memory());
                tokio::task::yield_now().await;
            }
            let end = filler.finish(Some(trailers()), &stored(&contents)).await;
            assert_eq!(end, Err(Abandoned), "it is not stored");
        };
        let mut readers = readers.into_iter();
        let (mut one, two, three) = (readers.next(), readers.next(), readers.next());
        let one = async {
            let mut got = Vec::new();
            while let Some(frame) = frame(one.as_mut().unwrap()).await {
                // Slower than the others.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                if let Ok(data) = frame.unwrap().into_data() {
                    got.extend_from_slice(&data);
                }
            }
            got
        };
        let ((), one, two, three) =
            tokio::join!(filling, one, all(two.unwrap()), all(three.unwrap()));
        assert!(one == content);
        for (bytes, end, whole) in [two, three] {
            assert!(bytes == content && end == Some(trailers()) && whole == Ok(()));
        }
        assert!(peak <= most, "{peak} of {most}");
        assert!(!contents.is_whole() && contents.reader(None).is_none());
    });
}

#[test]
fn readers_on_any_thread_read_what_passes() {
    let content = content(8 * MIB + 3);
    let (contents, mut filler, readers) = worker(passing(&content, 3));
    let threads: Vec<_> = readers
        .into_iter()
        .map(|reader| {
            let content = content.clone();
            std::thread::spawn(move || assert!(worker(bytes(reader)) == content))
        })
        .collect();
    worker(async {
        push_all(&mut filler, &content.slice(512 * KIB..), 10_007).await;
        let _ = filler.finish(None, &stored(&contents)).await;
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(contents.memory(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_slowest_reader_and_not_for_one_who_has_gone() {
    let content = content(16 * MIB);
    let (contents, mut filler, mut readers) = passing(&content, 2).await;
    filler.push(content.slice(512 * KIB..MIB)).await.unwrap();
    push_all(&mut filler, &content.slice(MIB..MIB + 64 * KIB), 64 * KIB).await;
    let next = content.slice(MIB + 64 * KIB..MIB + 128 * KIB);
    let mut push = Box::pin(filler.push(next.clone()));
    let ready = poll_fn(|cx| Poll::Ready(push.as_mut().poll(cx).is_ready())).await;
    assert!(!ready, "one is more than a window behind");
    let (mut slow, gone) = (readers.remove(0), readers.remove(0));
    data(&mut slow).await;
    data(&mut slow).await;
    drop(gone);
    timeout(Duration::from_millis(1), push)
        .await
        .unwrap()
        .unwrap();
    // When the last one goes, it ends.
    drop(slow);
    assert_eq!(filler.push(next).await, Err(Abandoned));
    assert_eq!(contents.memory(), 0);
    assert!(!filler.should_go_on());
    filler.abandoned().await;
}

#[tokio::test(start_paused = true)]
async fn a_stalled_reader_is_cut_when_it_has_held_back_another_for_too_long() {
    let content = content(16 * MIB);
    let (_contents, mut filler, mut readers) = passing(&content, 2).await;
    filler.patience = Duration::from_secs(7);
    let (stalled, fast) = (readers.remove(0), readers.remove(0));
    let begun = Instant::now();
    let filling = async {
        push_all(&mut filler, &content.slice(512 * KIB..), 64 * KIB).await;
        let _ = filler.finish(None, &stored(&_contents)).await;
    };
    let ((), fast) = tokio::join!(filling, bytes(fast));
    assert!(fast == content);
    let waited = begun.elapsed();
    assert!(
        waited >= Duration::from_secs(7) && waited < Duration::from_secs(9),
        "{waited:?}"
    );
    assert_eq!(all(stalled).await, (vec![], None, Err(Cut)));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_holds_back_nobody_may_take_as_long_as_it_likes() {
    let content = content(4 * MIB);
    let (contents, mut filler, mut readers) = passing(&content, 1).await;
    filler.patience = Duration::from_secs(7);
    let mut slow = readers.remove(0);
    let filling = async {
        push_all(&mut filler, &content.slice(512 * KIB..), 64 * KIB).await;
        let _ = filler.finish(None, &stored(&contents)).await;
    };
    let reading = async {
        let mut got = Vec::new();
        while let Some(frame) = frame(&mut slow).await {
            got.extend_from_slice(frame.unwrap().data_ref().unwrap());
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        got
    };
    let ((), got) = tokio::join!(filling, reading);
    assert!(got == content);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_takes_a_window_in_each_patience_is_not_cut() {
    let content = content(8 * MIB);
    let (contents, mut filler, mut readers) = passing(&content, 2).await;
    filler.patience = Duration::from_secs(16);
    let (mut slow, fast) = (readers.remove(0), readers.remove(0));
    let filling = async {
        push_all(&mut filler, &content.slice(512 * KIB..), 64 * KIB).await;
        let _ = filler.finish(None, &stored(&contents)).await;
    };
    let reading = async {
        let mut got = Vec::new();
        while let Some(frame) = frame(&mut slow).await {
            got.extend_from_slice(frame.unwrap().data_ref().unwrap());
            // 64 KiB in a second is a window in 16.
            tokio::time::sleep(Duration::from_millis(990)).await;
        }
        got
    };
    let ((), got, fast) = tokio::join!(filling, reading, bytes(fast));
    assert!(got == content && fast == content);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_was_dropped_in_the_middle_is_never_made_good() {
    let content = content(16 * MIB);
    let (contents, mut filler, readers) = passing(&content, 1).await;
    push_all(
        &mut filler,
        &content.slice(512 * KIB..MIB + 64 * KIB),
        64 * KIB,
    )
    .await;
    assert!(!goes_on(&mut filler, content.slice(..64 * KIB)).await);
    advance(Duration::from_secs(60)).await;
    assert_eq!(filler.push(content.slice(..1)).await, Err(Abandoned));
    assert_eq!(
        filler.finish(None, &stored(&contents)).await,
        Err(Abandoned)
    );
    for reader in readers {
        assert_eq!(all(reader).await.2, Err(Cut));
    }
    assert!(contents.has_failed());
}

#[tokio::test]
async fn what_is_larger_than_may_be_stored_passes_as_soon_as_it_is_too_long_for_memory() {
    let limits = Limits {
        in_memory: 100,
        largest: 50,
    };
    for (pushed, passes) in [(50, false), (51, true)] {
        let (contents, mut filler) = Contents::filling(None, limits);
        let reader = contents.reader(None).unwrap();
        filler.push(content(pushed)).await.unwrap();
        assert_eq!(filler.is_passing(), passes, "{pushed}");
        let end = filler.finish(None, &stored(&contents)).await;
        assert_eq!(end.is_ok(), !passes);
        assert_eq!(bytes(reader).await, content(pushed));
    }
}
