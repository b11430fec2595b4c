//! A decision of a policy of 10, 1,000 and 10,000 rules: by name, and by name and then by address; and what it allocates.
//! In two shapes: rules that name their hosts, which are found by them, and rules that do not, which are asked in turn.
//! `cargo bench --bench decide`
//!
//! Nanoseconds for a request. Aimed at: 1,000 at most for both moments where rules name hosts, however many there are; where they
//! do not, 100 for each rule that is asked.

#[path = "work/decide.rs"]
mod work;

use std::alloc::System;
use std::time::Duration;

use criterion::Criterion;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use work::{Rules, Shape};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for (what, shape) in [("hosts", Shape::Hosts), ("no hosts", Shape::Clients)] {
        let mut group = criterion.benchmark_group(format!("decide, rules with {what}"));
        for count in [10, 1_000, 10_000] {
            let rules = Rules::new(shape, count);
            let region = Region::new(ALLOCATOR);
            let allowed = (0..rules.len()).filter(|n| rules.judge(*n)).count();
            let allocations = region.change().allocations as f64 / rules.len() as f64;
            eprintln!(
                "{count} rules with {what}: {allowed} of {} requests allowed, {allocations:.2} allocations each",
                rules.len()
            );
            assert!(allowed > 0 && allowed < rules.len(), "both verdicts occur");
            let mut requests = (0..rules.len()).cycle();
            let mut next = || requests.next().expect("a cycle has no end");
            group.bench_function(format!("{count}, by name"), |bencher| {
                bencher.iter(|| rules.decide(next()));
            });
            group.bench_function(format!("{count}, by name and address"), |bencher| {
                bencher.iter(|| rules.judge(next()));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
