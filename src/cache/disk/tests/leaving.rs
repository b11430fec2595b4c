//! One process leaves the directory, and another takes it over.

use super::*;

fn follow(directory: &Path) -> Arc<DiskTier> {
    DiskTier::open(directory, 8 * MIB, true).unwrap()
}

fn begin(disk: &Disk, uri: &str) -> (Head, Writer) {
    let head = head(uri);
    let writer = disk.begin(&head.key, &head.vary, &head.headers, None);
    (head, writer.unwrap())
}

async fn taken_over(tier: &DiskTier) -> &Disk {
    until(|| tier.get().is_some()).await;
    let disk = tier.get().unwrap();
    until(|| !disk.stats().warming).await;
    disk
}

#[tokio::test]
async fn who_follows_has_all_that_was_written_as_soon_as_the_directory_is_left() {
    let directory = directory();
    let old = open(directory.path(), 8 * MIB);
    let tier = follow(directory.path());
    // Written, and only waiting to be.
    store(&old, "https://a.example/1", &content(1, 70_000)).await;
    assert!(old.save(head("https://a.example/2"), vec![content(2, 1000)]));
    assert!(tier.get().is_none(), "it is another's still");
    old.leave();
    let new = taken_over(&tier).await;
    for (number, length) in [(1, 70_000), (2, 1000)] {
        let uri = format!("https://a.example/{number}");
        assert_eq!(fetch(new, &uri).await.unwrap(), content(number, length));
        assert_eq!(fetch(&old, &uri).await, None, "it is not the old one's");
    }
    assert!(!old.save(head("https://a.example/3"), vec![content(3, 10)]));
    let (key, vary) = (Key::new("https://a.example/1", ""), vary("-"));
    old.remove_stored(&key, &vary);
    old.remove(&key.digest(), Realm::Network);
    old.set_size(0);
    assert!(old.ban(Ban::All, at(1)).await.is_err());
    old.flush().await;
    assert!(fetch(new, "https://a.example/1").await.is_some());
    assert_eq!(new.stats().entries, 2);
}

#[tokio::test]
async fn without_one_that_goes_before_a_directory_in_use_is_a_fault() {
    let directory = directory();
    let _disk = open(directory.path(), 8 * MIB);
    let fault = DiskTier::open(directory.path(), 8 * MIB, false).unwrap_err();
    assert!(fault.problem.contains("another process holds it"));
}

#[tokio::test]
async fn what_became_obsolete_while_the_directory_was_anothers_is_never_given_out() {
    let directory = directory();
    let old = open(directory.path(), 8 * MIB);
    for number in 1..=5 {
        let uri = format!("https://a.example/{number}");
        store(&old, &uri, &content(number, 100)).await;
    }
    let tier = follow(directory.path());
    assert!(tier.or_note("https://a.example/1").is_none());
    let purged = Ban::Prefix("https://a.example/2".into());
    assert!(tier.or_note_ban(&purged, Timestamp::now()).is_none());
    tier.set_size(4 * MIB);
    old.leave();
    let new = taken_over(&tier).await;
    assert_eq!(new.stats().bound, 4 * MIB);
    for (number, is_there) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
        let found = fetch(new, &format!("https://a.example/{number}")).await;
        assert_eq!(found.is_some(), is_there, "{number}");
    }
    // What holds after a crash was written down.
    new.flush().await;
    new.close();
    drop((old, tier));
    let new = open(directory.path(), 8 * MIB);
    assert_eq!(fetch(&new, "https://a.example/2").await, None);
}

#[tokio::test]
async fn what_is_under_way_as_the_directory_is_left_comes_to_its_end_and_harms_nobody() {
    let directory = directory();
    let old = open(directory.path(), 8 * MIB);
    let large = content(1, 400_000);
    store(&old, "https://a.example/large", &large).await;
    let found = old.load("https://a.example/large").await.remove(0);
    let arriving = content(2, 500_000);
    let (head_of_one, mut one) = begin(&old, "https://a.example/one");
    let (_, mut other) = begin(&old, "https://a.example/other");
    let (head_of_late, mut late) = begin(&old, "https://a.example/late");
    one.write(arriving.slice(..200_000)).await.unwrap();
    other.write(arriving.slice(..200_000)).await.unwrap();
    let reader = one.reader();

    let tier = follow(directory.path());
    old.leave();
    let new = taken_over(&tier).await;
    // It evicts what is being read there, and writes files of its own beside those of the old one.
    new.remove(
        &Key::new("https://a.example/large", "").digest(),
        Realm::Network,
    );
    new.flush().await;
    let mut own = Vec::new();
    for number in 0..4 {
        let (head, mut writer) = begin(new, &format!("https://a.example/own/{number}"));
        writer.write(content(number, 100_000)).await.unwrap();
        own.push((head, writer));
    }
    one.write(arriving.slice(200_000..)).await.unwrap();
    late.write(arriving.clone()).await.unwrap();
    drop(other);
    let done = [
        one.finish(head_of_one).await.unwrap(),
        late.finish(head_of_late).await.unwrap(),
    ];
    for content in done.iter().chain([&reader]) {
        assert_eq!(read_all(content).await.unwrap(), arriving);
    }
    assert_eq!(read_all(&found.content).await.unwrap(), large);
    for (head, writer) in own {
        writer.finish(head).await.unwrap();
    }
    old.flush().await;
    new.flush().await;
    for number in 0..4 {
        let uri = format!("https://a.example/own/{number}");
        assert_eq!(fetch(new, &uri).await.unwrap(), content(number, 100_000));
    }
    for uri in ["https://a.example/one", "https://a.example/late"] {
        assert_eq!(fetch(new, uri).await, None, "{uri} is nobody's");
    }
    assert_eq!(objects(directory.path()).len(), 4);
    let writing = directory.path().join("writing");
    assert_eq!(fs::read_dir(writing).unwrap().count(), 0);
    assert_eq!(new.stats().torn, 0);
    assert!(!old.stats().degraded);
}

#[tokio::test]
async fn what_could_not_be_removed_is_not_given_to_who_follows() {
    let directory = directory();
    let old = open(directory.path(), 8 * MIB);
    store(&old, "https://a.example/1", &content(1, 100)).await;
    let key = Key::new("https://a.example/1", "");
    // As if the disk had failed.
    old.shared().remove(key.digest(), None);
    old.flush().await;
    store(&old, "https://a.example/1", &content(1, 100)).await;
    old.shared().remove(key.digest(), None);
    old.shared().removal_ended(&key.digest(), false);
    let tier = follow(directory.path());
    old.leave();
    let new = taken_over(&tier).await;
    assert_eq!(fetch(new, "https://a.example/1").await, None);
}

#[tokio::test]
async fn what_was_purged_is_not_given_to_who_follows_though_it_could_not_be_written_down() {
    let directory = directory();
    let old = open(directory.path(), 8 * MIB);
    store(&old, "https://a.example/1", &content(1, 100)).await;
    // As if the disk had failed: no file can be made.
    let writing = directory.path().join("writing");
    fs::remove_dir_all(&writing).unwrap();
    fs::write(&writing, "").unwrap();
    let purged = Ban::Uri("https://a.example/1".into());
    assert!(old.ban(purged, Timestamp::now()).await.is_err());
    old.leave();
    until(|| old.shared().has_left()).await;
    fs::remove_file(&writing).unwrap();
    let tier = follow(directory.path());
    let new = taken_over(&tier).await;
    assert_eq!(fetch(new, "https://a.example/1").await, None);
}
