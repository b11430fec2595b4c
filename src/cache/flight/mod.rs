//! One request on its way for many that wait for the same (collapsed forwarding, RFC 9111 §4).
//! Not what it brings, which those who waited find in the cache.
//! Start at [`Flights::join`].

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Key;

/// All that is on its way, shared by the workers. Clones are the same.
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
    /// Numbers those who wait, never the same twice.
    tickets: u64,
    /// Keys whose last response was for one request alone, by a keyed hash, and until when that is remembered. Two keys of one
    /// hash do no harm: a request goes by itself that could have waited.
    alone: LruCache<u64, Instant>,
}

/// What is on its way.
#[derive(Debug, Default)]
struct Flight {
    /// Those who wait, in the order they came.
    waiting: BTreeMap<u64, oneshot::Sender<Outcome>>,
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
    /// It goes by itself, and nobody waits for it: what comes back is for it alone, as it was the last time, or too many wait.
    Alone,
}

/// What waiting came to.
#[derive(Debug)]
pub enum Outcome {
    /// There is something in the cache: look again.
    Look,
    /// The one before it failed, and it goes in its place.
    Lead(Lead),
    /// It goes by itself.
    Alone,
}

/// The one on its way. Dropped, it has failed, and one of those who wait takes its place; after the second failure in a row all go by
/// themselves.
#[must_use = "dropped, it has failed"]
#[derive(Debug)]
pub struct Lead {
    flights: Flights,
    key: Key,
    /// Whether someone has taken it, or it is still on its way to one of those who wait.
    taken: bool,
    over: bool,
}

/// What a flight came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Landing {
    Shared,
    Unused,
    Alone,
}

/// A place among those who wait. Dropping it gives it up.
#[derive(Debug)]
pub struct Wait {
    flights: Flights,
    key: Key,
    ticket: u64,
    answer: oneshot::Receiver<Outcome>,
}

/// A power of two.
const SHARDS: usize = 64;
/// Those who wait for one; more go by themselves.
const MOST_WAITING: usize = 10_000;
/// After so many in a row, it is not the leader's fault.
const MOST_FAILURES: u32 = 2;
/// How long it is remembered that a response was for one request alone.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Of each shard.
const MOST_REMEMBERED: usize = 1024;

impl Flights {
    /// Nothing is on its way.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
            hasher: RandomState::new(),
        }))
    }

    /// Goes with those who ask for the same, ahead of them or behind.
    pub fn join(&self, key: &Key) -> Joined {
        let (hash, mut shard) = self.shard(key);
        if shard.is_alone(hash) {
            return Joined::Alone;
        }
        let ticket = shard.ticket();
        let Some(flight) = shard.flights.get_mut(key) else {
            shard.flights.insert(key.clone(), Flight::default());
            return Joined::Lead(self.lead(key, true));
        };
        if flight.waiting.len() >= MOST_WAITING {
            return Joined::Alone;
        }
        let (sender, answer) = oneshot::channel();
        flight.waiting.insert(ticket, sender);
        Joined::Wait(Wait {
            flights: self.clone(),
            key: key.clone(),
            ticket,
            answer,
        })
    }

    /// Goes to refresh what others are given meanwhile, for which one is enough, whatever came of the last one. `None` where one is on
    /// its way.
    pub fn refresh(&self, key: &Key) -> Option<Lead> {
        let (_, mut shard) = self.shard(key);
        if shard.flights.contains_key(key) {
            return None;
        }
        shard.flights.insert(key.clone(), Flight::default());
        Some(self.lead(key, true))
    }

    /// Whether one is on its way.
    pub fn is_under_way(&self, key: &Key) -> bool {
        self.shard(key).1.flights.contains_key(key)
    }

    /// A request that went by itself has brought what others may use: from now on they wait for one another again.
    pub fn shared(&self, key: &Key) {
        let (hash, mut shard) = self.shard(key);
        shard.alone.pop(&hash);
    }

    /// How many are on their way.
    pub fn len(&self) -> usize {
        let shards = self.0.shards.iter();
        shards.map(|shard| lock(shard).flights.len()).sum()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lead(&self, key: &Key, taken: bool) -> Lead {
        Lead {
            flights: self.clone(),
            key: key.clone(),
            taken,
            over: false,
        }
    }

    fn shard(&self, key: &Key) -> (u64, MutexGuard<'_, Shard>) {
        let hash = self.0.hasher.hash_one(key);
        let at = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let [first, ..] = &self.0.shards;
        (hash, lock(self.0.shards.get(at).unwrap_or(first)))
    }

    /// Ends a flight: all who wait are told, outside of the lock.
    fn land(&self, key: &Key, landing: Landing) {
        let (hash, mut shard) = self.shard(key);
        let flight = shard.flights.remove(key);
        match landing {
            Landing::Shared => drop(shard.alone.pop(&hash)),
            Landing::Unused => {}
            Landing::Alone => shard.remember(hash),
        }
        drop(shard);
        tell(flight, || match landing {
            Landing::Shared => Outcome::Look,
            Landing::Unused | Landing::Alone => Outcome::Alone,
        });
    }

    /// A leader failed, or was chosen and had gone before it knew (`failed` is false): the next one that still waits goes in its place;
    /// after too many failures, each by itself.
    fn hand_over(&self, key: &Key, failed: bool) {
        let (_, mut shard) = self.shard(key);
        let Some(flight) = shard.flights.get_mut(key) else {
            return;
        };
        flight.failures += u32::from(failed);
        if flight.failures < MOST_FAILURES
            && let Some((_, heir)) = flight.waiting.pop_first()
        {
            drop(shard);
            // If it has gone just now, this comes back, and is dropped: the next one is chosen.
            let _ = heir.send(Outcome::Lead(self.lead(key, false)));
            return;
        }
        let flight = shard.flights.remove(key);
        drop(shard);
        tell(flight, || Outcome::Alone);
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
            tickets: 0,
            // Bounded by hand: a bound would be allocated at once.
            alone: LruCache::unbounded(),
        }
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    fn is_alone(&mut self, hash: u64) -> bool {
        let Some(until) = self.alone.peek(&hash) else {
            return false;
        };
        let holds = Instant::now() < *until;
        if !holds {
            self.alone.pop(&hash);
        }
        holds
    }

    fn remember(&mut self, hash: u64) {
        self.alone.put(hash, Instant::now() + REMEMBERED);
        if self.alone.len() > MOST_REMEMBERED {
            self.alone.pop_lru();
        }
    }
}

impl Lead {
    /// What it brings is in the cache, and may be used for others: all who wait look there.
    pub fn shared(mut self) {
        self.over = true;
        self.flights.land(&self.key, Landing::Shared);
    }

    /// What it brings is for it alone: all who wait go by themselves, and who asks for the same in the next minute does so at once.
    pub fn alone(mut self) {
        self.over = true;
        self.flights.land(&self.key, Landing::Alone);
    }

    /// What it brings is not of use to others now, but what comes next may be: all who wait go by themselves.
    pub fn unused(mut self) {
        self.over = true;
        self.flights.land(&self.key, Landing::Unused);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.over {
            self.flights.hand_over(&self.key, self.taken);
        }
    }
}

impl Wait {
    /// Waits at most so long; then it goes by itself. Cancel-safe: dropped, it gives up its place, and a lead that was on its way to it
    /// is handed on.
    pub async fn outcome(mut self, patience: Duration) -> Outcome {
        let answer = match timeout(patience, &mut self.answer).await {
            Ok(answer) => answer.ok(),
            Err(_) => {
                self.leave();
                // It may have come this moment.
                self.answer.try_recv().ok()
            }
        };
        match answer {
            Some(Outcome::Lead(mut lead)) => {
                lead.taken = true;
                Outcome::Lead(lead)
            }
            Some(outcome @ (Outcome::Look | Outcome::Alone)) => outcome,
            None => Outcome::Alone,
        }
    }

    fn leave(&self) {
        let (_, mut shard) = self.flights.shard(&self.key);
        let flight = shard.flights.get_mut(&self.key);
        let sender = flight.and_then(|flight| flight.waiting.remove(&self.ticket));
        drop(shard);
        drop(sender);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.leave();
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // No code of others runs under it, so nothing in it is ever half done.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(flight: Option<Flight>, outcome: impl Fn() -> Outcome) {
    for waiting in flight
        .into_iter()
        .flat_map(|flight| flight.waiting.into_values())
    {
        // Who does not wait any more needs no answer.
        let _ = waiting.send(outcome());
    }
}

#[cfg(test)]
mod tests;
