//! A pick among a thousand endpoints: how long each algorithm takes, alone and while four threads pick, and that it allocates nothing.
//! `cargo bench --bench balance`
//!
//! Nanoseconds for a pick, with the end of an earlier request. Aimed at: 200 alone, whatever the algorithm; no allocation.

use std::alloc::System;
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::Criterion;
use egret::fault::{Faults, Source};
use egret::settings::Table;
use egret::upstream::balance::Key;
use egret::upstream::balance::table::BALANCERS;
use egret::upstream::{Ask, Dice, Picked, Settings, Upstream};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for entry in BALANCERS {
        let upstream = upstream(entry.name);
        let allocations = allocations(&upstream);
        eprintln!("{}: {allocations} allocations in 10000 picks", entry.name);
        assert_eq!(allocations, 0, "a pick allocates nothing");
        let mut worker = Worker::new(1);
        criterion.bench_function(&format!("pick, {}", entry.name), |bencher| {
            bencher.iter(|| worker.pick(black_box(&upstream)));
        });
        contended(&mut criterion, entry.name, &upstream);
    }
    let mut building = criterion.benchmark_group("build");
    building.sample_size(10);
    for name in ["p2c", "round-robin", "maglev", "ring-hash"] {
        let settings = settings(name);
        building.bench_function(name, |bencher| {
            bencher.iter(|| Upstream::new("bench", settings.clone()));
        });
    }
    building.finish();
    criterion.final_summary();
}

/// While three others pick too, which share what the workers of a process share.
fn contended(criterion: &mut Criterion, name: &str, upstream: &Arc<Upstream>) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 2..5 {
            let ended = &ended;
            scope.spawn(move || {
                let mut worker = Worker::new(seed);
                while !ended.load(Ordering::Relaxed) {
                    worker.pick(upstream);
                }
            });
        }
        let mut worker = Worker::new(1);
        criterion.bench_function(&format!("pick among four threads, {name}"), |bencher| {
            bencher.iter(|| worker.pick(black_box(upstream)));
        });
        ended.store(true, Ordering::Relaxed);
    });
}

fn allocations(upstream: &Arc<Upstream>) -> usize {
    let mut worker = Worker::new(1);
    (0..100).for_each(|_| worker.pick(upstream));
    let region = Region::new(ALLOCATOR);
    (0..10_000).for_each(|_| worker.pick(upstream));
    region.change().allocations
}

fn upstream(balance: &str) -> Arc<Upstream> {
    Upstream::new("bench", settings(balance))
}

/// A thousand endpoints of different weights.
fn settings(balance: &str) -> Settings {
    let endpoint = |n: u32| {
        let [.., high, low] = n.to_be_bytes();
        format!(
            "{{ address = \"10.0.{high}.{low}:80\", weight = {} }}",
            1 + n % 3
        )
    };
    let endpoints: Vec<String> = (0..1000).map(endpoint).collect();
    let text = format!(
        "endpoints = [{}]\nbalance = \"{balance}\"",
        endpoints.join(", ")
    );
    let faults = Faults::new();
    let settings = Settings::read(
        &Table::parse(&Source::new("bench.toml", text), &faults),
        &faults,
    );
    assert!(faults.is_empty(), "{:?}", faults.into_vec());
    settings
}

/// A worker with some requests under way.
struct Worker {
    dice: Dice,
    now: Instant,
    under_way: VecDeque<Picked>,
}

impl Worker {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice::seeded(seed),
            now: Instant::now(),
            under_way: VecDeque::with_capacity(UNDER_WAY + 1),
        }
    }

    /// Picks for a request, and ends an earlier one.
    fn pick(&mut self, upstream: &Arc<Upstream>) {
        let ask = Ask {
            key: Some(Key::hash(&self.dice.roll().to_be_bytes())),
            ..Ask::new(&self.dice, self.now)
        };
        let picked = upstream.pick(&ask).expect("all are well");
        self.under_way.push_back(picked);
        if self.under_way.len() > UNDER_WAY {
            let ended = self.under_way.pop_front().expect("there are some");
            ended.succeeded(Duration::from_millis(5), Some(200));
        }
    }
}

const UNDER_WAY: usize = 64;
