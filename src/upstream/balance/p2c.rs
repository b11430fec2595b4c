//! The less loaded of two that are drawn: nearly as even as the least of all, at the price of two looks, and without the
//! stampede to one that looks idle to all workers at once.

use super::weights::Weights;
use super::{Balancer, By, Entry, Field};

pub(super) const ENTRY: Entry = Entry {
    name: "p2c",
    summary: "the one with fewer requests under way of two that are drawn (power of two choices)",
    by: By::Load,
    build: |shape| Box::new(P2c(Weights::new(shape))),
};

#[derive(Debug)]
struct P2c(Weights);

impl Balancer for P2c {
    fn pick(&self, field: &dyn Field) -> Option<usize> {
        let first = self.0.draw(field)?;
        let Some(second) = self.0.draw_other(first, field) else {
            return Some(first);
        };
        // On a tie the first draw stands: it came by weight alone.
        if field.load(second).is_less_than(field.load(first)) {
            return Some(second);
        }
        Some(first)
    }
}
