use std::collections::VecDeque;

use super::*;

/// What happened in a second of a run.
#[derive(Debug, Default, Clone, PartialEq)]
struct Second {
    requests: u32,
    failures: u32,
    /// Requests that the endpoint in question was given.
    own: u32,
}

/// Two hundred requests a second to ten endpoints for two minutes. The fourth refuses everything from the 20th to the 60th second, as
/// its probes find out too; each request that fails is tried once more.
async fn run(balance: &str, seed: u64) -> Vec<Second> {
    let text = format!(
        "balance = \"{balance}\"\nslow-start = \"20s\"\nhealth = {{ tcp = true, rise = 2, fall = 3 }}\noutlier = {{ failures = 4, base = \"5s\", interval = \"5s\" }}"
    );
    let upstream = upstream(10, &text);
    let dice = Dice::seeded(seed);
    let sick = |second: usize| (20..60).contains(&second);
    let mut seconds = Vec::new();
    let mut under_way: VecDeque<(Instant, Picked)> = VecDeque::new();
    for at in 0..120 {
        let mut second = Second::default();
        if at % 5 == 0 {
            (0..10).for_each(|n| upstream.probed(&key(n), !(n == 3 && sick(at))));
        }
        for _ in 0..200 {
            advance(Duration::from_millis(5)).await;
            let now = Instant::now();
            while under_way.front().is_some_and(|(end, _)| *end <= now) {
                let (_, ended) = under_way.pop_front().expect("it was there");
                ended.succeeded(Duration::from_millis(40), Some(200));
            }
            second.requests += 1;
            let mut tried = Vec::new();
            for _ in 0..2 {
                let ask = Ask {
                    key: Some(dice.roll()),
                    tried: &tried,
                    ..Ask::new(&dice, now)
                };
                let picked = upstream.pick(&ask).expect("nine are well");
                let own = picked.address() == address(3);
                second.own += u32::from(own);
                if !(own && sick(at)) {
                    under_way.push_back((now + Duration::from_millis(40), picked));
                    break;
                }
                tried.push(picked.endpoint().key().clone());
                second.failures += 1;
                picked.failed();
            }
            assert!(tried.len() < 2, "the retry goes to one that is well");
        }
        seconds.push(second);
    }
    seconds
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_is_left_alone_and_comes_back_slowly() {
    for balance in [
        "p2c",
        "round-robin",
        "random",
        "least-requests",
        "ewma",
        "maglev",
        "ring-hash",
    ] {
        let seconds = run(balance, 42).await;
        let sum = |from: usize, to: usize, of: fn(&Second) -> u32| -> u32 {
            seconds[from..to].iter().map(of).sum()
        };
        let well = sum(0, 20, |s| s.own);
        assert!(
            (200..=800).contains(&well),
            "{balance}: {well} of 4000 while all are well"
        );
        // Four failures eject it, and its probes keep it out from the third on; by latency one is enough to stay away.
        let failures = sum(20, 60, |s| s.failures);
        assert!(
            (1..=16).contains(&failures),
            "{balance}: {failures} failures"
        );
        assert_eq!(sum(31, 60, |s| s.failures), 0, "{balance}");
        // Two probes, at 60 and 65 seconds, bring it back; its share grows for 20 seconds.
        assert_eq!(sum(61, 65, |s| s.own), 0, "{balance}");
        let (early, late, then) = (
            sum(66, 71, |s| s.own),
            sum(80, 85, |s| s.own),
            sum(90, 120, |s| s.own),
        );
        assert!(early < late, "{balance}: {early} early, {late} late");
        assert!(
            (300..=1200).contains(&then),
            "{balance}: {then} of 6000 when it is back"
        );
        assert_eq!(sum(0, 20, |s| s.failures) + sum(60, 120, |s| s.failures), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_is_the_same_run() {
    // Round robin begins at a place of its own in each process.
    for balance in [
        "p2c",
        "random",
        "least-requests",
        "ewma",
        "maglev",
        "ring-hash",
    ] {
        assert_eq!(run(balance, 1).await, run(balance, 1).await, "{balance}");
    }
    assert_ne!(run("p2c", 1).await, run("p2c", 2).await);
}
