//! How often a rule was used of late, by whom: the generic cell rate algorithm, one timestamp for each pair.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::Intent;
use crate::policy::RuleRef;

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
    /// Takes one request out of the rate; `false` if there is none left. A burst of one second's worth is let through.
    pub fn take(&self, rule: &RuleRef, intent: &Intent, per_second: f64) -> bool {
        let who = match &intent.principal {
            Some(principal) => Who::Principal(principal.name.clone()),
            None => Who::Client(intent.client.ip().to_canonical()),
        };
        self.take_at(
            Key {
                rule: rule.name.clone(),
                who,
            },
            per_second,
            Instant::now(),
        )
    }

    fn take_at(&self, key: Key, per_second: f64, now: Instant) -> bool {
        let shard = self.hasher.hash_one(&key) as usize % self.shards.len();
        let Some(Ok(mut cells)) = self.shards.get(shard).map(Mutex::lock) else {
            return false;
        };
        if cells.len() >= SHARD_LIMIT {
            // Whoever is in the past has a full allowance: forgetting it changes nothing.
            cells.retain(|_, due| *due > now);
        }
        let interval = Duration::from_secs_f64(1.0 / per_second.max(1e-6));
        let due = cells.get(&key).copied().unwrap_or(now).max(now);
        if due.duration_since(now) > Duration::from_secs(1).saturating_sub(interval) {
            return false;
        }
        cells.insert(key, due + interval);
        true
    }
}

const SHARD_LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_lets_a_second_s_worth_through_and_refills() {
        let rates = Rates::default();
        let take = || {
            rates.take_at(
                Key {
                    rule: "r".into(),
                    who: Who::Principal("a".into()),
                },
                5.0,
                Instant::now(),
            )
        };
        assert_eq!((0..10).filter(|_| take()).count(), 5);
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!((0..10).filter(|_| take()).count(), 2);
        let slow = || {
            rates.take_at(
                Key {
                    rule: "s".into(),
                    who: Who::Principal("a".into()),
                },
                0.1,
                Instant::now(),
            )
        };
        assert_eq!((0..3).filter(|_| slow()).count(), 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!((0..3).filter(|_| slow()).count(), 1);
    }
}
