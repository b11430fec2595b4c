//! A table of 10,000 routes: how long it takes to find one, that nothing is allocated for it, and how long the table takes to
//! build. In three shapes: a host each, a path each on one host, and hosts with paths and wildcards. `cargo bench --bench route`
//!
//! Nanoseconds for a request, with both readings of its path. Aimed at: 500.

#[path = "work/route.rs"]
mod work;

use std::alloc::System;
use std::time::Duration;

use criterion::Criterion;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use work::shapes;

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
        let mut requests = (0..routes.len()).cycle();
        criterion.bench_function(&format!("find, {name}"), |bencher| {
            bencher.iter(|| routes.find(requests.next().expect("a cycle has no end")));
        });
    }
    let [_, _, mixed] = shapes();
    let mut slow = criterion.benchmark_group("build");
    slow.sample_size(10)
        .bench_function("10,000 routes", |bencher| bencher.iter(|| mixed.build()));
    slow.finish();
    criterion.final_summary();
}
