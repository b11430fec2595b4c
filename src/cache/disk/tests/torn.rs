//! Whatever becomes of the files, no wrong byte is given out.

use std::fs;
use std::path::Path;

use super::*;

const URI: &str = "https://a.example/torn";

/// A store whose housekeeper will not look at its files by itself, so that it does not see them half damaged.
async fn looked_through(directory: &Path) -> Disk {
    let disk = open(directory, 8 * MIB);
    until(|| disk.shared().verified.load(Ordering::Acquire)).await;
    disk
}

/// Stores content afresh, damages its file, and sees that what is given out is right or nothing. Whether it was given out.
async fn survives(
    disk: &Disk,
    directory: &Path,
    bytes: &Bytes,
    what: &str,
    damage: impl FnOnce(&mut Vec<u8>),
) -> bool {
    store(disk, URI, bytes).await;
    let path = path_of(directory, URI);
    let mut file = fs::read(&path).unwrap();
    damage(&mut file);
    fs::write(&path, &file).unwrap();
    let torn = disk.stats().torn;
    let given = fetch(disk, URI).await;
    match &given {
        Some(given) => assert!(given == bytes, "{what}: wrong bytes"),
        None => {
            disk.flush().await;
            assert_eq!(disk.stats().torn, torn + 1, "{what}: not counted");
            assert!(!path.exists(), "{what}: not taken out");
            assert!(fetch(disk, URI).await.is_none());
        }
    }
    given.is_some()
}

/// Each place in a small object's file; of the zeros that fill up its slots, some.
fn telling(file: &[u8]) -> impl Iterator<Item = usize> {
    let content = content_starts(file);
    let layout = Layout::decode(file).unwrap();
    let (_, _, head) = layout.head(file).unwrap();
    let filled = layout.slot(0) as usize + 24 + head.len();
    (0..file.len()).filter(move |at| *at <= filled || *at + 1 >= content || at % 32 == 0)
}

fn content_starts(file: &[u8]) -> usize {
    Layout::decode(file).unwrap().content() as usize
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_small_object_is_found() {
    let directory = directory();
    let disk = looked_through(directory.path()).await;
    let bytes = content(1, 700);
    store(&disk, URI, &bytes).await;
    let file = fs::read(path_of(directory.path(), URI)).unwrap();
    let layout = Layout::decode(&file).unwrap();
    let (start, length) = layout
        .head(&file)
        .map(|(_, _, head)| (layout.slot(0) as usize, 24 + head.len()))
        .unwrap();
    for at in telling(&file) {
        let given = survives(
            &disk,
            directory.path(),
            &bytes,
            &format!("bit at {at}"),
            |file| file[at] ^= 1 << (at % 8),
        )
        .await;
        // What fills up slot A, and slot B that is not in use, are not read.
        let unread = at >= start + length && at < layout.content() as usize;
        assert_eq!(given, unread, "{at}");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_block_or_its_sum_is_found() {
    let directory = directory();
    let disk = looked_through(directory.path()).await;
    let bytes = content(2, 150_000);
    for block in 0..3 {
        for within in [0, 7, 8, 9, 5_000] {
            let what = format!("block {block} at {within}");
            let damage = |file: &mut Vec<u8>| {
                let at = content_starts(file) + block * layout::BLOCK + within;
                file[at] ^= 0x10;
            };
            assert!(
                !survives(&disk, directory.path(), &bytes, &what, damage).await,
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn a_torn_update_leaves_the_head_before_it() {
    let directory = directory();
    let disk = looked_through(directory.path()).await;
    let bytes = content(3, 100);
    store(&disk, URI, &bytes).await;
    let path = path_of(directory.path(), URI);
    let before = fs::read(&path).unwrap();
    let mut updated = head(URI);
    updated.headers.insert("x-new", HeaderValue::from(1));
    disk.update(updated.clone());
    disk.flush().await;
    let after = fs::read(&path).unwrap();
    let start = Layout::decode(&after).unwrap().slot(1) as usize;
    // The update is written up to each byte of it.
    for cut in start..content_starts(&after) {
        let mut file = before.clone();
        file[start..cut].copy_from_slice(&after[start..cut]);
        let whole = file == after;
        fs::write(&path, &file).unwrap();
        let found = disk.load(URI).await;
        assert_eq!(found.len(), 1, "{cut}");
        let expected = if whole {
            &updated.headers
        } else {
            &head(URI).headers
        };
        assert_eq!(found[0].head.headers, *expected, "{cut}");
        assert_eq!(read_all(&found[0].content).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_write_cut_at_any_length_is_a_miss() {
    let directory = directory();
    let disk = looked_through(directory.path()).await;
    let small = content(4, 700);
    store(&disk, URI, &small).await;
    let file = fs::read(path_of(directory.path(), URI)).unwrap();
    for cut in telling(&file) {
        let given = survives(
            &disk,
            directory.path(),
            &small,
            &format!("cut at {cut}"),
            |file| file.truncate(cut),
        )
        .await;
        assert!(!given, "{cut}");
        let zero = |file: &mut Vec<u8>| file[cut..].fill(0);
        survives(
            &disk,
            directory.path(),
            &small,
            &format!("zero from {cut}"),
            zero,
        )
        .await;
    }
}

#[tokio::test]
async fn a_large_write_cut_at_any_page_is_a_miss() {
    let directory = directory();
    let disk = looked_through(directory.path()).await;
    let large = content(5, 200_000);
    store(&disk, URI, &large).await;
    let file = fs::read(path_of(directory.path(), URI)).unwrap();
    let starts = content_starts(&file);
    let pages = (0..file.len()).step_by(4096);
    let around = [
        64,
        65,
        88,
        89,
        starts / 2,
        starts - 1,
        starts + 1,
        starts + 8,
        starts + 9,
        file.len() - 1,
    ];
    for cut in pages.chain(around) {
        let what = format!("at {cut}");
        assert!(
            !survives(&disk, directory.path(), &large, &what, |file| file
                .truncate(cut))
            .await,
            "{what}"
        );
        survives(&disk, directory.path(), &large, &what, |file| {
            file[cut..].fill(0)
        })
        .await;
        // One page alone was not written.
        let hole = |file: &mut Vec<u8>| {
            let end = (cut + 4096).min(file.len());
            file[cut..end].fill(0);
        };
        survives(&disk, directory.path(), &large, &what, hole).await;
    }
    let longer = |file: &mut Vec<u8>| file.push(0);
    assert!(!survives(&disk, directory.path(), &large, "longer", longer).await);
}

#[tokio::test]
async fn a_cut_write_is_a_miss_after_a_restart_too() {
    let directory = directory();
    let mut disk = open(directory.path(), 8 * MIB);
    let bytes = content(6, 100_000);
    for cut in [0, 63, 64, 500, 8192, 60_000, 90_000] {
        store(&disk, URI, &bytes).await;
        let path = path_of(directory.path(), URI);
        disk.close();
        drop(disk);
        let file = fs::read(&path).unwrap();
        fs::write(&path, &file[..cut]).unwrap();
        disk = open(directory.path(), 8 * MIB);
        assert_eq!(fetch(&disk, URI).await, None, "{cut}");
        // Nobody has to ask for it: the housekeeper finds it.
        until(|| !path.exists() && disk.stats().entries == 0).await;
    }
}

#[tokio::test]
async fn what_was_found_bad_does_not_take_out_what_was_written_since() {
    let directory = directory();
    let disk = looked_through(directory.path()).await;
    let (old, new) = (content(7, 700), content(8, 700));
    store(&disk, URI, &old).await;
    let (name, seen) = (head(URI).name(), disk.shared().published.now());
    store(&disk, URI, &new).await;
    // The housekeeper, say, was not let run between its look and what it says.
    disk.shared().torn(name, seen);
    disk.flush().await;
    assert_eq!(fetch(&disk, URI).await.as_deref(), Some(&*new));
    disk.shared().torn(name, disk.shared().published.now());
    disk.flush().await;
    assert_eq!(fetch(&disk, URI).await, None);
}

#[tokio::test]
async fn files_and_blocks_of_others_are_not_believed() {
    let directory = directory();
    let disk = looked_through(directory.path()).await;
    let (a, b) = ("https://a.example/1", "https://a.example/2");
    let block = |file: &[u8]| {
        let start = content_starts(file) + layout::BLOCK;
        start..start + layout::BLOCK
    };
    for whole_files in [true, false] {
        store(&disk, a, &content(1, 150_000)).await;
        store(&disk, b, &content(2, 150_000)).await;
        let paths = [a, b].map(|uri| path_of(directory.path(), uri));
        let mut files = paths.clone().map(|path| fs::read(path).unwrap());
        if whole_files {
            files.swap(0, 1);
        } else {
            let [first, second] = &mut files;
            let range = block(first);
            assert_eq!(range, block(second));
            first[range.clone()].swap_with_slice(&mut second[range]);
        }
        for (path, file) in paths.iter().zip(&files) {
            fs::write(path, file).unwrap();
        }
        for uri in [a, b] {
            assert_eq!(fetch(&disk, uri).await, None, "{uri} {whole_files}");
        }
    }
    // A block in another's place in the same file.
    store(&disk, a, &content(1, 200_000)).await;
    let path = path_of(directory.path(), a);
    let mut file = fs::read(&path).unwrap();
    let second = block(&file);
    file.copy_within(second.clone(), second.start - layout::BLOCK);
    fs::write(&path, file).unwrap();
    assert_eq!(fetch(&disk, a).await, None);
}

#[test]
fn no_head_makes_the_reader_allocate_or_panic() {
    let encoded = head(URI).encode(10).unwrap();
    assert!(Head::decode(&encoded).is_some());
    for at in 0..encoded.len() {
        assert!(Head::decode(&encoded[..at]).is_none());
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut hostile = encoded.clone();
            hostile[at] = byte;
            // Whatever it says; it says it without a panic.
            let _ = Head::decode(&hostile);
            let range = at..(at + 8).min(hostile.len());
            hostile[range].fill(byte);
            let _ = Head::decode(&hostile);
        }
    }
}
