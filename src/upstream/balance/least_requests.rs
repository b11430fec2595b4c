//! The one with the fewest requests under way for its weight: of all where there are few, of a sample where there are many.

use super::weights::Weights;
use super::{Balancer, By, Entry, Field, Load};

pub(super) const ENTRY: Entry = Entry {
    name: "least-requests",
    summary: "the one with the fewest requests under way (of more than 64: of 16 that are drawn)",
    by: By::Load,
    build: |shape| Box::new(LeastRequests(Weights::new(shape))),
};

#[derive(Debug)]
struct LeastRequests(Weights);

impl Balancer for LeastRequests {
    fn pick(&self, field: &dyn Field) -> Option<usize> {
        if field.len() > FEW {
            return self.of_a_sample(field);
        }
        let mut least: Option<(usize, Load)> = None;
        let mut tied = 0;
        for place in (0..field.len()).filter(|place| field.takes(*place)) {
            let load = field.load(place);
            let weight = u64::from(load.weight);
            match least {
                Some((_, best)) if best.is_less_than(load) => continue,
                Some((_, best)) if !load.is_less_than(best) => {
                    // Those that tie are drawn by weight, each having had its chance when the last one is seen.
                    tied += weight;
                    if field.dice().below(tied) >= weight {
                        continue;
                    }
                }
                Some(_) | None => tied = weight,
            }
            least = Some((place, load));
        }
        least.map(|(place, _)| place)
    }
}

impl LeastRequests {
    fn of_a_sample(&self, field: &dyn Field) -> Option<usize> {
        let mut place = self.0.draw(field)?;
        let mut least = field.load(place);
        for _ in 1..SAMPLE {
            let Some(other) = self.0.draw(field) else {
                break;
            };
            let load = field.load(other);
            if load.is_less_than(least) {
                (place, least) = (other, load);
            }
        }
        Some(place)
    }
}

/// So many are all looked at.
const FEW: usize = 64;
const SAMPLE: usize = 16;
