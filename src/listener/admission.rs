//! How many connections a listener has at once: in all, and for each client address, over all workers.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::settings::Limits;

/// The count of a listener. Shared by the workers; touched once when a connection comes and once when it goes.
#[derive(Debug)]
pub struct Admission {
    total: AtomicUsize,
    shards: [Mutex<HashMap<IpAddr, usize>>; 16],
    hasher: RandomState,
}

/// A connection that counts until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            total: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }
}

impl Admission {
    /// Counts a connection in, or `None` where a limit is reached.
    pub fn admit(self: &Arc<Self>, client: IpAddr, limits: &Limits) -> Option<Admitted> {
        let client = group(client);
        // Counted before it is compared: two workers can not both take the last place.
        let admitted = self.count(client);
        let total = self.total.load(Ordering::Relaxed);
        let of_client = admitted.of_client();
        (total <= limits.connections && of_client <= limits.connections_per_client)
            .then_some(admitted)
    }

    /// Connections now.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    fn count(self: &Arc<Self>, client: IpAddr) -> Admitted {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.with_shard(client, |shard| *shard.entry(client).or_insert(0) += 1);
        Admitted {
            admission: self.clone(),
            client,
        }
    }

    fn with_shard<R>(
        &self,
        client: IpAddr,
        change: impl FnOnce(&mut HashMap<IpAddr, usize>) -> R,
    ) -> Option<R> {
        let shard = self.hasher.hash_one(client) as usize % self.shards.len();
        self.shards
            .get(shard)?
            .lock()
            .ok()
            .map(|mut shard| change(&mut shard))
    }
}

impl Admitted {
    fn of_client(&self) -> usize {
        self.admission
            .with_shard(self.client, |shard| {
                shard.get(&self.client).copied().unwrap_or(0)
            })
            .unwrap_or(0)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
        self.admission.with_shard(self.client, |shard| {
            if let Some(count) = shard.get_mut(&self.client) {
                *count -= 1;
                if *count == 0 {
                    shard.remove(&self.client);
                }
            }
        });
    }
}

/// One customer holds a whole /64, so that is one client.
fn group(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let admission = Arc::new(Admission::default());
        let limits = Limits {
            connections: 3,
            connections_per_client: 2,
            ..Limits::default()
        };
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let first = admission.admit(ip("192.0.2.1"), &limits);
        let _second = admission
            .admit(ip("::ffff:192.0.2.1"), &limits)
            .expect("the second place of this client");
        assert!(
            admission.admit(ip("192.0.2.1"), &limits).is_none(),
            "a client has two places"
        );
        let _third = admission
            .admit(ip("2001:db8::1"), &limits)
            .expect("another client");
        assert!(
            admission.admit(ip("2001:db8::2"), &limits).is_none(),
            "the listener has three places"
        );
        drop(first);
        let _again = admission
            .admit(ip("192.0.2.1"), &limits)
            .expect("a place became free");
        assert_eq!(admission.total(), 3);
    }
}
