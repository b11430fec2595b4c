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
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    #[test]
    fn sockets_are_looked_at_before_who_gave_way_comes_back_again_and_again() {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(LocalOptions::default());
        let (runtime, turns) = (runtime.expect("a runtime"), Rc::new(Cell::new(0)));
        let counted = turns.clone();
        runtime.spawn_local(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            give_way(cx);
            Poll::<()>::Pending
        }));
        let asked = async {
            let (mut ours, mut theirs) = UnixStream::pair().expect("a pair can be had");
            theirs.write_all(b"?").await.expect("it is taken");
            ours.read_u8().await.expect("it comes")
        };
        assert_eq!(runtime.block_on(asked), b'?');
        assert!(turns.get() < 10, "{} turns meanwhile", turns.get());
    }
}
