//! What the handles, the threads and the objects that are being read share: index, bans, queues, health, counters.
//! Not what is done with it (read, write, house). Start at [`Shared`].

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Resource, getrlimit};

use super::bans::{Ban, Bans};
use super::index::Index;
use super::name::Name;
use super::place::{self, Place};
use super::published::{Moment, Published};
use super::queue::{Queue, lock};
use super::read::Read;
use super::write::Change;
use crate::cache::{Digest, Realm};
use crate::fault::Fault;

/// Bytes of objects that may wait to be written.
pub(super) const WAITING: usize = 32 << 20;
/// Removals and updates may wait beyond that.
const WAITING_ALL: usize = WAITING + (16 << 20);
const SMALL_CHANGE: usize = 256;
/// A file of bans that is larger was not written by us.
const LARGEST_BANS: u64 = 64 << 20;
/// URIs whose removal may wait.
const MOST_REMOVALS: usize = 65_536;
/// A failure within so many seconds after the last is the same one still.
const RELAPSE: i64 = 600;
/// So many reads that fail one after another end the use of the disk until it is well again.
const BAD_READS: u32 = 8;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) place: Place,
    pub(super) index: Mutex<Index>,
    pub(super) bans: Mutex<Bans>,
    /// URIs that are not to be given out any more, though their files may still be there.
    removed: Mutex<HashMap<Digest, Removal>>,
    pub(super) bound: AtomicU64,
    pub(super) warming: AtomicBool,
    /// All heads that were there at the start have been looked at.
    pub(super) verified: AtomicBool,
    pub(super) health: Health,
    pub(super) counters: Counters,
    pub(super) published: Published,
    pub(super) changes: Queue<Change>,
    pub(super) reads: Queue<Read>,
    /// Wakes the housekeeper.
    pub(super) house: Queue<()>,
    probe: Duration,
    /// Objects that are being written as they arrive.
    pub(super) writers: AtomicUsize,
    /// Whole objects that wait to be written: the index does not know them yet.
    pub(super) saves: AtomicUsize,
    /// Another process is to have the directory: nothing more is looked up or begun.
    pub(super) leaving: AtomicBool,
    /// It may have it by now.
    pub(super) left: AtomicBool,
    /// Counts the removals of the URIs of each folder, so that a look-up that one overtakes is told from one that came after.
    removals: Box<[AtomicU32]>,
    numbers: AtomicU64,
    secret: RandomState,
    open_files: AtomicUsize,
    most_open_files: usize,
}

#[derive(Debug, Default)]
struct Removal {
    /// Jobs under way.
    jobs: usize,
    /// One could not be done, or not be given.
    failed: bool,
}

/// Whether the disk can be used.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) degraded: AtomicBool,
    pub(super) unreadable: AtomicBool,
    bad_reads: AtomicU32,
    pub(super) probing: AtomicBool,
    /// When it was well again, in seconds, and how often it has failed again soon after.
    recovered: AtomicI64,
    relapses: AtomicU32,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) writes: AtomicU64,
    pub(super) dropped_writes: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) torn: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) warnings: AtomicU64,
}

impl Shared {
    /// `None` where another process holds the directory.
    pub(super) fn open(path: &Path, size: u64, probe: Duration) -> Result<Option<Self>, Fault> {
        let Some(place) = Place::open(path)? else {
            return Ok(None);
        };
        let bans = match place::read(&place.bans(), LARGEST_BANS) {
            Ok(bytes) => Bans::decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Bans::default()),
            Err(_) => None,
        };
        let bans = bans.unwrap_or_else(|| {
            // Nobody knows what was purged, so that nothing that was there before may be given out.
            let mut bans = Bans::default();
            let _ = bans.add(Ban::All, Timestamp::now());
            bans
        });
        let files = getrlimit(Resource::Nofile).current.unwrap_or(65_536) / 4;
        let secret = RandomState::new();
        Ok(Some(Self {
            warming: AtomicBool::new(!place.is_new()),
            verified: AtomicBool::new(false),
            place,
            index: Mutex::new(Index::new((size >> 16).clamp(1 << 10, 1 << 18) as usize)),
            bans: Mutex::new(bans),
            removed: Mutex::default(),
            bound: AtomicU64::new(size),
            health: Health::default(),
            counters: Counters::default(),
            published: Published::default(),
            changes: Queue::new(),
            reads: Queue::new(),
            house: Queue::new(),
            probe,
            writers: AtomicUsize::new(0),
            saves: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            left: AtomicBool::new(false),
            removals: (0..place::FOLDERS).map(|_| AtomicU32::new(0)).collect(),
            // From anywhere: a process that gives way still writes some files beside the one that follows.
            numbers: AtomicU64::new(secret.hash_one(path)),
            secret,
            open_files: AtomicUsize::new(0),
            most_open_files: files.clamp(16, 8192) as usize,
        }))
    }

    /// No more jobs; those that wait are done.
    pub(super) fn close(&self) {
        self.house.close();
        self.reads.close();
        self.changes.close();
    }

    /// A number that no other file that is being written has.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A number for a new file that nobody outside can tell.
    pub(super) fn nonce(&self) -> u64 {
        self.secret.hash_one(self.number())
    }

    /// How many files of objects are open to be read.
    pub(super) fn open_files(&self) -> usize {
        self.open_files.load(Ordering::Relaxed)
    }

    pub(super) fn bound(&self) -> u64 {
        self.bound.load(Ordering::Relaxed)
    }

    pub(super) fn is_warming(&self) -> bool {
        self.warming.load(Ordering::Acquire)
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Asks for a small change; `false` if too many wait.
    pub(super) fn change(&self, change: Change) -> bool {
        self.changes.push(change, SMALL_CHANGE, WAITING_ALL).is_ok()
    }

    /// Asks for a change that someone waits for: there are never more than those that wait.
    pub(super) fn change_awaited(&self, change: Change) -> io::Result<()> {
        let pushed = self.changes.push(change, 0, usize::MAX);
        pushed.map_err(|_| io::Error::other("the disk cache is closed"))
    }

    /// From now on nothing of the URI is given out that is there now; then its files are removed, those of one realm or all.
    pub(super) fn remove(&self, uri: Digest, realm: Option<Realm>) {
        let count = self.removals.get(place::folder_number(&uri));
        let mut removed = lock(&self.removed);
        count.map(|count| count.fetch_add(1, Ordering::Release));
        if removed.len() >= MOST_REMOVALS && !removed.contains_key(&uri) {
            drop(removed);
            // Rather too much than too little: what was to go is not told apart any more.
            self.ban_all();
            return;
        }
        let removal = removed.entry(uri).or_default();
        // Under the lock, so that the job does not end before it is counted.
        if self.change(Change::Remove(uri, realm)) {
            removal.jobs += 1;
        } else {
            removal.failed = true;
        }
    }

    /// A removal has been done, or has failed.
    pub(super) fn removal_ended(&self, uri: &Digest, well: bool) {
        let mut removed = lock(&self.removed);
        if let Some(removal) = removed.get_mut(uri) {
            removal.jobs = removal.jobs.saturating_sub(1);
            removal.failed |= !well;
            if removal.jobs == 0 && !removal.failed {
                removed.remove(uri);
            }
        }
    }

    /// Tries again what could not be removed.
    pub(super) fn retry_removals(&self) {
        for (uri, removal) in lock(&self.removed).iter_mut() {
            // Of which realm it was is not known any more.
            if removal.failed && self.change(Change::Remove(*uri, None)) {
                removal.failed = false;
                removal.jobs += 1;
            }
        }
    }

    /// Whether something that was to go may still be there.
    pub(super) fn has_failed_removals(&self) -> bool {
        lock(&self.removed).values().any(|removal| removal.failed)
    }

    /// How many removals there were of what may be this URI.
    pub(super) fn removals(&self, uri: &Digest) -> u32 {
        let count = self.removals.get(place::folder_number(uri));
        count.map_or(0, |count| count.load(Ordering::Acquire))
    }

    /// Whether there may be something of a URI in the index. A worker does not wait for the index, which is locked for long when
    /// its table grows: there may be, then.
    pub(super) fn may_be_indexed(&self, uri: &Digest) -> bool {
        match self.index.try_lock() {
            Ok(index) => self.is_warming() || index.holds(uri),
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Poisoned(index)) => {
                self.is_warming() || index.into_inner().holds(uri)
            }
        }
    }

    /// Whether there may be something of a URI, on the disk or on the way to it.
    pub(super) fn may_have(&self, uri: &Digest) -> bool {
        self.saves.load(Ordering::Acquire) > 0 || self.may_be_indexed(uri)
    }

    /// Whether there may be anything, on the disk or on the way to it.
    pub(super) fn may_have_any(&self) -> bool {
        let indexed = || self.is_warming() || lock(&self.index).len() > 0;
        self.saves.load(Ordering::Acquire) > 0 || indexed()
    }

    pub(super) fn is_removed(&self, uri: &Digest) -> bool {
        lock(&self.removed).contains_key(uri)
    }

    /// Takes out one file, or, if that cannot even be asked for, all of its URI. Where one was looked at, `seen` is when, and one that
    /// was written since stays; otherwise those that wait to be written go too.
    pub(super) fn discard(&self, name: Name, seen: Option<Moment>) {
        if !self.change(Change::Discard(name, seen)) {
            self.remove(name.uri, None);
        }
    }

    /// A file that does not hold what it should.
    pub(super) fn torn(&self, name: Name, seen: Moment) {
        self.counters.torn.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(
            object = place::shown(&name),
            "disk cache: an object is torn, it is taken out"
        );
        self.discard(name, Some(seen));
    }

    /// Nothing of what is there is given out any more.
    pub(super) fn ban_all(&self) {
        let _ = lock(&self.bans).add(Ban::All, Timestamp::now());
        self.wake_house();
    }

    pub(super) fn wake_house(&self) {
        // One that is waiting already will do.
        let _ = self.house.push((), 1, 1);
    }

    /// A write failed: nothing more is written until a probe goes well.
    pub(super) fn degrade(&self, error: &io::Error) {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        if self.health.degraded.swap(true, Ordering::Relaxed) {
            return;
        }
        let well = Timestamp::now().as_second() - self.health.recovered.load(Ordering::Relaxed);
        if well > RELAPSE {
            self.health.relapses.store(0, Ordering::Relaxed);
            self.counters.warnings.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "the disk cache cannot be used; what is stored stays in memory until it can");
        } else {
            // A disk that is nearly full fails again and again: that has been said.
            self.health.relapses.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "the disk cache cannot be used again");
        }
        self.wake_house();
    }

    /// How long to wait until the disk is tried again.
    pub(super) fn probe_after(&self) -> Duration {
        let relapses = self.health.relapses.load(Ordering::Relaxed);
        self.probe * (1 << relapses.min(5))
    }

    pub(super) fn is_degraded(&self) -> bool {
        self.health.degraded.load(Ordering::Relaxed)
    }

    pub(super) fn is_unreadable(&self) -> bool {
        self.health.unreadable.load(Ordering::Relaxed)
    }

    /// A read failed that should not, or took too long.
    pub(super) fn read_failed(&self, error: &io::Error) {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        if self.health.bad_reads.fetch_add(1, Ordering::Relaxed) + 1 >= BAD_READS {
            self.health.unreadable.store(true, Ordering::Relaxed);
            self.degrade(error);
        }
    }

    pub(super) fn read_went_well(&self) {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        self.health.bad_reads.store(0, Ordering::Relaxed);
    }

    /// The probe went well.
    pub(super) fn recover(&self) {
        self.health.bad_reads.store(0, Ordering::Relaxed);
        self.health.unreadable.store(false, Ordering::Relaxed);
        if self.health.degraded.swap(false, Ordering::Relaxed) {
            let now = Timestamp::now().as_second();
            self.health.recovered.store(now, Ordering::Relaxed);
            tracing::info!("the disk cache can be used again");
        }
    }
}

/// An open file of an object; counted, as a process may only have so many.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) file: File,
    shared: Arc<Shared>,
}

impl Held {
    pub(super) fn new(file: File, shared: &Arc<Shared>) -> Arc<Self> {
        shared.open_files.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            file,
            shared: shared.clone(),
        })
    }

    /// Keeps a file open if there are not too many.
    pub(super) fn unless_many(file: File, shared: &Arc<Shared>) -> Option<Arc<Self>> {
        let few = shared.open_files() < shared.most_open_files;
        few.then(|| Self::new(file, shared))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.open_files.fetch_sub(1, Ordering::Relaxed);
    }
}
