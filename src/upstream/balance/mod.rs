//! Which of several equal endpoints is first, one algorithm a file.
//! Start at [`Balancer`]; [`table::BALANCERS`] lists them.

mod first;
mod random;
mod round_robin;
pub mod table;

use std::fmt::Debug;
use std::rc::Rc;

/// Chooses among endpoints. Lives on one worker.
pub trait Balancer: Debug {
    /// The place of the endpoint to try first, of `count` equal ones; `count` is at least 1.
    fn pick(&self, count: usize) -> usize;
}

/// A balancer in the table.
#[derive(Debug)]
pub struct Entry {
    /// Its word in `balance = "…"`.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Builds it for a worker.
    pub build: fn() -> Rc<dyn Balancer>,
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn every_balancer_stays_in_bounds_and_those_that_spread_reach_all() {
        for entry in table::BALANCERS {
            let balancer = (entry.build)();
            let mut hits = [0u32; 4];
            for _ in 0..4000 {
                hits[balancer.pick(4)] += 1;
            }
            assert_eq!(balancer.pick(1), 0, "{}", entry.name);
            match entry.name {
                "first" => assert_eq!(hits, [4000, 0, 0, 0]),
                "round-robin" => assert_eq!(hits, [1000; 4]),
                name => assert!(
                    hits.iter().all(|hits| (800..1200).contains(hits)),
                    "{name}: {hits:?}"
                ),
            }
        }
    }
}
