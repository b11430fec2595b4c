//! One goes, the others wait: over threads, with leaders that fail and waiters that go.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

use proptest::prelude::*;

use super::*;

const LONG: Duration = Duration::from_secs(600);

fn key() -> Key {
    Key::new("http://a.example/", "")
}

fn lead(flights: &Flights) -> Lead {
    match flights.join(&key()) {
        Joined::Lead(lead) => lead,
        other @ (Joined::Wait(_) | Joined::Alone) => panic!("{other:?}"),
    }
}

fn wait(flights: &Flights) -> Wait {
    match flights.join(&key()) {
        Joined::Wait(wait) => wait,
        other @ (Joined::Lead(_) | Joined::Alone) => panic!("{other:?}"),
    }
}

async fn led(wait: Wait) -> Lead {
    match wait.outcome(LONG).await {
        Outcome::Lead(lead) => lead,
        other @ (Outcome::Look | Outcome::Alone) => panic!("{other:?}"),
    }
}

/// Polls once: whether it is over.
async fn is_ready(future: &mut Pin<Box<impl Future>>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

/// A runtime as a worker has it.
fn worker<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_thousand_wait_on_four_threads_for_one() {
    let flights = Flights::new();
    let leading = lead(&flights);
    let waits: Vec<Vec<Wait>> = (0..4)
        .map(|_| (0..250).map(|_| wait(&flights)).collect())
        .collect();
    let looks = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = waits
        .into_iter()
        .map(|waits| {
            let looks = looks.clone();
            thread::spawn(move || {
                worker(async {
                    for wait in waits {
                        let looked = matches!(wait.outcome(LONG).await, Outcome::Look);
                        looks.fetch_add(usize::from(looked), Ordering::Relaxed);
                    }
                });
            })
        })
        .collect();
    leading.shared();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(looks.load(Ordering::Relaxed), 1000);
    assert!(flights.is_empty());
    lead(&flights).shared();
}

#[test]
fn of_those_who_race_on_all_threads_one_goes_at_a_time() {
    let (flights, going, led) = (Flights::new(), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                worker(async {
                    for round in 0..500 {
                        let joined = flights.join(&key());
                        let lead = match joined {
                            Joined::Lead(lead) => lead,
                            Joined::Wait(wait) if round % 3 == 0 => {
                                drop(wait);
                                continue;
                            }
                            Joined::Wait(wait) => match wait.outcome(LONG).await {
                                Outcome::Lead(lead) => lead,
                                Outcome::Look | Outcome::Alone => continue,
                            },
                            Joined::Alone => panic!("nobody said so"),
                        };
                        assert_eq!(going.fetch_add(1, Ordering::SeqCst), 0);
                        tokio::task::yield_now().await;
                        led.fetch_add(1, Ordering::Relaxed);
                        going.fetch_sub(1, Ordering::SeqCst);
                        if round % 2 == 0 {
                            lead.shared()
                        } else {
                            drop(lead)
                        }
                    }
                });
            });
        }
    });
    assert!(led.load(Ordering::Relaxed) > 0 && flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_fails_is_replaced_by_the_next_and_the_others_wait_on() {
    let flights = Flights::new();
    let first = lead(&flights);
    let (gone, heir, third) = (wait(&flights), wait(&flights), wait(&flights));
    let mut third = Box::pin(third.outcome(LONG));
    drop(gone);
    drop(first);
    let second = led(heir).await;
    assert!(!is_ready(&mut third).await);
    second.shared();
    assert!(matches!(third.await, Outcome::Look));
    assert!(flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_two_failures_in_a_row_each_goes_by_itself() {
    let flights = Flights::new();
    let first = lead(&flights);
    let waits: Vec<Wait> = (0..4).map(|_| wait(&flights)).collect();
    drop(first);
    let mut waits = waits.into_iter();
    drop(led(waits.next().unwrap()).await);
    for wait in waits {
        assert!(matches!(wait.outcome(LONG).await, Outcome::Alone));
    }
    // It is not remembered: the next one is another try.
    assert!(flights.is_empty());
    drop(lead(&flights));
}

#[tokio::test(start_paused = true)]
async fn one_who_was_chosen_and_goes_before_it_knows_is_no_failure() {
    let flights = Flights::new();
    let first = lead(&flights);
    let (chosen, next, third) = (wait(&flights), wait(&flights), wait(&flights));
    let mut polled = Box::pin(next.outcome(LONG));
    assert!(!is_ready(&mut polled).await);
    drop(first);
    drop(chosen);
    // Chosen too, and woken, but dropped before it is polled.
    drop(polled);
    let second = led(third).await;
    assert_eq!(flights.len(), 1);
    drop(second);
    assert!(flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_for_one_alone_is_waited_for_by_nobody_for_a_minute() {
    let flights = Flights::new();
    let first = lead(&flights);
    let waiting = wait(&flights);
    first.alone();
    assert!(matches!(waiting.outcome(LONG).await, Outcome::Alone));
    assert!(matches!(flights.join(&key()), Joined::Alone));
    let other = Key::new("http://a.example/", "partition");
    assert!(matches!(flights.join(&other), Joined::Lead(_)));
    tokio::time::advance(REMEMBERED - Duration::from_secs(1)).await;
    assert!(matches!(flights.join(&key()), Joined::Alone));
    tokio::time::advance(Duration::from_secs(1)).await;
    lead(&flights).alone();
    // One that went by itself brought what others may use.
    flights.shared(&key());
    lead(&flights).shared();
}

#[tokio::test(start_paused = true)]
async fn what_is_of_no_use_now_keeps_nobody_from_waiting_for_what_comes_next() {
    let flights = Flights::new();
    let first = lead(&flights);
    let waiting = wait(&flights);
    first.unused();
    assert!(matches!(waiting.outcome(LONG).await, Outcome::Alone));
    let second = lead(&flights);
    let waiting = wait(&flights);
    second.shared();
    assert!(matches!(waiting.outcome(LONG).await, Outcome::Look));
}

#[tokio::test(start_paused = true)]
async fn patience_ends_and_leaves_no_trace() {
    let flights = Flights::new();
    let leading = lead(&flights);
    let waiting = wait(&flights);
    let begun = Instant::now();
    let outcome = waiting.outcome(Duration::from_secs(3)).await;
    assert!(matches!(outcome, Outcome::Alone));
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    let left = |flights: &Flights| {
        let (_, shard) = flights.shard(&key());
        shard.flights.get(&key()).map(|flight| flight.waiting.len())
    };
    assert_eq!(left(&flights), Some(0));
    let polled = Box::pin(wait(&flights).outcome(LONG));
    assert_eq!(left(&flights), Some(1));
    drop(polled);
    assert_eq!(left(&flights), Some(0));
    leading.shared();
    assert_eq!(left(&flights), None);
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_comes_with_the_end_of_patience_is_taken() {
    let flights = Flights::new();
    let first = lead(&flights);
    let mut waiting = Box::pin(wait(&flights).outcome(Duration::from_secs(3)));
    assert!(!is_ready(&mut waiting).await);
    tokio::time::advance(Duration::from_secs(4)).await;
    drop(first);
    assert!(matches!(waiting.await, Outcome::Lead(_)));
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_and_who_waits_is_bounded() {
    let flights = Flights::new();
    for number in 0..2 * SHARDS * MOST_REMEMBERED {
        let key = Key::new(format!("http://a.example/{number}"), "");
        match flights.join(&key) {
            Joined::Lead(lead) => lead.alone(),
            other @ (Joined::Wait(_) | Joined::Alone) => panic!("{other:?}"),
        }
    }
    let remembered = |shard| lock(shard).alone.len();
    let most = flights.0.shards.iter().map(remembered).max();
    assert_eq!(most, Some(MOST_REMEMBERED));
    let leading = lead(&flights);
    let waits: Vec<Wait> = (0..MOST_WAITING).map(|_| wait(&flights)).collect();
    assert!(matches!(flights.join(&key()), Joined::Alone));
    drop(waits);
    wait(&flights);
    leading.shared();
    assert!(flights.is_empty());
}

/// What may happen to a flight.
#[derive(Debug, Clone)]
enum Event {
    Join,
    /// Someone who waits goes.
    Leave(usize),
    /// Someone who was told learns of it.
    Learn(usize),
    Share,
    Fail,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Join),
        2 => (0..8_usize).prop_map(Event::Leave),
        3 => (0..8_usize).prop_map(Event::Learn),
        1 => Just(Event::Share),
        2 => Just(Event::Fail),
    ]
}

proptest! {
    /// Whatever happens in whatever order: never two who lead, and nobody waits for nobody.
    #[test]
    fn nobody_is_forgotten(events in prop::collection::vec(event(), 1..60)) {
        worker(async {
            let flights = Flights::new();
            let mut leading: Option<Lead> = None;
            let mut waiting = Vec::new();
            for event in events {
                match event {
                    Event::Join => match flights.join(&key()) {
                        Joined::Lead(lead) => assert!(leading.replace(lead).is_none()),
                        Joined::Wait(wait) => waiting.push(Box::pin(wait.outcome(LONG))),
                        Joined::Alone => panic!("nobody said so"),
                    },
                    Event::Leave(at) if at < waiting.len() => drop(waiting.remove(at)),
                    Event::Learn(at) if at < waiting.len() => {
                        let wait = &mut waiting[at];
                        let told = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await;
                        if let Poll::Ready(outcome) = told {
                            drop(waiting.remove(at));
                            if let Outcome::Lead(lead) = outcome {
                                assert!(leading.replace(lead).is_none());
                            }
                        }
                    }
                    Event::Leave(_) | Event::Learn(_) => {}
                    Event::Share => leading.take().into_iter().for_each(Lead::shared),
                    Event::Fail => drop(leading.take()),
                }
            }
            drop(leading);
            // Each is told in the end, one by one.
            let mut rounds = 0;
            while !waiting.is_empty() {
                rounds += 1;
                assert!(rounds < 100, "{} wait for nobody", waiting.len());
                let mut still = Vec::new();
                for mut wait in waiting {
                    if !is_ready(&mut wait).await {
                        still.push(wait);
                    }
                }
                waiting = still;
            }
            assert!(flights.is_empty());
        });
    }
}
