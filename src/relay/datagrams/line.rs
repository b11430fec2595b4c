//! The state of a flow of datagrams: not open yet, open, closed; what was asked and what was answered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::settings::ByteSize;

/// What is kept of the client's datagrams: those that came before the flow was open, then the first one until something is answered,
/// so that another endpoint can be asked where nobody is at the first.
#[derive(Debug, Default)]
pub(super) struct Line {
    socket: RefCell<Option<Rc<UdpSocket>>>,
    kept: RefCell<Vec<Box<[u8]>>>,
    asked: Cell<u64>,
    answered: Cell<u64>,
    closed: Cell<bool>,
}

impl Line {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(super) fn close(&self) {
        self.closed.set(true);
        self.kept.take();
        self.socket.take();
    }

    pub(super) fn socket(&self) -> Option<Rc<UdpSocket>> {
        self.socket.borrow().clone()
    }

    /// Keeps a datagram until the flow is open; `false` where there is no more room.
    pub(super) fn keep(&self, bytes: &[u8]) -> bool {
        let mut kept = self.kept.borrow_mut();
        let size: usize = kept.iter().map(|bytes| bytes.len()).sum();
        let fits = kept.len() < KEPT_COUNT && size + bytes.len() <= KEPT_SIZE;
        if fits {
            kept.push(bytes.into());
        }
        fits
    }

    /// Sends over this socket from now on. Gives what was kept.
    pub(super) fn open(&self, socket: &Rc<UdpSocket>) -> Vec<Box<[u8]>> {
        self.socket.replace(Some(socket.clone()));
        // What is asked of another endpoint was not asked of this one.
        self.asked.set(0);
        self.answered.set(0);
        self.kept.take()
    }

    /// A datagram goes to the endpoint.
    pub(super) fn asked(&self, bytes: &[u8]) {
        self.asked.set(self.asked.get() + 1);
        if self.answered.get() == 0 {
            self.keep(bytes);
        }
    }

    pub(super) fn has_kept(&self) -> bool {
        !self.kept.borrow().is_empty()
    }

    /// A datagram came from the endpoint; gives how many did.
    pub(super) fn answered(&self) -> u64 {
        let answered = self.answered.get() + 1;
        self.answered.set(answered);
        if answered == 1 {
            self.kept.take();
        }
        answered
    }

    pub(super) fn answers(&self) -> u64 {
        self.answered.get()
    }

    /// Whether as many answers have come as are expected, where that is known.
    pub(super) fn is_answered(&self, replies: Option<u32>) -> bool {
        let (asked, answered) = (self.asked.get(), self.answered.get());
        let expected = |replies| asked.saturating_mul(u64::from(replies));
        asked > 0 && replies.is_some_and(|replies| answered >= expected(replies))
    }
}

/// At most so many bytes per second: what is more is dropped, which is how datagrams are slowed down.
#[derive(Debug)]
pub(super) struct Police {
    rate: Option<f64>,
    due: Cell<Instant>,
}

impl Police {
    pub(super) fn new(rate: Option<ByteSize>) -> Self {
        Self {
            rate: rate.map(|rate| rate.0.max(1) as f64),
            due: Cell::new(Instant::now()),
        }
    }

    pub(super) fn passes(&self, length: usize) -> bool {
        let Some(rate) = self.rate else {
            return true;
        };
        let now = Instant::now();
        let due = self.due.get().max(now);
        let passes = due <= now + BURST;
        if passes {
            self.due
                .set(due + Duration::from_secs_f64(length as f64 / rate));
        }
        passes
    }
}

/// How much may come at once.
const BURST: Duration = Duration::from_millis(250);

/// Datagrams that are kept of one flow.
const KEPT_COUNT: usize = 8;

/// Bytes that are kept of one flow.
const KEPT_SIZE: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_bound_and_is_forgotten_with_the_first_answer() {
        let line = Line::default();
        assert!((0..KEPT_COUNT).all(|_| line.keep(b"datagram")));
        assert!(!line.keep(b"one more"));
        let line = Line::default();
        assert!(!line.keep(&[0; KEPT_SIZE + 1]));
        assert!(line.keep(&[0; KEPT_SIZE]));
        assert!(!line.keep(b"x"));
        assert!(line.has_kept());
        assert_eq!(line.answered(), 1);
        assert!(!line.has_kept());
        line.asked(b"another");
        assert!(
            !line.has_kept(),
            "the endpoint is there: nothing is asked elsewhere"
        );
    }

    #[test]
    fn a_flow_is_answered_when_each_datagram_is() {
        let line = Line::default();
        for _ in 0..2 {
            line.asked(b"question");
        }
        for (answers, expected) in [(1, false), (2, true), (3, true)] {
            assert_eq!(line.answered(), answers);
            assert_eq!(line.is_answered(Some(1)), expected, "{answers}");
            assert!(!line.is_answered(Some(2)) && !line.is_answered(None));
        }
        line.asked(b"question");
        line.asked(b"question");
        assert!(!line.is_answered(Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn datagrams_above_the_rate_are_dropped() {
        let police = Police::new(Some(ByteSize(1000)));
        let passed = |tries: usize| (0..tries).filter(|_| police.passes(100)).count();
        assert_eq!(
            passed(50),
            3,
            "a quarter of a second at once, and the one that goes over it"
        );
        let mut in_a_second = 0;
        for _ in 0..10 {
            tokio::time::advance(Duration::from_millis(100)).await;
            in_a_second += passed(50);
        }
        assert!((8..=13).contains(&in_a_second), "{in_a_second}");
        assert!(Police::new(None).passes(usize::MAX));
    }
}
