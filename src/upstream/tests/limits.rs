use std::pin::pin;
use std::task::Poll;

use futures_util::poll;

use super::*;

const LIMITS: &str = "limits = { requests = 2, pending = { most = 2, time = \"1s\" } }";

#[tokio::test(start_paused = true)]
async fn the_most_urgent_of_those_who_wait_is_let_in_first() {
    let upstream = upstream(1, LIMITS);
    let first = upstream.enter(0).await.expect("there is room");
    let second = upstream.enter(0).await.expect("there is room");
    let mut low = pin!(upstream.enter(1));
    let mut high = pin!(upstream.enter(2));
    assert!(poll!(&mut low).is_pending());
    assert!(poll!(&mut high).is_pending());
    let status = upstream.status();
    assert_eq!((status.active, status.pending), (2, 2));
    drop(first);
    assert!(poll!(&mut low).is_pending());
    let high = high.await.expect("it is let in");
    drop((second, high));
    let _low = low.await.expect("it is let in");
    let status = upstream.status();
    assert_eq!((status.active, status.pending), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_or_makes_room_for_the_more_urgent() {
    let upstream = upstream(1, LIMITS);
    let _under_way = [upstream.enter(0).await, upstream.enter(0).await];
    let mut waiting = [pin!(upstream.enter(1)), pin!(upstream.enter(1))];
    for waiting in &mut waiting {
        assert!(poll!(waiting).is_pending());
    }
    assert_eq!(upstream.enter(1).await.err(), Some(Full::Pending));
    let mut urgent = pin!(upstream.enter(5));
    assert!(poll!(&mut urgent).is_pending());
    let [first, last] = waiting;
    assert_eq!(last.await.err(), Some(Full::Displaced));
    assert_eq!(first.await.err(), Some(Full::PendingTime));
    assert_eq!(urgent.await.err(), Some(Full::PendingTime));
    assert_eq!(upstream.status().refused, 4);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_the_limit() {
    let upstream = upstream(1, LIMITS);
    let _under_way = [upstream.enter(0).await, upstream.enter(0).await];
    let began = Instant::now();
    assert_eq!(upstream.enter(0).await.err(), Some(Full::PendingTime));
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    assert_eq!(upstream.status().pending, 0);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_takes_nothing_along() {
    let upstream = upstream(1, LIMITS);
    let under_way = [upstream.enter(0).await, upstream.enter(0).await];
    {
        let mut waiting = pin!(upstream.enter(0));
        assert!(poll!(&mut waiting).is_pending());
        // It is let in, and does not come to hear of it.
        drop(under_way);
        assert_eq!(upstream.status().pending, 0);
    }
    assert_eq!(upstream.status().active, 0);
    let entered = [upstream.enter(0).await, upstream.enter(0).await];
    assert!(entered.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_what_is_too_much_is_refused_at_once() {
    let upstream = upstream(1, "limits = { requests = 1 }");
    let entered = upstream.enter(0).await;
    assert_eq!(upstream.enter(9).await.err(), Some(Full::Requests));
    drop(entered);
    assert!(upstream.enter(0).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_raises_the_limit_lets_in_who_waits() {
    let registry = Registry::new();
    let with = |requests: u32| {
        let text = format!("limits = {{ requests = {requests}, pending = {{ most = 9 }} }}");
        settings(&format!("{}\n{text}", endpoints([0])))
    };
    let upstream = registry.adopt("app", with(1));
    let _first = upstream.enter(0).await.expect("there is room");
    let mut second = pin!(upstream.enter(0));
    assert!(poll!(&mut second).is_pending());
    registry.adopt("app", with(2));
    assert!(matches!(poll!(&mut second), Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn connections_are_counted_for_the_whole_and_for_each() {
    let text = "limits = { connections = 3, endpoint-connections = 2 }";
    let upstream = upstream(2, text);
    let all = upstream.endpoints();
    let first = upstream.connect(&all[0]).expect("there is room");
    let second = upstream.connect(&all[0]).expect("there is room");
    assert_eq!(upstream.connect(&all[0]).err(), Some(Full::Connections));
    let third = upstream.connect(&all[1]).expect("there is room");
    assert_eq!(upstream.connect(&all[1]).err(), Some(Full::Connections));
    assert_eq!(upstream.status().connections, 3);
    drop(first);
    assert!(upstream.connect(&all[1]).is_ok());
    drop((second, third));
    assert_eq!(upstream.status().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn retries_have_a_limit_and_a_budget() {
    let text = "limits = { retries = 2 }\nretry = { budget = \"10%\", floor = 1 }";
    let upstream = upstream(1, text);
    for _ in 0..50 {
        drop(upstream.enter(0).await);
    }
    let first = upstream.retry().expect("five are in the budget");
    let _second = upstream.retry().expect("five are in the budget");
    assert_eq!(upstream.retry().err(), Some(Full::Retries));
    drop(first);
    for _ in 0..3 {
        assert!(upstream.retry().is_ok());
    }
    assert_eq!(upstream.retry().err(), Some(Full::Budget));
    assert_eq!(upstream.status().retrying, 1);
    advance(Duration::from_secs(20)).await;
    assert!(upstream.retry().is_ok());
}
