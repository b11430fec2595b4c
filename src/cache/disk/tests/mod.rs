//! What the store promises, over real files. Helpers, and what it does when all is well; `arriving`, `bound`, `leaving`, `safety` and `torn` have the rest.

mod arriving;
mod bound;
mod leaving;
mod safety;
mod torn;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::cache::{Freshness, key};

const MIB: u64 = 1 << 20;

/// A directory that only this user may write to, whatever the umask is.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(directory.path(), mode).unwrap();
    directory
}

fn open(directory: &Path, size: u64) -> Disk {
    Disk::open_probing(directory, size, Duration::from_millis(20)).unwrap()
}

fn reopen(disk: Disk, directory: &Path, size: u64) -> Disk {
    disk.close();
    drop(disk);
    open(directory, size)
}

fn at(second: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + second, 5_000_000).unwrap()
}

fn freshness(received: Timestamp) -> Freshness {
    let (age, lifetime) = (Duration::from_millis(1500), Duration::from_secs(60));
    Freshness {
        requested: at(-1),
        stale_if_error: Duration::from_secs(5),
        must_revalidate: true,
        ..Freshness::plain(received, age, lifetime)
    }
}

fn head(uri: &str) -> Head {
    Head {
        key: Key::new(uri, ""),
        vary: vary("-"),
        status: StatusCode::OK,
        headers: headers(&[("etag", "\"1\""), ("x-twice", "a"), ("x-twice", "b")]),
        freshness: freshness(at(0)),
        guarded: true,
    }
}

fn vary(value: &str) -> Vary {
    Vary {
        names: [HeaderName::from_static("accept")].into(),
        values: key::digest(&[value.as_bytes()]),
    }
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Bytes that look like no other content's.
fn content(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

async fn store(disk: &Disk, uri: &str, bytes: &Bytes) {
    assert!(
        disk.save(head(uri), vec![bytes.clone()]),
        "{uri} is not taken"
    );
    disk.flush().await;
}

async fn read_all(content: &OnDisk) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let part = content.read(all.len() as u64, 100_000).await?;
        if part.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&part);
    }
}

/// What is given out of a URI that is stored once: nothing, or all of its content.
async fn fetch(disk: &Disk, uri: &str) -> Option<Vec<u8>> {
    let found = disk.load(uri).await;
    assert!(found.len() <= 1, "{uri} is there more than once");
    read_all(&found.first()?.content).await.ok()
}

async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap();
}

/// All files below a directory, with their sizes.
fn files(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path, metadata.len()));
        }
    }
    found
}

fn objects(directory: &Path) -> Vec<(PathBuf, u64)> {
    let is_object =
        |path: &Path| Name::parse(path.file_name().unwrap().to_str().unwrap()).is_some();
    let mut found = files(directory);
    found.retain(|(path, _)| is_object(path));
    found
}

/// Where an object lies.
fn path_of(directory: &Path, uri: &str) -> PathBuf {
    let name = head(uri).name().text();
    let (outer, inner) = (&name[..1], &name[1..3]);
    directory.join(outer).join(inner).join(&name)
}

#[tokio::test]
async fn a_restart_finds_everything_whole() {
    let directory = directory();
    let mut disk = open(directory.path(), 64 * MIB);
    let lengths = [
        0, 1, 1000, 65_527, 65_528, 65_529, 65_536, 131_056, 131_057, 1_000_000,
    ];
    for (seed, length) in lengths.into_iter().enumerate() {
        let bytes = content(seed as u64, length);
        // In uneven pieces.
        let middle = length / 3;
        let pieces = vec![bytes.slice(..middle), Bytes::new(), bytes.slice(middle..)];
        assert!(disk.save(head(&format!("https://a.example/{seed}")), pieces));
    }
    for restart in 0..3 {
        for (seed, length) in lengths.into_iter().enumerate() {
            let uri = format!("https://a.example/{seed}");
            let expected = content(seed as u64, length);
            if restart > 0 {
                assert!(disk.may_hold(&Key::new(&*uri, "").digest()));
            } else {
                disk.flush().await;
            }
            let found = disk.load(&uri).await;
            let [found] = found.as_slice() else {
                panic!("{uri}: {found:?}")
            };
            assert_eq!(found.content.length(), length as u64);
            assert_eq!(
                found.content.small().is_some(),
                length <= 65_536,
                "{length}"
            );
            assert_eq!(
                read_all(&found.content).await.unwrap(),
                expected,
                "{length}"
            );
            assert_eq!(
                read_all(&found.content.aside()).await.unwrap(),
                expected,
                "{length}"
            );
            assert_eq!(found.head.headers, head(&uri).headers);
            assert_eq!(found.head.key, head(&uri).key);
            assert_eq!(found.head.vary, head(&uri).vary);
            assert_eq!(found.head.freshness, head(&uri).freshness);
        }
        disk = reopen(disk, directory.path(), 64 * MIB);
    }
    until(|| !disk.stats().warming).await;
    assert_eq!(disk.stats().entries, lengths.len() as u64);
    assert_eq!(disk.stats().torn, 0);
    assert!(!disk.may_hold(&Key::new("https://a.example/other", "").digest()));
}

#[tokio::test]
async fn parts_are_read_from_any_offset() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    let bytes = content(1, 200_000);
    store(&disk, "https://a.example/", &bytes).await;
    let found = disk.load("https://a.example/").await;
    for (offset, most) in [
        (0, 1),
        (65_527, 10),
        (65_528, 65_528),
        (199_999, 5),
        (100, 0),
        (200_000, 5),
        (u64::MAX, 9),
    ] {
        let part = found[0].content.read(offset, most).await.unwrap();
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        assert!(bytes[start..].starts_with(&part), "{offset}");
        assert_eq!(
            part.is_empty(),
            most == 0 || start == bytes.len(),
            "{offset} {most}"
        );
        assert!(part.len() <= most);
    }
}

#[tokio::test]
async fn what_was_put_aside_holds_no_file_and_is_a_miss_when_it_is_replaced() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    let open_files = |disk: &Disk| disk.shared().open_files();
    let uri = "https://a.example/";
    store(&disk, uri, &content(1, 200_000)).await;
    let found = disk.load(uri).await.remove(0).content;
    let kept = found.aside();
    assert_eq!(open_files(&disk), 1);
    drop(found);
    assert_eq!(open_files(&disk), 0);
    let reading = kept.clone();
    let begun = reading.read(0, 10).await.unwrap();
    assert_eq!((begun, open_files(&disk)), (content(1, 10), 1));
    store(&disk, uri, &content(2, 200_000)).await;
    assert_eq!(read_all(&reading).await.unwrap(), content(1, 200_000));
    drop(reading);
    assert_eq!(open_files(&disk), 0);
    let error = kept.clone().read(0, 10).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(fetch(&disk, uri).await.unwrap(), content(2, 200_000));
}

#[tokio::test]
async fn variants_stand_side_by_side_and_the_newest_comes_first() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    for (variant, second) in [("html", 5), ("json", 9), ("text", 7)] {
        let mut head = head("https://a.example/");
        head.vary = vary(variant);
        head.freshness = freshness(at(second));
        assert!(disk.save(head, vec![content(second as u64, 10)]));
    }
    disk.flush().await;
    let disk = reopen(disk, directory.path(), 8 * MIB);
    let found = disk.load("https://a.example/").await;
    let order: Vec<_> = found.iter().map(|found| found.head.vary.clone()).collect();
    assert_eq!(order, [vary("json"), vary("text"), vary("html")]);
    disk.remove_stored(&found[0].head.key, &found[0].head.vary);
    disk.flush().await;
    assert_eq!(disk.load("https://a.example/").await.len(), 2);
}

#[tokio::test]
async fn a_uri_has_no_more_variants_than_its_list_may_have() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    for variant in 0..200 {
        let mut head = head("https://a.example/");
        head.vary = vary(&variant.to_string());
        assert!(disk.save(head, vec![]));
    }
    disk.flush().await;
    assert!(disk.load("https://a.example/").await.len() <= index::MOST_VARIANTS);
    assert!(objects(directory.path()).len() <= index::MOST_VARIANTS);
}

#[tokio::test]
async fn an_update_changes_the_head_and_keeps_the_content() {
    let directory = directory();
    let mut disk = open(directory.path(), 8 * MIB);
    let bytes = content(1, 100_000);
    store(&disk, "https://a.example/", &bytes).await;
    for round in 0..5 {
        let mut head = head("https://a.example/");
        head.headers.insert("x-round", HeaderValue::from(round));
        head.freshness = freshness(at(round));
        disk.update(head);
        if round % 2 == 0 {
            disk = reopen(disk, directory.path(), 8 * MIB);
        }
        disk.flush().await;
        let found = disk.load("https://a.example/").await;
        assert_eq!(found[0].head.headers["x-round"], HeaderValue::from(round));
        assert_eq!(found[0].head.freshness, freshness(at(round)));
        assert_eq!(read_all(&found[0].content).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn an_update_that_is_not_of_the_content_or_does_not_fit_removes_it() {
    let long = "x".repeat(20_000);
    for fields in [
        &[("etag", "\"2\"")][..],
        &[("last-modified", "Sat, 01 Jan 2000 00:00:00 GMT")],
        &[("etag", "\"1\""), ("content-length", "99")],
        &[("etag", "\"1\""), ("x-long", &long)],
        &[],
    ] {
        let directory = directory();
        let disk = open(directory.path(), 8 * MIB);
        store(&disk, "https://a.example/", &content(1, 100)).await;
        let mut head = head("https://a.example/");
        head.headers = headers(fields);
        disk.update(head);
        disk.flush().await;
        assert!(
            disk.load("https://a.example/").await.is_empty(),
            "{fields:?}"
        );
        assert_eq!(objects(directory.path()), [], "{fields:?}");
    }
}
