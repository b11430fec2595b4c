//! Slow work beside the workers, when they have the processor's cores already.
//! Not for what somebody waits for in milliseconds.
//! Start at [`aside`].

/// Does some work on a thread that the kernel lets run after those that serve (`nice` 10), and waits for it. A panic goes on here.
pub(super) fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // On Linux this is the thread's own. Where it is not allowed, the work is done all the same.
            #[cfg(target_os = "linux")]
            let _ = rustix::process::nice(10);
            work()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn only_the_work_has_to_wait_for_others() {
        let of_this = || rustix::process::nice(0).expect("it can be asked for");
        let before = of_this();
        assert_eq!(aside(of_this), (before + 10).min(19));
        assert_eq!(of_this(), before);
    }
}
