//! How many connections each worker has, and the way from one worker to another. The kernel spreads connections by a hash of their
//! addresses: of a few that last, as gRPC clients keep them, one worker may get nearly all, and another one none.
//! Not the sockets (doors), and not the orders of the main loop (worker).
//! Start at [`Colleagues::with_fewer`].

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::listeners::Key;
use crate::mode::Entry;

/// What one worker knows of the others. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Colleagues {
    all: Arc<[Colleague]>,
    own: usize,
}

#[derive(Debug)]
struct Colleague {
    /// The connections that it has, or has been passed.
    open: AtomicUsize,
    line: mpsc::UnboundedSender<Passed>,
}

/// One connection of a worker, counted until this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Share {
    all: Arc<[Colleague]>,
    of: usize,
}

/// A connection that one worker has accepted, and another one is to serve.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) key: Key,
    pub(super) mode: &'static Entry,
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) share: Share,
}

/// The connections that a worker is passed. No more wait than it has a share of.
pub(super) type Received = mpsc::UnboundedReceiver<Passed>;

impl Colleagues {
    /// What each of so many workers knows, and is passed.
    pub(super) fn of(count: usize) -> Vec<(Self, Received)> {
        let (lines, received): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let all: Arc<[Colleague]> = lines
            .into_iter()
            .map(|line| Colleague {
                open: AtomicUsize::new(0),
                line,
            })
            .collect();
        let each = received.into_iter().enumerate().map(|(own, received)| {
            let all = all.clone();
            (Self { all, own }, received)
        });
        each.collect()
    }

    /// Counts a connection of this worker's own.
    pub(super) fn own(&self) -> Share {
        self.share(self.own)
    }

    /// A share of a worker that has clearly fewer connections than this one: by two, and by an eighth more than it has. So a few are
    /// spread nearly evenly, and many are left where the kernel put them, since passing one on costs some system calls.
    ///
    /// Looks at sixteen others at most: with more workers, the next connection looks at others.
    pub(super) fn with_fewer(&self) -> Option<Share> {
        let own = self.open(self.own);
        let count = self.all.len().saturating_sub(1);
        let distances = (0..count.min(LOOKED_AT)).map(|nth| 1 + (own + nth) % count);
        let others = distances.map(|distance| (self.own + distance) % self.all.len());
        let (open, other) = others.map(|other| (self.open(other), other)).min()?;
        (own >= open + 2 + open / 8).then(|| self.share(other))
    }

    fn open(&self, of: usize) -> usize {
        let one = self.all.get(of);
        one.map_or(0, |one| one.open.load(Ordering::Relaxed))
    }

    fn share(&self, of: usize) -> Share {
        if let Some(one) = self.all.get(of) {
            one.open.fetch_add(1, Ordering::Relaxed);
        }
        let all = self.all.clone();
        Share { all, of }
    }
}

impl Passed {
    /// Sends it to the worker whose share it has. Gives the connection back where that worker has ended.
    pub(super) fn send(self) -> Result<(), TcpStream> {
        let all = self.share.all.clone();
        match all.get(self.share.of) {
            Some(one) => one.line.send(self).map_err(|unsent| unsent.0.stream),
            None => Err(self.stream),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(one) = self.all.get(self.of) {
            one.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How many others a worker compares itself with for one connection.
const LOOKED_AT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections come to workers as the kernel says; which worker serves each.
    fn spread(workers: usize, came_to: &[usize]) -> Vec<usize> {
        let colleagues = Colleagues::of(workers);
        let shares: Vec<Share> = came_to
            .iter()
            .filter_map(|to| colleagues.get(*to))
            .map(|(worker, _)| worker.with_fewer().unwrap_or_else(|| worker.own()))
            .collect();
        let of = |worker| shares.iter().filter(|share| share.of == worker).count();
        (0..workers).map(of).collect()
    }

    #[test]
    fn a_few_connections_are_spread_and_many_are_left_where_they_came() {
        for (workers, came_to, expected) in [
            (1, [0; 8].as_slice(), vec![8]),
            (2, &[0; 8], vec![5, 3]),
            (2, &[1; 8], vec![3, 5]),
            (2, &[0, 1, 0, 1, 0, 1, 0, 1], vec![4, 4]),
            (2, &[0, 0, 0, 0, 1, 1, 1, 1], vec![3, 5]),
            (4, &[2; 8], vec![2, 2, 3, 1]),
        ] {
            assert_eq!(spread(workers, came_to), expected, "{came_to:?}");
        }
        let many = spread(40, &[7; 4_000]);
        assert_eq!(many.iter().sum::<usize>(), 4_000);
        assert!(
            many.iter().all(|open| (80..=130).contains(open)),
            "{many:?}"
        );
    }

    #[test]
    fn a_connection_is_counted_until_it_ends() {
        let colleagues = Colleagues::of(1);
        let (worker, _) = colleagues.first().expect("there is one");
        let (one, other) = (worker.own(), worker.own());
        drop(one);
        assert_eq!(worker.open(0), 1);
        drop(other);
        assert_eq!(worker.open(0), 0);
    }
}
