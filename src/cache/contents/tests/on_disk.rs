//! What is too long for memory, with a disk.

use tempfile::TempDir;

use super::*;
use crate::cache::Realm;
use crate::cache::disk::{Disk, Writer};

const SMALL: Limits = Limits {
    in_memory: 256 << 10,
    largest: 64 << 20,
};

/// A directory that only this user may write to, whatever the umask is, and a store in it that is ready.
async fn disk(size: u64) -> (TempDir, Disk) {
    let directory = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(directory.path(), mode).unwrap();
    let disk = Disk::open(directory.path(), size).unwrap();
    while disk.stats().warming {
        tokio::task::yield_now().await;
    }
    (directory, disk)
}

fn writer(disk: &Disk, contents: &Contents, expected: Option<u64>) -> Writer {
    let of = stored(contents);
    disk.begin(&of.key, &of.vary, &of.headers, expected)
        .unwrap()
}

#[tokio::test]
async fn what_is_too_long_for_memory_is_read_from_disk_by_who_is_behind() {
    let content = content(8 * MIB + 11);
    let length = content.len() as u64;
    for expected in [None, Some(length)] {
        let (_directory, disk) = disk(64 << 20).await;
        let (contents, mut filler) = Contents::filling(expected, SMALL);
        filler.spill_to(writer(&disk, &contents, expected));
        let early = contents.reader(None).unwrap();
        let mut peak = 0;
        for piece in content.slice(..6 * MIB).chunks(40_000) {
            filler.push(Bytes::copy_from_slice(piece)).await.unwrap();
            peak = peak.max(contents.memory());
        }
        assert!(filler.is_spilling() && contents.is_on_disk() && !contents.is_whole());
        // The window, a push, and a piece that is in part before the window.
        let most = WINDOW + 2 * 64 * KIB as u64 + 64 * PIECE_COST;
        assert!(peak <= most, "{peak} of {most}");
        let late = contents.reader(None).unwrap();
        let range = contents.reader(Some(100_000..7_000_000)).unwrap();
        let recent = contents.reader(Some(6_000_000..6_000_010)).unwrap();
        assert_eq!(bytes(recent).await, content[6_000_000..6_000_010]);
        let filling = async {
            push_all(&mut filler, &content.slice(6 * MIB..), 30_000).await;
            filler
                .finish(Some(trailers()), &stored(&contents))
                .await
                .unwrap();
        };
        let ((), early, late, range) = tokio::join!(filling, all(early), all(late), bytes(range));
        assert!(early == (content.to_vec(), Some(trailers()), Ok(())));
        assert!(late == early && range == content[100_000..7_000_000]);
        assert!(contents.is_whole() && contents.is_on_disk());
        assert_eq!((contents.memory(), contents.length()), (0, Some(length)));
        assert!(bytes(contents.reader(None).unwrap()).await == content);
        let range = contents.reader(Some(65_000..200_000)).unwrap();
        assert!(bytes(range).await == content[65_000..200_000]);
        assert_eq!(disk.load("http://a.example/").await.len(), 1);
    }
}

#[tokio::test]
async fn a_slow_reader_goes_on_when_the_object_was_evicted_after_it_came() {
    let content = content(2 * MIB);
    let (_directory, disk) = disk(64 << 20).await;
    let (contents, mut filler) = Contents::filling(None, SMALL);
    filler.spill_to(writer(&disk, &contents, None));
    let mut slow = contents.reader(None).unwrap();
    push_all(&mut filler, &content, 64 * KIB).await;
    let first = data(&mut slow).await;
    filler.finish(None, &stored(&contents)).await.unwrap();
    disk.remove(&Key::new("http://a.example/", "").digest(), Realm::Network);
    disk.flush().await;
    let rest = bytes(slow).await;
    assert!([&first[..], &rest].concat() == content);
}

#[tokio::test]
async fn what_broke_off_is_not_on_disk() {
    let content = content(2 * MIB);
    let (_directory, disk) = disk(64 << 20).await;
    for finish in [false, true] {
        let expected = Some(3 * MIB as u64);
        let (contents, mut filler) = Contents::filling(expected, SMALL);
        filler.spill_to(writer(&disk, &contents, expected));
        let early = contents.reader(None).unwrap();
        push_all(&mut filler, &content, 64 * KIB).await;
        if finish {
            let end = filler.finish(None, &stored(&contents)).await;
            assert_eq!(end, Err(Abandoned));
        } else {
            drop(filler);
        }
        let (_, _, end) = all(early).await;
        assert_eq!(end, Err(Cut));
        assert!(contents.has_failed() && !contents.is_whole() && contents.reader(None).is_none());
        disk.flush().await;
        assert!(disk.load("http://a.example/").await.is_empty());
    }
}

#[tokio::test]
async fn a_disk_that_does_not_take_it_lets_it_pass() {
    let content = content(6 * MIB);
    // An object takes at most half of the store.
    let (_directory, disk) = disk(4 << 20).await;
    let (contents, mut filler) = Contents::filling(None, SMALL);
    filler.spill_to(writer(&disk, &contents, None));
    let reader = contents.reader(None).unwrap();
    let filling = async {
        push_all(&mut filler, &content, 50_000).await;
        assert!(filler.is_passing());
        let end = filler.finish(None, &stored(&contents)).await;
        assert_eq!(end, Err(Abandoned));
    };
    let ((), got) = tokio::join!(filling, bytes(reader));
    assert!(got == content);
    assert!(contents.reader(None).is_none());
    disk.flush().await;
    assert!(disk.load("http://a.example/").await.is_empty());
}

#[tokio::test]
async fn a_writer_is_asked_for_when_it_is_needed_and_not_before() {
    let (_directory, disk) = disk(256 << 20).await;
    let limit = SMALL.in_memory;
    // (announced, there, to come, needed)
    let cases = [
        (None, 0, limit, false),
        (None, 0, limit + 1, true),
        (None, limit, 1, true),
        (Some(limit), 0, 1, false),
        (Some(limit + 1), 0, 1, true),
        (Some(SMALL.largest), 0, 1, true),
        (Some(SMALL.largest + 1), 0, 1, false),
    ];
    for (expected, there, more, needed) in cases {
        let (contents, mut filler) = Contents::filling(expected, SMALL);
        push_all(&mut filler, &content(there as usize), 64 * KIB).await;
        assert_eq!(
            filler.needs_disk(more),
            needed,
            "{expected:?} {there} {more}"
        );
        if needed {
            filler.spill_to(writer(&disk, &contents, expected));
            assert!(!filler.needs_disk(more));
        }
    }
}
