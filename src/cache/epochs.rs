//! What was asked for before something was purged or became invalid must not be stored after it: a count that each of these moves
//! on, and that is compared.
//! Start at [`Epoch`].

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Realm;

/// A moment of a URI: as long as it is the same, nothing of the URI was purged or became invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    purges: u64,
    invalidations: u64,
}

/// Counts of purges, which concern all URIs, and of invalidations, which concern one in its realm; URIs that share a count do no harm but
/// that now and then one of them is not stored.
#[derive(Debug)]
pub(super) struct Epochs {
    purges: AtomicU64,
    invalidations: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Epoch {
    /// Whether something of the URI became invalid between these moments (RFC 9111 §4.4).
    pub(super) fn invalid_since(self, earlier: Self) -> bool {
        self.invalidations != earlier.invalidations
    }
}

impl Epochs {
    pub(super) fn new() -> Self {
        Self {
            purges: AtomicU64::new(0),
            invalidations: (0..COUNTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn of(&self, uri: &str, realm: Realm) -> Epoch {
        let count = |count: &AtomicU64| count.load(Ordering::Acquire);
        Epoch {
            purges: count(&self.purges),
            invalidations: self.of_uri(uri, realm).map_or(0, count),
        }
    }

    /// What is stored of a URI is invalid.
    pub(super) fn invalidate(&self, uri: &str, realm: Realm) {
        if let Some(count) = self.of_uri(uri, realm) {
            count.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Something is purged, whatever it is.
    pub(super) fn purge(&self) {
        self.purges.fetch_add(1, Ordering::AcqRel);
    }

    fn of_uri(&self, uri: &str, realm: Realm) -> Option<&AtomicU64> {
        let at = self.hasher.hash_one((uri, realm)) as usize % COUNTS;
        self.invalidations.get(at)
    }
}

/// 32 KiB.
const COUNTS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_with_what_concerns_it() {
        let epochs = Epochs::new();
        let uris: Vec<String> = (0..64).map(|n| format!("http://a.test/{n}")).collect();
        let all = || -> Vec<Epoch> {
            let of = |uri: &String| epochs.of(uri, Realm::Network);
            uris.iter().map(of).collect()
        };
        let ended = |before: &[Epoch], after: &[Epoch]| {
            let pairs = before.iter().zip(after);
            pairs.filter(|(before, after)| before != after).count()
        };
        let before = all();
        let of_gateway = epochs.of("http://a.test/7", Realm::Gateway);
        epochs.invalidate("http://a.test/7", Realm::Network);
        let after = all();
        assert_eq!(epochs.of("http://a.test/7", Realm::Gateway), of_gateway);
        let some = ended(&before, &after);
        assert!(
            (1..8).contains(&some),
            "{some}: one, and perhaps who shares its count"
        );
        let (old, new) = (before[7], after[7]);
        assert!(new.invalid_since(old));
        epochs.purge();
        let purged = all();
        assert_eq!(ended(&after, &purged), 64);
        assert!(!purged[7].invalid_since(new));
    }
}
