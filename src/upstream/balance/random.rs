//! Any one, each as likely as its weight says.

use super::weights::Weights;
use super::{Balancer, By, Entry, Field};

pub(super) const ENTRY: Entry = Entry {
    name: "random",
    summary: "any one, each as likely as its weight says",
    by: By::Nothing,
    build: |shape| Box::new(Random(Weights::new(shape))),
};

#[derive(Debug)]
struct Random(Weights);

impl Balancer for Random {
    fn pick(&self, field: &dyn Field) -> Option<usize> {
        self.0.draw(field)
    }
}
