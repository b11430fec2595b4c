use super::balance::By;
use super::balance::table::BALANCERS;
use super::*;

const KEYED: [&str; 2] = ["maglev", "ring-hash"];

fn weighted(balance: &str, weights: &[u32]) -> Arc<Upstream> {
    let endpoints: Vec<String> = weights
        .iter()
        .enumerate()
        .map(|(n, weight)| format!("{{ address = \"{}\", weight = {weight} }}", address(n)))
        .collect();
    let text = format!(
        "endpoints = [{}]\nbalance = \"{balance}\"",
        endpoints.join(", ")
    );
    Upstream::new("app", settings(&text))
}

/// How far the busiest and the idlest are from their weights, as a part of what they should have.
fn error(hits: &BTreeMap<SocketAddr, u64>, weights: &[u32]) -> f64 {
    let all: f64 = hits.values().sum::<u64>() as f64;
    let total: u32 = weights.iter().sum();
    let errors = weights.iter().enumerate().map(|(n, weight)| {
        let fair = all * f64::from(*weight) / f64::from(total);
        let got = hits.get(&address(n)).copied().unwrap_or(0) as f64;
        (got - fair).abs() / fair
    });
    errors.fold(0.0, f64::max)
}

#[tokio::test(start_paused = true)]
async fn every_algorithm_follows_the_weights_within_two_per_cent() {
    for entry in BALANCERS.iter().filter(|entry| entry.name != "first") {
        for weights in [&[1, 1, 1, 1, 1][..], &[1, 2, 3, 4], &[100, 50, 25]] {
            let hits = Worker::new().spread(&weighted(entry.name, weights), 100_000);
            // A ring is as even as its points are many: within two per cent of all requests.
            let most = if entry.name == "ring-hash" {
                0.06
            } else {
                0.02
            };
            let error = error(&hits, weights);
            assert!(
                error <= most,
                "{} {weights:?}: {error:.4} {hits:?}",
                entry.name
            );
            let all: u32 = weights.iter().sum();
            for (n, weight) in weights.iter().enumerate() {
                let share = hits[&address(n)] as f64 / 100_000.0;
                let fair = f64::from(*weight) / f64::from(all);
                assert!((share - fair).abs() <= 0.02, "{} {weights:?}", entry.name);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_weights_hold_too_while_requests_are_under_way() {
    for name in ["round-robin", "random", "p2c", "least-requests", "ewma"] {
        let weights = [1, 2, 3, 4];
        let upstream = weighted(name, &weights);
        let worker = Worker::new();
        let mut under_way = std::collections::VecDeque::new();
        let mut hits = BTreeMap::new();
        for _ in 0..100_000 {
            let picked = worker.pick(&upstream).expect("somebody takes it");
            *hits.entry(picked.address()).or_default() += 1;
            under_way.push_back(picked);
            if under_way.len() > 100 {
                let ended = under_way.pop_front().expect("a hundred are under way");
                ended.succeeded(Duration::from_millis(5), Some(200));
            }
        }
        let error = error(&hits, &weights);
        assert!(error <= 0.02, "{name}: {error:.4} {hits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_to_end_requests_gets_fewer_of_them_by_load() {
    for (name, most) in [("p2c", 0.15), ("least-requests", 0.12), ("ewma", 0.15)] {
        let upstream = weighted(name, &[1; 4]);
        let worker = Worker::new();
        let mut under_way: Vec<(u64, Picked)> = Vec::new();
        let mut slow = 0;
        for turn in 0..20_000_u64 {
            let picked = worker.pick(&upstream).expect("somebody takes it");
            let is_slow = picked.address() == address(0);
            slow += u64::from(is_slow);
            under_way.push((turn + if is_slow { 100 } else { 10 }, picked));
            under_way.retain(|(end, picked)| {
                if *end == turn {
                    let took = if picked.address() == address(0) {
                        100
                    } else {
                        10
                    };
                    picked.succeeded(Duration::from_millis(took), Some(200));
                }
                *end > turn
            });
        }
        let share = slow as f64 / 20_000.0;
        assert!(share < most, "{name}: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_fast_are_preferred_by_latency_and_the_slow_tried_again() {
    let upstream = weighted("ewma", &[1; 2]);
    let worker = Worker::new();
    let send = |slow: u64| {
        let picked = worker.pick(&upstream).expect("somebody takes it");
        let is_slow = picked.address() == address(0);
        picked.succeeded(Duration::from_millis(if is_slow { slow } else { 10 }), None);
        is_slow
    };
    let first: usize = (0..1000).filter(|_| send(500)).count();
    assert!(first < 10, "{first}");
    // It has become fast, which shows when its peak has faded.
    let mut later = 0;
    for _ in 0..1000 {
        advance(Duration::from_millis(100)).await;
        later += usize::from(send(5));
    }
    assert!(later > 200, "{later}");
}

/// Where each of so many keys goes.
fn owners(upstream: &Arc<Upstream>) -> Vec<SocketAddr> {
    let worker = Worker::new();
    let owner = |n: u32| {
        let ask = Ask {
            key: Some(balance::Key::hash(&n.to_be_bytes())),
            ..worker.ask()
        };
        upstream.pick(&ask).expect("somebody takes it").address()
    };
    (0..100_000).map(owner).collect()
}

/// Keys that moved although their endpoint did not go.
fn moved(before: &[SocketAddr], after: &[SocketAddr], gone: SocketAddr) -> f64 {
    let moved = before
        .iter()
        .zip(after)
        .filter(|(a, b)| a != b && **a != gone);
    moved.count() as f64 / before.len() as f64
}

#[tokio::test(start_paused = true)]
async fn one_of_a_hundred_that_goes_moves_hardly_a_key_of_the_others() {
    for name in KEYED {
        let balance = format!("balance = \"{name}\"");
        let all = owners(&upstream(100, &balance));
        for gone in [0, 42, 99] {
            let rest = endpoints((0..100).filter(|n| *n != gone));
            let rest = Upstream::new("app", settings(&format!("{rest}\n{balance}")));
            let moved = moved(&all, &owners(&rest), address(gone));
            assert!(moved <= 0.012, "{name} without {gone}: {moved}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_unwell_moves_its_own_keys_only_and_gets_them_back() {
    for name in KEYED {
        let upstream = upstream(20, &format!("balance = \"{name}\"\nhealth = \"tcp\""));
        let before = owners(&upstream);
        upstream.probed(&key(3), false);
        let during = owners(&upstream);
        assert_eq!(moved(&before, &during, address(3)), 0.0, "{name}");
        assert!(!during.contains(&address(3)), "{name}");
        // What it had is spread over the others.
        let takers: std::collections::BTreeSet<_> = before
            .iter()
            .zip(&during)
            .filter(|(before, _)| **before == address(3))
            .map(|(_, during)| during)
            .collect();
        assert_eq!(takers.len(), 19, "{name}");
        upstream.probed(&key(3), true);
        upstream.probed(&key(3), true);
        assert!(owners(&upstream) == before, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_an_endpoint_is_written_moves_no_key() {
    for name in KEYED {
        let balance = format!("balance = \"{name}\"");
        let backwards = format!("{}\n{balance}", endpoints((0..50).rev()));
        let backwards = Upstream::new("app", settings(&backwards));
        assert!(
            owners(&upstream(50, &balance)) == owners(&backwards),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_everyone_uses_does_not_drown_its_endpoint_where_load_is_bounded() {
    for name in KEYED {
        let text =
            format!("balance = {{ by = \"{name}\", key = \"path\", bounded-load = \"125%\" }}");
        let upstream = upstream(10, &text);
        let worker = Worker::new();
        let ask = Ask {
            key: Some(1),
            ..worker.ask()
        };
        let picked: Vec<Picked> = (0..1000)
            .map(|_| upstream.pick(&ask).expect("somebody takes it"))
            .collect();
        let busiest = upstream.endpoints().iter().map(|e| e.active()).max();
        assert!(busiest <= Some(126), "{name}: {busiest:?}");
        drop(picked);
        assert!(upstream.endpoints().iter().all(|e| e.active() == 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_takes_all_until_it_can_not() {
    let upstream = upstream(3, "balance = \"first\"\nhealth = \"tcp\"");
    let worker = Worker::new();
    assert_eq!(worker.takers(&upstream), addresses([0]));
    upstream.probed(&key(0), false);
    assert_eq!(worker.takers(&upstream), addresses([1]));
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_another_until_all_were_tried() {
    for entry in BALANCERS {
        let upstream = upstream(3, &format!("balance = \"{}\"", entry.name));
        let worker = Worker::new();
        let mut tried = Vec::new();
        for _ in 0..3 {
            let ask = Ask {
                tried: &tried,
                ..worker.ask()
            };
            let picked = upstream.pick(&ask).expect("one is left");
            let key = picked.endpoint().key().clone();
            assert!(!tried.contains(&key), "{}", entry.name);
            tried.push(key);
        }
        let ask = Ask {
            tried: &tried,
            ..worker.ask()
        };
        assert_eq!(upstream.pick(&ask).err(), Some(Unavailable::AllTried));
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_be_left_alone_is_so_for_a_while_but_no_more_than_half_of_all() {
    for entry in BALANCERS {
        let text = format!("balance = \"{}\"\nretry = {{ rest = \"5s\" }}", entry.name);
        let upstream = upstream(4, &text);
        let worker = Worker::new();
        let all: Vec<Picked> = {
            let mut tried = Vec::new();
            let next = |_| {
                let ask = Ask {
                    tried: &tried,
                    ..worker.ask()
                };
                let picked = upstream.pick(&ask).expect("one is left");
                tried.push(picked.endpoint().key().clone());
                picked
            };
            (0..4).map(next).collect()
        };
        for picked in &all {
            picked.rest(Duration::from_secs(3600));
        }
        let others: Vec<SocketAddr> = all.iter().skip(2).map(Picked::address).collect();
        let takers = worker.spread(&upstream, 200);
        let rest = takers.keys().all(|address| others.contains(address));
        assert!(rest, "{}: {takers:?}", entry.name);
        // A first try goes there where there is nobody else; another one does not.
        let tried: Vec<EndpointKey> = all
            .iter()
            .skip(2)
            .map(|one| one.endpoint().key().clone())
            .collect();
        let ask = Ask {
            tried: &tried,
            ..worker.ask()
        };
        assert!(upstream.pick(&ask).is_ok(), "{}", entry.name);
        let again = Ask { again: true, ..ask };
        assert_eq!(upstream.pick(&again).err(), Some(Unavailable::Resting));
        advance(Duration::from_secs(5)).await;
        let later = Ask {
            now: Instant::now(),
            ..again
        };
        assert!(upstream.pick(&later).is_ok(), "{}", entry.name);
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_all_is_half_of_the_group_that_is_used() {
    let each = |number, more| format!("{{ address = \"{}\"{more} }}", address(number));
    let backups = (2..6).map(|number| each(number, ", backup = true"));
    let all: Vec<String> = (0..2)
        .map(|number| each(number, ""))
        .chain(backups)
        .collect();
    let upstream = Upstream::new(
        "app",
        settings(&format!("endpoints = [{}]", all.join(", "))),
    );
    let worker = Worker::new();
    // Retries of a request that nobody answers come to the backups too.
    let mut tried = Vec::new();
    for _ in 0..6 {
        let ask = Ask {
            tried: &tried,
            ..worker.ask()
        };
        let picked = upstream.pick(&ask).expect("one is left");
        picked.rest(Duration::from_secs(20));
        tried.push(picked.endpoint().key().clone());
    }
    let resting = |from: usize, to: usize| {
        let status = upstream.status();
        let rest = status.endpoints.iter().filter(|one| one.resting.is_some());
        rest.filter(|one| (from..to).any(|number| address(number).to_string() == one.address))
            .count()
    };
    assert_eq!(resting(0, 2), 1, "of those that are used");
    assert_eq!(resting(2, 6), 2, "of those that would be");
}

#[tokio::test(start_paused = true)]
async fn the_only_endpoint_and_one_that_is_not_believed_are_asked_as_before() {
    for (count, text) in [(1, ""), (3, "retry = { rest = false }")] {
        let upstream = upstream(count, text);
        let worker = Worker::new();
        let picked = worker.pick(&upstream).expect("it is there");
        picked.rest(Duration::from_secs(60));
        let ask = Ask {
            again: true,
            ..worker.ask()
        };
        for _ in 0..20 {
            assert!(upstream.pick(&ask).is_ok());
        }
        let status = upstream.status();
        assert!(status.endpoints.iter().all(|one| one.resting.is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_at_its_limit_is_passed_over() {
    for entry in BALANCERS {
        let text = format!(
            "balance = \"{}\"\nlimits = {{ endpoint-requests = 2 }}",
            entry.name
        );
        let upstream = upstream(3, &text);
        let worker = Worker::new();
        let picked: Vec<Picked> = (0..6)
            .map(|_| worker.pick(&upstream).expect("there is room"))
            .collect();
        assert_eq!(
            worker.pick(&upstream).err(),
            Some(Unavailable::Full),
            "{}",
            entry.name
        );
        drop(picked);
        assert!(worker.pick(&upstream).is_ok(), "{}", entry.name);
    }
}

#[test]
fn the_table_says_of_each_algorithm_what_it_goes_by() {
    for entry in BALANCERS {
        let keyed = settings(&format!("{}\nbalance = \"{}\"", endpoints([0]), entry.name));
        assert_eq!(
            keyed.balance.key.is_some(),
            entry.by == By::Key,
            "{}",
            entry.name
        );
    }
}
