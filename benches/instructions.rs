//! What `benches/instructions` counts the instructions of: inner loops of the proxy, each run so many times after it was prepared.
//! Measures nothing by itself: without a name it runs all of them once, to see that they run. `benches/instructions`
//!
//! Instructions for an operation. Aimed at: no more than the baseline in `benches/instructions.toml`.

#[path = "work/cache.rs"]
mod cache;
#[path = "work/decide.rs"]
mod decide;
#[path = "work/message.rs"]
mod message;
#[path = "work/route.rs"]
mod route;

use std::hint::black_box;

use cache::Hits;
use decide::{Rules, Shape};
use message::Messages;
use route::shapes;

/// A name, and what prepares the work. What was prepared does the n-th operation, and says how it went.
type Work = (&'static str, fn() -> Box<dyn FnMut(usize) -> bool>);

const WORKS: [Work; 6] = [
    ("cache: hit in memory, one of 20,000", || {
        let hits = Hits::default();
        Box::new(move |nth| hits.hit(nth % hits.len()))
    }),
    (
        "decide: 1,000 rules with hosts, by name and address",
        || {
            let rules = Rules::new(Shape::Hosts, 1_000);
            Box::new(move |nth| rules.judge(nth % rules.len()))
        },
    ),
    ("decide: 1,000 rules without hosts, by name", || {
        let rules = Rules::new(Shape::Clients, 1_000);
        Box::new(move |nth| rules.decide(nth % rules.len()))
    }),
    ("message: request read, checked and written", || {
        let mut messages = Messages::default();
        Box::new(move |_| messages.request() > 0)
    }),
    ("message: response read, checked and written", || {
        let mut messages = Messages::default();
        Box::new(move |_| messages.response() > 0)
    }),
    ("route: one of 10,000, hosts with paths", || {
        let [_, _, mixed] = shapes();
        let routes = mixed.ready();
        Box::new(move |nth| routes.find(nth % routes.len()))
    }),
];

/// How often each is done; the first round of all warms it up and is not counted.
const OPERATIONS: usize = 1_000;

#[expect(
    clippy::print_stdout,
    reason = "the script beside it reads what is printed"
)]
fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    if wanted == "--list" {
        WORKS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    let all = !WORKS.iter().any(|(name, _)| *name == wanted);
    for (name, prepare) in WORKS.iter().filter(|(name, _)| all || *name == wanted) {
        let mut work = prepare();
        let warm = (0..OPERATIONS).filter(|nth| work(*nth)).count();
        assert_eq!(counted_operations(&mut *work), warm, "{name}");
        println!("{OPERATIONS} operations: {name}");
    }
}

/// Known by its name: only while this runs, instructions are counted.
#[inline(never)]
fn counted_operations(work: &mut dyn FnMut(usize) -> bool) -> usize {
    let mut done = 0;
    for nth in 0..OPERATIONS {
        done += usize::from(work(nth));
    }
    // It does not end in another function's place.
    black_box(done)
}
