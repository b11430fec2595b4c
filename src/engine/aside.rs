//! Slow work of the main thread, done so that workers come first where there is no core to spare.
//! Not asynchronous: whoever asks waits for it, for as long as the workers leave it little time.
//! Start at [`aside`].

use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{Builder, scope};
use std::time::Duration;

/// Does some work on a thread that the kernel lets run after those that serve, and waits for it; `meanwhile` is called each
/// second. A panic goes on here.
///
/// Errors: no thread can be had. Then nothing was done.
pub(super) fn aside<T: Send>(
    work: impl FnOnce() -> T + Send,
    mut meanwhile: impl FnMut(),
) -> io::Result<T> {
    scope(|scope| {
        let (running, ended) = channel::<()>();
        let thread = Builder::new()
            .name("aside".to_owned())
            .spawn_scoped(scope, move || {
                let _running = running;
                // On Linux this is the thread's own. Where it is not allowed, the work is done all the same.
                #[cfg(target_os = "linux")]
                let _ = rustix::process::nice(NICE);
                work()
            })?;
        while ended.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
            meanwhile();
        }
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// A tenth of the share that a worker has, where both want one core.
const NICE: i32 = 10;

/// How often the rest of the main thread's duties is thought of.
const TURN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn only_the_work_has_to_wait_for_others() {
        let of_this = || rustix::process::nice(0).expect("it can be asked for");
        let before = of_this();
        let of_work = aside(of_this, || {}).expect("a thread can be had");
        assert_eq!(of_work, (before + NICE).min(19));
        assert_eq!(of_this(), before);
    }

    #[test]
    fn who_waits_has_its_turn() {
        let (told, heard) = channel();
        let mut turns = 0;
        let worked = aside(
            move || heard.recv().is_ok(),
            || {
                turns += 1;
                // The work may be over already.
                let _ = told.send(());
            },
        );
        assert!(worked.expect("a thread can be had"));
        assert_eq!(turns, 1);
    }
}
