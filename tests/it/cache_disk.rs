//! The cache's disk tier from outside: what is there after a restart and after `kill -9`, how much it takes, and that a disk which
//! fails stops nobody. Whatever is served, from wherever, is compared byte by byte with what belongs to its URL.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Config, Egret, Origin, Response, Wire, get, said, until};

const KILLS: usize = 200;
/// That ask while it is killed.
const CLIENTS: usize = 4;
/// At the edges of pages, blocks and pieces, of what is kept as one, and of what memory takes.
const SIZES: [usize; 12] = [
    1,
    100,
    4095,
    4096,
    20_000,
    65_535,
    65_536,
    65_537,
    200_000,
    524_289,
    1 << 20,
    3 << 20,
];

/// Any content is a stretch of this.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..1 << 19).flat_map(|_| next().to_le_bytes()).collect()
});

/// What belongs to `/SIZE/NUMBER`, followed by anything that says how it is sent.
pub(crate) fn content(path: &str) -> &'static [u8] {
    let mut words = path.split('/').skip(1);
    let mut number = || words.next().and_then(|word| word.parse::<usize>().ok());
    let (size, number) = (number().unwrap(), number().unwrap());
    let begin = number * 7919 % (BYTES.len() - size);
    &BYTES[begin..begin + size]
}

/// Answers `/SIZE/NUMBER` with a length, `/SIZE/NUMBER/chunked` without; both may be stored for long.
fn origin() -> Origin {
    Origin::http(|request| {
        let path = request.path();
        let body = content(path);
        let fields = format!(
            "Cache-Control: max-age=86400\r\nContent-Location: {path}\r\nCache-Tag: n{}\r\n",
            path.split('/').nth(2).unwrap_or_default(),
        );
        let mut answer = format!("HTTP/1.1 200 OK\r\n{fields}").into_bytes();
        if !path.ends_with("chunked") {
            answer.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            answer.extend(body);
            return answer;
        }
        answer.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in body.chunks(50_000) {
            answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
            answer.extend(chunk);
            answer.extend(b"\r\n");
        }
        answer.extend(b"0\r\n\r\n");
        answer
    })
}

/// A folder for the cache, which outlives the process.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("cache-").tempdir().unwrap()
}

fn config(folder: &TempDir, size: &str) -> Config {
    let path = folder.path().join("cache");
    Config::loopback().more(&format!(
        "[cache]\nmemory = \"1MiB\"\ndisk = {{ path = {path:?}, size = \"{size}\" }}"
    ))
}

fn ask(egret: &Egret, origin: &Origin, path: &str) -> Response {
    let response = egret.ask(&get(&origin.url(path), ""));
    assert_eq!(response.status, 200, "{}", response.head);
    assert!(response.body == content(path), "{path} has wrong bytes");
    response
}

pub(crate) fn is_hit(response: &Response) -> bool {
    let status = response.header("cache-status").unwrap_or_default();
    status.contains("; hit")
}

/// How many are on disk, and nothing waits to be written.
pub(crate) fn wait_stored(egret: &Egret, entries: usize) {
    until("what is to be written", || {
        let disk = &egret.status()["cache"]["disk"];
        disk["entries"] == entries && disk["warming"] == false
    });
}

#[test]
fn a_restart_finds_what_was_stored_and_asks_no_origin() {
    let (origin, folder) = (origin(), folder());
    let paths: Vec<String> = SIZES
        .iter()
        .enumerate()
        .map(|(number, size)| {
            let form = if number % 2 == 0 { "" } else { "/chunked" };
            format!("/{size}/{number}{form}")
        })
        .collect();
    let egret = Egret::start(&config(&folder, "64MiB"));
    for path in &paths {
        // One after the other: what arrives in one go may be more than waits to be written at a time.
        assert!(!is_hit(&ask(&egret, &origin, path)), "{path}");
    }
    wait_stored(&egret, paths.len());
    assert!(egret.stop().success());
    let asked = origin.requests().len();
    let egret = Egret::start(&config(&folder, "64MiB"));
    wait_stored(&egret, paths.len());
    for path in &paths {
        let response = ask(&egret, &origin, path);
        assert!(is_hit(&response), "{path}: {}", response.head);
        assert_eq!(response.header("content-location"), Some(&**path));
    }
    assert_eq!(origin.requests().len(), asked);
}

#[test]
fn a_purge_says_whether_anything_was_there() {
    let (origin, folder) = (origin(), folder());
    let egret = Egret::start(&config(&folder, "64MiB"));
    let settled = || egret.status()["cache"]["disk"]["warming"] == false;
    until("the index", settled);
    let purge = |words: &[&str]| {
        let output = egret.command(&[&["cache", "purge"], words].concat());
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let (one, other) = (origin.url("/1000/1"), origin.url("/1000/2"));
    for words in [
        &[&*one][..],
        &["--prefix", &one],
        &["--tag", "n1"],
        &["--all"],
    ] {
        let told = purge(words);
        assert!(told.starts_with("nothing stored for "), "{words:?}: {told}");
    }
    ask(&egret, &origin, "/1000/1");
    wait_stored(&egret, 1);
    // What is on its way to the disk may be anything.
    let nothing = || purge(&[&other]).starts_with("nothing stored for ");
    until("all that is on its way is there", nothing);
    let told = purge(&[&one]);
    assert!(told.contains("on disk is not used any more"), "{told}");
}

#[test]
fn a_purge_holds_after_kill_9() {
    let (origin, folder) = (origin(), folder());
    let kept = "/3000/4";
    let purged = ["/1000/1", "/2000/2", "/2000/22/chunked", "/700000/3"];
    let egret = Egret::start(&config(&folder, "64MiB"));
    for path in purged.iter().chain([&kept]) {
        ask(&egret, &origin, path);
    }
    wait_stored(&egret, 5);
    drop(egret);

    // The one that purges has nothing in memory, and is killed as soon as it has said that it did.
    let egret = Egret::start(&config(&folder, "64MiB"));
    let url = origin.url("/1000/1");
    let prefix = origin.url("/2000/");
    for words in [
        &["cache", "purge", &url][..],
        &["cache", "purge", "--prefix", &prefix],
        &["cache", "purge", "--tag", "n3"],
    ] {
        let output = egret.command(words);
        assert!(output.status.success(), "{}", said(&output));
    }
    egret.signal(Signal::KILL);
    drop(egret);

    let egret = Egret::start(&config(&folder, "64MiB"));
    for path in purged {
        assert!(!is_hit(&ask(&egret, &origin, path)), "{path} came back");
    }
    until("the index", || {
        egret.status()["cache"]["disk"]["warming"] == false
    });
    assert!(is_hit(&ask(&egret, &origin, kept)), "{kept} went too");
}

/// What one client of the loop saw.
#[derive(Default)]
struct Seen {
    answers: AtomicUsize,
    hits: AtomicUsize,
    cut: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

/// Asks, and compares each byte as it comes, also of an answer that is cut.
fn fetch(wire: &mut Wire, origin: &Origin, path: &str, seen: &Seen) -> io::Result<()> {
    let expected = content(path);
    let wrong = |what: String| {
        seen.wrong.lock().unwrap().push(format!("{path}: {what}"));
        Err(io::ErrorKind::InvalidData.into())
    };
    wire.try_send(get(&origin.url(path), "").as_bytes())?;
    let head = wire.try_head()?;
    let fields: HashMap<String, String> = head
        .split("\r\n")
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let field = |name: &str| fields.get(name).map(String::as_str);
    if !head.starts_with("HTTP/1.1 200 ") || field("content-location") != Some(path) {
        return wrong(head);
    }
    let mut at = 0;
    let mut take = |part: &[u8]| {
        let fits = expected.get(at..at + part.len()) == Some(part);
        at += part.len();
        fits
    };
    if let Some(length) = field("content-length") {
        if length.parse() != Ok(expected.len()) {
            return wrong(head);
        }
        let mut left = expected.len();
        while left > 0 {
            let part = wire.try_some()?;
            if part.len() > left || !take(&part) {
                return wrong(format!("other bytes, {left} before the end; {head}"));
            }
            left -= part.len();
        }
    } else {
        loop {
            let chunk = wire.try_chunk()?;
            if chunk.is_empty() {
                wire.try_until(b"\r\n")?;
                break;
            }
            if !take(&chunk) {
                return wrong(format!("other bytes; {head}"));
            }
        }
        if at != expected.len() {
            return wrong(format!("it ends after {at} bytes; {head}"));
        }
    }
    seen.answers.fetch_add(1, Ordering::Relaxed);
    if field("cache-status").is_some_and(|status| status.contains("; hit")) {
        seen.hits.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn has_files(folder: &Path) -> bool {
    folder
        .read_dir()
        .is_ok_and(|mut files| files.next().is_some())
}

/// What a client asks for: two new ones, then one that was asked for a little while ago, by another client.
fn path_of(round: usize, step: usize, client: usize) -> String {
    let new = round * 8 + step * 2 / 3;
    let is_new = step % 3 < 2;
    let number = if is_new { new } else { new.saturating_sub(9) };
    let number = number * CLIENTS + (client + step) % CLIENTS;
    let size = SIZES[number * 7 % SIZES.len()];
    let form = if number.is_multiple_of(3) {
        "/chunked"
    } else {
        ""
    };
    format!("/{size}/{number}{form}")
}

#[test]
fn killed_while_it_writes_two_hundred_times_it_serves_no_wrong_byte() {
    let (origin, folder) = (origin(), folder());
    // About a third of what is asked for: files are evicted and written over all the time.
    let config = config(&folder, "16MiB");
    let writing = folder.path().join("cache/writing");
    let seen = Seen::default();
    let mut torn_files = 0;
    for round in 0..KILLS {
        let egret = Egret::start(&config);
        let wires: Vec<Wire> = (0..CLIENTS).map(|_| egret.connect()).collect();
        let killed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for (client, mut wire) in wires.into_iter().enumerate() {
                let (origin, seen, killed) = (&origin, &seen, &killed);
                scope.spawn(move || {
                    for step in 0.. {
                        let path = path_of(round, step, client);
                        if fetch(&mut wire, origin, &path, seen).is_err() {
                            if killed.load(Ordering::SeqCst) == 0 {
                                seen.cut.fetch_add(1, Ordering::Relaxed);
                            }
                            return;
                        }
                    }
                });
            }
            if round % 2 == 0 {
                // Whenever: from before the first answer to after some dozens.
                thread::park_timeout(Duration::from_micros(round as u64 * 7919 % 100_000));
            } else {
                // In the middle of a write, however fast the machine is.
                until("a file that is being written", || has_files(&writing));
            }
            killed.store(1, Ordering::SeqCst);
            egret.signal(Signal::KILL);
        });
        drop(egret);
        torn_files += usize::from(has_files(&writing));
    }
    let wrong = seen.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let [answers, hits, cut] =
        [&seen.answers, &seen.hits, &seen.cut].map(|n| n.load(Ordering::Relaxed));
    eprintln!(
        "{answers} answers, {hits} of them from the cache; {torn_files} kills left files half written"
    );
    assert_eq!(cut, 0, "answers were cut by a proxy that was alive");
    assert!(
        hits > KILLS,
        "{hits} of {answers} answers came from the cache"
    );
    assert!(
        torn_files > KILLS / 10,
        "{torn_files} kills came in the middle of a write"
    );
}

#[test]
fn a_disk_that_fails_is_warned_of_once_and_stops_nobody() {
    let (origin, folder) = (origin(), folder());
    let egret = Egret::start(&config(&folder, "64MiB"));
    ask(&egret, &origin, "/1000/0");
    wait_stored(&egret, 1);
    // A file where the folder was: nothing can be opened there, by whomever.
    let cache = folder.path().join("cache");
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::write(&cache, "").unwrap();
    for number in 1..20 {
        // Of all sizes, those too that only go to disk.
        let path = format!("/{}/{number}", SIZES[number % SIZES.len()]);
        ask(&egret, &origin, &path);
    }
    until("that the disk is given up", || {
        egret.status()["cache"]["disk"]["degraded"] == true
    });
    for number in 20..40 {
        ask(&egret, &origin, &format!("/900000/{number}/chunked"));
        ask(&egret, &origin, &format!("/1000/{number}"));
        let again = ask(&egret, &origin, &format!("/1000/{number}"));
        assert!(is_hit(&again), "memory serves: {}", again.head);
    }
    let log = egret.log();
    assert_eq!(log.matches("disk cache cannot be used").count(), 1, "{log}");
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(egret.stop().success());
}

/// Bytes that files take in a folder, as the file system counts them; folders themselves do not count.
fn occupied(folder: &Path) -> u64 {
    let Ok(entries) = folder.read_dir() else {
        return 0;
    };
    let of = |entry: io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        // It may have been evicted since.
        let known = path.symlink_metadata().ok()?;
        Some(if known.is_dir() {
            occupied(&path)
        } else {
            known.blocks() * 512
        })
    };
    entries.filter_map(of).sum()
}

/// The same, once two walks in a row agree: during one, a file may be renamed or make room for another, and both are counted.
fn settled(folder: &Path) -> u64 {
    let mut now = occupied(folder);
    until("that the disk is left alone", || {
        let before = std::mem::replace(&mut now, occupied(folder));
        before == now
    });
    now
}

#[test]
fn ten_times_its_size_goes_through_a_disk_that_stays_bounded() {
    const BOUND: u64 = 4 << 20;
    let (origin, folder) = (origin(), folder());
    let egret = Egret::start(&config(&folder, "4MiB"));
    let (mut through, mut most, mut number) = (0, 0, 0);
    while through < 10 * BOUND {
        let path = match number % 8 {
            // Some come while they are written.
            0 => format!("/800000/{number}"),
            1 => format!("/700000/{number}/chunked"),
            _ => format!("/{}/{number}", 100 + number * 6151 % 200_000),
        };
        through += ask(&egret, &origin, &path).body.len() as u64;
        most = most.max(settled(folder.path()));
        number += 1;
    }
    assert!(most <= BOUND + (64 << 10), "{most} of {BOUND}");
    assert!(
        most > BOUND / 2,
        "{most} of {BOUND}: the disk is not in use"
    );
    let disk = &egret.status()["cache"]["disk"];
    assert!(disk["bytes"].as_u64() <= Some(BOUND), "{disk}");
    assert_eq!(disk["errors"], 0, "{disk}");
}
