//! A limit on a peer's silence: it runs while a poll is pending and is forgotten with every progress.
//! Not a limit on a whole, which is [`super::LazyDeadline`]: a peer that goes on may take as long as it likes.
//! Start at [`Silence::poll`].

use std::cell::Cell;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::LazyDeadline;

/// Bounds each single wait for a peer.
#[derive(Debug)]
pub struct Silence {
    deadline: LazyDeadline,
    limit: Cell<Duration>,
}

/// The peer was silent for longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer was silent for too long")]
pub struct TooLong;

impl Silence {
    /// Waits of at most `limit` each.
    pub fn new(limit: Duration) -> Self {
        Self {
            deadline: LazyDeadline::new(),
            limit: Cell::new(limit),
        }
    }

    /// Starts afresh, with another limit.
    pub fn restart(&self, limit: Duration) {
        self.deadline.clear();
        self.limit.set(limit);
    }

    /// Passes on what a poll of the peer gave. The first pending one starts the clock, a ready one stops it.
    ///
    /// Errors: [`TooLong`] once the limit has passed, and again at every later call that is pending.
    pub fn poll<T>(&self, cx: &mut Context<'_>, polled: Poll<T>) -> Poll<Result<T, TooLong>> {
        if let Poll::Ready(value) = polled {
            self.deadline.clear();
            return Poll::Ready(Ok(value));
        }
        if self.deadline.get().is_none() {
            self.deadline.set(Instant::now() + self.limit.get());
        }
        ready!(self.deadline.poll_expired(cx));
        Poll::Ready(Err(TooLong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_wait_without_progress_is_bounded() {
        let silence = Silence::new(Duration::from_secs(10));
        let wait = async |time: u64| {
            let mut peer = std::pin::pin!(tokio::time::sleep(Duration::from_secs(time)));
            std::future::poll_fn(|cx| {
                let polled = peer.as_mut().poll(cx);
                silence.poll(cx, polled)
            })
            .await
        };
        for _ in 0..3 {
            assert_eq!(wait(9).await, Ok(()));
        }
        assert_eq!(wait(11).await, Err(TooLong));
        silence.restart(Duration::from_secs(20));
        assert_eq!(wait(19).await, Ok(()));
    }
}
