//! The cache as the rest of the process holds it: its stores, its settings, its numbers.
//! Not the law (storable, reuse, validate), nor the way of a request (relay).
//! Start at [`Cache::start`].

use std::sync::Arc;

use jiff::Timestamp;

use super::Stored;
use super::disk::{Ban, Disk};
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
    pub(super) disk: Option<Disk>,
    pub(super) flights: Flights,
    pub(super) uses: Uses,
    pub(super) epochs: Epochs,
    tallies: Tallies,
}

impl Cache {
    /// A cache with these settings; with what `running` has stored, where there is one whose disk tier lies in the same place.
    /// Blocks on the disk. Faults: the disk's directory can not be used.
    pub fn start(settings: &Settings, running: Option<&Arc<Self>>) -> Result<Arc<Self>, Fault> {
        let place = |settings: &Settings| settings.disk.as_ref().map(|disk| disk.path.clone());
        let running = running.filter(|running| place(&running.settings) == place(settings));
        let lasting = match running {
            Some(running) => {
                running.lasting.resize(settings);
                running.lasting.clone()
            }
            None => Arc::new(Lasting::open(settings)?),
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
            Some(disk) => {
                let banned = disk.ban(ban(what), Timestamp::now()).await;
                let trouble = banned.err().map(|error| error.to_string());
                (Swept::InBackground, trouble)
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
        let on_disk: Vec<Stored> = match &self.lasting.disk {
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
        let disk = self.lasting.disk.as_ref().map(Disk::stats);
        Stats {
            memory: MemoryStats {
                entries: memory.entries,
                bytes: memory.bytes,
                bound: memory.bound,
                evictions: memory.evictions,
            },
            disk: disk.map(|disk| DiskStats {
                entries: disk.entries,
                bytes: disk.bytes,
                bound: disk.bound,
                evictions: disk.evictions,
                warming: disk.warming,
                degraded: disk.degraded,
                torn: disk.torn,
                dropped_writes: disk.dropped_writes,
                errors: disk.errors,
            }),
            largest: self.settings.largest_stored(),
            counts: self.lasting.tallies.counts(),
        }
    }
}

impl Lasting {
    fn open(settings: &Settings) -> Result<Self, Fault> {
        let disk = settings.disk.as_ref();
        let disk = disk.map(|disk| Disk::open(&disk.path, disk.size.0));
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
}

fn ban(what: &Purge) -> Ban {
    match what {
        Purge::Uri(uri) => Ban::Uri(uri.as_str().into()),
        Purge::Prefix(prefix) => Ban::Prefix(prefix.as_str().into()),
        Purge::Tag(tag) => Ban::Tag(tag.as_str().into()),
        Purge::All => Ban::All,
    }
}
