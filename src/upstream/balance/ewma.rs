//! The one that promises the earlier answer of two that are drawn: by a moving average of its latency that jumps to peaks at once
//! and forgets them slowly, times what it carries.

use super::weights::Weights;
use super::{Balancer, By, Entry, Field};

pub(super) const ENTRY: Entry = Entry {
    name: "ewma",
    summary: "the one that promises the earlier answer of two that are drawn (peak-EWMA of latency, times load)",
    by: By::Load,
    build: |shape| Box::new(Ewma(Weights::new(shape))),
};

#[derive(Debug)]
struct Ewma(Weights);

impl Balancer for Ewma {
    fn pick(&self, field: &dyn Field) -> Option<usize> {
        let first = self.0.draw(field)?;
        let Some(second) = self.0.draw_other(first, field) else {
            return Some(first);
        };
        if cost(second, field) < cost(first, field) {
            return Some(second);
        }
        Some(first)
    }
}

/// What a request would wait there: its latency, once for itself and once for each that it would share the weight with.
fn cost(place: usize, field: &dyn Field) -> f32 {
    let load = field.load(place);
    let latency = match field.latency(place) {
        Some(latency) => latency,
        // Who never answered is tried with one request, and then waited for.
        None if load.active == 0 => 0.0,
        None => UNKNOWN,
    };
    latency * (load.active as f32 / load.weight as f32 + 1.0)
}

/// In microseconds; more than a healthy endpoint takes.
const UNKNOWN: f32 = 1_000_000.0;
