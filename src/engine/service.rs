//! What a service manager is told of the process (`Type=notify`), where there is one.
//! Start at [`ready`].

use sd_notify::NotifyState;
use tokio::time::{Duration, Instant};

/// The process serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The process drains.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the service from now on.
pub(super) fn follow(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// How often the service manager wants to hear that the main loop turns, where it does.
#[derive(Debug)]
pub(super) struct Watchdog {
    every: Option<Duration>,
    told: Instant,
}

impl Watchdog {
    pub(super) fn new() -> Self {
        // Twice in its time, as the manager advises.
        let every = sd_notify::watchdog_enabled().map(|time| time / 2);
        Self {
            every,
            told: Instant::now(),
        }
    }

    /// Says that the main loop turns, when it is time to.
    pub(super) fn turn(&mut self) {
        if self.every.is_some_and(|every| self.told.elapsed() >= every) {
            self.told = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
