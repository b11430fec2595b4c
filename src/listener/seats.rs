//! The places of a listener's flows of datagrams, over all its sockets and workers, and who gives one up where there are no more.
//! Not the flows, which are the relay's; and not connections, whose clients have shown that they are there (admission).
//! Start at [`Seat::take`].
//!
//! Anybody can write any address into a datagram, and no protocol is known here that would tell a forged one. What can be seen is
//! who sends again after an answer has come: to forge that, a datagram must be sent for each flow, again and again. So a place is
//! taken, first, from the client that has been silent for longest among those that have not done that; and where those who have
//! done it hold more than half of the places, from the one of them that has been silent for longest, as if idle flows ended earlier
//! where there are many.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::settings::Limits;
use super::{Admission, Admitted};

/// A flow's place, which counts until this is dropped or another flow has the place.
#[derive(Debug)]
pub struct Seat {
    admission: Arc<Admission>,
    number: u64,
    standing: Arc<Standing>,
    met: Cell<Met>,
}

/// What is known of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// It may be forged.
    Stranger,
    /// It may be forged; something has answered it.
    Answered,
    /// It has sent something after an answer.
    Known,
}

/// What other workers look at, and what they tell.
#[derive(Debug)]
struct Standing {
    /// When the client last sent something.
    heard: AtomicU64,
    given_up: Notify,
}

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Seats {
    /// What times are counted from, in milliseconds.
    begun: Instant,
    /// One lock for all workers, as the order is the listener's: taken where a flow begins or ends, and where a client becomes known.
    taken: Mutex<AllTaken>,
}

#[derive(Debug)]
struct AllTaken {
    next: u64,
    strangers: Order,
    known: Order,
}

/// By number; those that have been silent for longest are first, as far as anybody has looked.
type Order = LruCache<u64, Taken>;

#[derive(Debug)]
struct Taken {
    standing: Arc<Standing>,
    /// When the client had last sent something, when somebody last looked.
    heard: u64,
    /// For how long it may be silent.
    long: u64,
    /// Counts it.
    _admitted: Admitted,
}

impl Seat {
    /// Takes a place for a flow of a client; where there is none, that of another flow which may have to give it up. `None` where there
    /// is no such flow, or this client has as many as it may.
    pub fn take(admission: &Arc<Admission>, limits: &Limits, client: IpAddr) -> Option<Self> {
        let seats = &admission.seats;
        let admit = || admission.admit(limits);
        // Nobody goes for who may have no more.
        let makes_room = || admission.may_have_more(client, limits) && seats.make_room();
        let admitted = admit().or_else(|| makes_room().then(admit)?)?;
        let admitted = admitted.of_client(client, limits)?;
        let heard = seats.at(Instant::now());
        let standing = Arc::new(Standing {
            heard: AtomicU64::new(heard),
            given_up: Notify::new(),
        });
        let taken = Taken {
            standing: standing.clone(),
            heard,
            long: millis(GRACE),
            _admitted: admitted,
        };
        Some(Self {
            admission: admission.clone(),
            number: seats.lock().add(taken),
            standing,
            met: Cell::new(Met::Stranger),
        })
    }

    /// The client has sent something. `idle` is how long its flow may be silent.
    pub fn heard(&self, now: Instant, idle: Duration) {
        let seats = &self.admission.seats;
        self.standing.heard.store(seats.at(now), Ordering::Relaxed);
        if self.met.get() == Met::Answered {
            self.met.set(Met::Known);
            seats.lock().know(self.number, millis(idle / 2));
        }
    }

    /// Something has been sent to the client.
    pub fn answered(&self) {
        if self.met.get() == Met::Stranger {
            self.met.set(Met::Answered);
        }
    }

    /// Whether anything was ever sent to the client.
    pub fn is_answered(&self) -> bool {
        self.met.get() != Met::Stranger
    }

    /// Waits until another flow has the place: then this one has to end. Cancel-safe.
    pub async fn given_up(&self) {
        self.standing.given_up.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // What counts it has locks of its own.
        let taken = self.admission.seats.lock().remove(self.number);
        drop(taken);
    }
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            taken: Mutex::new(AllTaken {
                next: 0,
                strangers: Order::unbounded(),
                known: Order::unbounded(),
            }),
        }
    }
}

impl Seats {
    /// Ends a flow that may have to give its place up; whether there was one.
    fn make_room(&self) -> bool {
        let now = self.at(Instant::now());
        let gone = self.lock().give_up(now);
        if let Some(gone) = &gone {
            gone.standing.given_up.notify_one();
        }
        gone.is_some()
    }

    fn at(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.begun))
    }

    /// No code that holds it can leave half a change behind.
    fn lock(&self) -> MutexGuard<'_, AllTaken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AllTaken {
    fn add(&mut self, taken: Taken) -> u64 {
        let number = self.next;
        self.next += 1;
        self.strangers.put(number, taken);
        number
    }

    fn know(&mut self, number: u64, long: u64) {
        // Another flow may have its place already.
        if let Some(taken) = self.strangers.pop(&number) {
            self.known.put(number, Taken { long, ..taken });
        }
    }

    fn remove(&mut self, number: u64) -> Option<Taken> {
        let known = self.known.pop(&number);
        known.or_else(|| self.strangers.pop(&number))
    }

    fn give_up(&mut self, now: u64) -> Option<Taken> {
        let stranger = silent(&mut self.strangers, now);
        if stranger.is_some() || self.known.len() <= self.strangers.len() {
            return stranger;
        }
        silent(&mut self.known, now)
    }
}

/// Takes out the one that has been silent for longest, if that is long enough.
fn silent(line: &mut Order, now: u64) -> Option<Taken> {
    for _ in 0..LOOKS {
        let (number, first) = line.peek_lru()?;
        let is_long = |heard| now.saturating_sub(heard) >= first.long;
        if !is_long(first.heard) {
            return None;
        }
        let heard = first.standing.heard.load(Ordering::Relaxed);
        if is_long(heard) {
            return line.pop_lru().map(|(_, first)| first);
        }
        // Puts it behind the others.
        let number = *number;
        if let Some(first) = line.get_mut(&number) {
            first.heard = heard;
        }
    }
    None
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How long a client may take to say more, and an answer to come, before another flow can have the place. So long it takes at least
/// to fill all places anew, whoever forges clients, and however fast.
const GRACE: Duration = Duration::from_secs(1);

/// Those that are looked at for one that has been silent for long enough: a flood is made to cost no more than itself.
const LOOKS: usize = 32;

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    struct Listener(Arc<Admission>, Limits);

    impl Listener {
        fn new(connections: usize) -> Self {
            let limits = Limits {
                connections,
                ..Limits::default()
            };
            Self(Arc::default(), limits)
        }

        fn take(&self) -> Option<Seat> {
            let client = IpAddr::from([192, 0, 2, 1]);
            Seat::take(&self.0, &self.1, client)
        }

        fn stranger(&self) -> Seat {
            self.take().expect("a place")
        }

        fn known(&self) -> Seat {
            let seat = self.stranger();
            seat.heard(Instant::now(), IDLE);
            seat.answered();
            seat.heard(Instant::now(), IDLE);
            seat
        }
    }

    /// Whether another flow has the place.
    async fn is_gone(seat: &Seat) -> bool {
        tokio::select! {
            biased;
            () = seat.given_up() => true,
            () = std::future::ready(()) => false,
        }
    }

    async fn which_are_gone(seats: &[Seat]) -> Vec<usize> {
        let mut gone = Vec::new();
        for (number, seat) in seats.iter().enumerate() {
            if is_gone(seat).await {
                gone.push(number);
            }
        }
        gone
    }

    #[tokio::test(start_paused = true)]
    async fn the_stranger_that_has_been_silent_for_longest_gives_its_place_up() {
        let listener = Listener::new(4);
        let seats = [
            listener.known(),
            listener.stranger(),
            listener.stranger(),
            listener.stranger(),
        ];
        assert!(listener.take().is_none(), "each has its second");
        advance(Duration::from_millis(600)).await;
        // An answer, or datagrams that nothing answers, make nobody known.
        seats[2].answered();
        seats[1].heard(Instant::now(), IDLE);
        seats[1].heard(Instant::now(), IDLE);
        advance(Duration::from_millis(600)).await;
        let _first = listener.stranger();
        assert_eq!(which_are_gone(&seats).await, [2]);
        let _second = listener.stranger();
        assert_eq!(which_are_gone(&seats).await, [3]);
        assert!(listener.take().is_none(), "it was heard half a second ago");
        advance(Duration::from_millis(600)).await;
        let _third = listener.stranger();
        assert_eq!(which_are_gone(&seats).await, [1]);
        assert_eq!(listener.0.total(), 4);
        drop(seats);
        assert_eq!(listener.0.total(), 3, "who has gone counts no more");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_on_sending_keeps_its_place_before_those_who_do_not() {
        let listener = Listener::new(10);
        let talks: Vec<Seat> = (0..5).map(|_| listener.stranger()).collect();
        let mut others = Vec::new();
        for _ in 0..100 {
            advance(Duration::from_millis(250)).await;
            for seat in &talks {
                seat.heard(Instant::now(), IDLE);
            }
            others.extend(listener.take());
        }
        assert!(which_are_gone(&talks).await.is_empty());
        assert!(which_are_gone(&others).await.len() > 90);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_takes_no_place_of_the_half_that_has_come_back_after_an_answer() {
        let listener = Listener::new(6);
        let known: Vec<Seat> = (0..5).map(|_| listener.known()).collect();
        let mut flood = vec![listener.stranger()];
        advance(IDLE / 2 - Duration::from_millis(1)).await;
        flood.push(listener.stranger());
        assert_eq!(which_are_gone(&flood).await, [0]);
        assert!(listener.take().is_none(), "nobody is idle");
        known[0].heard(Instant::now(), IDLE);
        advance(Duration::from_millis(1)).await;
        // Three are half, and the one that has just been heard is not silent.
        for expected in [Some(1), Some(2), None] {
            flood.extend(listener.take());
            let gone = which_are_gone(&known).await;
            assert_eq!(gone, expected.into_iter().collect::<Vec<_>>());
        }
        for _ in 0..10 {
            advance(IDLE).await;
            flood.push(listener.stranger());
            assert!(which_are_gone(&known).await.is_empty());
        }
    }
}
