//! How often a rule was used of late, by whom: the generic cell rate algorithm, one timestamp for each pair.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::Intent;
use crate::addr::client_network;
use crate::policy::{Rate, RuleRef};

/// Rates of all rules, shared by the workers in shards so that they seldom meet.
///
/// Memory is bounded: a shard that is full of pairs which are all still in debt takes nobody new until one of them is out of it
/// (fail closed: an address that comes new must not buy back the allowance of one that was forgotten for it).
#[derive(Debug)]
pub struct Rates {
    shards: [Mutex<Shard>; 16],
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    /// When each pair is out of debt.
    cells: HashMap<Key, Instant>,
    /// How many cells there may be before the next sweep.
    room: usize,
    /// Where the shard is full of debtors: until when a sweep would be in vain.
    full_until: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    policy: Arc<str>,
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
    /// Takes one request out of the rate of a policy's rule. All of a window's may come at once; then they come evenly, or all
    /// at once again after a window's silence. Who is not known by name is its address, and for IPv6 its /64, of which a
    /// client has every address.
    ///
    /// Errors: there is none left; the time until there is one.
    pub fn take(
        &self,
        policy: &Arc<str>,
        rule: &RuleRef,
        intent: &Intent,
        rate: Rate,
    ) -> Result<(), Duration> {
        let who = match &intent.principal {
            Some(principal) => Who::Principal(principal.name.clone()),
            None => Who::Client(client_network(intent.client.ip())),
        };
        let key = Key {
            policy: policy.clone(),
            rule: rule.name.clone(),
            who,
        };
        self.take_at(key, rate, Instant::now())
    }

    fn take_at(&self, key: Key, rate: Rate, now: Instant) -> Result<(), Duration> {
        let shard = self.hasher.hash_one(&key) as usize % self.shards.len();
        let Some(Ok(mut shard)) = self.shards.get(shard).map(Mutex::lock) else {
            return Err(rate.window);
        };
        let interval = rate.window.div_f64(rate.count.max(1.0));
        if let Some(due) = shard.cells.get_mut(&key) {
            let from = (*due).max(now);
            let allowed = rate.window.saturating_sub(interval);
            let wait = from.duration_since(now).saturating_sub(allowed);
            if !wait.is_zero() {
                return Err(wait);
            }
            *due = from + interval;
            return Ok(());
        }
        shard.make_room(now)?;
        shard.cells.insert(key, now + interval);
        Ok(())
    }
}

impl Shard {
    /// Room for one more. Sweeps where the shard has doubled since the last sweep, so that each insertion pays for one look.
    fn make_room(&mut self, now: Instant) -> Result<(), Duration> {
        if self.cells.len() < self.room.max(SWEEP_FROM) {
            return Ok(());
        }
        if let Some(until) = self.full_until.filter(|until| *until > now) {
            return Err(until.duration_since(now));
        }
        // Whoever is in the past has a full allowance: forgetting it changes nothing.
        self.cells.retain(|_, due| *due > now);
        self.room = (self.cells.len() * 2).clamp(SWEEP_FROM, SHARD_LIMIT);
        self.full_until = None;
        if self.cells.len() < self.room {
            return Ok(());
        }
        let first = self.cells.values().min().copied().unwrap_or(now);
        let until = first.max(now + SWEEP_EVERY);
        self.full_until = Some(until);
        Err(until.duration_since(now))
    }
}

/// Below this a shard is never swept.
const SWEEP_FROM: usize = 1024;
/// About 3 MB a shard.
const SHARD_LIMIT: usize = 1 << 15;
/// A full shard is swept this often at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rule: &str, who: Who) -> Key {
        Key {
            policy: "p".into(),
            rule: rule.into(),
            who,
        }
    }

    fn rate(count: f64, seconds: u64) -> Rate {
        Rate {
            count,
            window: Duration::from_secs(seconds),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_lets_a_window_s_worth_through_and_refills() {
        let rates = Rates::default();
        let takes = |rule: &str, rate: Rate| {
            let key = || key(rule, Who::Principal("a".into()));
            (0..10)
                .filter(|_| rates.take_at(key(), rate, Instant::now()).is_ok())
                .count()
        };
        assert_eq!(takes("second", rate(5.0, 1)), 5);
        assert_eq!(takes("minute", rate(6.0, 60)), 6);
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(takes("second", rate(5.0, 1)), 2);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(takes("minute", rate(6.0, 60)), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_to_wait_is_told_how_long() {
        let rates = Rates::default();
        let take = || {
            let key = key("minute", Who::Principal("a".into()));
            rates.take_at(key, rate(2.0, 60), Instant::now())
        };
        assert_eq!([take(), take()], [Ok(()), Ok(())]);
        let wait = take().expect_err("none is left");
        assert_eq!(wait, Duration::from_secs(30));
        tokio::time::advance(wait).await;
        assert_eq!(take(), Ok(()));
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one_client() {
        let of = |ip: &str| client_network(ip.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:3:4:5"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_shard_forgets_nobody_in_debt_and_takes_new_ones_when_it_can() {
        let mut shard = Shard::default();
        let start = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut come = |number: u32, now: Instant| {
            shard.make_room(now)?;
            let who = Who::Client(IpAddr::V4(number.into()));
            shard.cells.insert(key("a", who), now + hour);
            assert!(shard.cells.len() <= SHARD_LIMIT);
            Ok::<(), Duration>(())
        };
        let all = u32::try_from(SHARD_LIMIT).expect("it is small");
        for number in 0..all {
            assert_eq!(come(number, start), Ok(()), "{number}");
        }
        assert_eq!(come(all, start), Err(hour));
        assert_eq!(come(all, start + hour / 2), Err(hour / 2));
        assert_eq!(come(all, start + hour), Ok(()));
    }
}
