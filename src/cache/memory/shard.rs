//! One shard: S3-FIFO by bytes. What is new waits in a small queue; what is used there goes on to the main one, and what is not
//! goes, remembered for a while by a number, so that it gets there at once if it comes again. A scan passes through the
//! small queue alone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use smallvec::SmallVec;

use super::Out;
use crate::cache::Stored;

#[derive(Debug)]
pub(super) struct Shard {
    of_uri: HashMap<Arc<str>, SmallVec<[Slot; 1]>>,
    small: VecDeque<Ticket>,
    main: VecDeque<Ticket>,
    /// Names of what went out of the small queue of late.
    ghosts: HashSet<u64>,
    ghost_order: VecDeque<u64>,
    hasher: RandomState,
    bound: u64,
    small_bytes: u64,
    main_bytes: u64,
    entries: u64,
    next: u64,
}

/// A response that is there.
#[derive(Debug)]
struct Slot {
    stored: Arc<Stored>,
    number: u64,
    weight: u64,
    /// How often it was used since it was last looked at, up to three.
    uses: AtomicU8,
    in_main: bool,
}

/// A place in a queue. It is void if its response is not there any more, or has another number.
#[derive(Debug)]
struct Ticket {
    uri: Arc<str>,
    number: u64,
}

impl Shard {
    pub(super) fn new(bound: u64) -> Self {
        Self {
            of_uri: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: HashSet::new(),
            ghost_order: VecDeque::new(),
            hasher: RandomState::new(),
            bound,
            small_bytes: 0,
            main_bytes: 0,
            entries: 0,
            next: 0,
        }
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn bytes(&self) -> u64 {
        self.small_bytes + self.main_bytes
    }

    #[must_use]
    pub(super) fn set_bound(&mut self, bound: u64) -> Out {
        self.bound = bound;
        self.make_room()
    }

    /// The newest first.
    pub(super) fn of(&self, uri: &str) -> impl Iterator<Item = &Arc<Stored>> {
        let slots = self.of_uri.get(uri).into_iter().flatten().rev();
        slots.map(|slot| &slot.stored)
    }

    fn slot(&self, stored: &Arc<Stored>) -> Option<&Slot> {
        let slots = self.of_uri.get(stored.key.uri())?;
        slots.iter().find(|slot| Arc::ptr_eq(&slot.stored, stored))
    }

    fn slot_mut(&mut self, stored: &Arc<Stored>) -> Option<&mut Slot> {
        let slots = self.of_uri.get_mut(stored.key.uri())?;
        slots
            .iter_mut()
            .find(|slot| Arc::ptr_eq(&slot.stored, stored))
    }

    pub(super) fn holds(&self, stored: &Arc<Stored>) -> bool {
        self.slot(stored).is_some()
    }

    /// It is used once more. Only what may change is written: a response that is used all the time is read by all.
    pub(super) fn touch(&self, stored: &Arc<Stored>) {
        if let Some(slot) = self.slot(stored)
            && slot.uses.load(Ordering::Relaxed) < MOST_USES
        {
            slot.uses.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn put(&mut self, stored: Arc<Stored>, weight: u64, replace: bool) -> (bool, Out) {
        let same = |other: &Stored| other.key == stored.key && other.vary == stored.vary;
        let there = self.of(stored.key.uri()).any(|other| same(other));
        if there && !replace {
            return (false, Out::new());
        }
        let uri = stored.key.uri().clone();
        // What takes the place of something that was used is used.
        let mut uses = 0;
        if there {
            uses = 1;
            self.remove(|other| same(other), &uri);
        }
        if self
            .of_uri
            .get(&uri)
            .is_some_and(|slots| slots.len() >= MOST_VARIANTS)
        {
            let oldest = self.of(&uri).last().cloned();
            self.remove(
                |other| oldest.as_ref().is_some_and(|old| Arc::ptr_eq(old, other)),
                &uri,
            );
        }
        let in_main = self.ghosts.contains(&self.name(&stored));
        self.next += 1;
        let slot = Slot {
            stored,
            number: self.next,
            weight,
            uses: AtomicU8::new(uses),
            in_main,
        };
        let ticket = Ticket {
            uri: uri.clone(),
            number: self.next,
        };
        self.of_uri.entry(uri).or_default().push(slot);
        self.entries += 1;
        if in_main {
            self.main.push_back(ticket);
            self.main_bytes += weight;
        } else {
            self.small.push_back(ticket);
            self.small_bytes += weight;
        }
        (true, self.make_room())
    }

    pub(super) fn replace(
        &mut self,
        old: &Arc<Stored>,
        new: Arc<Stored>,
        weight: u64,
    ) -> (bool, Out) {
        if old.key != new.key || old.vary != new.vary {
            // Another variant by now: whatever is stored of that one makes way.
            if self.remove(|other| Arc::ptr_eq(other, old), old.key.uri()) == 0 {
                return (false, Out::new());
            }
            return self.put(new, weight, true);
        }
        let Some(slot) = self.slot_mut(old) else {
            return (false, Out::new());
        };
        slot.stored = new.clone();
        (true, self.weigh(&new, weight))
    }

    #[must_use]
    pub(super) fn weigh(&mut self, stored: &Arc<Stored>, weight: u64) -> Out {
        let Some(slot) = self.slot_mut(stored) else {
            return Out::new();
        };
        let before = std::mem::replace(&mut slot.weight, weight);
        let bytes = if slot.in_main {
            &mut self.main_bytes
        } else {
            &mut self.small_bytes
        };
        *bytes = *bytes - before + weight;
        self.make_room()
    }

    /// How many of a URI went.
    pub(super) fn remove(&mut self, fits: impl Fn(&Arc<Stored>) -> bool, uri: &str) -> usize {
        let Some(slots) = self.of_uri.get_mut(uri) else {
            return 0;
        };
        let mut out: SmallVec<[Slot; 1]> = SmallVec::new();
        let mut at = 0;
        while let Some(slot) = slots.get(at) {
            if fits(&slot.stored) {
                out.push(slots.remove(at));
            } else {
                at += 1;
            }
        }
        if slots.is_empty() {
            self.of_uri.remove(uri);
        }
        for slot in &out {
            self.gone(slot);
        }
        self.tidy();
        out.len()
    }

    pub(super) fn remove_where(&mut self, fits: impl Fn(&Stored) -> bool) -> usize {
        let uris = self.of_uri.iter();
        let uris = uris.filter(|(_, slots)| slots.iter().any(|slot| fits(&slot.stored)));
        let uris: Vec<Arc<str>> = uris.map(|(uri, _)| uri.clone()).collect();
        let gone = uris
            .iter()
            .map(|uri| self.remove(|stored| fits(stored), uri));
        gone.sum()
    }

    fn gone(&mut self, slot: &Slot) {
        self.entries -= 1;
        if slot.in_main {
            self.main_bytes -= slot.weight;
        } else {
            self.small_bytes -= slot.weight;
        }
    }

    /// Evicts until all fits.
    #[must_use]
    fn make_room(&mut self) -> Out {
        let mut out = Out::new();
        while self.bytes() > self.bound {
            let from_small = self.small_bytes > self.bound / 10 || self.main.is_empty();
            let evicted = if from_small {
                self.leave_small()
            } else {
                self.leave_main()
            };
            match evicted {
                Leaving::Evicted(stored) => out.push(stored),
                Leaving::Stays => {}
                Leaving::Empty if self.small.is_empty() && self.main.is_empty() => break,
                Leaving::Empty => {}
            }
        }
        out
    }

    fn leave_small(&mut self) -> Leaving {
        let Some(ticket) = self.small.pop_front() else {
            return self.leave_main();
        };
        let Some(slot) = self.of_ticket(&ticket) else {
            return Leaving::Stays;
        };
        if slot.uses.swap(0, Ordering::Relaxed) > 0 {
            slot.in_main = true;
            let weight = slot.weight;
            self.small_bytes -= weight;
            self.main_bytes += weight;
            self.main.push_back(ticket);
            return Leaving::Stays;
        }
        let stored = slot.stored.clone();
        self.haunt(self.name(&stored));
        self.evict(&ticket, stored)
    }

    fn leave_main(&mut self) -> Leaving {
        let Some(ticket) = self.main.pop_front() else {
            return Leaving::Empty;
        };
        let Some(slot) = self.of_ticket(&ticket) else {
            return Leaving::Stays;
        };
        let uses = slot.uses.get_mut();
        if *uses > 0 {
            *uses -= 1;
            self.main.push_back(ticket);
            return Leaving::Stays;
        }
        let stored = slot.stored.clone();
        self.evict(&ticket, stored)
    }

    fn evict(&mut self, ticket: &Ticket, stored: Arc<Stored>) -> Leaving {
        if let Some(slots) = self.of_uri.get_mut(&ticket.uri)
            && let Some(at) = slots.iter().position(|slot| slot.number == ticket.number)
        {
            let slot = slots.remove(at);
            if slots.is_empty() {
                self.of_uri.remove(&ticket.uri);
            }
            self.gone(&slot);
        }
        Leaving::Evicted(stored)
    }

    fn of_ticket(&mut self, ticket: &Ticket) -> Option<&mut Slot> {
        let slots = self.of_uri.get_mut(&ticket.uri)?;
        slots.iter_mut().find(|slot| slot.number == ticket.number)
    }

    fn name(&self, stored: &Stored) -> u64 {
        self.hasher.hash_one((&stored.key, &stored.vary))
    }

    /// Remembers as many names as there are responses.
    fn haunt(&mut self, name: u64) {
        if self.ghosts.insert(name) {
            self.ghost_order.push_back(name);
        }
        let most = usize::try_from(self.entries).unwrap_or(usize::MAX).max(64);
        while self.ghost_order.len() > most {
            if let Some(old) = self.ghost_order.pop_front() {
                self.ghosts.remove(&old);
            }
        }
    }

    /// Takes void tickets out before they are more than half: what is replaced again and again must not fill the queues.
    fn tidy(&mut self) {
        let live = usize::try_from(self.entries).unwrap_or(usize::MAX);
        if self.small.len() + self.main.len() <= 2 * live + 64 {
            return;
        }
        let of_uri = &self.of_uri;
        let is_live = |ticket: &Ticket| {
            let slots = of_uri.get(&ticket.uri).into_iter().flatten();
            slots.into_iter().any(|slot| slot.number == ticket.number)
        };
        self.small.retain(is_live);
        self.main.retain(is_live);
    }
}

/// What became of the first of a queue.
enum Leaving {
    Evicted(Arc<Stored>),
    Stays,
    Empty,
}

const MOST_USES: u8 = 3;
/// More variants of a URI push out the oldest: each is looked at by each request.
const MOST_VARIANTS: usize = 64;
