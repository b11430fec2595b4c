//! How often a rule was used of late, by whom: the generic cell rate algorithm, one timestamp for each pair.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::Intent;
use crate::policy::{Rate, RuleRef};

/// Rates of all rules, shared by the workers in shards so that they seldom meet.
#[derive(Debug)]
pub struct Rates {
    shards: [Mutex<HashMap<Key, Instant>>; 16],
    hasher: RandomState,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    rule: Arc<str>,
    who: Who,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Who {
    Principal(Arc<str>),
    Client(IpAddr),
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }
}

impl Rates {
    /// Takes one request out of the rate; `false` if there is none left. All of a window's may come at once; then they come
    /// evenly, or all at once again after a window's silence.
    pub fn take(&self, rule: &RuleRef, intent: &Intent, rate: Rate) -> bool {
        let who = match &intent.principal {
            Some(principal) => Who::Principal(principal.name.clone()),
            None => Who::Client(intent.client.ip().to_canonical()),
        };
        self.take_at(
            Key {
                rule: rule.name.clone(),
                who,
            },
            rate,
            Instant::now(),
        )
    }

    fn take_at(&self, key: Key, rate: Rate, now: Instant) -> bool {
        let shard = self.hasher.hash_one(&key) as usize % self.shards.len();
        let Some(Ok(mut cells)) = self.shards.get(shard).map(Mutex::lock) else {
            return false;
        };
        if cells.len() >= SHARD_LIMIT {
            // Whoever is in the past has a full allowance: forgetting it changes nothing.
            cells.retain(|_, due| *due > now);
        }
        let interval = rate.window.div_f64(rate.count.max(1.0));
        let due = cells.get(&key).copied().unwrap_or(now).max(now);
        if due.duration_since(now) > rate.window.saturating_sub(interval) {
            return false;
        }
        cells.insert(key, due + interval);
        true
    }
}

const SHARD_LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_lets_a_window_s_worth_through_and_refills() {
        let rates = Rates::default();
        let key = |rule: &str| Key {
            rule: rule.into(),
            who: Who::Principal("a".into()),
        };
        let rate = |count: f64, seconds| Rate {
            count,
            window: Duration::from_secs(seconds),
        };
        let takes = |rule: &str, rate: Rate| {
            (0..10)
                .filter(|_| rates.take_at(key(rule), rate, Instant::now()))
                .count()
        };
        assert_eq!(takes("second", rate(5.0, 1)), 5);
        assert_eq!(takes("minute", rate(6.0, 60)), 6);
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(takes("second", rate(5.0, 1)), 2);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(takes("minute", rate(6.0, 60)), 1);
    }
}
