//! The housekeeper: one thread that looks through the objects for what is purged or is not whole, probes a disk that failed, and
//! tries again what could not be done. It only reads; what it finds, the writing thread removes.
//! Start at [`run`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::name::Name;
use super::queue::lock;
use super::read::{self, Miss};
use super::shared::Shared;
use super::write::Change;

/// Without a reason to hurry.
const ROUND: Duration = Duration::from_secs(30);
/// Objects that are looked at between two pauses, so that reads that someone waits for come first.
const STEP: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);

/// Runs until the store is closed.
pub(super) fn run(shared: &Arc<Shared>) {
    loop {
        let round = if shared.is_degraded() {
            shared.probe_after()
        } else {
            ROUND
        };
        let Ok(woken) = shared.house.pop_within(round) else {
            return;
        };
        if shared.is_warming() {
            continue;
        }
        if shared.is_degraded() {
            // Not at once when it has just failed.
            let due = woken.is_none();
            if due
                && !shared.health.probing.swap(true, Ordering::Relaxed)
                && !shared.change(Change::Probe)
            {
                shared.health.probing.store(false, Ordering::Relaxed);
            }
            continue;
        }
        shared.retry_removals();
        if lock(&shared.bans).dirty {
            shared.change(Change::Bans(None));
        }
        let verified = shared.verified.load(Ordering::Relaxed);
        if (!verified || lock(&shared.bans).unswept()) && sweep(shared) {
            shared.verified.store(true, Ordering::Release);
        }
        lock(&shared.bans).forget(Timestamp::now());
    }
}

/// Looks through all objects. `false`: not all could be looked at.
fn sweep(shared: &Arc<Shared>) -> bool {
    let last = lock(&shared.bans).last();
    let (mut from, mut all) = (0, true);
    loop {
        let step = lock(&shared.index).walk(from, STEP);
        let Some((names, next)) = step else {
            break;
        };
        from = next;
        for name in names {
            all &= look(shared, name);
        }
        if shared.house.is_closed() || shared.is_degraded() {
            return false;
        }
        std::thread::park_timeout(PAUSE);
    }
    if all {
        lock(&shared.bans).swept(last, Timestamp::now());
    }
    all
}

/// Looks at one object; whether it could be.
fn look(shared: &Arc<Shared>, name: Name) -> bool {
    let seen = shared.published.now();
    match read::open(&shared.place, name, false, 0) {
        Ok(object) => {
            let head = object.head;
            let purged =
                lock(&shared.bans).holds(head.key.uri(), &head.headers, head.freshness.received);
            !purged || shared.change(Change::Discard(name, Some(seen)))
        }
        Err(Miss::Torn) => {
            shared.torn(name, seen);
            true
        }
        // It has been removed by others than us, or just now by us.
        Err(Miss::Absent) => shared.change(Change::Discard(name, Some(seen))),
        Err(Miss::Failed(error)) => {
            shared.read_failed(&error);
            false
        }
    }
}
