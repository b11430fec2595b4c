//! Answers kept for as long as they hold, and one look-up at a time for each name. Belongs to one worker.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use lru::LruCache;
use tokio::time::Instant;

use super::{Answer, Hosts, ResolveError, Resolver, Services, Settings};
use crate::addr::client_network;

/// A cache in front of a [`Resolver`]; clones share it.
///
/// What has expired is never served: an old address may belong to somebody else by now, and policy judges addresses.
#[derive(Clone)]
pub struct CachedResolver(Rc<Inner>);

struct Inner {
    source: Rc<dyn Resolver>,
    hosts: Arc<Hosts>,
    settings: Settings,
    entries: RefCell<Option<LruCache<Box<str>, Entry>>>,
    flights: RefCell<HashMap<Box<str>, WeakShared<Flight>>>,
    /// How many of them each client has begun.
    begun: RefCell<HashMap<IpAddr, usize>>,
}

type Outcome = Result<Answer, ResolveError>;
type Flight = LocalBoxFuture<'static, Outcome>;

struct Entry {
    outcome: Outcome,
    /// `None`: for as long as this cache lives.
    expires: Option<Instant>,
}

impl CachedResolver {
    /// An empty cache of `settings.cache` names; static names come from `hosts`, all others from `source`.
    pub fn new(settings: &Settings, hosts: Arc<Hosts>, source: Rc<dyn Resolver>) -> Self {
        Self(Rc::new(Inner {
            source,
            hosts,
            entries: RefCell::new(NonZeroUsize::new(settings.cache).map(LruCache::new)),
            flights: RefCell::default(),
            begun: RefCell::default(),
            settings: settings.clone(),
        }))
    }

    /// The answer for a canonical name if it is at hand; costs no allocation. `None` says nothing about the name.
    pub fn cached(&self, name: &str) -> Option<Answer> {
        self.0.lookup(name)?.ok()
    }

    /// As [`Resolver::resolve`], for a client, of whom not all that is looked up at once may be: whoever asks for names that nobody
    /// answers for would else have nobody's names looked up. Errors: also that it has begun too many.
    pub async fn resolve_for(&self, name: &str, client: IpAddr) -> Outcome {
        self.resolve_canonical(name, Some(client)).await
    }

    /// How long an answer of this TTL is kept, within the bounds of the settings.
    pub fn holds(&self, ttl: Duration) -> Duration {
        self.0.holds(ttl)
    }

    /// Not kept: nobody asks for services often.
    async fn find_services(&self, name: &str) -> Result<Services, ResolveError> {
        let name = canonical(name);
        if let Some(known) = self.0.hosts.lookup(&name, self.0.settings.families) {
            // What must not be asked for as a host must not be asked for at all.
            let none = ResolveError::NoAddresses { ttl: Duration::MAX };
            return Err(known.err().unwrap_or(none));
        }
        self.0.source.services(&name).await
    }

    async fn resolve_canonical(&self, name: &str, client: Option<IpAddr>) -> Outcome {
        let name = canonical(name);
        if let Some(outcome) = self.0.lookup(&name) {
            return outcome;
        }
        if let Some(outcome) = self.0.hosts.lookup(&name, self.0.settings.families) {
            self.0.store(&name, &outcome, None);
            return outcome;
        }
        self.0.join(&name, client)?.await
    }
}

impl Resolver for CachedResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = Outcome> + 'a>> {
        Box::pin(self.resolve_canonical(name, None))
    }

    fn services<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Services, ResolveError>> + 'a>> {
        Box::pin(self.find_services(name))
    }
}

impl Inner {
    fn lookup(&self, name: &str) -> Option<Outcome> {
        let mut entries = self.entries.borrow_mut();
        let entries = entries.as_mut()?;
        let entry = entries.get(name)?;
        if entry.expires.is_none_or(|expires| Instant::now() < expires) {
            return Some(entry.outcome.clone());
        }
        entries.pop(name);
        None
    }

    fn store(&self, name: &str, outcome: &Outcome, expires: Option<Instant>) {
        if let Some(entries) = self.entries.borrow_mut().as_mut() {
            let outcome = outcome.clone();
            entries.put(name.into(), Entry { outcome, expires });
        }
    }

    /// The look-up that is under way for a name, or a new one. No task drives it: whoever waits does, and when the last waiter is
    /// gone, so is the look-up.
    fn join(
        self: &Rc<Self>,
        name: &str,
        client: Option<IpAddr>,
    ) -> Result<Shared<Flight>, ResolveError> {
        let under_way = self
            .flights
            .borrow()
            .get(name)
            .and_then(WeakShared::upgrade);
        if let Some(flight) = under_way {
            return Ok(flight);
        }
        if self.flights.borrow().len() >= MOST_FLIGHTS {
            return Err(ResolveError::Busy);
        }
        let begun = client.map(|client| Begun::by(client, self)).transpose()?;
        let landing = Landing {
            inner: self.clone(),
            name: name.into(),
            _begun: begun,
        };
        let flight = async move { landing.fly().await }.boxed_local().shared();
        if let Some(flight) = flight.downgrade() {
            self.flights.borrow_mut().insert(name.into(), flight);
        }
        Ok(flight)
    }

    fn holds(&self, ttl: Duration) -> Duration {
        ttl.max(self.settings.min_ttl).min(self.settings.max_ttl)
    }

    fn keep(&self, outcome: &Outcome) -> Duration {
        let limits = &self.settings;
        match outcome {
            Ok(answer) => self.holds(answer.ttl),
            Err(ResolveError::NotFound { ttl } | ResolveError::NoAddresses { ttl }) => {
                (*ttl).min(limits.negative_ttl)
            }
            // So that a dead server is not asked by every client at once (RFC 9520 §3.2).
            Err(ResolveError::Timeout | ResolveError::ServerFailure { .. }) => {
                FAILURE_TTL.min(limits.negative_ttl)
            }
            Err(ResolveError::Busy | ResolveError::InvalidName) => Duration::ZERO,
        }
    }
}

/// Takes the look-up off the list when it ends, and when it is given up.
struct Landing {
    inner: Rc<Inner>,
    name: Box<str>,
    _begun: Option<Begun>,
}

impl Landing {
    async fn fly(&self) -> Outcome {
        // The TTL counts from the question: an answer may have been on its way for a while.
        let asked = Instant::now();
        let outcome = self.inner.source.resolve(&self.name).await;
        let keep = self.inner.keep(&outcome);
        if !keep.is_zero() {
            let expires = asked.checked_add(keep);
            self.inner.store(&self.name, &outcome, expires);
        }
        outcome
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.inner.flights.borrow_mut().remove(&self.name);
    }
}

/// A look-up that counts for the client who began it.
struct Begun {
    inner: Rc<Inner>,
    client: IpAddr,
}

impl Begun {
    fn by(client: IpAddr, inner: &Rc<Inner>) -> Result<Self, ResolveError> {
        let client = client_network(client);
        let mut begun = inner.begun.borrow_mut();
        let count = begun.get(&client).copied().unwrap_or(0);
        if count >= MOST_OF_CLIENT {
            return Err(ResolveError::Busy);
        }
        begun.insert(client, count + 1);
        Ok(Self {
            inner: inner.clone(),
            client,
        })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut begun = self.inner.begun.borrow_mut();
        if let Some(count) = begun.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                begun.remove(&self.client);
            }
        }
    }
}

/// Lower case, no trailing dot: names come so, and a caller who forgot gets the same answer.
fn canonical(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    Cow::Borrowed(name)
}

/// Different names that are being looked up at once.
const MOST_FLIGHTS: usize = 256;

/// Those that one client may have begun.
const MOST_OF_CLIENT: usize = MOST_FLIGHTS / 2;

/// How long a failure to get an answer is remembered.
const FAILURE_TTL: Duration = Duration::from_secs(1);

impl std::fmt::Debug for CachedResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedResolver").finish_non_exhaustive()
    }
}
