//! What the cache has done, and what it holds, for people and programs.
//! Not records of single exchanges (report). Start at [`Stats`]; workers count in [`Tally`].

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// How the cache is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The memory tier.
    pub memory: MemoryStats,
    /// The disk tier, where there is one.
    pub disk: Option<DiskStats>,
    /// The length in bytes of the largest content that is stored.
    pub largest: u64,
    /// What has become of requests.
    #[serde(flatten)]
    pub counts: Counts,
}

/// How the memory tier is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MemoryStats {
    /// Responses.
    pub entries: u64,
    /// Bytes that they take, heads counted.
    pub bytes: u64,
    /// Bytes that they may take.
    pub bound: u64,
    /// Responses that made room for others.
    pub evictions: u64,
}

/// How the disk tier is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DiskStats {
    /// Responses.
    pub entries: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Bytes that they may take.
    pub bound: u64,
    /// Responses that made room for others.
    pub evictions: u64,
    /// What lies there is still being looked through.
    pub warming: bool,
    /// The disk failed: nothing is written.
    pub degraded: bool,
    /// Responses that were not whole, and were taken out.
    pub torn: u64,
    /// Responses that were not written, because the disk did not keep up.
    pub dropped_writes: u64,
    /// Errors of the disk.
    pub errors: u64,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// What one worker counts, on cache lines of its own: nobody else writes there.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Tally {
            $($(#[$doc])* pub $name: Count,)*
        }

        impl Tally {
            fn add_to(&self, counts: &mut Counts) {
                $(counts.$name += self.$name.value();)*
            }
        }
    };
}

counts! {
    /// Answered with a stored response that was fresh.
    hits,
    /// Answered with a stored response that was stale, as permitted.
    stale_hits,
    /// Asked the origin, which said that the stored response is still good.
    validated,
    /// Nothing that could be used was stored.
    misses,
    /// Waited for a fetch of another request, and had its response.
    collapsed,
    /// Did not use the cache: the rule, the method or the request said so.
    bypassed,
    /// Responses that were stored.
    stored,
    /// Responses that were not whole when they ended, and were dropped.
    cut_short,
    /// Stored responses that a request made invalid (RFC 9111 §4.4).
    invalidated,
    /// Orders to purge.
    purges,
}

/// One number.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds one.
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds so many.
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The number.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The tallies of all workers.
#[derive(Debug)]
pub struct Tallies {
    first: Tally,
    others: Box<[Tally]>,
}

impl Default for Tallies {
    fn default() -> Self {
        Self {
            first: Tally::default(),
            others: std::iter::repeat_with(Tally::default)
                .take(SHARDS - 1)
                .collect(),
        }
    }
}

impl Tallies {
    /// Where this worker counts.
    pub fn of(&self, worker: u16) -> &Tally {
        let index = usize::from(worker) % SHARDS;
        let other = index
            .checked_sub(1)
            .and_then(|other| self.others.get(other));
        other.unwrap_or(&self.first)
    }

    /// The sum.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for tally in std::iter::once(&self.first).chain(&self.others) {
            tally.add_to(&mut counts);
        }
        counts
    }
}

/// More workers than that share.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_counted_is_summed() {
        let tallies = Tallies::default();
        for worker in [0, 1, 63, 64, 1023] {
            tallies.of(worker).hits.bump();
            tallies.of(worker).stored.bump();
        }
        tallies.of(7).misses.bump();
        let counts = tallies.counts();
        assert_eq!((counts.hits, counts.stored, counts.misses), (5, 5, 1));
        assert_eq!(counts.collapsed, 0);
    }
}
