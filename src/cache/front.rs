//! The cache as the rest of the process holds it: its stores, its settings, its numbers.
//! Not the law (storable, reuse, validate), nor the way of a request (relay).
//! Start at [`Cache::start`].

use std::sync::Arc;

use jiff::Timestamp;

use super::Stored;
use super::disk::{Ban, Disk, DiskTier};
use super::epochs::Epochs;
use super::flight::Flights;
use super::inspect::{Inspected, Tier};
use super::memory::Memory;
use super::purge::{Purge, Purged, Swept};
use super::settings::Settings;
use super::stats::{DiskStats, MemoryStats, Stats, Tallies, Tally};
use super::tags;
use super::uses::Uses;
use crate::fault::Fault;

/// The cache of a process, under the settings of one configuration. What is stored outlives a reload.
#[derive(Debug)]
pub struct Cache {
    settings: Settings,
    pub(super) lasting: Arc<Lasting>,
}

/// What is shared by the caches of all configurations that follow each other.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) memory: Memory,
    disk: Option<Arc<DiskTier>>,
    pub(super) flights: Flights,
    pub(super) uses: Uses,
    pub(super) epochs: Epochs,
    tallies: Tallies,
}

impl Cache {
    /// A cache with these settings; with what `running` has stored, where there is one whose disk tier lies in the same place.
    /// With `follows`, this process takes the place of another one: where that one holds the disk tier still, it comes later.
    /// Blocks on the disk. Faults: the disk's directory can not be used.
    pub fn start(
        settings: &Settings,
        running: Option<&Arc<Self>>,
        follows: bool,
    ) -> Result<Arc<Self>, Fault> {
        let place = |settings: &Settings| settings.disk.as_ref().map(|disk| disk.path.clone());
        let running = running.filter(|running| place(&running.settings) == place(settings));
        let lasting = match running {
            Some(running) => {
                running.lasting.resize(settings);
                running.lasting.clone()
            }
            None => Arc::new(Lasting::open(settings, follows)?),
        };
        Ok(Arc::new(Self {
            settings: settings.clone(),
            lasting,
        }))
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where this worker counts.
    pub fn tally(&self, worker: u16) -> &Tally {
        self.lasting.tallies.of(worker)
    }

    /// Requests for the same that are on their way.
    pub fn flights(&self) -> &Flights {
        &self.lasting.flights
    }

    /// Lets the process that follows have the disk tier: from now on this one has memory alone, and what it reads and writes on
    /// disk at this moment. Does not wait.
    pub fn leave_disk(&self) {
        if let Some(tier) = &self.lasting.disk {
            tier.leave();
        }
    }

    /// Takes out what is named. When it returns, none of that is used any more; on disk, it is noted before, so that it
    /// stays so after a restart. Cancel-safe: it may then be done in part.
    pub async fn purge(&self, what: &Purge) -> Purged {
        self.tally(0).purges.bump();
        let lasting = &self.lasting;
        lasting.epochs.purge();
        let memory = match what {
            Purge::Uri(uri) => lasting.memory.remove_uri(uri),
            Purge::Prefix(prefix) => lasting
                .memory
                .remove_where(|stored| stored.key.uri().starts_with(&**prefix)),
            Purge::Tag(tag) => lasting
                .memory
                .remove_where(|stored| tags::of(&stored.headers).any(|known| known == tag)),
            Purge::All => lasting.memory.remove_where(|_| true),
        };
        let (disk, trouble) = match &lasting.disk {
            None => (Swept::Nothing, None),
            Some(tier) => {
                let ban = ban(what);
                // Asked before: afterwards it may be gone.
                let may_lose = tier.get().is_none_or(|disk| disk.may_lose(&ban));
                let swept = if may_lose {
                    Swept::InBackground
                } else {
                    Swept::Nothing
                };
                (swept, ban_on(tier, ban).await)
            }
        };
        Purged {
            memory: memory as u64,
            disk,
            trouble,
        }
    }

    /// What is stored of a URI in the form of keys ([`super::purge::uri`]): each variant once. Reads heads from the disk. Cancel-safe.
    pub async fn inspect(&self, uri: &str) -> Vec<Inspected> {
        let now = Timestamp::now();
        let in_memory = self.lasting.memory.all(uri);
        let on_disk: Vec<Stored> = match self.lasting.disk() {
            Some(disk) => disk
                .load(uri)
                .await
                .into_iter()
                .map(super::tiers::of_disk)
                .collect(),
            None => Vec::new(),
        };
        let same = |a: &Stored, b: &Stored| a.key == b.key && a.vary == b.vary;
        let inspect = |stored: &Stored, tier| {
            let contents = &stored.contents;
            let size = contents.length().unwrap_or_else(|| contents.memory());
            Inspected::new(
                (&stored.key, &stored.vary),
                (stored.status, &stored.headers),
                &stored.freshness,
                (tier, size),
                now,
            )
        };
        let first = in_memory.iter().map(|stored| {
            let too = on_disk.iter().any(|other| same(stored, other));
            inspect(stored, if too { Tier::Both } else { Tier::Memory })
        });
        let rest = on_disk
            .iter()
            .filter(|other| !in_memory.iter().any(|stored| same(stored, other)));
        first
            .chain(rest.map(|stored| inspect(stored, Tier::Disk)))
            .collect()
    }

    /// How it is.
    pub fn stats(&self) -> Stats {
        let memory = self.lasting.memory.stats();
        Stats {
            memory: MemoryStats {
                entries: memory.entries,
                bytes: memory.bytes,
                bound: memory.bound,
                evictions: memory.evictions,
            },
            disk: self.lasting.disk.as_deref().map(disk_stats),
            largest: self.settings.largest_stored(),
            counts: self.lasting.tallies.counts(),
        }
    }
}

impl Lasting {
    fn open(settings: &Settings, follows: bool) -> Result<Self, Fault> {
        let disk = settings.disk.as_ref();
        let disk = disk.map(|disk| DiskTier::open(&disk.path, disk.size.0, follows));
        Ok(Self {
            memory: Memory::new(settings.memory.0),
            disk: disk.transpose()?,
            flights: Flights::new(),
            uses: Uses::new(),
            epochs: Epochs::new(),
            tallies: Tallies::default(),
        })
    }

    fn resize(&self, settings: &Settings) {
        self.memory.set_bound(settings.memory.0);
        if let (Some(disk), Some(of)) = (&self.disk, &settings.disk) {
            disk.set_size(of.size.0);
        }
    }

    /// The disk tier, where there is one by now.
    pub(super) fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()?.get()
    }

    /// The same, for what makes all that lies there of a URI obsolete; see [`DiskTier::or_note`].
    pub(super) fn disk_without(&self, uri: &str) -> Option<&Disk> {
        self.disk.as_ref()?.or_note(uri)
    }
}

/// Purges on disk; what trouble there was.
async fn ban_on(tier: &DiskTier, ban: Ban) -> Option<String> {
    let now = Timestamp::now();
    let Some(disk) = tier.or_note_ban(&ban, now) else {
        let trouble = "the process before this one has the disk cache still: what is purged there is written down when it is taken over";
        return Some(trouble.to_owned());
    };
    let banned = disk.ban(ban, now).await;
    banned.err().map(|error| error.to_string())
}

fn disk_stats(tier: &DiskTier) -> DiskStats {
    let Some(disk) = tier.get() else {
        return DiskStats {
            bound: tier.size(),
            warming: true,
            ..DiskStats::default()
        };
    };
    let disk = disk.stats();
    DiskStats {
        entries: disk.entries,
        bytes: disk.bytes,
        bound: disk.bound,
        evictions: disk.evictions,
        warming: disk.warming,
        degraded: disk.degraded,
        torn: disk.torn,
        dropped_writes: disk.dropped_writes,
        errors: disk.errors,
    }
}

fn ban(what: &Purge) -> Ban {
    match what {
        Purge::Uri(uri) => Ban::Uri(uri.as_str().into()),
        Purge::Prefix(prefix) => Ban::Prefix(prefix.as_str().into()),
        Purge::Tag(tag) => Ban::Tag(tag.as_str().into()),
        Purge::All => Ban::All,
    }
}
