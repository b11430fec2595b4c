//! What a request that goes to the origin does for the cache: the conditions that it takes along, and what its response means for
//! what is stored.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::answer::Answer;
use super::storing::Storing;
use crate::cache::status::Fwd;
use crate::cache::{Cache, CacheStatus, Realm, invalidate};
use crate::lifeline::Lifeline;
use crate::pool::Received;
use crate::relay::Refusal;

/// An errand. Dropped, whoever waits for it takes its place or goes alone.
pub(in crate::relay) struct Errand {
    kind: Kind,
    status: Option<CacheStatus>,
}

enum Kind {
    /// The cache has nothing to do with it.
    Pass,
    /// It may change what is stored (RFC 9111 §4.4).
    Change(Arc<Cache>, (String, Realm), Method, u16),
    /// What it brings may be stored.
    Store(Box<Storing>),
}

/// What became of a response.
#[expect(
    clippy::large_enum_variant,
    reason = "most are answers, for which nothing is to be allocated"
)]
pub(in crate::relay) enum Settled {
    /// This is for the client.
    Answer(Answer),
    /// The origin speaks of something that is not stored (any more): it must be asked without conditions.
    Again(Box<Errand>),
}

impl Errand {
    /// Where there is no cache.
    pub(in crate::relay) fn none() -> Self {
        Self {
            kind: Kind::Pass,
            status: None,
        }
    }

    /// For a request that does not use the cache, for a reason.
    pub(super) fn bypass(why: &'static str) -> Self {
        let mut status = CacheStatus::forwarded(Fwd::Bypass);
        status.detail = Some(why);
        Self {
            kind: Kind::Pass,
            status: Some(status),
        }
    }

    /// For a method that is no use of what is stored.
    pub(super) fn other(
        cache: &Arc<Cache>,
        place: (String, Realm),
        method: &Method,
        worker: u16,
    ) -> Self {
        let kind = if invalidate::is_unsafe(method) {
            Kind::Change(cache.clone(), place, method.clone(), worker)
        } else {
            Kind::Pass
        };
        Self {
            kind,
            status: Some(CacheStatus::forwarded(Fwd::Method)),
        }
    }

    pub(super) fn store(storing: Storing, fwd: Fwd) -> Self {
        Self {
            kind: Kind::Store(Box::new(storing)),
            status: Some(CacheStatus::forwarded(fwd)),
        }
    }

    /// Puts the cache's own conditions into a request, in place of the client's, which are judged by what comes back.
    pub(in crate::relay) fn prepare(&self, headers: &mut HeaderMap) {
        if let Kind::Store(storing) = &self.kind {
            storing.prepare(headers);
        }
    }

    /// Makes an answer of what the origin said, or of its silence.
    ///
    /// Errors: the refusal that came instead, where nothing stored may stand in for an answer.
    pub(in crate::relay) fn settle(
        self,
        received: Result<Received, Refusal>,
        guarded: bool,
        life: &Lifeline,
    ) -> Result<Settled, Refusal> {
        let received = match received {
            Ok(received) => received,
            Err(refusal) => return self.instead(refusal).map(Settled::Answer),
        };
        let response = &received.response;
        match (self.kind, self.status) {
            (Kind::Store(storing), Some(status)) if received.upgraded.is_none() => {
                Ok(storing.settle(received, status, guarded, life))
            }
            (Kind::Change(cache, (uri, realm), method, worker), status) => {
                let (code, headers) = (response.status(), response.headers());
                for uri in invalidate::invalidated(&method, code, &uri, headers) {
                    cache.invalidate(&uri, realm, worker);
                }
                Ok(Settled::Answer(Answer { received, status }))
            }
            (Kind::Pass | Kind::Store(_), status) => {
                Ok(Settled::Answer(Answer { received, status }))
            }
        }
    }

    /// What is stored, in place of an answer that did not come (RFC 5861 §4).
    pub(in crate::relay) fn instead(self, refusal: Refusal) -> Result<Answer, Refusal> {
        match (self.kind, self.status, &refusal) {
            (Kind::Store(storing), Some(status), Refusal::Failed(_)) => {
                storing.disconnected(&status).ok_or(refusal)
            }
            (Kind::Pass | Kind::Change(..) | Kind::Store(_), _, _) => Err(refusal),
        }
    }
}
