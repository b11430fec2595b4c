//! How a task that could go on for long lets others have their turn.
//! Not when it does so: whoever moves bytes counts them.
//! Start at [`give_way`].

use std::future::Future;
use std::pin::pin;
use std::task::Context;

use tokio::task::yield_now;

/// Has the task of `cx` run again once the other tasks have, and the runtime has looked at its sockets; the caller returns
/// `Pending`. A task that wakes itself comes back before that, sixty times in a row.
pub fn give_way(cx: &mut Context<'_>) {
    // Always pending the first time: the runtime keeps the waker until then.
    let _ = pin!(yield_now()).poll(cx);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::Poll;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn sockets_are_looked_at_before_who_gave_way_comes_back_again_and_again() {
        let (local, turns) = (LocalSet::new(), Rc::new(Cell::new(0)));
        let counted = turns.clone();
        local.spawn_local(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            give_way(cx);
            Poll::<()>::Pending
        }));
        let asked = async {
            let (mut ours, mut theirs) = UnixStream::pair().expect("a pair can be had");
            theirs.write_all(b"?").await.expect("it is taken");
            ours.read_u8().await.expect("it comes")
        };
        assert_eq!(local.run_until(asked).await, b'?');
        assert!(turns.get() < 10, "{} turns meanwhile", turns.get());
    }
}
