//! Looks after idle connections, so that one which its origin closes goes at once, and shows when that was.
//! Uses none.
//! Start at [`watch`].

use std::future::poll_fn;
use std::rc::Weak;
use std::task::Poll;
use std::time::Duration;

use super::Inner;

/// Watches until the pool is gone.
pub(super) async fn watch(pool: Weak<Inner>) {
    loop {
        let mut looked = false;
        let stirred = poll_fn(|cx| {
            if looked {
                return Poll::Ready(true);
            }
            let Some(pool) = pool.upgrade() else {
                return Poll::Ready(false);
            };
            looked = true;
            pool.idle.look(cx, &pool.habits);
            Poll::Pending
        });
        if !stirred.await {
            return;
        }
        tokio::time::sleep(REST).await;
    }
}

/// Between two looks at all of them, however much happens.
const REST: Duration = Duration::from_millis(20);
