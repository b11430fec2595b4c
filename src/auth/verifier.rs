//! Passwords verified away from the workers, once for many askers, and remembered for a short time.
//! Knows nothing of users beyond their names, nor of how hashes work (hash).
//! Start at [`Verifier::verify`].

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use lru::LruCache;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Password;
use super::hash::Hash;
use super::turns::Turns;
use crate::addr::client_network;

/// Verifies passwords. One for the process, because the cores are the process's: however many listeners there are, and
/// through every reload, few verifications run at once and few wait. Clients take turns: a flood of guesses delays others by a
/// verification, not by all that were there before.
pub(super) struct Verifier {
    /// Random; without it, what is remembered says nothing about any password.
    key: hmac::Key,
    shards: Vec<Arc<Mutex<Shard>>>,
    queue: Arc<Queue>,
    verifications: Arc<AtomicU64>,
}

/// What became of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the one.
    Right,
    /// It is not.
    Wrong,
    /// Too many wait, in all or of this client, or this waited too long.
    Busy,
}

/// Stands for a user, the hash in the file, and a password. As the hash is part of it, a changed line is forgotten by
/// itself, and an unchanged one is still remembered after a reload.
type Key = [u8; 32];

struct Shard {
    flights: HashMap<Key, Flight>,
    right: LruCache<Key, Instant>,
    /// Apart, so that a guesser does not drive out those who know their passwords.
    wrong: LruCache<Key, Instant>,
}

/// A verification that waits or runs; `None` until it is done.
type Flight = Arc<watch::Sender<Option<Verdict>>>;

struct Job {
    key: Key,
    hash: Arc<Hash>,
    password: Password,
    flight: Flight,
    shard: Arc<Mutex<Shard>>,
    verifications: Arc<AtomicU64>,
}

/// What waits for a thread.
struct Queue {
    /// `None` once it is closed.
    turns: Mutex<Option<Turns<Job>>>,
    /// Told when something has come, or it was closed.
    changed: Condvar,
}

pub(super) enum Begun {
    Done(Verdict),
    Flying(watch::Receiver<Option<Verdict>>),
}

/// At most this many wait, and half as many of one client.
const QUEUE: usize = 256;

/// At most this long.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// A wrong password is wrong for this long without being looked at again.
const WRONG_FOR: Duration = Duration::from_secs(2);

const SHARDS: usize = 8;
const RIGHT_EACH: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not zero");
const WRONG_EACH: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");

impl Verifier {
    /// The process's verifier; `None` where the system gave no random bytes or no threads.
    pub(super) fn shared() -> Option<Arc<Self>> {
        static SHARED: LazyLock<Option<Arc<Verifier>>> = LazyLock::new(|| {
            let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
            // Half of the cores stay with the workers, where there are enough.
            Verifier::new((cores / 2).clamp(2, 4), QUEUE).map(Arc::new)
        });
        SHARED.clone()
    }

    /// A verifier with threads of its own, which end when it is dropped.
    pub(super) fn new(threads: usize, queue: usize) -> Option<Self> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).ok()?;
        let verifier = Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            shards: (0..SHARDS).map(|_| Arc::default()).collect(),
            queue: Arc::new(Queue::new(queue)),
            verifications: Arc::default(),
        };
        for _ in 0..threads {
            let queue = verifier.queue.clone();
            std::thread::Builder::new()
                .name("egret-password".to_owned())
                .spawn(move || while queue.serve() {})
                .ok()?;
        }
        Some(verifier)
    }

    /// Says whether this is the user's password. Asks at once for the same are verified once. A right password is
    /// remembered for `remember`, a wrong one for two seconds. Waits ten seconds at most. Dropping the future is safe;
    /// a verification that nobody waits for any more is not begun, and keeps nobody out.
    pub(super) async fn verify(
        &self,
        client: IpAddr,
        user: &str,
        hash: &Arc<Hash>,
        password: &Password,
        remember: Duration,
    ) -> Verdict {
        let now = Instant::now();
        let mut flight = match self.begin(client, (user, hash, password), remember, now) {
            Begun::Done(verdict) => return verdict,
            Begun::Flying(flight) => flight,
        };
        match timeout(WAIT_LIMIT, flight.wait_for(Option::is_some)).await {
            Ok(Ok(verdict)) => verdict.unwrap_or(Verdict::Busy),
            Ok(Err(_)) | Err(_) => Verdict::Busy,
        }
    }

    /// Looks into the memory, joins a flight, or begins one.
    pub(super) fn begin(
        &self,
        client: IpAddr,
        (user, hash, password): (&str, &Arc<Hash>, &Password),
        remember: Duration,
        now: Instant,
    ) -> Begun {
        let key = self.key(user, hash, password);
        let Some(shard) = self.shards.get(usize::from(key[0]) % SHARDS) else {
            return Begun::Done(Verdict::Busy);
        };
        let (sender, receiver) = watch::channel(None);
        let flight = Arc::new(sender);
        {
            let mut state = lock(shard);
            if let Some(verdict) = state.recall(&key, remember, now) {
                return Begun::Done(verdict);
            }
            if let Some(flight) = state.flights.get(&key) {
                return Begun::Flying(flight.subscribe());
            }
            state.flights.insert(key, flight.clone());
        }
        let job = Job {
            key,
            hash: hash.clone(),
            password: password.clone(),
            flight,
            shard: shard.clone(),
            verifications: self.verifications.clone(),
        };
        self.queue.join(client, user, job);
        let refused = *receiver.borrow();
        refused.map_or(Begun::Flying(receiver), Begun::Done)
    }

    /// Does what is next, as a thread would; waits for it where nothing waits.
    #[cfg(test)]
    pub(super) fn serve(&self) {
        self.queue.serve();
    }

    /// How many passwords were hashed so far.
    #[cfg(test)]
    pub(crate) fn verifications(&self) -> u64 {
        self.verifications.load(Ordering::Relaxed)
    }

    fn key(&self, user: &str, hash: &Hash, password: &Password) -> Key {
        // None of the three has a zero byte, so that no two triples are written alike.
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), b"\0", hash.text().as_bytes(), b"\0"] {
            context.update(part);
        }
        context.update(password.expose());
        let mut key = Key::default();
        for (to, from) in key.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        key
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            flights: HashMap::new(),
            right: LruCache::sparse(RIGHT_EACH),
            wrong: LruCache::sparse(WRONG_EACH),
        }
    }
}

impl Shard {
    fn recall(&mut self, key: &Key, remember: Duration, now: Instant) -> Option<Verdict> {
        let fresh = |since: &Instant, time| now.saturating_duration_since(*since) < time;
        if self.right.get(key).is_some_and(|at| fresh(at, remember)) {
            return Some(Verdict::Right);
        }
        let wrong = self.wrong.get(key).is_some_and(|at| fresh(at, WRONG_FOR));
        wrong.then_some(Verdict::Wrong)
    }

    fn settle(&mut self, key: Key, verdict: Verdict, now: Instant) {
        self.flights.remove(&key);
        match verdict {
            Verdict::Right => self.right.put(key, now),
            Verdict::Wrong => self.wrong.put(key, now),
            Verdict::Busy => None,
        };
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Queue {
    fn new(most: usize) -> Self {
        let turns = Turns::new(most, (most / 2).max(1), Job::is_wanted);
        Self {
            turns: Mutex::new(Some(turns)),
            changed: Condvar::new(),
        }
    }

    /// Lets a verification wait for its turn; one that has no place is answered. An IPv6 client is its network: it has every
    /// address of that.
    fn join(&self, client: IpAddr, user: &str, job: Job) {
        let lost = match &mut *lock(&self.turns) {
            Some(turns) => turns.join(client_network(client), user, job),
            None => vec![job],
        };
        self.changed.notify_one();
        lost.into_iter().for_each(Job::give_up);
    }

    /// Does what is next, when there is something; `false` once it is closed.
    fn serve(&self) -> bool {
        let mut lost = Vec::new();
        let next = {
            let nothing =
                |turns: &mut Option<Turns<Job>>| turns.as_ref().is_some_and(Turns::is_empty);
            let turns = self.changed.wait_while(lock(&self.turns), nothing);
            let mut turns = turns.unwrap_or_else(PoisonError::into_inner);
            let Some(turns) = turns.as_mut() else {
                return false;
            };
            turns.next(&mut lost)
        };
        lost.into_iter().for_each(Job::give_up);
        if let Some(job) = next {
            job.run();
        }
        true
    }

    fn close(&self) {
        lock(&self.turns).take();
        self.changed.notify_all();
    }
}

impl Job {
    fn is_wanted(&self) -> bool {
        self.flight.receiver_count() > 0
    }

    /// Tells whoever waits for it that it is not done.
    fn give_up(self) {
        // Nobody joins what is not done: without the lock, somebody could do so in between.
        lock(&self.shard).flights.remove(&self.key);
        self.flight.send_replace(Some(Verdict::Busy));
    }

    fn run(self) {
        {
            // Under the lock, as whoever joins the flight does so under it.
            let mut state = lock(&self.shard);
            if !self.is_wanted() {
                state.flights.remove(&self.key);
                return;
            }
        }
        self.verifications.fetch_add(1, Ordering::Relaxed);
        // A fault in a hash's code must not end the thread, nor leave the askers without an answer.
        let verified = std::panic::catch_unwind(|| self.hash.verify(self.password.expose()));
        let verdict = match verified {
            Ok(true) => Verdict::Right,
            Ok(false) => Verdict::Wrong,
            Err(_) => Verdict::Busy,
        };
        lock(&self.shard).settle(self.key, verdict, Instant::now());
        self.flight.send_replace(Some(verdict));
    }
}

/// No code that holds these locks can leave half a change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
