//! How long origins were seen to keep idle connections, so that none is used which its origin is about to close.
//! Not what they say of it, which is `keep_alive`. Closes nothing.
//! Start at [`Habits::patience`].
//!
//! One close proves nothing: an origin that restarts closes connections of every age at once. Two closes at about the same age
//! and at different times are a habit. A close that met a request proves more: that one came too late.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

/// What one worker has seen of origins, by their addresses.
#[derive(Debug)]
pub(super) struct Habits(RefCell<LruCache<SocketAddr, Habit>>);

#[derive(Debug, Default, Clone, Copy)]
struct Habit {
    /// The age at which an idle connection was closed, and when that was.
    seen: Option<(Duration, Instant)>,
    /// How long idle connections may be used, and when that was last confirmed.
    patience: Option<(Duration, Instant)>,
}

impl Default for Habits {
    fn default() -> Self {
        Self(RefCell::new(LruCache::new(ORIGINS)))
    }
}

impl Habits {
    /// How long a connection to this origin may have been idle to be used. `None` where nothing is known.
    pub(super) fn patience(&self, origin: SocketAddr) -> Option<Duration> {
        let habits = self.0.borrow();
        if habits.is_empty() {
            return None;
        }
        let (patience, at) = habits.peek(&origin)?.patience?;
        (at.elapsed() < FORGOTTEN).then_some(patience)
    }

    /// The origin closed a connection that was idle for so long.
    pub(super) fn closed(&self, origin: SocketAddr, idle: Duration) {
        if idle < SHORTEST {
            return;
        }
        let habits = &mut *self.0.borrow_mut();
        let habit = habits.get_or_insert_mut(origin, Habit::default);
        let now = Instant::now();
        let alike = |(age, _): &(Duration, Instant)| age.abs_diff(idle) <= SHORTEST.max(idle / 8);
        match habit.seen.filter(alike) {
            Some((age, at)) if now - at >= APART => {
                habit.lower(age.min(idle), now);
                habit.seen = Some((idle, now));
            }
            // They may have been closed all at once.
            Some(_) => {}
            None => habit.seen = Some((idle, now)),
        }
    }

    /// The origin closed a connection that was idle for so long, when it was used again.
    pub(super) fn closed_in_use(&self, origin: SocketAddr, idle: Duration) {
        // Who closes a connection that was in use just before means the request and not the time.
        if idle >= SHORTEST {
            let habits = &mut *self.0.borrow_mut();
            let habit = habits.get_or_insert_mut(origin, Habit::default);
            habit.lower(idle, Instant::now());
        }
    }

    /// Forgets an origin.
    pub(super) fn forget(&self, origin: SocketAddr) {
        self.0.borrow_mut().pop(&origin);
    }
}

impl Habit {
    fn lower(&mut self, closed: Duration, now: Instant) {
        let patience = below(closed);
        let known = self
            .patience
            .filter(|(_, at)| now - *at < FORGOTTEN)
            .map(|(known, _)| known);
        match known {
            // Something else must have closed it later than the habit would.
            Some(known) if patience > known * 5 / 4 => {}
            Some(known) => self.patience = Some((patience.min(known), now)),
            None => self.patience = Some((patience, now)),
        }
    }
}

/// How long a connection may be used that is kept for so long: by what a request needs to get there, and more where there is
/// time enough.
pub(super) fn below(kept: Duration) -> Duration {
    kept.saturating_sub((kept / 4).clamp(LEAST_MARGIN, MOST_MARGIN))
}

const LEAST_MARGIN: Duration = Duration::from_millis(50);
const MOST_MARGIN: Duration = Duration::from_secs(2);

/// Nobody keeps connections for less and means it.
const SHORTEST: Duration = Duration::from_millis(100);
/// Closes that are further apart are two.
const APART: Duration = Duration::from_millis(200);
/// What was not confirmed for so long may have changed.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Origins that something is known of.
const ORIGINS: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not 0");

#[cfg(test)]
mod tests {
    use super::*;

    const A: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 80);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    async fn after(habits: &Habits, closes: &[(u64, u64)]) -> Option<Duration> {
        for (later, idle) in closes {
            tokio::time::advance(ms(*later)).await;
            habits.closed(A, ms(*idle));
        }
        habits.patience(A)
    }

    #[tokio::test(start_paused = true)]
    async fn two_closes_of_one_age_at_two_times_are_a_habit() {
        for (closes, expected) in [
            (&[(0, 1000)][..], None),
            (&[(0, 1000), (300, 1010)], Some(ms(750))),
            // All at once: a restart.
            (&[(0, 1000), (0, 1010), (5, 1020)], None),
            (&[(0, 9000), (0, 1010), (5, 200), (0, 3000)], None),
            // One batch after the other.
            (&[(0, 1000), (150, 1010), (150, 1020)], Some(ms(750))),
            (&[(0, 9000), (300, 1000), (300, 1000)], Some(ms(750))),
            // It lowers, and what comes later than the habit is no part of it.
            (
                &[(0, 1000), (300, 1000), (300, 400), (300, 400)],
                Some(ms(300)),
            ),
            (
                &[(0, 1000), (300, 1000), (300, 5000), (300, 5000)],
                Some(ms(750)),
            ),
            // In a hurry for another reason.
            (&[(0, 50), (300, 50)], None),
        ] {
            let found = after(&Habits::default(), closes).await;
            assert_eq!(found, expected, "{closes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_close_in_use_is_enough_and_all_is_forgotten_some_time() {
        let habits = Habits::default();
        habits.closed_in_use(A, ms(20));
        assert_eq!(habits.patience(A), None);
        habits.closed_in_use(A, ms(2000));
        assert_eq!(habits.patience(A), Some(ms(1500)));
        tokio::time::advance(FORGOTTEN).await;
        assert_eq!(habits.patience(A), None);
        habits.closed_in_use(A, ms(4000));
        assert_eq!(habits.patience(A), Some(ms(3000)));
        habits.forget(A);
        assert_eq!(habits.patience(A), None);
    }
}
