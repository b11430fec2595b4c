//! Any one, each as likely as the others.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use super::{Balancer, Entry};

pub(super) const ENTRY: Entry = Entry {
    name: "random",
    summary: "any one, each as likely as the others",
    build: || Rc::new(Random::default()),
};

#[derive(Debug, Default)]
struct Random {
    keys: RandomState,
    turn: Cell<u64>,
}

impl Balancer for Random {
    fn pick(&self, count: usize) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        // A keyed hash of a counter: even enough to spread load, and nothing that anybody must not guess.
        let drawn = self.keys.hash_one(turn) >> 33;
        usize::try_from(drawn).unwrap_or(0) % count.max(1)
    }
}
