//! Whose turn it is: what waits is taken from one client after the other, and of each client from one of its users after the other.
//! Knows nothing of what waits, nor who does it: no lock and no thread (verifier).
//! Start at [`Turns::join`].
//!
//! So a client that sends a thousand guesses is before nobody but itself, and behind the one address of an office a guesser is
//! before nobody but the user whom it tries; one that makes names up is before those who share its address. Where all places are
//! taken, whoever has most of them makes room, as RFC 8290 §4.1 has it for packets.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// What waits, by client.
pub(super) struct Turns<T> {
    /// Those that have something waiting.
    clients: HashMap<IpAddr, VecDeque<Waiting<T>>>,
    /// Each of them once, the next one first.
    order: VecDeque<IpAddr>,
    total: usize,
    most: usize,
    most_of_client: usize,
    wanted: fn(&T) -> bool,
}

struct Waiting<T> {
    user: Box<str>,
    /// The lower one is taken first. Each user has one of a number.
    round: u64,
    what: T,
}

impl<T> Turns<T> {
    /// Room for so many, and for so many of one client. What nobody wants any more, as `wanted` says, has no turn and no place.
    pub(super) fn new(most: usize, most_of_client: usize, wanted: fn(&T) -> bool) -> Self {
        Self {
            clients: HashMap::new(),
            order: VecDeque::new(),
            total: 0,
            most,
            most_of_client,
            wanted,
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Lets something wait for its turn. Gives what has no place: what nobody wants any more, what had to make room, or this.
    pub(super) fn join(&mut self, client: IpAddr, user: &str, what: T) -> Vec<T> {
        let mut lost = Vec::new();
        if self.is_full_for(client) {
            self.let_go(&mut lost);
        }
        if self.is_full_for(client) {
            let Some(displaced) = self.displace(client, user) else {
                lost.push(what);
                return lost;
            };
            lost.push(displaced);
        }
        let round = self.round(client, user);
        let queue = match self.clients.entry(client) {
            Entry::Occupied(queue) => queue.into_mut(),
            Entry::Vacant(queue) => {
                self.order.push_back(client);
                queue.insert(VecDeque::new())
            }
        };
        let place = queue.partition_point(|one| one.round <= round);
        let user = user.into();
        queue.insert(place, Waiting { user, round, what });
        self.total += 1;
        lost
    }

    /// Takes what is next, where something that is wanted waits. What is found that nobody wants is `lost`.
    pub(super) fn next(&mut self, lost: &mut Vec<T>) -> Option<T> {
        while let Some(client) = self.order.pop_front() {
            let Entry::Occupied(mut queue) = self.clients.entry(client) else {
                continue;
            };
            let mut next = None;
            while let Some(one) = queue.get_mut().pop_front() {
                self.total -= 1;
                if (self.wanted)(&one.what) {
                    next = Some(one.what);
                    break;
                }
                lost.push(one.what);
            }
            if queue.get().is_empty() {
                queue.remove();
            } else {
                self.order.push_back(client);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    fn is_full_for(&self, client: IpAddr) -> bool {
        self.total >= self.most || self.of(client) >= self.most_of_client
    }

    /// How many of a client's wait.
    fn of(&self, client: IpAddr) -> usize {
        self.clients.get(&client).map_or(0, VecDeque::len)
    }

    /// Where another one of this user's comes: after its others, and beside the first ones of the client's other users.
    fn round(&self, client: IpAddr, user: &str) -> u64 {
        let Some(queue) = self.clients.get(&client) else {
            return 0;
        };
        let last = queue.iter().rfind(|one| *one.user == *user);
        let first = queue.front().map_or(0, |first| first.round);
        last.map_or(first, |last| last.round + 1)
    }

    /// Takes out what makes room for another one of this client's and user's: the last of the client that has most waiting, or the
    /// last of its own if that comes after it. Nobody makes room for who would then have more.
    fn displace(&mut self, client: IpAddr, user: &str) -> Option<T> {
        let (own, round) = (self.of(client), self.round(client, user));
        let all = self
            .clients
            .iter()
            .map(|(client, queue)| (queue.len(), *client));
        let (most, fullest) = all.max_by_key(|(count, _)| *count)?;
        if own < self.most_of_client && most > own + 1 {
            return self.take_last(fullest);
        }
        let last = self.clients.get(&client)?.back()?;
        if last.round > round {
            self.take_last(client)
        } else {
            None
        }
    }

    /// Of a client that has others waiting, too.
    fn take_last(&mut self, client: IpAddr) -> Option<T> {
        let last = self.clients.get_mut(&client)?.pop_back()?;
        self.total -= 1;
        Some(last.what)
    }

    /// Takes out all that nobody wants.
    fn let_go(&mut self, lost: &mut Vec<T>) {
        let wanted = self.wanted;
        for queue in self.clients.values_mut() {
            if queue.iter().all(|one| wanted(&one.what)) {
                continue;
            }
            let all = std::mem::take(queue).into_iter();
            let (stay, gone): (VecDeque<_>, VecDeque<_>) = all.partition(|one| wanted(&one.what));
            *queue = stay;
            self.total -= gone.len();
            lost.extend(gone.into_iter().map(|one| one.what));
        }
        self.clients.retain(|_, queue| !queue.is_empty());
        let clients = &self.clients;
        self.order.retain(|client| clients.contains_key(client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of a client's and a user's; wanted while its number is even.
    type One = (&'static str, &'static str, u32);

    struct Line(Turns<One>);

    impl Line {
        fn new(most: usize, most_of_client: usize) -> Self {
            Self(Turns::new(most, most_of_client, |one: &One| {
                one.2.is_multiple_of(2)
            }))
        }

        fn join(&mut self, one: One) -> Vec<One> {
            let client = one.0.parse().expect("an address");
            self.0.join(client, one.1, one)
        }

        fn next(&mut self) -> Option<One> {
            self.0.next(&mut Vec::new())
        }

        fn rest(&mut self) -> Vec<One> {
            std::iter::from_fn(|| self.next()).collect()
        }
    }

    const A: &str = "192.0.2.1";
    const B: &str = "192.0.2.2";
    const C: &str = "2001:db8::";

    #[test]
    fn clients_take_turns_and_so_do_the_users_of_one() {
        let mut line = Line::new(100, 50);
        for one in [
            (A, "ann", 0),
            (A, "ann", 2),
            (A, "ann", 4),
            (B, "bob", 0),
            (A, "ann", 6),
            (B, "bob", 2),
            (C, "cis", 0),
            (A, "dan", 0),
            (A, "dan", 2),
        ] {
            assert_eq!(line.join(one), []);
        }
        let expected = [
            (A, "ann", 0),
            (B, "bob", 0),
            (C, "cis", 0),
            (A, "dan", 0),
            (B, "bob", 2),
            (A, "ann", 2),
            (A, "dan", 2),
            (A, "ann", 4),
            (A, "ann", 6),
        ];
        assert_eq!(line.rest(), expected);
        assert!(line.0.is_empty());
    }

    #[test]
    fn who_comes_again_comes_after_those_who_wait() {
        let mut line = Line::new(100, 50);
        line.join((A, "ann", 0));
        line.join((B, "bob", 0));
        assert_eq!(line.next(), Some((A, "ann", 0)));
        line.join((A, "ann", 2));
        assert_eq!(line.rest(), [(B, "bob", 0), (A, "ann", 2)]);
    }

    #[test]
    fn whoever_has_most_waiting_makes_room() {
        let mut line = Line::new(6, 4);
        for one in [(A, "ann", 0), (A, "ann", 2), (A, "dan", 0), (A, "ann", 4)] {
            assert_eq!(line.join(one), []);
        }
        // A client has four places. A user of it that has fewer takes one of who has more.
        assert_eq!(line.join((A, "ann", 6)), [(A, "ann", 6)]);
        assert_eq!(line.join((A, "eve", 0)), [(A, "ann", 4)]);
        assert_eq!(line.join((A, "eve", 2)), [(A, "eve", 2)]);
        assert_eq!(line.join((B, "bob", 0)), []);
        assert_eq!(line.join((B, "bob", 2)), []);
        // All six are taken, four of them by one client.
        assert_eq!(line.join((C, "cis", 0)), [(A, "ann", 2)]);
        assert_eq!(line.join((C, "cis", 2)), [(A, "eve", 0)]);
        // Each has two: nobody makes room for who would then have more.
        assert_eq!(line.join((C, "cis", 4)), [(C, "cis", 4)]);
        assert_eq!(line.join((A, "ann", 8)), [(A, "ann", 8)]);
        assert_eq!(line.rest().len(), 6);
    }

    #[test]
    fn what_nobody_wants_any_more_has_neither_place_nor_turn() {
        let mut line = Line::new(4, 4);
        for one in [(A, "ann", 1), (A, "ann", 0), (B, "bob", 1), (B, "bob", 3)] {
            assert_eq!(line.join(one), []);
        }
        let mut lost = Vec::new();
        assert_eq!(line.0.next(&mut lost), Some((A, "ann", 0)));
        assert_eq!(lost, [(A, "ann", 1)]);
        line.join((A, "ann", 5));
        line.join((A, "ann", 2));
        let mut lost = line.join((C, "cis", 0));
        lost.sort_unstable();
        assert_eq!(lost, [(A, "ann", 5), (B, "bob", 1), (B, "bob", 3)]);
        assert_eq!(line.rest(), [(A, "ann", 2), (C, "cis", 0)]);
    }
}
