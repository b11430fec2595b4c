//! Objects that are written as they arrive.

use super::*;

#[tokio::test]
async fn readers_follow_a_writer_and_stay_good_when_it_is_done() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    let bytes = content(3, 300_000);
    let head = head("https://a.example/big");
    let mut writer = disk
        .begin(&head.key, &head.vary, &head.headers, Some(300_000))
        .unwrap();
    let reader = writer.reader();
    for (index, piece) in bytes.chunks(7_001).enumerate() {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        let so_far = (7_001 * index + piece.len()).min(bytes.len());
        assert_eq!(reader.length(), so_far as u64);
        let some = reader.read(so_far as u64 / 2, 1_000_000).await.unwrap();
        assert!(!some.is_empty() && bytes[so_far / 2..so_far].starts_with(&some));
    }
    assert_eq!(read_all(&reader).await.unwrap(), bytes);
    assert_eq!(fetch(&disk, "https://a.example/big").await, None);
    let done = writer.finish(head).await.unwrap();
    for content in [&done, &reader] {
        assert_eq!(read_all(content).await.unwrap(), bytes);
    }
    let disk = {
        drop((done, reader));
        reopen(disk, directory.path(), 8 * MIB)
    };
    assert_eq!(fetch(&disk, "https://a.example/big").await.unwrap(), bytes);
}

#[tokio::test]
async fn what_arrives_is_stored_whatever_its_length() {
    let directory = directory();
    let disk = open(directory.path(), 16 * MIB);
    for length in [0, 1, 65_527, 65_528, 65_529, 131_056, 500_000] {
        let uri = format!("https://a.example/{length}");
        let (head, bytes) = (head(&uri), content(7, length));
        let mut writer = disk
            .begin(&head.key, &head.vary, &head.headers, None)
            .unwrap();
        writer.write(bytes.clone()).await.unwrap();
        let done = writer.finish(head).await.unwrap();
        assert_eq!(read_all(&done).await.unwrap(), bytes, "{length}");
        assert_eq!(fetch(&disk, &uri).await.unwrap(), bytes, "{length}");
    }
    let real: u64 = objects(directory.path())
        .iter()
        .map(|(_, length)| length.next_multiple_of(4096))
        .sum();
    assert_eq!(disk.stats().bytes, real);
}

#[tokio::test]
async fn a_writer_that_is_dropped_or_cut_short_leaves_nothing() {
    let directory = directory();
    let disk = open(directory.path(), 8 * MIB);
    let head = head("https://a.example/");
    for cut_short in [false, true] {
        let mut writer = disk
            .begin(&head.key, &head.vary, &head.headers, Some(200_000))
            .unwrap();
        let reader = writer.reader();
        writer.write(content(1, 150_000)).await.unwrap();
        if cut_short {
            let error = writer.finish(head.clone()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        } else {
            let too_much = writer.write(content(1, 50_001)).await.unwrap_err();
            assert_eq!(too_much.kind(), io::ErrorKind::InvalidInput);
            drop(writer);
        }
        disk.flush().await;
        assert_eq!(disk.stats().bytes, 0);
        let left = files(directory.path());
        assert!(
            left.iter().all(|(path, _)| path.ends_with("lock")),
            "{left:?}"
        );
        assert_eq!(read_all(&reader).await.unwrap(), content(1, 150_000));
    }
}
