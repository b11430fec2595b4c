//! When endpoints are probed: each by a task of its own, from the moment it is there, the first time at once, but not all in one
//! instant; then again and again, a little earlier or later by chance, so that many processes do not probe in step.
//! Not how (check), and not what follows from it (upstream).
//! Start at [`look_after`].

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::check::check;
use super::means::{Means, Tended, ended};
use crate::lifeline::Lifeline;
use crate::upstream::{Endpoint, EndpointKey, HealthSettings};

/// Has the endpoints of an upstream probed for as long as `wake` has its other end, by the settings that are in force.
pub(super) async fn look_after(
    tended: Rc<Tended>,
    means: Rc<Means>,
    life: Lifeline,
    mut wake: watch::Receiver<()>,
) {
    let mut in_force: Option<HealthSettings> = None;
    // A task ends when this lets go of it.
    let mut probing: HashMap<EndpointKey, watch::Sender<()>> = HashMap::new();
    loop {
        let settings = tended.upstream.settings();
        if settings.health != in_force {
            probing.clear();
            in_force.clone_from(&settings.health);
        }
        if let Some(health) = &in_force {
            let endpoints = tended.upstream.endpoints();
            let there: HashSet<EndpointKey> =
                endpoints.iter().map(|one| one.key().clone()).collect();
            // One that has ended by itself broke down: it begins anew.
            probing.retain(|key, held| there.contains(key) && !held.is_closed());
            tended.keep(&there);
            let spread = spread(health, endpoints.len());
            for endpoint in endpoints {
                probing.entry(endpoint.key().clone()).or_insert_with(|| {
                    let (held, hold) = watch::channel(());
                    let probed = Probed {
                        tended: tended.clone(),
                        endpoint,
                        health: health.clone(),
                        first: means.some_of(spread),
                    };
                    let means = means.clone();
                    life.spawn_background(async move {
                        tokio::select! {
                            () = probed.again_and_again(&means) => {}
                            () = ended(hold) => {}
                        }
                    });
                    held
                });
            }
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = tended.changed.notified() => {}
            changed = wake.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// One endpoint, and how it is probed.
struct Probed {
    tended: Rc<Tended>,
    endpoint: Arc<Endpoint>,
    health: HealthSettings,
    first: Duration,
}

impl Probed {
    async fn again_and_again(self, means: &Means) {
        sleep(self.first).await;
        loop {
            let began = Instant::now();
            let terms = self.tended.terms();
            let outcome = check(means, &terms, &self.endpoint, &self.health).await;
            self.tended.probed(self.endpoint.key(), outcome);
            let next = began + means.about(self.health.every, self.health.jitter);
            sleep_until(next.max(Instant::now() + SHORTEST)).await;
        }
    }
}

impl Means {
    /// A part of a time, by chance.
    fn some_of(&self, time: Duration) -> Duration {
        Duration::from_micros(self.dice.below(time.as_micros() as u64))
    }

    /// A time, by up to this share of it more or less.
    fn about(&self, time: Duration, share: f64) -> Duration {
        let room = time.mul_f64(share);
        (time + self.some_of(room * 2)).saturating_sub(room)
    }
}

/// In which time the first probes of so many endpoints begin.
fn spread(health: &HealthSettings, count: usize) -> Duration {
    let count = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
    APART.saturating_mul(count).min(health.every)
}

/// How often it is looked whether endpoints or settings are others; most changes are told.
const LOOK: Duration = Duration::from_secs(1);
/// How far apart the first probes are on average.
const APART: Duration = Duration::from_millis(2);
/// The shortest time between two probes of one endpoint.
const SHORTEST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Probe;

    #[test]
    fn the_first_probes_are_spread_over_no_more_than_an_interval() {
        let health = HealthSettings {
            every: Duration::from_millis(500),
            ..HealthSettings::with(Probe::Tcp)
        };
        for (count, expected) in [(0, 0), (1, 0), (11, 20), (251, 500), (100_000, 500)] {
            let expected = Duration::from_millis(expected);
            assert_eq!(spread(&health, count), expected, "{count}");
        }
    }
}
