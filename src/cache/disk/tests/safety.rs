//! Removal, purges, and whose directory it is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn digest(uri: &str) -> Digest {
    Key::new(uri, "").digest()
}

#[tokio::test]
async fn what_is_removed_is_not_given_out_from_that_moment_on() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    let uri = "https://a.example/";
    store(&disk, uri, &content(1, 1000)).await;
    disk.remove(&digest(uri), Realm::Network);
    assert!(disk.load(uri).await.is_empty());
    // What still waits to be written goes too.
    for _ in 0..50 {
        disk.save(head(uri), vec![content(2, 100_000)]);
        disk.remove(&digest(uri), Realm::Network);
        assert!(!disk.may_hold(&digest(uri)) && disk.load(uri).await.is_empty());
    }
    disk.flush().await;
    assert_eq!(objects(directory.path()), []);
    // What comes after it stays.
    store(&disk, uri, &content(3, 1000)).await;
    assert_eq!(fetch(&disk, uri).await.unwrap(), content(3, 1000));
}

#[tokio::test]
async fn a_look_up_that_a_removal_overtakes_gives_nothing() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    let uri = "https://a.example/";
    for round in 0..200 {
        store(&disk, uri, &content(round, 1000)).await;
        let removed = std::cell::Cell::new(false);
        let load = async {
            let found = disk.load(uri).await;
            // Where it was quicker than the removal, it may give something.
            found.is_empty() || !removed.get()
        };
        let remove = async {
            disk.remove(&digest(uri), Realm::Network);
            removed.set(true);
            disk.flush().await;
        };
        let (right, ()) = tokio::join!(load, remove);
        assert!(right, "round {round}");
    }
}

#[tokio::test]
async fn a_purge_holds_at_once_and_after_a_restart() {
    let tagged = |uri: &str, fields: &[(&str, &str)]| {
        let mut head = head(uri);
        head.headers = headers(fields);
        head
    };
    let heads = [
        tagged("https://a.example/1", &[]),
        tagged("https://a.example/1/2", &[("surrogate-key", "red green")]),
        tagged("https://b.example/", &[("cache-tag", "blue , green,")]),
        tagged("https://c.example/", &[("cache-tag", "greenish")]),
    ];
    let table = [
        (
            Ban::Uri("https://a.example/1".into()),
            [false, true, true, true],
        ),
        (
            Ban::Prefix("https://a.example/1".into()),
            [false, false, true, true],
        ),
        (Ban::Tag("green".into()), [true, false, false, true]),
        (Ban::Tag("Green".into()), [true, true, true, true]),
        (Ban::All, [false, false, false, false]),
    ];
    for (ban, expected) in table {
        let directory = directory();
        let mut disk = open(directory.path(), 8 * MIB);
        for head in &heads {
            assert!(disk.save(head.clone(), vec![content(1, 10)]));
        }
        disk.flush().await;
        disk.ban(ban.clone(), at(0)).await.unwrap();
        for restart in 0..3 {
            for (head, expected) in heads.iter().zip(expected) {
                let there = !disk.load(head.key.uri()).await.is_empty();
                assert_eq!(there, expected, "{ban:?} {} {restart}", head.key.uri());
            }
            disk = reopen(disk, directory.path(), 8 * MIB);
        }
        // Nobody has to ask for them to be removed.
        let left = expected.iter().filter(|expected| **expected).count();
        until(|| objects(directory.path()).len() == left).await;
        // What was received later is not meant; what was received before and comes late is.
        let mut late = heads[0].clone();
        late.key = Key::new("https://a.example/1", "late");
        assert!(disk.save(late, vec![]));
        let mut later = heads[0].clone();
        later.freshness = freshness(at(1));
        assert!(disk.save(later, vec![]));
        disk.flush().await;
        let found = disk.load("https://a.example/1").await;
        assert_eq!(found.len(), if expected[0] { 2 } else { 1 }, "{ban:?}");
    }
}

#[tokio::test]
async fn a_purge_reaches_what_is_being_written() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    let head = head("https://a.example/");
    let writer = disk
        .begin(&head.key, &head.vary, &head.headers, None)
        .unwrap();
    disk.ban(Ban::All, at(0)).await.unwrap();
    assert!(writer.finish(head).await.is_err());
    assert_eq!(objects(directory.path()), []);
}

#[tokio::test]
async fn bans_that_cannot_be_read_ban_everything() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    store(&disk, "https://a.example/", &content(1, 10)).await;
    disk.ban(Ban::Tag("x".into()), at(0)).await.unwrap();
    disk.close();
    drop(disk);
    fs::write(directory.path().join("bans"), "torn").unwrap();
    let disk = open(directory.path(), 8 * MIB);
    assert_eq!(fetch(&disk, "https://a.example/").await, None);
}

#[test]
fn bans_are_forgotten_when_they_are_swept_and_old() {
    let mut bans = bans::Bans::default();
    assert!(bans.add(Ban::All, at(0)) && bans.add(Ban::Prefix("a".into()), at(1)));
    let began = bans.last();
    assert!(bans.add(Ban::Tag("t".into()), at(2)));
    bans.swept(began, at(50));
    bans.forget(at(100));
    assert!(!bans.forgotten_since(0) && bans.unswept());
    bans.forget(at(700));
    assert!(bans.forgotten_since(0) && !bans.forgotten_since(began));
    assert!(!bans.holds("a", &HeaderMap::new(), at(0)));
    assert!(bans.holds("a", &headers(&[("cache-tag", "t")]), at(0)));
    let read = bans::Bans::decode(&bans.encode()).unwrap();
    assert!(read.holds("a", &headers(&[("cache-tag", "t")]), at(2)));
    assert!(!read.holds("a", &headers(&[("cache-tag", "t")]), at(3)));
}

/// Makes the folders of an object.
fn with_folders(path: PathBuf) -> PathBuf {
    let inner = path.parent().unwrap();
    for folder in [inner.parent().unwrap(), inner] {
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).unwrap();
    }
    path
}

#[tokio::test]
async fn foreign_files_stay_and_garbage_under_our_names_goes() {
    let directory = directory();
    let root = directory.path();
    let disk = open(root, 8 * MIB);
    store(&disk, "https://a.example/", &content(1, 10)).await;
    disk.close();
    drop(disk);
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "secret").unwrap();
    let ours = |uri: &str| with_folders(path_of(root, uri));
    let folder = path_of(root, "https://a.example/")
        .parent()
        .unwrap()
        .to_owned();
    let keep = [
        root.join("notes.txt"),
        folder.join("readme"),
        folder.join("0123-4567"),
        root.join("writing/notes.txt"),
    ];
    for path in &keep {
        fs::write(path, "keep").unwrap();
    }
    let mut other_version = fs::read(path_of(root, "https://a.example/")).unwrap();
    other_version[8] += 1;
    let go = [
        ours("https://a.example/garbage"),
        ours("https://a.example/version"),
        ours("https://a.example/empty"),
    ];
    for (path, bytes) in go.iter().zip([&[7; 5000][..], &other_version, &[]]) {
        fs::write(path, bytes).unwrap();
    }
    fs::write(root.join("writing/00000000000000aa"), "half").unwrap();
    let link = ours("https://a.example/link");
    symlink(outside.path(), &link).unwrap();
    let disk = open(root, 8 * MIB);
    assert_eq!(fetch(&disk, "https://a.example/link").await, None);
    until(|| go.iter().all(|path| !path.exists()) && disk.stats().entries == 1).await;
    assert_eq!(
        disk.stats().torn,
        4,
        "three of garbage, and the link that was asked for"
    );
    assert!(!root.join("writing/00000000000000aa").exists());
    assert!(keep.iter().all(|path| fs::read(path).unwrap() == b"keep"));
    assert_eq!(fs::read(outside.path()).unwrap(), b"secret");
    assert_eq!(
        fetch(&disk, "https://a.example/").await.unwrap(),
        content(1, 10)
    );
    assert!(!disk.stats().degraded);
}

#[tokio::test]
async fn files_are_for_this_user_alone() {
    let parent = directory();
    let root = parent.path().join("made/here");
    let disk = open(&root, 8 * MIB);
    store(&disk, "https://a.example/", &content(1, 10)).await;
    disk.ban(Ban::Tag("x".into()), at(0)).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for (path, _) in files(&root) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let folder = path.parent().unwrap();
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
}

#[test]
fn a_directory_of_others_or_in_use_is_refused() {
    let directory = directory();
    let path = directory.path();
    let disk = open(path, MIB);
    let fault = Disk::open(path, MIB).unwrap_err();
    assert!(
        fault.problem.contains("another process holds it"),
        "{fault}"
    );
    disk.close();
    drop(disk);
    for mode in [0o777, 0o720, 0o702] {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let fault = Disk::open(path, MIB).unwrap_err();
        assert!(fault.problem.contains("others may write"), "{fault}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(Disk::open(file.path(), MIB).is_err());
}

#[tokio::test]
async fn a_folder_that_others_may_write_to_is_not_used() {
    let directory = directory();
    let disk = open(directory.path(), MIB);
    let folder = path_of(directory.path(), "https://a.example/")
        .parent()
        .unwrap()
        .to_owned();
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(folder.parent().unwrap(), PermissionsExt::from_mode(0o700)).unwrap();
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    disk.save(head("https://a.example/"), vec![content(1, 10)]);
    disk.flush().await;
    assert!(disk.stats().degraded);
    assert_eq!(objects(directory.path()), []);
}
