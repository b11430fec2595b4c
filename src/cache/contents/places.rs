//! Where each of those who read a content that arrives is, and which of them holds the others back.
//! Not the bytes (pieces). Start at [`Places::take`].

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// The places of readers, by number.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<Place>,
    free: Vec<usize>,
    taken: usize,
    /// Whether anyone has ever read it.
    ever: bool,
    /// When it was last seen that someone is behind, until nobody is.
    looked: Option<Instant>,
}

#[derive(Debug)]
enum Place {
    Free,
    Reading(Position),
    /// The reader held others back for too long, and has not noticed yet.
    Cut,
}

#[derive(Debug)]
struct Position {
    /// All before it has been taken.
    at: u64,
    /// Of a reader that waits for more.
    waker: Option<Waker>,
    /// For how long it has held back others since it was here; begun when it is first too far behind.
    held: Option<(Duration, u64)>,
}

/// How things stand with those who are behind.
pub(super) enum Behind {
    Nobody,
    /// Someone is; it is worth another look at that time.
    Someone(Instant),
}

/// So far may the slowest reader be behind, in bytes.
pub(super) const WINDOW: u64 = 1 << 20;
/// How soon to look again at readers that are behind: what is seen then counts for all the time since the last look.
const AGAIN: Duration = Duration::from_millis(100);

impl Places {
    /// How many read.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Whether there have been readers, and all have gone.
    pub(super) fn is_deserted(&self) -> bool {
        self.ever && self.taken == 0
    }

    /// A place for a reader that begins at an offset.
    pub(super) fn take(&mut self, at: u64) -> usize {
        self.ever = true;
        self.taken += 1;
        let place = Place::Reading(Position {
            at,
            waker: None,
            held: None,
        });
        if let Some(free) = self.free.pop()
            && let Some(old) = self.places.get_mut(free)
        {
            *old = place;
            return free;
        }
        self.places.push(place);
        self.places.len() - 1
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, number: usize) {
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        match std::mem::replace(place, Place::Free) {
            Place::Reading(_) => self.taken -= 1,
            Place::Cut => {}
            Place::Free => return,
        }
        self.free.push(number);
    }

    /// A reader has taken all before an offset: where it was before. `None`: it was cut.
    pub(super) fn advance(&mut self, number: usize, at: u64) -> Option<u64> {
        let position = self.position(number)?;
        position.waker = None;
        Some(std::mem::replace(&mut position.at, at))
    }

    /// A reader waits.
    pub(super) fn wait(&mut self, number: usize, waker: &Waker) {
        if let Some(position) = self.position(number) {
            position.waker = Some(waker.clone());
        }
    }

    /// Who is to be woken when there is more.
    pub(super) fn waiting(&mut self) -> Vec<Waker> {
        let positions = self.positions();
        positions.filter_map(|of| of.waker.take()).collect()
    }

    /// Where the slowest reader is.
    pub(super) fn slowest(&self) -> Option<u64> {
        self.all().map(|position| position.at).min()
    }

    /// Whether a reader has not come to an offset yet.
    pub(super) fn any_before(&self, offset: u64) -> bool {
        self.all().any(|position| position.at < offset)
    }

    /// Looks at who is further behind the end than the window. Whoever has held back for longer than the patience another who has
    /// taken all there is, without taking a window meanwhile, is cut, and woken to learn of it. Time in which nobody waited
    /// for it is not held against a reader.
    pub(super) fn judge(
        &mut self,
        end: u64,
        now: Instant,
        patience: Duration,
    ) -> (Behind, Vec<Waker>) {
        let starving = self.all().any(|position| position.at >= end);
        let since = self
            .looked
            .map(|looked| now.saturating_duration_since(looked));
        let more = since.filter(|_| starving).unwrap_or_default();
        let bound = end.saturating_sub(WINDOW);
        let (mut soonest, mut woken) = (None::<Instant>, Vec::new());
        for place in &mut self.places {
            let Place::Reading(position) = place else {
                continue;
            };
            if position.at >= bound {
                continue;
            }
            let begun = (Duration::ZERO, position.at);
            let (held, from) = position
                .held
                .map_or(begun, |(held, from)| (held + more, from));
            let has_gone_on = position.at.saturating_sub(from) >= WINDOW;
            let (held, from) = if has_gone_on { begun } else { (held, from) };
            if held >= patience {
                woken.extend(position.waker.take());
                *place = Place::Cut;
                self.taken -= 1;
                continue;
            }
            position.held = Some((held, from));
            let look = now + AGAIN.min(patience - held);
            soonest = Some(soonest.map_or(look, |soonest| soonest.min(look)));
        }
        self.looked = soonest.map(|_| now);
        (soonest.map_or(Behind::Nobody, Behind::Someone), woken)
    }

    fn position(&mut self, number: usize) -> Option<&mut Position> {
        match self.places.get_mut(number)? {
            Place::Reading(position) => Some(position),
            Place::Free | Place::Cut => None,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Position> {
        self.places.iter().filter_map(|place| match place {
            Place::Reading(position) => Some(position),
            Place::Free | Place::Cut => None,
        })
    }

    fn positions(&mut self) -> impl Iterator<Item = &mut Position> {
        self.places.iter_mut().filter_map(|place| match place {
            Place::Reading(position) => Some(position),
            Place::Free | Place::Cut => None,
        })
    }
}
