//! A table of 10,000 routes: how long it takes to find one, that nothing is allocated for it, and how long the table takes to
//! build. In three shapes: a host each, a path each on one host, and hosts with paths and wildcards. `cargo bench --bench route`
//!
//! Nanoseconds for a request, with both readings of its path. Aimed at: 500. Where all are asked for in turn, it is the machine's
//! memory that is measured more than the search: nothing of a route is in the processor's caches when it is asked for again.
//! So a second figure is for a hundred of them, which is more like what clients do.

#[path = "work/route.rs"]
mod work;

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::time::Instant;
use work::{Routes, shapes};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let names = ["a host each", "a path each", "hosts with paths"];
    for (name, shape) in names.into_iter().zip(shapes()) {
        let routes = shape.ready();
        // Expressions make what they work with when they are first used.
        assert!((0..routes.len()).all(|nth| routes.find(nth)), "{name}");
        let region = Region::new(ALLOCATOR);
        let found = (0..routes.len()).filter(|nth| routes.find(*nth)).count();
        let allocations = region.change().allocations;
        assert_eq!((found, allocations), (routes.len(), 0), "{name}");
        for (of, which) in [(routes.len(), "each in turn"), (100, "a hundred of them")] {
            criterion.bench_function(&format!("find, {name}, {which}"), |bencher| {
                bencher.iter_custom(|iterations| finding(&routes, of, iterations));
            });
        }
    }
    let [_, _, mixed] = shapes();
    let mut slow = criterion.benchmark_group("build");
    slow.sample_size(10)
        .bench_function("10,000 routes", |bencher| bencher.iter(|| mixed.build()));
    slow.finish();
    criterion.final_summary();
}

/// How long so many searches take, for each of the first `of` requests in turn. A request has just been read when it is routed: that is
/// not counted.
fn finding(routes: &Routes, of: usize, mut iterations: u64) -> Duration {
    let (mut took, mut next) = (Duration::ZERO, 0);
    while iterations > 0 {
        let left = usize::try_from(iterations).unwrap_or(usize::MAX);
        let count = left.min(64).min(of - next);
        let requests = next..next + count;
        for nth in requests.clone() {
            black_box(routes.request(nth).clone());
        }
        let begun = Instant::now();
        for nth in requests {
            black_box(routes.find(nth));
        }
        took += begun.elapsed();
        next = (next + count) % of;
        iterations -= count as u64;
    }
    took
}
