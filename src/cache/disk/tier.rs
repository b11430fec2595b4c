//! The disk tier as a cache holds it: there from the start, or as soon as the process before this one has left its directory.
//! Not the store itself ([`Disk`]). Start at [`DiskTier::open`].
//!
//! What is purged, invalidated or replaced while it is not there yet is noted, and taken out before anything of the directory
//! is given out: the process before this one has stored it, and does not hear of that.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::queue::lock;
use super::write::Change;
use super::{Ban, Disk, PROBE};
use crate::cache::{Digest, Key};
use crate::fault::Fault;

/// A disk tier.
#[derive(Debug)]
pub struct DiskTier {
    disk: OnceLock<Disk>,
    /// Bytes that it may take.
    size: AtomicU64,
    notes: Mutex<Notes>,
}

/// What must not be given out of what another process has stored.
#[derive(Debug, Default)]
struct Notes {
    uris: HashSet<Digest>,
    bans: Vec<(Ban, Timestamp)>,
}

/// Between the first two looks whether the directory is free.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Between the last ones.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After that, an operator should look after it.
const LONG: Duration = Duration::from_secs(60);
/// More is not noted one by one: all goes then.
const MOST: usize = 65_536;
/// More bans are not compared with each object.
const MOST_BANS: usize = 512;

impl DiskTier {
    /// Takes hold of a directory; see [`Disk::open`]. With `follows`, this process takes the place of one that may hold it
    /// still: until that one leaves it, there is no disk tier, and nobody waits for it.
    ///
    /// Faults: as of [`Disk::open`]; that another process holds the directory, unless `follows`.
    pub fn open(path: &Path, size: u64, follows: bool) -> Result<Arc<Self>, Fault> {
        let tier = Arc::new(Self {
            disk: OnceLock::new(),
            size: AtomicU64::new(size),
            notes: Mutex::default(),
        });
        if !follows {
            tier.take_over(Disk::open(path, size)?);
        } else if let Some(disk) = Disk::try_open(path, size, PROBE)? {
            tier.take_over(disk);
        } else {
            let (path, waiting) = (path.to_owned(), Arc::downgrade(&tier));
            let thread = thread::Builder::new().name("disk-wait".into());
            let started = thread.spawn(move || wait(&path, &waiting));
            started.map_err(|error| {
                let problem = format!("no thread for the disk cache: {error}");
                Fault::new(problem, "allow the process more threads")
            })?;
        }
        Ok(tier)
    }

    /// The store, where it is there.
    pub fn get(&self) -> Option<&Disk> {
        self.disk.get()
    }

    /// The same, for what puts something in the place of all that is stored of a URI, or takes it out: where the store is not
    /// there, it will be found without that.
    pub fn or_note(&self, uri: &str) -> Option<&Disk> {
        if let Some(disk) = self.disk.get() {
            return Some(disk);
        }
        let mut notes = lock(&self.notes);
        if let Some(disk) = self.disk.get() {
            // It came this moment, and has read the notes.
            return Some(disk);
        }
        if notes.uris.len() < MOST {
            notes.uris.insert(Key::new(uri, "").digest());
        } else {
            notes.all();
        }
        None
    }

    /// The same, for a purge, which is noted with its time.
    pub fn or_note_ban(&self, ban: &Ban, now: Timestamp) -> Option<&Disk> {
        if let Some(disk) = self.disk.get() {
            return Some(disk);
        }
        let mut notes = lock(&self.notes);
        if let Some(disk) = self.disk.get() {
            return Some(disk);
        }
        if notes.bans.len() < MOST_BANS {
            notes.bans.push((ban.clone(), now));
        } else {
            notes.all();
        }
        None
    }

    /// Sets how many bytes it may take; see [`Disk::set_size`].
    pub fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::SeqCst);
        if let Some(disk) = self.disk.get() {
            disk.set_size(size);
        }
    }

    /// Bytes that it may take.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::SeqCst)
    }

    /// Gives its directory to the process that follows; see [`Disk::leave`].
    pub fn leave(&self) {
        if let Some(disk) = self.disk.get() {
            disk.leave();
        }
    }

    fn take_over(&self, disk: Disk) {
        let mut notes = lock(&self.notes);
        let shared = disk.shared();
        let Notes { uris, bans } = std::mem::take(&mut *notes);
        let are_bans = !bans.is_empty();
        for (ban, at) in bans {
            if !lock(&shared.bans).add(ban, at) {
                shared.ban_all();
            }
        }
        if are_bans {
            shared.change(Change::Bans(None));
        }
        for uri in uris {
            shared.remove(uri, None);
        }
        // Under the lock, so that nothing is noted after the notes were read.
        let _ = self.disk.set(disk);
        drop(notes);
        let size = self.size();
        if let Some(disk) = self.disk.get().filter(|disk| disk.shared().bound() != size) {
            disk.set_size(size);
        }
    }
}

impl Notes {
    /// Nothing of what is there may be given out.
    fn all(&mut self) {
        *self = Self {
            uris: HashSet::new(),
            bans: vec![(Ban::All, Timestamp::now())],
        };
    }
}

/// Waits for the directory, as long as anybody wants it.
fn wait(path: &Path, tier: &Weak<DiskTier>) {
    tracing::info!(
        "the process before this one holds the disk cache: memory alone, until it leaves it"
    );
    let mut wait = Wait::new();
    loop {
        let Some(tier) = tier.upgrade() else { return };
        match Disk::try_open(path, tier.size(), PROBE) {
            Ok(Some(disk)) => {
                tier.take_over(disk);
                tracing::info!("the disk cache is taken over");
                return;
            }
            Ok(None) => {}
            Err(fault) => {
                tracing::error!("there is no disk cache: {}", fault.render());
                return;
            }
        }
        drop(tier);
        if wait.is_long() {
            tracing::warn!(
                path = %path.display(),
                "the process before this one holds the disk cache for a minute already: see whether it drains, and end it if it does not"
            );
        }
        thread::park_timeout(wait.next());
    }
}

/// The pauses between looks, each twice as long as the one before, and how long they have been.
struct Wait {
    pause: Duration,
    waited: Duration,
    told: bool,
}

impl Wait {
    fn new() -> Self {
        Self {
            pause: FIRST_PAUSE,
            waited: Duration::ZERO,
            told: false,
        }
    }

    /// The next pause.
    fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        self.waited += pause;
        pause
    }

    /// Whether it has been long; said once.
    fn is_long(&mut self) -> bool {
        self.waited >= LONG && !std::mem::replace(&mut self.told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer_and_a_long_wait_is_told_once() {
        let mut wait = Wait::new();
        let (mut waited, mut told, mut pauses) = (Duration::ZERO, Vec::new(), Vec::new());
        for _ in 0..200 {
            if wait.is_long() {
                told.push(waited);
            }
            pauses.push(wait.next());
            waited += *pauses.last().expect("one");
        }
        assert_eq!(pauses.first(), Some(&Duration::from_millis(10)));
        assert!(
            pauses
                .windows(2)
                .all(|two| matches!(two, [one, next] if *next == (*one * 2).min(LONGEST_PAUSE)))
        );
        let minute = |told: &Duration| *told >= LONG && *told < LONG + LONGEST_PAUSE;
        assert!(told.len() == 1 && told.iter().all(minute), "{told:?}");
    }
}
