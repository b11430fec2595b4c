//! Who is evicted: S3-FIFO, weighed in bytes. New entries wait in a small queue; what is used again there goes on to the main
//! one, what is not leaves, so that a scan passes by what is in use. A hit moves nothing: it only counts up a mark.
//! Does not know what is stored, nor where. Start at [`Queues::admit`] and [`Queues::trim`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::ghosts::Ghosts;
use super::nodes::{List, NONE, Node, Nodes};

/// What an entry and its place in the queues have in common.
#[derive(Debug)]
pub(super) struct Mark {
    hits: AtomicU8,
    node: u32,
    /// The hash of its URI, which it is found by.
    pub(super) uri: u64,
    /// The hash of all that it is known by.
    name: u64,
}

impl Mark {
    /// Notes a use. What is in much use is not written to any more, so that workers do not take it from each other.
    pub(super) fn touch(&self) {
        let hits = self.hits.load(Ordering::Relaxed);
        if hits < HITS {
            self.hits.store(hits + 1, Ordering::Relaxed);
        }
    }

    /// Takes back a use. Whether there was one.
    pub(super) fn forgive(&self) -> bool {
        let hits = self.hits.load(Ordering::Relaxed);
        self.hits.store(hits.saturating_sub(1), Ordering::Relaxed);
        hits > 0
    }
}

/// Both queues, and the account of all bytes. One lock holds it, which a hit never takes.
pub(super) struct Queues {
    nodes: Nodes,
    small: List,
    main: List,
    ghosts: Ghosts,
    pub(super) bound: u64,
    /// What is about to be admitted.
    pub(super) reserved: u64,
    /// What the shards' tables take.
    pub(super) tables: u64,
    pub(super) evictions: u64,
    pub(super) inserted: u64,
    pub(super) rejected: u64,
}

impl Queues {
    pub(super) fn new(bound: u64) -> Self {
        Self {
            nodes: Nodes::new(),
            small: List::new(),
            main: List::new(),
            ghosts: Ghosts::new(),
            bound,
            reserved: 0,
            tables: 0,
            evictions: 0,
            inserted: 0,
            rejected: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        let entries = self.small.bytes + self.main.bytes + self.reserved;
        entries + self.overhead()
    }

    /// What is taken by tables.
    pub(super) fn overhead(&self) -> u64 {
        self.tables + self.nodes.bytes() + self.ghosts.bytes()
    }

    pub(super) fn entries(&self) -> usize {
        self.small.length + self.main.length
    }

    pub(super) fn is_over(&self) -> bool {
        self.bytes() > self.bound
    }

    /// Takes an entry in, by the hash of its URI and that of all that it is known by. `None`: there are more than can be counted.
    pub(super) fn admit(&mut self, (uri, name): (u64, u64), weight: u64) -> Option<Arc<Mark>> {
        let in_main = self.ghosts.forget(name);
        let at = self.nodes.take(weight)?;
        let mark = Arc::new(Mark {
            hits: AtomicU8::new(0),
            node: at,
            uri,
            name,
        });
        let node = self.nodes.get_mut(at)?;
        node.mark = Some(mark.clone());
        self.push(at, in_main);
        self.inserted += 1;
        Some(mark)
    }

    /// Takes an entry in, in the place of another of the same name, of which it inherits the use. `None`: that one is no longer
    /// there.
    pub(super) fn supersede(&mut self, old: &Mark, weight: u64) -> Option<Arc<Mark>> {
        let new = Arc::new(Mark {
            hits: AtomicU8::new(old.hits.load(Ordering::Relaxed)),
            ..*old
        });
        let node = self.node_mut(old)?;
        node.mark = Some(new.clone());
        self.reweigh(&new, weight);
        self.inserted += 1;
        Some(new)
    }

    /// Changes what an entry weighs. Whether it is there.
    pub(super) fn reweigh(&mut self, mark: &Mark, weight: u64) -> bool {
        let Some(node) = self.node_mut(mark) else {
            return false;
        };
        let before = std::mem::replace(&mut node.weight, weight);
        let in_main = node.in_main;
        let list = self.list(in_main).1;
        list.bytes = list.bytes.saturating_sub(before).saturating_add(weight);
        true
    }

    #[cfg(test)]
    pub(super) fn weight(&self, mark: &Mark) -> Option<u64> {
        let node = self.nodes.get(mark.node).filter(|_| self.holds(mark));
        node.map(|node| node.weight)
    }

    /// Takes an entry out. Whether it was there.
    pub(super) fn release(&mut self, mark: &Mark) -> bool {
        let there = self.holds(mark);
        if there {
            self.unlink(mark.node);
            self.nodes.give_back(mark.node);
        }
        if self.entries() == 0 {
            self.ghosts.clear();
        }
        there
    }

    pub(super) fn holds(&self, mark: &Mark) -> bool {
        let node = self.nodes.get(mark.node);
        let held = node.and_then(|node| node.mark.as_deref());
        held.is_some_and(|held| std::ptr::eq(held, mark))
    }

    /// The entries from one place in the table on; `None` beyond its end. An entry keeps its place while it is there.
    pub(super) fn some(&self, from: usize, count: usize) -> Option<Vec<Arc<Mark>>> {
        self.nodes.some(from, count)
    }

    /// Evicts until the bound holds, in so many steps at most: the lock is not held for long. Whether more must be done.
    pub(super) fn trim(&mut self, evicted: &mut Vec<Arc<Mark>>) -> bool {
        for step in 1..=STEPS {
            if !self.is_over() {
                return false;
            }
            let at = self.candidate();
            let Some(node) = self.nodes.get(at) else {
                return false;
            };
            let Some(mark) = node.mark.clone() else {
                return false;
            };
            // Others may use what is here faster than it is looked through.
            let must = step == STEPS && evicted.is_empty();
            if must || !self.spared(&mark, node.in_main) {
                self.evict(&mark);
                evicted.push(mark);
            }
        }
        self.is_over()
    }

    /// The oldest of the queue that has too much.
    fn candidate(&self) -> u32 {
        let small_is_full = self.small.bytes >= self.bound / SMALL;
        match (self.small.oldest, self.main.oldest) {
            (small, NONE) => small,
            (NONE, main) => main,
            (small, main) => {
                if small_is_full {
                    small
                } else {
                    main
                }
            }
        }
    }

    /// Whether it has been used enough to stay; it is put at the new end of the main queue then.
    fn spared(&mut self, mark: &Mark, in_main: bool) -> bool {
        let hits = mark.hits.load(Ordering::Relaxed);
        let (enough, left) = if in_main {
            (hits > 0, hits.saturating_sub(1))
        } else {
            (hits > 1, 0)
        };
        if enough {
            mark.hits.store(left, Ordering::Relaxed);
            self.unlink(mark.node);
            self.push(mark.node, true);
        }
        enough
    }

    fn evict(&mut self, mark: &Mark) {
        let entries = self.entries();
        let node = self.nodes.get(mark.node);
        if node.is_some_and(|node| !node.in_main) {
            self.ghosts.note(mark.name, entries);
        }
        self.release(mark);
        self.evictions += 1;
    }

    fn push(&mut self, at: u32, in_main: bool) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.in_main = in_main;
        }
        let (nodes, list) = self.list(in_main);
        nodes.push(list, at);
    }

    fn unlink(&mut self, at: u32) {
        let in_main = self.nodes.get(at).is_some_and(|node| node.in_main);
        let (nodes, list) = self.list(in_main);
        nodes.unlink(list, at);
    }

    fn list(&mut self, in_main: bool) -> (&mut Nodes, &mut List) {
        let list = if in_main {
            &mut self.main
        } else {
            &mut self.small
        };
        (&mut self.nodes, list)
    }

    fn node_mut(&mut self, mark: &Mark) -> Option<&mut Node> {
        let there = self.holds(mark);
        self.nodes.get_mut(mark.node).filter(|_| there)
    }
}

/// More uses than that are not counted.
const HITS: u8 = 3;

/// So manieth part of the bound is for what is new.
const SMALL: u64 = 10;

/// So many entries are looked at while the lock is held once.
const STEPS: usize = 64;
