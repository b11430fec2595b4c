use std::thread;

use super::*;

/// Threads pick while another changes everything that can be changed.
#[test]
fn workers_that_share_it_lose_no_count_while_it_changes() {
    let text = "balance = \"p2c\"\nhealth = \"tcp\"\noutlier = { failures = 2 }\nlimits = { endpoint-requests = 3 }";
    let upstream = upstream(8, text);
    thread::scope(|scope| {
        for seed in 0..3 {
            let upstream = &upstream;
            scope.spawn(move || {
                let dice = Dice::seeded(seed);
                let mut held = Vec::new();
                for _ in 0..20_000 {
                    match upstream.pick(&Ask::new(&dice, Instant::now())) {
                        Ok(picked) if dice.below(10) == 0 => picked.failed(),
                        Ok(picked) => held.push(picked),
                        Err(why) => {
                            assert_ne!(why, Unavailable::AllTried);
                            held.clear();
                        }
                    }
                    if held.len() > 5 {
                        held.swap_remove(dice.below(5) as usize)
                            .succeeded(Duration::from_millis(1), Some(200));
                    }
                    let active = upstream.endpoints().iter().map(|e| e.active()).max();
                    assert!(active <= Some(3), "{active:?}");
                }
            });
        }
        let upstream = &upstream;
        scope.spawn(move || {
            let dice = Dice::seeded(99);
            for _ in 0..2000 {
                let number = dice.below(8) as usize;
                let one = address(number).to_string();
                match dice.below(4) {
                    0 => upstream.probed(&key(number), dice.below(2) == 0),
                    1 => drop(upstream.set_weight(&one, Some(dice.below(5) as u32))),
                    2 => drop(upstream.set_admin(&one, Admin::Drained)),
                    _ => drop(upstream.set_admin(&one, Admin::Enabled)),
                }
            }
        });
    });
    let status = upstream.status();
    assert!(status.endpoints.iter().all(|endpoint| endpoint.active == 0));
    let requests: u64 = status
        .endpoints
        .iter()
        .map(|endpoint| endpoint.requests)
        .sum();
    assert!(requests > 0 && requests <= 60_000, "{requests}");
}

/// Each of several threads has an endpoint that asks to be left alone, all at the same time.
#[test]
fn no_more_than_half_are_left_alone_whoever_asks_at_once() {
    const THREADS: usize = 8;
    for round in 0..2000 {
        let upstream = upstream(THREADS, "balance = \"round-robin\"");
        let dice = Dice::seeded(round);
        let all: Vec<Picked> = (0..THREADS)
            .map(|_| {
                upstream
                    .pick(&Ask::new(&dice, Instant::now()))
                    .expect("one")
            })
            .collect();
        let begins = std::sync::Barrier::new(THREADS);
        thread::scope(|scope| {
            for picked in &all {
                scope.spawn(|| {
                    begins.wait();
                    picked.rest(Duration::from_secs(20));
                });
            }
        });
        let status = upstream.status();
        let resting = status.endpoints.iter().filter(|one| one.resting.is_some());
        assert_eq!(resting.count(), THREADS / 2, "round {round}");
    }
}

/// More want in than may be, from several threads; every one of them is let in, and none is left behind.
#[test]
fn nobody_who_waits_is_forgotten_whoever_makes_room() {
    let text = "limits = { requests = 2, pending = { most = 1000, time = \"60s\" } }";
    let upstream = upstream(1, text);
    thread::scope(|scope| {
        for _ in 0..3 {
            let upstream = &upstream;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .expect("a runtime can be made");
                runtime.block_on(async {
                    let one = |priority: u8| async move {
                        let entered = upstream.enter(priority).await.expect("it is let in");
                        tokio::task::yield_now().await;
                        assert!(upstream.status().active <= 2);
                        drop(entered);
                    };
                    for round in 0..200_u8 {
                        tokio::join!(one(round), one(1), one(2));
                    }
                });
            });
        }
    });
    let status = upstream.status();
    assert_eq!((status.active, status.pending, status.refused), (0, 0, 0));
}
