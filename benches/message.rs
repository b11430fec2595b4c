//! The head of an HTTP/1 request and of a response: read alone; and read, checked, cleaned of what is for one hop, and written for the
//! next one, as the proxy does; and what that allocates. `cargo bench --bench message`
//!
//! Nanoseconds for a head of ten or twelve fields. Aimed at: 1,500 for a request and its response together, with all checks; a
//! whole exchange is to cost less than 16,000.

#[path = "work/message.rs"]
mod work;

use std::alloc::System;
use std::time::Duration;

use criterion::Criterion;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use work::Messages;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut messages = Messages::default();
    let mut group = criterion.benchmark_group("message");
    group.bench_function("request, read", |bencher| {
        bencher.iter(|| messages.read_request());
    });
    allocations("request", || messages.request());
    group.bench_function("request, read, checked and written", |bencher| {
        bencher.iter(|| messages.request());
    });
    group.bench_function("response, read", |bencher| {
        bencher.iter(|| messages.read_response());
    });
    allocations("response", || messages.response());
    group.bench_function("response, read, checked and written", |bencher| {
        bencher.iter(|| messages.response());
    });
    group.finish();
    criterion.final_summary();
}

fn allocations(what: &str, mut pass_on: impl FnMut() -> usize) {
    let written = pass_on();
    let region = Region::new(ALLOCATOR);
    assert_eq!(pass_on(), written, "it is the same each time");
    let allocations = region.change().allocations;
    eprintln!("{what}: {allocations} allocations, {written} bytes written");
}
