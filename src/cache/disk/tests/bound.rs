//! What the store takes, what it gives up for it, and what it does when the disk fails.

use std::fs;

use super::*;

fn taken(directory: &Path) -> u64 {
    files(directory)
        .iter()
        .filter(|(path, _)| !path.ends_with("lock") && !path.ends_with("bans"))
        .map(|(_, length)| length.next_multiple_of(4096))
        .sum()
}

#[tokio::test]
async fn ten_times_its_size_goes_through_and_the_bound_holds() {
    let directory = directory();
    let size = 2 * MIB;
    let disk = open(directory.path(), size);
    let mut written = 0;
    for round in 0u64.. {
        let length = (round * 7_919 % 100_000) as usize;
        let uri = format!("https://a.example/{}", round % 500);
        if round % 5 == 0 {
            let head = head(&uri);
            let mut writer = disk
                .begin(&head.key, &head.vary, &head.headers, None)
                .unwrap();
            for piece in content(round, length).chunks(30_000) {
                writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
                assert!(taken(directory.path()) <= size);
            }
            writer.finish(head).await.unwrap();
        } else {
            store(&disk, &uri, &content(round, length)).await;
        }
        assert!(disk.stats().bytes <= size);
        assert!(taken(directory.path()) <= size, "round {round}");
        assert_eq!(fetch(&disk, &uri).await.unwrap(), content(round, length));
        written += length as u64;
        if written > 10 * size {
            break;
        }
    }
    let stats = disk.stats();
    assert_eq!(stats.bytes, taken(directory.path()));
    assert_eq!(stats.entries, objects(directory.path()).len() as u64);
    assert!(
        stats.evictions > 100 && stats.bytes > size * 8 / 10,
        "{stats:?}"
    );
    // With less room than is taken.
    disk.set_size(MIB);
    disk.flush().await;
    assert!(taken(directory.path()) <= MIB);
    let disk = reopen(disk, directory.path(), MIB / 2);
    until(|| !disk.stats().warming && taken(directory.path()) <= MIB / 2).await;
}

#[tokio::test]
async fn what_takes_more_than_half_is_not_stored() {
    let directory = directory();
    let disk = open(directory.path(), MIB);
    let head = head("https://a.example/");
    assert!(!disk.save(head.clone(), vec![content(1, 600_000)]));
    assert!(
        disk.begin(&head.key, &head.vary, &head.headers, Some(600_000))
            .is_none()
    );
    let mut writer = disk
        .begin(&head.key, &head.vary, &head.headers, None)
        .unwrap();
    let error = writer.write(content(1, 600_000)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    drop(writer);
    disk.flush().await;
    let stats = disk.stats();
    assert_eq!(
        (stats.bytes, stats.degraded, taken(directory.path())),
        (0, false, 0)
    );
}

#[tokio::test]
async fn what_is_used_often_outlives_a_scan() {
    let directory = directory();
    let disk = open(directory.path(), 2 * MIB);
    let often: Vec<String> = (0..5)
        .map(|n| format!("https://a.example/often/{n}"))
        .collect();
    for uri in &often {
        store(&disk, uri, &content(1, 50_000)).await;
        fetch(&disk, uri).await.unwrap();
    }
    for round in 0..400 {
        store(
            &disk,
            &format!("https://a.example/once/{round}"),
            &content(round, 50_000),
        )
        .await;
        if round % 20 == 0 {
            for uri in &often {
                assert!(fetch(&disk, uri).await.is_some(), "{uri} in round {round}");
            }
        }
    }
    assert!(disk.stats().evictions > 300);
}

#[tokio::test]
async fn after_a_restart_what_was_written_first_goes_first() {
    let directory = directory();
    let mut disk = open(directory.path(), MIB);
    let uri = |n: u64| format!("https://a.example/{n}");
    for n in 0..15 {
        store(&disk, &uri(n), &content(n, 60_000)).await;
        let file = fs::File::options()
            .append(true)
            .open(path_of(directory.path(), &uri(n)))
            .unwrap();
        let written = std::time::SystemTime::now() - Duration::from_secs(1000 - n * 7 % 15);
        file.set_modified(written).unwrap();
    }
    disk = reopen(disk, directory.path(), MIB / 2);
    disk.flush().await;
    for n in 0..15 {
        let kept = fetch(&disk, &uri(n)).await.is_some();
        assert_eq!(kept, n * 7 % 15 >= 7, "{n}");
    }
}

#[tokio::test]
async fn loads_while_others_evict_are_right_or_nothing() {
    let directory = directory();
    let disk = open(directory.path(), MIB);
    let uri = |n: u64| format!("https://a.example/{}", n % 40);
    let length = |n: u64| 1_000 + (n % 40) as usize * 4_000;
    // What is asked for first is there, however slow the disk is.
    store(&disk, &uri(0), &content(0, length(0))).await;
    let writes = async {
        for n in 0..800 {
            disk.save(head(&uri(n * 7)), vec![content(n * 7 % 40, length(n * 7))]);
            if n % 16 == 0 {
                disk.flush().await;
            }
        }
    };
    let reads = async |from: u64| {
        let mut hits = 0;
        for n in from..from + 800 {
            if let Some(given) = disk.load(&uri(n)).await.first() {
                // What is open stays readable when it is evicted.
                assert_eq!(
                    read_all(&given.content).await.unwrap(),
                    content(n % 40, length(n))
                );
                hits += 1;
            }
        }
        hits
    };
    let ((), a, b, c) = tokio::join!(writes, reads(0), reads(13), reads(29));
    assert!(a + b + c > 0);
    assert_eq!((disk.stats().torn, disk.stats().errors), (0, 0));
}

#[tokio::test]
async fn a_failing_disk_is_warned_of_once_and_used_again_when_it_is_well() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    store(&disk, "https://a.example/before", &content(1, 100_000)).await;
    let writing = directory.path().join("writing");
    fs::remove_dir(&writing).unwrap();
    fs::write(&writing, "in the way").unwrap();
    for n in 0..20 {
        disk.save(
            head(&format!("https://a.example/{n}")),
            vec![content(n, 1000)],
        );
        disk.flush().await;
    }
    let head = head("https://a.example/");
    assert!(
        disk.begin(&head.key, &head.vary, &head.headers, None)
            .is_none()
    );
    let stats = disk.stats();
    assert!(stats.degraded);
    assert_eq!(
        (stats.warnings, stats.dropped_writes, stats.entries),
        (1, 20, 1)
    );
    // What is there can still be read, and removed.
    assert_eq!(
        fetch(&disk, "https://a.example/before").await.unwrap(),
        content(1, 100_000)
    );
    disk.remove(
        &Key::new("https://a.example/before", "").digest(),
        Realm::Network,
    );
    assert_eq!(fetch(&disk, "https://a.example/before").await, None);
    fs::remove_file(&writing).unwrap();
    until(|| !disk.stats().degraded).await;
    store(&disk, "https://a.example/after", &content(2, 100_000)).await;
    assert_eq!(
        fetch(&disk, "https://a.example/after").await.unwrap(),
        content(2, 100_000)
    );
    assert_eq!(disk.stats().warnings, 1);
}

#[tokio::test]
async fn a_writer_tells_that_the_disk_failed_and_leaves_nothing() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    let head = head("https://a.example/");
    let mut writer = disk
        .begin(&head.key, &head.vary, &head.headers, None)
        .unwrap();
    let writing = directory.path().join("writing");
    fs::remove_dir(&writing).unwrap();
    fs::write(&writing, "in the way").unwrap();
    assert!(writer.write(content(1, 100_000)).await.is_err());
    assert!(writer.write(content(1, 1)).await.is_err());
    assert!(disk.stats().degraded);
    fs::remove_file(&writing).unwrap();
    drop(writer);
    disk.flush().await;
    assert_eq!(disk.stats().bytes, 0);
}

#[tokio::test]
async fn a_directory_that_someone_emptied_is_filled_again() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    store(&disk, "https://a.example/", &content(1, 1000)).await;
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    assert_eq!(fetch(&disk, "https://a.example/").await, None);
    store(&disk, "https://a.example/", &content(2, 1000)).await;
    assert_eq!(
        fetch(&disk, "https://a.example/").await.unwrap(),
        content(2, 1000)
    );
    assert!(!disk.stats().degraded);
}

#[test]
fn the_index_counts_what_it_holds() {
    let mut index = index::Index::new(64);
    let name = |n: u64| Name {
        uri: key::digest(&[&(n / 3).to_le_bytes()]),
        variant: key::digest(&[&n.to_le_bytes()]),
    };
    let (mut held, mut state) = (std::collections::HashMap::new(), 1u64);
    for _ in 0..5_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (n, what, pages) = (
            state >> 40 & 0xff,
            state >> 60,
            (state >> 50 & 7) as u32 + 1,
        );
        match what {
            0..=5 => {
                assert_eq!(index.insert(name(n), pages), None);
                held.insert(n, pages);
            }
            6..=8 => assert_eq!(index.remove(&name(n)), held.remove(&n).is_some()),
            9..=11 => index.touch(&name(n)),
            _ => {
                let Some(victim) = index.victim(1 << 20) else {
                    continue;
                };
                index.evicted(&victim);
                assert!(held.extract_if(|n, _| name(*n) == victim).count() == 1);
            }
        }
        let pages: u32 = held.values().sum();
        assert_eq!(
            (index.len(), index.bytes()),
            (held.len(), u64::from(pages) * 4096)
        );
    }
    let mut walked = 0;
    let mut from = 0;
    while let Some((names, next)) = index.walk(from, 10) {
        walked += names.len();
        from = next;
    }
    assert_eq!(walked, held.len());
}
