//! One request on its way for many that wait for the same (collapsed forwarding, RFC 9111 §4).
//! Not what it brings, which is found in the cache by those who waited.
//! Start at [`Flights::join`].

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Key;

/// All that is on its way, shared by the workers.
#[derive(Debug, Clone)]
pub struct Flights(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug)]
struct Shard {
    flights: HashMap<Key, Flight>,
    /// Keys of which the last response was nobody else's, and until when that is remembered.
    alone: LruCache<Key, Instant>,
}

/// What is on its way.
#[derive(Debug, Default)]
struct Flight {
    waiting: VecDeque<oneshot::Sender<Outcome>>,
    /// Leaders that failed one after the other.
    failures: u32,
}

/// What a request finds that would go to the origin.
#[derive(Debug)]
pub enum Joined {
    /// It goes, and others wait for it.
    Lead(Lead),
    /// One is on its way.
    Wait(Wait),
    /// It goes by itself: what comes back is for it alone, as it was the last time.
    Alone,
}

/// What waiting came to.
#[derive(Debug)]
pub enum Outcome {
    /// There is something in the cache.
    Look,
    /// The one before it failed, and it goes in its place.
    Lead(Lead),
    /// It goes by itself.
    Alone,
}

/// The one on its way. Dropped, it has failed, and one of those who wait takes its place.
#[derive(Debug)]
pub struct Lead {
    flights: Flights,
    key: Key,
    over: bool,
}

/// A place among those who wait. Dropping it gives it up.
#[derive(Debug)]
pub struct Wait(oneshot::Receiver<Outcome>);

impl Flights {
    /// Nothing is on its way.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
            hasher: RandomState::new(),
        }))
    }

    /// Goes with those who ask for the same, ahead or behind.
    pub fn join(&self, key: &Key) -> Joined {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.flights.get_mut(key) {
            if flight.waiting.len() >= MOST_WAITING {
                return Joined::Alone;
            }
            let (sender, receiver) = oneshot::channel();
            flight.waiting.push_back(sender);
            return Joined::Wait(Wait(receiver));
        }
        if let Some(until) = shard.alone.get(key) {
            if Instant::now() < *until {
                return Joined::Alone;
            }
            shard.alone.pop(key);
        }
        shard.flights.insert(key.clone(), Flight::default());
        Joined::Lead(self.lead(key))
    }

    fn lead(&self, key: &Key) -> Lead {
        Lead {
            flights: self.clone(),
            key: key.clone(),
            over: false,
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let inner = &*self.0;
        let at = inner.hasher.hash_one(key) as usize % SHARDS;
        let [first, ..] = &inner.shards;
        let shard = inner.shards.get(at).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a flight: all who wait are told.
    fn land(&self, key: &Key, alone: bool) {
        let mut shard = self.shard(key);
        let flight = shard.flights.remove(key);
        if alone {
            shard.alone.put(key.clone(), Instant::now() + REMEMBERED);
        } else {
            shard.alone.pop(key);
        }
        drop(shard);
        for waiting in flight.into_iter().flat_map(|flight| flight.waiting) {
            let outcome = if alone { Outcome::Alone } else { Outcome::Look };
            // Who does not wait any more needs no answer.
            let _ = waiting.send(outcome);
        }
    }

    /// A leader failed: the next one that still waits goes in its place; after the second failure, each by itself.
    fn hand_over(&self, key: &Key) {
        let mut shard = self.shard(key);
        let Some(flight) = shard.flights.get_mut(key) else {
            return;
        };
        flight.failures += 1;
        let heir = (flight.failures < MOST_FAILURES).then(|| {
            let waiting = &mut flight.waiting;
            std::iter::from_fn(|| waiting.pop_front()).find(|waiting| !waiting.is_closed())
        });
        if let Some(Some(heir)) = heir {
            drop(shard);
            // If it has gone just now, its lead is dropped with the message, and fails in its turn.
            let _ = heir.send(Outcome::Lead(self.lead(key)));
            return;
        }
        let flight = shard.flights.remove(key);
        drop(shard);
        for waiting in flight.into_iter().flat_map(|flight| flight.waiting) {
            let _ = waiting.send(Outcome::Alone);
        }
    }
}

impl Default for Flights {
    fn default() -> Self {
        Self::new()
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            flights: HashMap::new(),
            alone: LruCache::new(MOST_REMEMBERED),
        }
    }
}

impl Lead {
    /// What it brings is in the cache, and may be used for others.
    pub fn shared(mut self) {
        self.over = true;
        self.flights.land(&self.key, false);
    }

    /// What it brings is for it alone; those who ask for the same soon do not wait for one another.
    pub fn alone(mut self) {
        self.over = true;
        self.flights.land(&self.key, true);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.over {
            self.flights.hand_over(&self.key);
        }
    }
}

impl Wait {
    /// Waits at most so long; then it goes by itself. Cancel-safe: a lead that comes too late is handed on.
    pub async fn outcome(self, patience: Duration) -> Outcome {
        match tokio::time::timeout(patience, self.0).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Outcome::Alone,
        }
    }
}

const SHARDS: usize = 64;
/// Those who wait for one; more go by themselves.
const MOST_WAITING: usize = 10_000;
/// After so many, it is not the leader's fault.
const MOST_FAILURES: u32 = 2;
/// How long it is remembered that a response was nobody else's.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Of each shard.
const MOST_REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not zero");

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("http://a.example/", "")
    }

    fn lead(flights: &Flights) -> Lead {
        match flights.join(&key()) {
            Joined::Lead(lead) => lead,
            other => panic!("{other:?}"),
        }
    }

    fn wait(flights: &Flights) -> Wait {
        match flights.join(&key()) {
            Joined::Wait(wait) => wait,
            other => panic!("{other:?}"),
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_look_when_the_leader_has_something_to_share() {
        let flights = Flights::new();
        let lead = lead(&flights);
        let waits: Vec<Wait> = (0..1000).map(|_| wait(&flights)).collect();
        lead.shared();
        for wait in waits {
            assert!(matches!(wait.outcome(LONG).await, Outcome::Look));
        }
        assert!(matches!(flights.join(&key()), Joined::Lead(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_nobody_else_s_is_not_waited_for_a_while() {
        let flights = Flights::new();
        let lead_once = lead(&flights);
        let waiting = wait(&flights);
        lead_once.alone();
        assert!(matches!(waiting.outcome(LONG).await, Outcome::Alone));
        assert!(matches!(flights.join(&key()), Joined::Alone));
        tokio::time::advance(REMEMBERED + Duration::from_secs(1)).await;
        lead(&flights).shared();
        assert!(matches!(flights.join(&key()), Joined::Lead(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_fails_is_replaced_once_by_one_that_still_waits() {
        let flights = Flights::new();
        let first = lead(&flights);
        let (gone, heir, third) = (wait(&flights), wait(&flights), wait(&flights));
        drop(gone);
        drop(first);
        let Outcome::Lead(second) = heir.outcome(LONG).await else {
            panic!("it does not lead");
        };
        drop(second);
        assert!(matches!(third.outcome(LONG).await, Outcome::Alone));
        assert!(matches!(flights.join(&key()), Joined::Lead(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lead_that_reaches_nobody_is_handed_on() {
        let flights = Flights::new();
        let first = lead(&flights);
        let (chosen, other) = (wait(&flights), wait(&flights));
        drop(first);
        // It was chosen, and goes before it has noticed.
        drop(chosen);
        assert!(matches!(other.outcome(LONG).await, Outcome::Alone));
        drop(lead(&flights));
        assert!(matches!(flights.join(&key()), Joined::Lead(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let flights = Flights::new();
        let lead = lead(&flights);
        let outcome = wait(&flights).outcome(Duration::from_secs(1)).await;
        assert!(matches!(outcome, Outcome::Alone));
        drop(lead);
        assert!(matches!(flights.join(&key()), Joined::Lead(_)));
    }
}
