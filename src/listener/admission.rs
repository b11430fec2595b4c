//! How many connections, or flows of datagrams, a listener has at once: in all, and for each client address, over all workers.
//! Not a limit of requests or of rates, which policy has; nor which flow makes room for another (seats).
//! Start at [`Admission::admit`].

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::seats::Seats;
use super::settings::Limits;
use crate::addr::client_network;

/// The count of a listener. Shared by the workers; touched once when a connection comes and once when it goes.
#[derive(Debug)]
pub struct Admission {
    total: AtomicUsize,
    shards: [Mutex<HashMap<IpAddr, usize>>; 16],
    hasher: RandomState,
    /// Of a listener of datagrams, whose flows count as connections.
    pub(super) seats: Seats,
}

/// A connection that counts until it is dropped: at once in all, and for its client once that is known.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    admission: Arc<Admission>,
    client: Option<IpAddr>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            total: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            seats: Seats::default(),
        }
    }
}

impl Admission {
    /// Counts a connection in, or `None` where the listener has as many as it may.
    pub fn admit(self: &Arc<Self>, limits: &Limits) -> Option<Admitted> {
        // Counted before it is compared: two workers can not both take the last place.
        self.total.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted {
            admission: self.clone(),
            client: None,
        };
        (self.total() <= limits.connections).then_some(admitted)
    }

    /// Connections now.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
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

impl Admission {
    /// Whether a client has fewer than it may. For who would make room for it: counting is [`Admitted::of_client`]'s.
    pub fn may_have_more(&self, client: IpAddr, limits: &Limits) -> bool {
        let client = client_network(client);
        let count = self.with_shard(client, |shard| shard.get(&client).copied());
        count
            .flatten()
            .is_none_or(|count| count < limits.connections_per_client)
    }
}

impl Admitted {
    /// Counts the connection for its client, once. `None` gives its place back: the client has as many as it may.
    pub fn of_client(mut self, client: IpAddr, limits: &Limits) -> Option<Self> {
        if self.client.is_some() {
            return Some(self);
        }
        let client = client_network(client);
        let count = self.admission.with_shard(client, |shard| {
            let count = shard.entry(client).or_insert(0);
            *count += 1;
            *count
        });
        self.client = Some(client);
        count
            .is_none_or(|count| count <= limits.connections_per_client)
            .then_some(self)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else {
            return;
        };
        self.admission.with_shard(client, |shard| {
            if let Some(count) = shard.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    shard.remove(&client);
                }
            }
        });
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
        let admit = |text: &str| {
            let client = text.parse().expect("an address");
            admission.admit(&limits)?.of_client(client, &limits)
        };
        let first = admit("192.0.2.1");
        let _second = admit("::ffff:192.0.2.1").expect("the second place of this client");
        assert!(admit("192.0.2.1").is_none(), "a client has two places");
        let _third = admit("2001:db8::1").expect("another client");
        assert!(
            admit("2001:db8::2").is_none(),
            "the listener has three places"
        );
        drop(first);
        let _again = admit("192.0.2.1").expect("a place became free");
        assert_eq!(admission.total(), 3);
    }
}
