//! Leaves for intercepted connections: certificates in the names of origins, signed by the operator's authority.
//! Connects to nothing and verifies no origin; who asks for a mirror has verified the certificate that is mirrored.
//! Start at [`Mint::leaf`].

mod keys;
mod make;
mod spec;
mod store;
#[cfg(test)]
mod tests;

pub use spec::{Key, Spec};

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use self::make::Maker;
use self::store::{Found, Store};
use super::authority::{Authorities, Authority};
use crate::addr::Host;
use crate::fault::{Fault, Faults};
use crate::settings::{Located, Table};

/// Settings of the mint, keys of `[intercept]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Leaves that are kept. Each takes about 4 KiB.
    pub leaves: NonZeroUsize,
    /// Days that a leaf is valid, from now; at most 396.
    pub leaf_days: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            leaves: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
            leaf_days: 30,
        }
    }
}

impl Settings {
    /// Takes `leaves` and `leaf-days` from the table; what else is in it is left there.
    pub fn read(table: &Table, faults: &Faults) -> Self {
        let default = Self::default();
        let within = |key, range: std::ops::RangeInclusive<usize>, remedy: &str| {
            let read: Located<usize> = table.take(key, faults)?;
            if range.contains(&read.value) {
                return Some(read.value);
            }
            faults.push(Fault::at(
                &read.at,
                format!("{} is out of range", read.value),
                remedy,
            ));
            None
        };
        let leaves = within("leaves", 1..=1_000_000, "write 1 to 1000000");
        let days = within(
            "leaf-days",
            1..=396,
            "write 1 to 396: clients refuse certificates that are valid for longer than 397 days",
        );
        Self {
            leaves: leaves.and_then(NonZeroUsize::new).unwrap_or(default.leaves),
            leaf_days: days
                .and_then(|days| u16::try_from(days).ok())
                .unwrap_or(default.leaf_days),
        }
    }
}

/// What a client is shown: a certificate with its key, and TLS made ready with it.
#[derive(Debug)]
pub struct Leaf {
    /// The leaf's chain, without a root, and its key.
    pub key: Arc<CertifiedKey>,
    /// For accepting the client: TLS 1.2 and 1.3, ALPN h2 and http/1.1, no client certificate. A client that offers ALPN
    /// without either of the two is refused by it.
    pub config: Arc<ServerConfig>,
    /// The last second of its validity.
    pub not_after: Timestamp,
    /// From when on another one is minted in its place.
    renew_at: Timestamp,
}

/// Why there is no leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The name constraints of the authority exclude the host.
    #[error("the authority may not sign for {0}")]
    Forbidden(Host),
    /// More are waiting than the mint will take on.
    #[error("too many certificates are waiting to be minted")]
    Busy,
    /// The authority's own validity is over, or has not begun.
    #[error("the authority's certificate is not valid now")]
    AuthorityExpired,
    /// Signing, or a step before it, failed.
    #[error("the certificate could not be made: {0}")]
    Failed(Arc<str>),
    /// The minting thread is gone.
    #[error("the mint has ended")]
    Ended,
}

/// What a mint has done so far; `egret status` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Leaves that were minted.
    pub minted: u64,
    /// Leaves that could not be.
    pub failed: u64,
    /// Leaves with an EC key although their origin has an RSA key, as none was ready.
    pub without_rsa: u64,
    /// Leaves that are asked for and not made yet.
    pub waiting: usize,
}

type Outcome = Result<Arc<Leaf>, MintError>;

/// Where those who wait for the same leaf look for it.
type Flight = watch::Receiver<Option<Outcome>>;

/// Mints leaves and keeps them. Shared by all workers; keys are made and signatures are computed on threads of its own, which
/// end when the last holder drops it.
#[derive(Debug)]
pub struct Mint {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
}

#[derive(Debug)]
struct Shared {
    authorities: Authorities,
    store: Store,
    waiting: AtomicUsize,
    minted: AtomicU64,
    failed: AtomicU64,
    without_rsa: AtomicU64,
}

struct Job {
    spec: Spec,
    answer: watch::Sender<Option<Outcome>>,
}

/// Jobs that may wait. At some thousand leaves a second, none waits longer than about a second.
const QUEUE: usize = 4096;

impl Mint {
    /// Starts the threads. Errors: no thread, or no randomness, is to be had.
    pub fn new(authorities: Authorities, settings: Settings) -> Result<Arc<Self>, MintError> {
        let shared = Arc::new(Shared {
            authorities,
            store: Store::new(settings.leaves),
            waiting: AtomicUsize::new(0),
            minted: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            without_rsa: AtomicU64::new(0),
        });
        let maker = Maker::new(shared.authorities.signing.clone(), settings.leaf_days)?;
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        // Weak: whoever asks holds the mint, and when nobody holds it any more, nobody needs what would be minted.
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("mint".to_owned())
            .spawn(move || work(&queue, &weak, maker))
            .map_err(|error| MintError::Failed(error.to_string().into()))?;
        Ok(Arc::new(Self { shared, jobs }))
    }

    /// The leaf of a spec, kept or minted; who asks for the same at once shares one minting. Usually done within a
    /// millisecond. Errors: see [`MintError`]. Dropping the future loses nothing: what is being minted is kept.
    pub async fn leaf(&self, spec: Spec) -> Result<Arc<Leaf>, MintError> {
        let host = spec.key().host();
        if !self.authority().may_sign(host) {
            return Err(MintError::Forbidden(host.clone()));
        }
        let mut flight = match self.shared.store.ask(spec.key(), Timestamp::now()) {
            Found::Leaf(leaf) => return Ok(leaf),
            Found::Flight(flight) => flight,
            Found::Mine(answer, flight) => {
                self.enqueue(Job { spec, answer })?;
                flight
            }
        };
        let landed = flight
            .wait_for(Option::is_some)
            .await
            .map_err(|_| MintError::Ended)?;
        landed.clone().unwrap_or(Err(MintError::Ended))
    }

    fn enqueue(&self, job: Job) -> Result<(), MintError> {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let (job, error) = match self.jobs.try_send(job) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(job)) => (job, MintError::Busy),
            Err(TrySendError::Disconnected(job)) => (job, MintError::Ended),
        };
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.shared.land(&job, Err(error.clone()));
        Err(error)
    }

    /// The authority that signs.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.shared.authorities.signing
    }

    /// All authorities that it was made with.
    pub fn authorities(&self) -> &Authorities {
        &self.shared.authorities
    }

    /// What has been done so far.
    pub fn counts(&self) -> Counts {
        let shared = &self.shared;
        Counts {
            minted: shared.minted.load(Ordering::Relaxed),
            failed: shared.failed.load(Ordering::Relaxed),
            without_rsa: shared.without_rsa.load(Ordering::Relaxed),
            waiting: shared.waiting.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    /// Keeps the outcome, then tells those who wait for it.
    fn land(&self, job: &Job, outcome: Outcome) {
        self.store.land(job.spec.key(), outcome.as_ref().ok());
        job.answer.send_replace(Some(outcome));
    }
}

/// The minting thread.
fn work(queue: &Receiver<Job>, shared: &Weak<Shared>, mut maker: Maker) {
    while let Ok(job) = queue.recv() {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let others_wait = shared.waiting.fetch_sub(1, Ordering::Relaxed) > 1;
        // An origin's certificate is read here. If that ever broke down, it would be one leaf and not the mint.
        let made = catch_unwind(AssertUnwindSafe(|| {
            maker.make(&job.spec, Timestamp::now(), others_wait)
        }));
        let outcome =
            made.unwrap_or_else(|_| Err(MintError::Failed("the minting broke down".into())));
        let count = if outcome.is_ok() {
            &shared.minted
        } else {
            &shared.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
        shared
            .without_rsa
            .store(maker.without_rsa(), Ordering::Relaxed);
        shared.land(&job, outcome);
    }
}
