//! What becomes of a response to a GET or HEAD: it is stored, or it updates what is stored, or something stored stands in for it.

use std::sync::Arc;

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use jiff::{SignedDuration, Timestamp};

use super::answer::{Answer, Asked};
use super::errand::{Errand, Settled};
use super::fill::{Fill, fill};
use crate::cache::directives::RequestDirectives;
use crate::cache::flight::Lead;
use crate::cache::freshness::Came;
use crate::cache::status::Fwd;
use crate::cache::storable::{self, Storable, Unstorable, storable};
use crate::cache::validate::{self, Conditions, HeadUpdate};
use crate::cache::{
    Cache, CacheStatus, Candidates, Contents, Control, Epoch, Freshness, Key, Realm, Stored,
    memory, reuse, status_code,
};
use crate::lifeline::Lifeline;
use crate::message::{Body, forwarded};
use crate::pool::Received;

/// What is needed to store a response, or to use a stored one after all.
pub(super) struct Storing {
    pub(super) cache: Arc<Cache>,
    pub(super) worker: u16,
    pub(super) control: Arc<Control>,
    pub(super) key: Key,
    pub(super) method: Method,
    /// As the client sent them, after the rule's filters.
    pub(super) headers: HeaderMap,
    pub(super) asked: RequestDirectives,
    pub(super) candidates: Candidates,
    /// What the origin is asked about them.
    pub(super) conditions: Option<Conditions>,
    pub(super) lead: Option<Lead>,
    /// It is the cache's own request, in the name of a client that has had the stale response.
    pub(super) refreshes: bool,
    pub(super) requested: Timestamp,
    /// What is purged after this was asked must not come back with it.
    pub(super) epoch: Epoch,
}

impl Storing {
    /// The conditions for what is stored: not for what is there in parts, or still arriving.
    pub(super) fn conditions(candidates: &Candidates, headers: &HeaderMap) -> Option<Conditions> {
        let whole = |stored: &Arc<Stored>| {
            stored.contents.as_parts().is_none() && !stored.contents.has_failed()
        };
        candidates.all().iter().all(whole).then_some(())?;
        Conditions::of(&candidates.views(), candidates.place(), headers)
    }

    /// The cache's conditions in place of the client's. A part is not asked for then: what is stored, or comes anew, has it.
    pub(super) fn prepare(&self, headers: &mut HeaderMap) {
        if let Some(conditions) = &self.conditions {
            conditions.apply(headers);
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
        }
    }

    pub(super) fn settle(
        self: Box<Self>,
        received: Received,
        status: CacheStatus,
        guarded: bool,
        life: &Lifeline,
    ) -> Settled {
        let code = received.response.status();
        if code == StatusCode::NOT_MODIFIED && self.conditions.is_some() {
            return self.unchanged(&received, status, guarded);
        }
        if self.refreshes && status_code::is_about_the_client(code) {
            return self.refused(received, status);
        }
        if status_code::is_stood_in_for(code)
            && let Some(mut answer) = self.stand_in(&status, reuse::serves_error)
        {
            if let Some(status) = &mut answer.status {
                status.fwd_status = Some(code);
            }
            return Settled::Answer(answer);
        }
        self.cache.tally(self.worker).misses.bump();
        if self.method == Method::HEAD {
            return self.head(received, status);
        }
        if code == StatusCode::PARTIAL_CONTENT {
            return self.part(received, status, guarded, life);
        }
        self.whole(received, status, guarded, life)
    }

    /// The origin has something against the client in whose name the cache asked. That says nothing of what is stored for all: it
    /// stays as it is, as stale as it is, for another one to refresh.
    fn refused(mut self: Box<Self>, received: Received, status: CacheStatus) -> Settled {
        if let Some(lead) = self.lead.take() {
            lead.unused();
        }
        let detail = Some("the origin refuses the client");
        passing(received, CacheStatus { detail, ..status })
    }

    /// What is stored, in place of an answer that did not come: as the origin permits (RFC 5861 §4), or because it can not be
    /// reached (RFC 9111 §4.2.4).
    pub(super) fn disconnected(&self, status: &CacheStatus) -> Option<Answer> {
        self.stand_in(status, reuse::serves_disconnected)
    }

    /// For a moment the origin is not asked again: it has trouble, and those who wait would each have to.
    fn stand_in(
        &self,
        status: &CacheStatus,
        may: fn(&Freshness, &RequestDirectives, Timestamp) -> bool,
    ) -> Option<Answer> {
        let now = Timestamp::now();
        let stored = self.candidates.selected()?;
        if !may(&stored.freshness, &self.asked, now) {
            return None;
        }
        let status = CacheStatus {
            ttl: Some(stored.freshness.ttl(now)),
            detail: Some("the origin failed"),
            ..status.clone()
        };
        let answer = Answer::of(stored, self.client(), status, now)?;
        let held = Stored {
            held: now.checked_add(HOLD).ok(),
            ..Stored::clone(stored)
        };
        self.cache.hold(stored, &Arc::new(held));
        self.cache.tally(self.worker).stale_hits.bump();
        Some(answer)
    }

    fn client(&self) -> Asked<'_> {
        Asked {
            method: &self.method,
            headers: &self.headers,
        }
    }

    pub(super) fn came<'a>(&'a self, headers: &'a HeaderMap, status: StatusCode) -> Came<'a> {
        Came {
            request: &self.headers,
            requested: self.requested,
            status,
            headers,
            received: Timestamp::now(),
        }
    }

    /// Whether a response with these fields may be stored, and what of it.
    pub(super) fn storable(&self, came: Came<'_>) -> Result<Storable, Unstorable> {
        let targets = &self.cache.settings().targeted;
        let storable = storable(&Method::GET, came, (&self.control, targets))?;
        // A gateway writes these itself, of each client its own, so that what came of them tells nothing (RFC 9111 §4.1).
        let by_client = self.key.realm() == Realm::Gateway
            && storable.vary.names.iter().any(forwarded::names_client);
        (!by_client)
            .then_some(storable)
            .ok_or(Unstorable::VariesByAll)
    }

    /// The origin says that what is stored still holds (RFC 9111 §4.3.4).
    fn unchanged(
        mut self: Box<Self>,
        received: &Received,
        mut status: CacheStatus,
        guarded: bool,
    ) -> Settled {
        let not_modified = received.response.headers();
        let places = self.conditions.as_ref().map(|conditions| {
            let views = self.candidates.views();
            validate::identify(&views, conditions, &self.headers, not_modified)
        });
        let all = self.candidates.all().to_vec();
        let mut updated = None;
        for place in places.unwrap_or_default() {
            let Some(old) = all.get(place) else { continue };
            let new = self.update(old, not_modified, guarded);
            updated.get_or_insert(new);
        }
        let now = Timestamp::now();
        status.fwd_status = Some(StatusCode::NOT_MODIFIED);
        if let Some(stored) = &updated {
            self.land(&stored.freshness);
        }
        let answer = updated.and_then(|stored| {
            status.ttl = Some(stored.freshness.ttl(now));
            status.stored = self.cache.holds(&stored);
            Answer::of(&stored, self.client(), status, now)
        });
        match answer {
            Some(answer) => {
                self.cache.tally(self.worker).validated.bump();
                Settled::Answer(answer)
            }
            None => {
                let unconditional = Self {
                    conditions: None,
                    candidates: Candidates::default(),
                    ..*self
                };
                Settled::Again(Box::new(Errand::store(unconditional, Fwd::Miss)))
            }
        }
    }

    /// A stored response with the fields of a 304 or a HEAD. Where that says that it must not be stored any more, it is taken out,
    /// and only this request has it.
    fn update(&self, old: &Arc<Stored>, fields: &HeaderMap, guarded: bool) -> Arc<Stored> {
        let headers = validate::updated(&old.headers, &storable::to_store(fields));
        let came = self.came(&headers, old.status);
        match self.storable(came) {
            Ok(storable) => {
                let new = Arc::new(Stored {
                    key: self.key.clone(),
                    vary: storable.vary,
                    status: old.status,
                    headers: memory::compact(&storable.headers),
                    freshness: storable.freshness,
                    guarded: old.guarded || guarded,
                    held: None,
                    contents: old.contents.clone(),
                });
                self.cache.update(old, &new);
                new
            }
            Err(why) => {
                // Of what a request with credentials hears nothing is stored (RFC 9111 §3.5): what is stays as it was.
                if why != Unstorable::Authorized {
                    self.cache.forget(old);
                }
                Arc::new(Stored {
                    headers,
                    ..Stored::clone(old)
                })
            }
        }
    }

    /// What a HEAD says of what is stored (RFC 9111 §4.3.5).
    fn head(self: Box<Self>, received: Received, mut status: CacheStatus) -> Settled {
        if let Some(stored) = self.candidates.selected() {
            let response = &received.response;
            let view = stored.as_ref().into();
            let length = stored.contents.length();
            let (code, fields) = (response.status(), response.headers());
            match validate::head_update(&view, length, code, fields) {
                HeadUpdate::Update(_) => {
                    let new = self.update(stored, fields, stored.guarded);
                    status.stored = self.cache.holds(&new);
                }
                HeadUpdate::Invalidate => self.cache.forget(stored),
                HeadUpdate::Ignore => {}
            }
        }
        passing(received, status)
    }

    fn whole(
        mut self: Box<Self>,
        received: Received,
        status: CacheStatus,
        guarded: bool,
        life: &Lifeline,
    ) -> Settled {
        let code = received.response.status();
        let came = self.came(received.response.headers(), code);
        let now = came.received;
        let length = received.response.body().size_hint().exact();
        let storable = self.storable(came).and_then(|storable| {
            self.fits(&received, length)?;
            Ok(storable)
        });
        let storable = match storable {
            Ok(storable) => storable,
            Err(why) => return self.not_stored(received, status, why),
        };
        let limits = self.cache.limits(self.control.largest);
        let (contents, filler) = Contents::filling(length, limits);
        let stored = Arc::new(self.stored(storable, code, guarded, contents));
        if !self.cache.insert(&stored, self.epoch) {
            return self.not_stored(received, status, Unstorable::NoRoom);
        }
        self.cache.tally(self.worker).stored.bump();
        let status = CacheStatus {
            stored: true,
            ttl: Some(stored.freshness.ttl(now)),
            ..status
        };
        let (head, body) = received.response.into_parts();
        let answer = Answer::brought(&stored, &head.headers, self.client(), status);
        let fill_it = Fill {
            cache: self.cache.clone(),
            worker: self.worker,
            stored: stored.clone(),
            filler,
            epoch: self.epoch,
            part: None,
        };
        fill(life, fill_it, body);
        self.land(&stored.freshness);
        let passing = Answer {
            received: Received {
                response: http::Response::from_parts(head, Body::Empty),
                upgraded: None,
                delimited: true,
            },
            status: None,
        };
        Settled::Answer(answer.unwrap_or(passing))
    }

    /// Tells who waits whether what is stored now is for them too.
    fn land(&mut self, freshness: &Freshness) {
        let each_asks = freshness.no_cache || freshness.lifetime.is_zero();
        let is_fresh = freshness.is_fresh(Timestamp::now());
        match self.lead.take() {
            Some(lead) if each_asks => lead.alone(),
            Some(lead) if is_fresh => lead.shared(),
            Some(lead) => lead.unused(),
            None if is_fresh && !each_asks => self.cache.flights().shared(&self.key),
            None => {}
        }
    }

    pub(super) fn stored(
        &self,
        storable: Storable,
        status: StatusCode,
        guarded: bool,
        contents: Contents,
    ) -> Stored {
        let Storable {
            freshness,
            vary,
            mut headers,
        } = storable;
        storable::dated(&mut headers, freshness.received);
        Stored {
            key: self.key.clone(),
            vary,
            status,
            headers: memory::compact(&headers),
            freshness,
            guarded,
            held: None,
            contents,
        }
    }

    /// Whether the content may be stored, as far as can be told before it has come.
    pub(super) fn fits(&self, received: &Received, length: Option<u64>) -> Result<(), Unstorable> {
        let limits = self.cache.limits(self.control.largest);
        if !received.delimited {
            return Err(Unstorable::Undelimited);
        }
        if length.is_some_and(|length| length > limits.largest) {
            return Err(Unstorable::TooLarge);
        }
        if !self.cache.is_used_enough(&self.key, self.control.min_uses) {
            return Err(Unstorable::Rare);
        }
        Ok(())
    }

    /// What is not stored is for this client alone. What is stored and was asked about is another thing by now; and so is what can
    /// not be asked about, where its successor is not to be used again.
    pub(super) fn not_stored(
        mut self: Box<Self>,
        received: Received,
        status: CacheStatus,
        why: Unstorable,
    ) -> Settled {
        let is_obsolete = self.conditions.is_some() || why == Unstorable::Useless;
        if received.response.status() == StatusCode::OK
            && let Some(stored) = self.candidates.selected().filter(|_| is_obsolete)
        {
            self.cache.forget(stored);
        }
        if let Some(lead) = self.lead.take() {
            lead.alone();
        }
        passing(
            received,
            CacheStatus {
                detail: Some(why.as_str()),
                ..status
            },
        )
    }
}

pub(super) fn passing(received: Received, status: CacheStatus) -> Settled {
    Settled::Answer(Answer {
        received,
        status: Some(status),
    })
}

/// How long an origin that failed is left alone.
const HOLD: SignedDuration = SignedDuration::from_secs(1);
