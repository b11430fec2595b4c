//! The disk tier of the cache: bounded, survives restart and kill, never gives out a torn or a wrong byte.
//! Not which responses are stored or may be used (storable, reuse), nor what is kept in memory.
//! Start at [`Disk`]; an object's file stands in `layout`, the threads are `read`, `write` and `house`.
//!
//! A store of our own: one file for each object, an index in memory. Four threads read, one changes, one keeps house; workers hand
//! them jobs and never wait for the disk but in an `await`. Nothing is synced for an object: each block and each head bears a
//! checksum, so that what a crash leaves half written is found out when it is read, and is a miss. (XXH3 with a secret number for
//! each file: 64 bits, several times faster than a disk; CRC32C has too few bits for so many blocks, BLAKE3 guards against who
//! may write to the directory, and they could as well change the sums.) The bound counts files in pages of 4 KiB, those being
//! written too, before they are written: it is never exceeded by that count. Not counted: the up to 4112 folders, the file of the
//! bans, and what the file system needs to find the parts of a file that it lays down in many places (on ext4 a page for more than
//! four: 0.06 % of a GiB were seen). What is evicted while someone reads it is freed when they are done.
//!
//! Engines weighed, and why not. *foyer*: evicts by regions, an entry must fit a region and be in memory as a whole to be written and
//! read (streaming reads and an object store are asked for upstream, not there), and what does not fit its buffers is dropped in
//! silence. *cacache*: streams and verifies, but has no bound and no eviction, appends to its index for ever, and hands blocks out
//! before the digest of the whole is known. *redb* as index: one more file that must agree with the others, a sync for each commit or
//! a loss of the last ones, where the names of the files are an index already. *sled*: has been in beta for years, uses more
//! space than it holds. What would change our mind: many millions of objects of a few hundred bytes, for which a file
//! each is too much (then a log of segments, as foyer has), or a foyer that streams.

mod bans;
mod bytes;
mod content;
mod head;
mod house;
mod index;
mod layout;
mod leave;
mod name;
mod object;
mod place;
mod published;
mod queue;
mod read;
mod shared;
#[cfg(test)]
mod tests;
mod tier;
mod write;
mod writer;

pub use bans::Ban;
pub use content::OnDisk;
pub use head::Head;
pub use tier::DiskTier;
pub use writer::Writer;

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ::bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use tokio::sync::oneshot;

use self::layout::Layout;
use self::name::Name;
use self::place::Place;
use self::queue::lock;
use self::read::{Loaded, Read};
use self::shared::{Shared, WAITING};
use self::write::Change;
use super::{Digest, Key, Realm, Vary};
use crate::fault::Fault;

/// A cache directory in use. Clones share it; it is given back when the last of them is dropped, and the last [`OnDisk`] and
/// [`Writer`] of it.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What was found of a URI.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its head.
    pub head: Head,
    /// Its content.
    pub content: OnDisk,
}

/// How a store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Objects.
    pub entries: u64,
    /// Bytes they take, and those that are being written.
    pub bytes: u64,
    /// Bytes they may take.
    pub bound: u64,
    /// The directory is still being looked through.
    pub warming: bool,
    /// The disk failed: nothing is written.
    pub degraded: bool,
    /// Objects written.
    pub writes: u64,
    /// Objects not written: too many were waiting, they were too large, purged, or the disk failed.
    pub dropped_writes: u64,
    /// Heads and blocks read.
    pub reads: u64,
    /// Objects that were taken out because they were not whole, or of another version.
    pub torn: u64,
    /// Errors of the disk.
    pub errors: u64,
    /// Objects evicted.
    pub evictions: u64,
    /// How often the disk was given up; as often was it warned of.
    pub warnings: u64,
}

/// What a thread does until the store is closed.
type Job = fn(&Arc<Shared>);

const READERS: usize = 4;
/// Look-ups that wait at a time; more are misses.
const MOST_LOADS: usize = 4096;
/// A look-up that takes longer is a miss.
const LOAD_LIMIT: Duration = Duration::from_secs(2);
const PROBE: Duration = Duration::from_secs(10);

impl Disk {
    /// Takes hold of a directory, which is made if it is not there, and starts to look what is in it. `size`: bytes it may take.
    /// Faults: others may write to the directory, another process holds it, it cannot be made.
    pub fn open(path: &Path, size: u64) -> Result<Self, Fault> {
        Self::open_probing(path, size, PROBE)
    }

    fn open_probing(path: &Path, size: u64, probe: Duration) -> Result<Self, Fault> {
        Self::try_open(path, size, probe)?.ok_or_else(|| Place::held(path))
    }

    /// The same; `None` where another process holds the directory.
    fn try_open(path: &Path, size: u64, probe: Duration) -> Result<Option<Self>, Fault> {
        let Some(shared) = Shared::open(path, size, probe)? else {
            return Ok(None);
        };
        let disk = Self(Arc::new(Handle {
            shared: Arc::new(shared),
            threads: Mutex::default(),
        }));
        let jobs: [(&str, usize, Job); 3] = [
            ("disk-write", 1, write::run),
            ("disk-read", READERS, read::run),
            ("disk-house", 1, house::run),
        ];
        for (name, count, run) in jobs {
            for _ in 0..count {
                let shared = disk.shared().clone();
                let thread = thread::Builder::new()
                    .name(name.into())
                    .spawn(move || run(&shared))
                    .map_err(|error| {
                        Fault::new(
                            format!("no thread for the disk cache: {error}"),
                            "allow the process more threads",
                        )
                    })?;
                lock(&disk.0.threads).push(thread);
            }
        }
        Ok(Some(disk))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Whether there may be something of a URI ([`Key::digest`]). Looks in memory alone.
    pub fn may_hold(&self, uri: &Digest) -> bool {
        let shared = self.shared();
        let is_usable = !shared.is_unreadable() && !shared.is_leaving();
        is_usable && shared.may_be_indexed(uri) && !shared.is_removed(uri)
    }

    /// All that is stored of a URI, the newest first: its variants, and those of other extras. Nothing if the disk fails or takes
    /// more than two seconds. Cancel-safe.
    pub async fn load(&self, uri: &str) -> Vec<Found> {
        let digest = Key::new(uri, "").digest();
        if !self.may_hold(&digest) {
            return Vec::new();
        }
        let shared = self.shared();
        let removals = shared.removals(&digest);
        let (reply, answer) = oneshot::channel();
        let read = Read::Load {
            uri: uri.into(),
            digest,
            reply,
        };
        if shared.reads.push(read, 1, MOST_LOADS).is_err() {
            return Vec::new();
        }
        let loaded = match tokio::time::timeout(LOAD_LIMIT, answer).await {
            Ok(answer) => answer.unwrap_or_default(),
            Err(_) => {
                shared.read_failed(&io::ErrorKind::TimedOut.into());
                return Vec::new();
            }
        };
        // What was removed or purged while it was being read is not given out: the caller may keep what it gets.
        if shared.removals(&digest) != removals || shared.is_removed(&digest) {
            return Vec::new();
        }
        let bans = lock(&shared.bans);
        let found = loaded
            .into_iter()
            .filter(|Loaded { head, .. }| !bans.holds(uri, &head.headers, head.freshness.received));
        let found = found.map(|loaded| {
            let (head, content) = OnDisk::loaded(self, loaded);
            Found { head, content }
        });
        found.collect()
    }

    /// Stores a response (its head is made of a `&Stored`) with its whole content, in place of the one that is stored for the same key and variant. Never waits: it is
    /// written later, or dropped if too much waits (32 MiB), and then the one before is dropped too. Whether it will be tried.
    pub fn save(&self, head: impl Into<Head>, pieces: Vec<Bytes>) -> bool {
        let shared = self.shared();
        let length = pieces.iter().map(Bytes::len).sum::<usize>();
        let head = head.into();
        let name = head.name();
        let fits = length <= WAITING && length as u64 <= shared.bound() / 2;
        let save = Change::Save {
            head,
            length: length as u64,
            pieces,
        };
        // Counted first: a removal that comes right after it must not overlook it.
        shared.saves.fetch_add(1, Ordering::AcqRel);
        let taken = fits
            && !shared.is_degraded()
            && !shared.is_leaving()
            && shared.changes.push(save, length + 1024, WAITING).is_ok();
        if !taken {
            shared.saves.fetch_sub(1, Ordering::AcqRel);
            shared
                .counters
                .dropped_writes
                .fetch_add(1, Ordering::Relaxed);
            self.remove_variant(&name);
        }
        taken
    }

    /// Stores an updated head (RFC 9111 §3.2) of a response that is stored, whose content stays. If what is there is not what the
    /// head is of (its validators or its length differ), or there is no room for it, the object is removed. Never waits.
    pub fn update(&self, head: impl Into<Head>) {
        let shared = self.shared();
        let head = head.into();
        let name = head.name();
        if shared.may_have(&name.uri) && !shared.change(Change::Update(head)) {
            shared.discard(name, None);
        }
    }

    /// Begins to store a response whose content is still to come; `headers` tell how much room the head will need, `expected` how
    /// long the content is, if that is known. `None`: it would not fit, too many are being written, or the disk is not ready.
    pub fn begin(
        &self,
        key: &Key,
        vary: &Vary,
        headers: &HeaderMap,
        expected: Option<u64>,
    ) -> Option<Writer> {
        let shared = self.shared();
        if shared.is_degraded() || shared.is_warming() || shared.is_leaving() {
            return None;
        }
        let fields = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 8);
        let names = vary.names.iter().map(|name| name.as_str().len() + 4);
        let head = 128
            + key.uri().len()
            + key.extras().len()
            + fields.sum::<usize>()
            + names.sum::<usize>();
        let layout = Layout::new(Name::new(key, vary), shared.nonce(), head, true)?;
        let length = layout.file(expected.unwrap_or(0))?;
        if length > shared.bound() / 2 {
            return None;
        }
        let bans = lock(&shared.bans).last();
        Writer::begin(self, layout, expected, bans)
    }

    /// From now on nothing that is stored of the URI in a realm, or waits to be, is given out; the files are removed later. What a [`Writer`] is
    /// about to store stays: drop that. For invalidation (RFC 9111 §4.4);
    /// a purge that must survive a crash of the machine is a [`Ban::Uri`].
    pub fn remove(&self, uri: &Digest, realm: Realm) {
        if self.shared().may_have(uri) {
            self.shared().remove(*uri, Some(realm));
        }
    }

    /// Removes what is stored for one key and variant.
    pub fn remove_stored(&self, key: &Key, vary: &Vary) {
        self.remove_variant(&Name::new(key, vary));
    }

    fn remove_variant(&self, name: &Name) {
        if self.shared().may_have(&name.uri) {
            self.shared().discard(*name, None);
        }
    }

    /// Purges what was received at or before `now` and matches: it is never given out again from the moment of the call on, and by
    /// the time it returns well that has been written to disk for good. The files are removed in the background. Errors: too
    /// many purges wait to be swept (1024), or the disk's: the purge holds in memory, and is written down as soon as that can be.
    pub async fn ban(&self, ban: Ban, now: Timestamp) -> io::Result<()> {
        let shared = self.shared();
        if shared.is_leaving() {
            return Err(leave::gone());
        }
        if !lock(&shared.bans).add(ban, now) {
            let problem =
                "too many purges are being worked off; purge everything, or try again later";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, problem));
        }
        let (reply, answer) = oneshot::channel();
        shared.change_awaited(Change::Bans(Some(reply)))?;
        shared.wake_house();
        answer
            .await
            .map_err(|_| io::Error::other("the disk cache is closed"))?
    }

    /// Whether there may be something that a ban would take out, on the disk or on the way to it. Looks in memory alone, where only of
    /// one URI is it known what is there.
    pub fn may_lose(&self, ban: &Ban) -> bool {
        let shared = self.shared();
        match ban {
            Ban::Uri(uri) => shared.may_have(&Key::new(&**uri, "").digest()),
            Ban::Prefix(_) | Ban::Tag(_) | Ban::All => shared.may_have_any(),
        }
    }

    /// Sets how many bytes it may take; if it takes more, the surplus is evicted at once.
    pub fn set_size(&self, size: u64) {
        self.shared().bound.store(size, Ordering::Relaxed);
        self.shared().change(Change::Trim);
    }

    /// Waits until all that was asked for has been done. Cancel-safe.
    pub async fn flush(&self) {
        let (reply, answer) = oneshot::channel();
        if self.shared().change_awaited(Change::Flush(reply)).is_ok() {
            let _ = answer.await;
        }
    }

    /// Gives the directory to another process as soon as all that waits has been written: from now on nothing is found or stored
    /// there. What is being read goes on, and what is being written comes to those who read it. Does not wait.
    pub fn leave(&self) {
        let shared = self.shared();
        if !shared.leaving.swap(true, Ordering::AcqRel) {
            // Fails where it is closed, which ends it too.
            let _ = shared.change_awaited(Change::Leave);
        }
    }

    /// Ends the use of the directory when all that waits has been written. Blocks: not for workers. Reads and writes after it fail.
    pub fn close(&self) {
        self.shared().close();
        let threads = std::mem::take(&mut *lock(&self.0.threads));
        for thread in threads {
            // Its panic has been told already.
            let _ = thread.join();
        }
    }

    /// How it does.
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let (entries, bytes) = {
            let index = lock(&shared.index);
            (index.len() as u64, index.bytes())
        };
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &shared.counters;
        Stats {
            entries,
            bytes,
            bound: shared.bound(),
            warming: shared.is_warming(),
            degraded: shared.is_degraded(),
            writes: count(&counters.writes),
            dropped_writes: count(&counters.dropped_writes),
            reads: count(&counters.reads),
            torn: count(&counters.torn),
            errors: count(&counters.errors),
            evictions: count(&counters.evictions),
            warnings: count(&counters.warnings),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}
