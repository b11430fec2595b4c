//! How many retries there may be for the requests of the last ten seconds: a window of ten buckets, in atomics. Two workers that
//! open a bucket at the same moment may lose a count; the budget is a brake, not a bill.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::settings::RetrySettings;

#[derive(Debug, Default)]
pub(super) struct Budget([Bucket; WINDOW as usize]);

#[derive(Debug, Default)]
struct Bucket {
    /// The second that it counts, and one: 0 is none.
    second: AtomicU64,
    requests: AtomicU32,
    retries: AtomicU32,
}

impl Budget {
    /// Counts a request.
    pub(super) fn count(&self, now: Duration) {
        if let Some(bucket) = self.bucket(now) {
            bucket.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a retry out of the budget; says whether there was one.
    pub(super) fn take(&self, now: Duration, settings: &RetrySettings) -> bool {
        let oldest = (now.as_secs() + 2).saturating_sub(WINDOW);
        let (mut requests, mut retries) = (0_u64, 0_u64);
        let recent = |bucket: &&Bucket| bucket.second.load(Ordering::Relaxed) >= oldest.max(1);
        for bucket in self.0.iter().filter(recent) {
            requests += u64::from(bucket.requests.load(Ordering::Relaxed));
            retries += u64::from(bucket.retries.load(Ordering::Relaxed));
        }
        let allowed = (requests as f64 * settings.budget).max(f64::from(settings.floor));
        if retries as f64 + 1.0 > allowed {
            return false;
        }
        if let Some(bucket) = self.bucket(now) {
            bucket.retries.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// The bucket of this second, emptied where it was one of before.
    fn bucket(&self, now: Duration) -> Option<&Bucket> {
        let second = now.as_secs() + 1;
        let bucket = self.0.get((second % WINDOW) as usize)?;
        let seen = bucket.second.load(Ordering::Relaxed);
        if seen < second {
            let swap =
                bucket
                    .second
                    .compare_exchange(seen, second, Ordering::Relaxed, Ordering::Relaxed);
            if swap.is_ok() {
                bucket.requests.store(0, Ordering::Relaxed);
                bucket.retries.store(0, Ordering::Relaxed);
            }
        }
        Some(bucket)
    }
}

/// Seconds.
const WINDOW: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_the_requests_of_the_last_ten_seconds() {
        let settings = RetrySettings {
            budget: 0.2,
            floor: 3,
            ..RetrySettings::default()
        };
        let budget = Budget::default();
        let take_all = |at: u64| {
            (0..1000)
                .take_while(|_| budget.take(Duration::from_secs(at), &settings))
                .count()
        };
        assert_eq!(take_all(0), 3, "the floor");
        for at in 20..25 {
            (0..20).for_each(|_| budget.count(Duration::from_secs(at)));
        }
        assert_eq!(take_all(25), 20, "a fifth of a hundred");
        assert_eq!(take_all(29), 0, "they are spent");
        assert_eq!(
            take_all(34),
            0,
            "what is left of the requests does not pay for them"
        );
        assert_eq!(take_all(36), 3, "all that was is forgotten");
    }
}
