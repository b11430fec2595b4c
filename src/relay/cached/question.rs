//! Asks the cache for an answer to a request, and waits with others where one of them is asking the origin already.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Method};
use http_body::Body as _;
use jiff::Timestamp;

use super::Purpose;
use super::answer::{Answer, Asked};
use super::errand::Errand;
use super::storing::Storing;
use crate::cache::directives::RequestDirectives;
use crate::cache::flight::{Joined, Lead, Outcome};
use crate::cache::reuse::{self, Use};
use crate::cache::status::Fwd;
use crate::cache::{
    Cache, CacheStatus, Candidates, Control, Key, Realm, Stored, conditional, partition,
};
use crate::filter::Variables;
use crate::message::{Body, default_port, hop};
use crate::policy::Allowance;
use crate::relay::Destination;

/// What the cache says.
pub(super) enum Found {
    /// It has the answer; and whether that should be refreshed.
    Answer(Answer, bool),
    /// It has one, from an address that must be judged first.
    Guarded,
    /// The request wants a stored response or none, and none may be used.
    NotStored,
    /// The origin must be asked.
    Ask(Errand),
}

/// One request, as the cache sees it.
pub(super) struct Question<'a> {
    method: &'a Method,
    /// As the client sent them, without what `Connection` takes away.
    asked: Cow<'a, HeaderMap>,
    /// As the origin would get them: after the rule's filters.
    headers: Cow<'a, HeaderMap>,
    /// What these write of themselves.
    written: HeaderMap,
    has_content: bool,
    to: &'a Destination,
    allowance: &'a Allowance,
    /// Whether the address has been judged too.
    vetted: bool,
}

impl<'a> Question<'a> {
    pub(super) fn new(
        (head, body): (&'a Parts, &Body),
        to: &'a Destination,
        (allowance, variables): (&'a Allowance, &Variables<'_>),
        vetted: bool,
    ) -> Self {
        let filters = &allowance.obligations.filters;
        // A client must not have a response stored, or found, by a field that it hides from the origin.
        let asked = hop::without_nominated(&head.headers);
        let (mut headers, mut written) = (asked.clone(), HeaderMap::new());
        if !filters.is_empty() {
            filters.on_request(headers.to_mut(), variables);
            filters.on_request(&mut written, variables);
        }
        Self {
            method: &head.method,
            asked,
            headers,
            written,
            has_content: !body.is_end_stream(),
            to,
            allowance,
            vetted,
        }
    }

    /// Asks, and where somebody else is asking the origin for the same, waits for what comes of it.
    ///
    /// Waits at most the patience of a flight. Cancel-safe: who leads hands over.
    pub(super) async fn ask(
        self,
        cache: &Arc<Cache>,
        worker: u16,
        purpose: Purpose<'_>,
        now: Timestamp,
    ) -> Found {
        let uri = self.uri();
        let why = self.passes_by();
        if why.is_some() || !is_read(self.method) {
            cache.tally(worker).bypassed.bump();
        }
        if !is_read(self.method) {
            let place = (uri, self.realm());
            return Found::Ask(Errand::other(cache, place, self.method, worker));
        }
        if let Some(why) = why {
            return Found::Ask(Errand::bypass(why));
        }
        let control = &self.allowance.obligations.cache;
        let asking = Asking {
            key: Key::new(uri, self.extras()),
            asked: RequestDirectives::read(&self.headers),
            question: self,
            cache,
            control,
            worker,
            refreshes: purpose != Purpose::Client,
            now,
        };
        asking.run().await
    }

    /// Why the cache is not asked, if it is not.
    fn passes_by(&self) -> Option<&'static str> {
        let obligations = &self.allowance.obligations;
        if !obligations.cache.enabled {
            Some("the rule does not cache")
        } else if obligations.filters.wanting_hosts().is_some() {
            // What a credential of ours brings is for whom the rule is for, whatever the response says.
            Some("the rule adds a credential")
        } else if hop::read(&self.headers).upgrade {
            Some("the protocol is to be switched")
        } else if self.has_content {
            // RFC 9110 §9.3.1: it has no meaning, but origins give it one.
            Some("the request has content")
        } else if conditional::is_for_origin(&self.headers) {
            Some("the condition is for the origin to judge")
        } else {
            None
        }
    }

    /// The effective URI, without the parameters that the rule takes out of the key.
    pub(super) fn uri(&self) -> String {
        let to = self.to;
        let scheme = if to.secure { "https" } else { "http" };
        let authority = to.authority.without_default_port(default_port(to.secure));
        let path = self.allowance.obligations.cache.query_for_key(&to.path);
        let mut uri = String::with_capacity(AUTHORITY_ROOM + path.len());
        uri.push_str(scheme);
        uri.push_str("://");
        // Writing to a string does not fail.
        let _ = write!(uri, "{authority}");
        uri.push_str(&path);
        uri
    }

    /// Whose word the URI is taken for.
    fn realm(&self) -> Realm {
        match self.to.backend() {
            Some(_) => Realm::Gateway,
            None => Realm::Network,
        }
    }

    /// What belongs to the key beside the URI: what the rule names or sets, what may change the response although `Vary` seldom
    /// says so, and how the origin was verified.
    fn extras(&self) -> String {
        let obligations = &self.allowance.obligations;
        let mut extras = self.to.backend().map_or_else(String::new, |backend| {
            let upstream = backend.served.upstream.name();
            format!("{}upstream={upstream};", Key::GATEWAY)
        });
        extras.push_str(&obligations.cache.extras(&self.headers));
        partition::add_routing(&mut extras, &self.headers);
        if !obligations.filters.is_empty() {
            partition::add_set(&mut extras, &self.asked, &self.headers, &self.written);
        }
        if let Some((target, host)) = self.to.rewritten() {
            let target = obligations.cache.query_for_key(target);
            partition::add_rewritten(&mut extras, &target, host);
        }
        let intercept = obligations.intercept.as_ref().filter(|_| self.to.secure);
        for pin in intercept
            .map(|intercept| &*intercept.pins)
            .unwrap_or_default()
        {
            // Writing to a string does not fail.
            let _ = write!(extras, "pin={:x?};", pin.first_chunk::<8>());
        }
        extras
    }
}

/// A question that is being asked.
struct Asking<'a> {
    question: Question<'a>,
    key: Key,
    asked: RequestDirectives,
    cache: &'a Arc<Cache>,
    control: &'a Arc<Control>,
    worker: u16,
    /// For the cache itself: a client has had the stale response.
    refreshes: bool,
    now: Timestamp,
}

/// What of the stored responses may be done.
enum Verdict {
    /// This one answers.
    Use {
        stored: Arc<Stored>,
        stale: bool,
        refresh: bool,
    },
    /// None does.
    Forward(Fwd),
}

impl Asking<'_> {
    async fn run(self) -> Found {
        let mut alone = !self.refreshes && !self.may_wait();
        let mut collapsed = false;
        loop {
            let candidates = self.cache.find(&self.key, &self.question.headers).await;
            let fwd = match self.judge(&candidates) {
                Verdict::Use { stored, .. } if stored.guarded && !self.question.vetted => {
                    return Found::Guarded;
                }
                Verdict::Use {
                    stored,
                    stale,
                    refresh,
                } => {
                    if let Some(answer) = self.answer(&stored, stale, collapsed) {
                        // Who finds one on its way does not even begin.
                        let refresh = refresh && !self.cache.flights().is_under_way(&self.key);
                        return Found::Answer(answer, refresh);
                    }
                    match stored.contents.as_parts() {
                        Some(_) => Fwd::Partial,
                        None => Fwd::UriMiss,
                    }
                }
                Verdict::Forward(fwd) => fwd,
            };
            if self.asked.only_if_cached {
                return Found::NotStored;
            }
            let mut lead = None;
            if !alone {
                match self.company().await {
                    Company::Lead(leading) => lead = Some(leading),
                    Company::Look => {
                        (alone, collapsed) = (true, true);
                        continue;
                    }
                    Company::Alone => {
                        alone = true;
                        continue;
                    }
                    Company::Busy => return Found::NotStored,
                }
            }
            return Found::Ask(self.errand(candidates, fwd, lead));
        }
    }

    /// Whether what another request brings may do for this one.
    fn may_wait(&self) -> bool {
        let headers = &self.question.headers;
        // Who wants it anew, or a part of it, asks the origin.
        let particular = self.asked.wants_validation() || headers.contains_key(http::header::RANGE);
        *self.question.method == Method::GET && !particular && self.cache.settings().collapse
    }

    async fn company(&self) -> Company {
        let flights = self.cache.flights();
        if self.refreshes {
            // Clients do not wait for it, so that nothing else would bound how many there are.
            let lead = flights.refresh(&self.key);
            return lead.map_or(Company::Busy, Company::Lead);
        }
        match flights.join(&self.key) {
            Joined::Lead(lead) => Company::Lead(lead),
            Joined::Alone => Company::Alone,
            Joined::Wait(wait) => match wait.outcome(PATIENCE).await {
                Outcome::Lead(lead) => Company::Lead(lead),
                Outcome::Look => Company::Look,
                Outcome::Alone => Company::Alone,
            },
        }
    }

    fn answer(&self, stored: &Stored, stale: bool, collapsed: bool) -> Option<Answer> {
        let asked = Asked {
            method: self.question.method,
            headers: &self.question.headers,
        };
        let ttl = stored.freshness.ttl(self.now);
        let mut status = CacheStatus::hit(ttl);
        if collapsed {
            status = CacheStatus {
                ttl: Some(ttl),
                collapsed,
                ..CacheStatus::forwarded(Fwd::Miss)
            };
        }
        let answer = Answer::of(stored, asked, status, self.now)?;
        let tally = self.cache.tally(self.worker);
        match (collapsed, stale) {
            (true, _) => tally.collapsed.bump(),
            (false, true) => tally.stale_hits.bump(),
            (false, false) => tally.hits.bump(),
        }
        Some(answer)
    }

    fn judge(&self, candidates: &Candidates) -> Verdict {
        let Some(stored) = candidates.selected() else {
            let others = !candidates.all().is_empty();
            return Verdict::Forward(if others { Fwd::VaryMiss } else { Fwd::UriMiss });
        };
        if self.refreshes {
            return Verdict::Forward(Fwd::Stale);
        }
        let answer = |stale, refresh| Verdict::Use {
            stored: stored.clone(),
            stale,
            refresh,
        };
        match reuse::judge(&stored.freshness, &self.asked, self.now) {
            Use::Fresh => answer(false, false),
            Use::Stale => answer(true, false),
            Use::StaleWhileRevalidate => answer(true, true),
            Use::Validate(why) => {
                let held = stored.held.is_some_and(|until| self.now < until);
                if held && reuse::serves_disconnected(&stored.freshness, &self.asked, self.now) {
                    answer(true, false)
                } else {
                    Verdict::Forward(why.into())
                }
            }
        }
    }

    fn errand(self, candidates: Candidates, fwd: Fwd, lead: Option<Lead>) -> Errand {
        let headers = self.question.headers.into_owned();
        let epoch = self.cache.epoch(&self.key);
        let storing = Storing {
            cache: self.cache.clone(),
            worker: self.worker,
            control: self.control.clone(),
            key: self.key,
            method: self.question.method.clone(),
            conditions: Storing::conditions(&candidates, &headers),
            headers,
            asked: self.asked,
            candidates,
            lead,
            refreshes: self.refreshes,
            requested: self.now,
            epoch,
        };
        Errand::store(storing, fwd)
    }
}

/// In whose company a request goes to the origin.
enum Company {
    /// Others wait for it.
    Lead(Lead),
    /// Somebody has been there: the cache is asked again.
    Look,
    /// Each goes by itself.
    Alone,
    /// Somebody is there already, which is enough.
    Busy,
}

/// What a stored response may answer.
fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// Bytes that most schemes and authorities fit in.
const AUTHORITY_ROOM: usize = 64;
/// How long a request waits for another one's response head.
const PATIENCE: Duration = Duration::from_secs(30);
