//! One probe of one endpoint: by TCP, TLS or UDP here, by HTTP and gRPC in files of their own. What is dialled has a permit, and is
//! spoken to on the upstream's terms.
//! Not when (health), and not what follows from it (upstream).
//! Start at [`check`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use tokio::time::timeout;

use super::means::Means;
use super::{grpc, http};
use crate::addr::{Authority, Host};
use crate::policy::Permit;
use crate::pool::{Failure, Key, Terms};
use crate::upstream::{Endpoint, HealthSettings, Probe};

/// What is probed.
pub(super) struct Target<'a> {
    pub(super) means: &'a Means,
    pub(super) terms: &'a Arc<Terms>,
    /// The name that it is known by, and the port that is probed.
    pub(super) authority: Authority,
    pub(super) permit: Permit,
}

/// Probes an endpoint once. Waits for a place among all probes, then at most for the time of the settings.
///
/// Errors: what went wrong, on one line. Dropping the future gives the probe up.
pub(super) async fn check(
    means: &Means,
    terms: &Arc<Terms>,
    endpoint: &Endpoint,
    health: &HealthSettings,
) -> Result<(), String> {
    let mut address = endpoint.address();
    if let Some(port) = health.port {
        address.set_port(port);
    }
    let host = endpoint.host().cloned();
    let host = host.unwrap_or_else(|| Host::from_ip(address.ip()));
    let authority = Authority::new(host, address.port());
    let target = Target {
        means,
        terms,
        permit: means.guard.permit(&authority, address)?,
        authority,
    };
    let _place = means.at_once.acquire().await;
    let limit = health.timeout;
    let outcome = timeout(limit, target.probe(&health.probe, limit)).await;
    // Each probe shows whether a connection can be made: none is kept for the next.
    means.pool.forget(address);
    outcome.unwrap_or_else(|_| Err(format!("it did not answer within {limit:?}")))
}

impl Target<'_> {
    async fn probe(&self, probe: &Probe, limit: Duration) -> Result<(), String> {
        match probe {
            Probe::Tcp => self.dial(&self.plain(false), limit).await,
            Probe::Tls => self.dial(&self.secure(), limit).await,
            Probe::Http { .. } => http::ask(self, probe).await,
            Probe::Grpc { service } => grpc::ask(self, service).await,
            Probe::Udp { send, expect } => self.exchange(send, expect.as_deref()).await,
        }
    }

    async fn dial(&self, key: &Key, limit: Duration) -> Result<(), String> {
        let dialled = self.means.pool.dial_with(&self.permit, key, limit).await;
        dialled.map(drop).map_err(said)
    }

    /// A key that says nothing of the upstream's terms.
    fn plain(&self, secure: bool) -> Key {
        Key {
            secure,
            authority: self.authority.clone(),
            pins: Default::default(),
            http1_only: false,
            terms: None,
        }
    }

    /// By the upstream's terms where it is spoken to under TLS, by those of all others where it is not.
    fn secure(&self) -> Key {
        if self.terms.is_secure() {
            Key::to_endpoint(self.terms.clone(), self.authority.clone(), false)
        } else {
            self.plain(true)
        }
    }

    async fn exchange(&self, send: &str, expect: Option<&str>) -> Result<(), String> {
        let (socket, _) = self.means.pool.associate(&self.permit).map_err(said)?;
        let failed = |error| said(Failure::dial(&error, self.address()));
        socket.send(send.as_bytes()).await.map_err(failed)?;
        let mut answer = vec![0; DATAGRAM];
        let length = socket.recv(&mut answer).await.map_err(failed)?;
        answer.truncate(length);
        if contains(&answer, expect) {
            return Ok(());
        }
        Err("its answer does not contain what is expected".to_owned())
    }

    fn address(&self) -> SocketAddr {
        let first = self.permit.addresses().first().copied();
        first.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], self.authority.port)))
    }
}

/// Whether an answer contains what is expected of it.
pub(super) fn contains(answer: &[u8], expect: Option<&str>) -> bool {
    expect.is_none_or(|expect| memmem::find(answer, expect.as_bytes()).is_some())
}

pub(super) fn said(failure: Failure) -> String {
    failure.detail
}

/// No datagram is larger.
const DATAGRAM: usize = 65_536;
