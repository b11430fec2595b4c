//! The cache as the rest of the process holds it: its stores, its settings, its numbers.
//! Not the law (storable, reuse, validate), nor the way of a request (relay).
//! Start at [`Cache::start`].

use std::sync::Arc;

use super::inspect::Inspected;
use super::purge::{Purge, Purged, Swept};
use super::settings::Settings;
use super::stats::{DiskStats, MemoryStats, Stats, Tallies, Tally};
use crate::fault::Fault;

/// The cache of a process, under the settings of one configuration. What is stored outlives a reload.
#[derive(Debug)]
pub struct Cache {
    settings: Settings,
    lasting: Arc<Lasting>,
}

/// What is shared by the caches of all configurations that follow each other.
#[derive(Debug, Default)]
struct Lasting {
    tallies: Tallies,
}

impl Cache {
    /// A cache with these settings; with what `running` has stored, where there is one. Blocks on the disk. Faults: the disk's
    /// directory can not be used.
    pub fn start(settings: &Settings, running: Option<&Arc<Self>>) -> Result<Arc<Self>, Fault> {
        let lasting = running.map_or_else(Arc::default, |running| running.lasting.clone());
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

    /// Takes out what is named. When it returns, none of that is used any more; on disk, it is noted before, so that it
    /// stays so after a restart. Cancel-safe: it may then be done in part.
    pub async fn purge(&self, _what: &Purge) -> Purged {
        self.tally(0).purges.bump();
        Purged {
            memory: 0,
            disk: Swept::Nothing,
            trouble: None,
        }
    }

    /// What is stored of a URI in the form of keys ([`super::purge::uri`]): each variant once. Reads heads from the disk. Cancel-safe.
    pub async fn inspect(&self, _uri: &str) -> Vec<Inspected> {
        Vec::new()
    }

    /// How it is.
    pub fn stats(&self) -> Stats {
        Stats {
            memory: MemoryStats {
                bound: self.settings.memory.0,
                ..MemoryStats::default()
            },
            disk: self.settings.disk.as_ref().map(|disk| DiskStats {
                bound: disk.size.0,
                ..DiskStats::default()
            }),
            largest: self.settings.largest_stored(),
            counts: self.lasting.tallies.counts(),
        }
    }
}
