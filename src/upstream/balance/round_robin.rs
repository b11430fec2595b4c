//! One after the other.

use std::cell::Cell;
use std::rc::Rc;

use super::{Balancer, Entry};

pub(super) const ENTRY: Entry = Entry {
    name: "round-robin",
    summary: "one after the other, each worker for itself",
    build: || Rc::new(RoundRobin::default()),
};

#[derive(Debug, Default)]
struct RoundRobin(Cell<usize>);

impl Balancer for RoundRobin {
    fn pick(&self, count: usize) -> usize {
        let turn = self.0.get();
        self.0.set(turn.wrapping_add(1));
        turn % count.max(1)
    }
}
