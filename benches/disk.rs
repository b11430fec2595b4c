//! The disk tier of the cache: ten times its size goes through, half of it as it arrives, while some of it is read back; what its
//! files take is counted in pages of their lengths, which is what the bound is of, and as the file system does, which adds blocks of
//! its own to files that it lays down in many places. 10 GiB through 1 GiB, in a folder of the system's for temporary files, or
//! in another. `cargo bench --bench disk [-- FOLDER]`

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use egret::cache::disk::{Disk, Head};
use egret::cache::{Freshness, Key, Vary};
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;

const MIB: u64 = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs it too, to see that it runs.
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let folder = arguments
        .iter()
        .find(|argument| !argument.starts_with("--"))
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let bound = if is_bench { 1024 * MIB } else { 8 * MIB };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(stress(&folder, bound));
}

async fn stress(folder: &Path, bound: u64) {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let disk = Disk::open(folder.path(), bound).expect("an empty folder is taken");
    // Nothing is streamed into it before it has looked what is there.
    while disk.stats().warming {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let all = Objects::new(bound);
    let (mut through, mut looked, mut kept) = (0, 0, 0);
    let mut most = Taken::default();
    let began = Instant::now();
    for number in 0_usize.. {
        let content = all.content(number);
        through += content.len() as u64;
        put(&disk, number, content).await;
        if number % 16 == 15 {
            // One that was put a moment ago, and may have gone since.
            kept += usize::from(is_right(&disk, number - 7, &all).await);
        }
        if through - looked > bound / 64 {
            looked = through;
            // While files come and go, a walk may count one and also the one that took its room.
            disk.flush().await;
            most = most.max(occupied(folder.path()));
            assert!(most.pages <= bound, "the bound holds: {most:?}");
        }
        if through > 10 * bound {
            break;
        }
    }
    disk.flush().await;
    most = most.max(occupied(folder.path()));
    let (stats, took) = (disk.stats(), began.elapsed());
    eprintln!(
        "{} MiB through {} MiB in {took:.1?}: at most {:.2} MiB of files ({:.2} % of the bound), {:.2} MiB by the file system; \
         {} objects, {} evicted, {} not taken, {kept} read back, {} MiB resident",
        through / MIB,
        bound / MIB,
        most.pages as f64 / MIB as f64,
        most.pages as f64 / bound as f64 * 100.0,
        most.blocks as f64 / MIB as f64,
        stats.entries,
        stats.evictions,
        stats.dropped_writes,
        resident() / MIB,
    );
    assert!(most.pages <= bound, "the bound holds: {most:?}");
    assert!(most.blocks <= bound + bound / 256 + BESIDE, "{most:?}");
    assert!(most.pages * 10 > bound * 8, "it is made use of");
    assert_eq!(stats.errors, 0, "the disk did not fail");
    assert!(kept > 0, "something was read back");
}

/// Small ones at once, large ones as they arrive; each waits until there is room in the queue.
async fn put(disk: &Disk, number: usize, content: Bytes) {
    let head = head(number);
    if content.len() <= AT_ONCE {
        while !disk.save(head.clone(), vec![content.clone()]) {
            disk.flush().await;
        }
        return;
    }
    let expected = number.is_multiple_of(2).then_some(content.len() as u64);
    let writer = disk.begin(&head.key, &head.vary, &head.headers, expected);
    let mut writer = writer.expect("it fits");
    for piece in content.chunks(64 << 10) {
        let piece = content.slice_ref(piece);
        writer.write(piece).await.expect("the disk takes it");
    }
    writer.finish(head).await.expect("the disk takes it");
}

/// Whether it is still there; if so, it is as it was.
async fn is_right(disk: &Disk, number: usize, all: &Objects) -> bool {
    let found = disk.load(&uri(number)).await;
    let Some(found) = found.first() else {
        return false;
    };
    let expected = all.content(number);
    let mut at = 0;
    while at < expected.len() {
        let Ok(part) = found.content.read(at as u64, 256 << 10).await else {
            return false;
        };
        assert!(!part.is_empty(), "{number} is too short");
        let end = at + part.len();
        assert!(
            expected.get(at..end) == Some(&*part),
            "{number} has wrong bytes"
        );
        at = end;
    }
    true
}

/// What is put: each object is a stretch of the same bytes.
struct Objects {
    bytes: Bytes,
    largest: usize,
}

impl Objects {
    fn new(bound: u64) -> Self {
        let largest = LARGEST.min(bound as usize / 4);
        let byte = |at: usize| (at * 31 + (at >> 8) * 7) as u8;
        Self {
            bytes: (0..largest * 2).map(byte).collect(),
            largest,
        }
    }

    /// From a few hundred bytes to the largest, small ones by far the most.
    fn content(&self, number: usize) -> Bytes {
        let scatter = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let most = match number % 16 {
            0 => self.largest,
            1..4 => self.largest / 8,
            _ => 64 << 10,
        };
        let length = 200 + scatter % (most - 200);
        let begin = scatter % self.largest;
        self.bytes.slice(begin..begin + length)
    }
}

fn uri(number: usize) -> String {
    format!("https://www.example.com/objects/{number}")
}

fn head(number: usize) -> Head {
    let headers = HeaderMap::from_iter([
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (ETAG, HeaderValue::from_static("\"1\"")),
    ]);
    let now = Timestamp::now();
    Head {
        key: Key::new(uri(number), ""),
        vary: Vary::of(&headers, &HeaderMap::new()).expect("there is none"),
        status: StatusCode::OK,
        headers,
        freshness: Freshness::plain(now, Duration::ZERO, Duration::from_secs(3600)),
        guarded: false,
    }
}

/// What files take, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    /// Of pages that hold their lengths.
    pages: u64,
    /// As the file system counts.
    blocks: u64,
}

impl Taken {
    fn of(known: &Metadata) -> Self {
        Self {
            pages: known.len().next_multiple_of(4096),
            blocks: known.blocks() * 512,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            pages: self.pages + other.pages,
            blocks: self.blocks + other.blocks,
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            pages: self.pages.max(other.pages),
            blocks: self.blocks.max(other.blocks),
        }
    }
}

/// Of all files in a folder. What is evicted meanwhile may be gone.
fn occupied(folder: &Path) -> Taken {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let of = |path: PathBuf| match path.symlink_metadata() {
        Ok(known) if known.is_dir() => occupied(&path),
        Ok(known) => Taken::of(&known),
        Err(_) => Taken::default(),
    };
    let all = entries.map(|entry| of(entry.path()));
    all.fold(Taken::default(), Taken::and)
}

/// Bytes of this process, as Linux counts them; 0 elsewhere.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    line.unwrap_or(0) << 10
}

const LARGEST: usize = 8 << 20;
/// What is larger is written as it arrives.
const AT_ONCE: usize = 1 << 20;
/// What the file system takes for a few files, however small the bound is.
const BESIDE: u64 = 64 << 10;
