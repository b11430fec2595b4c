//! One exchange, phase by phase: who, may you by name, may you by address, send, receive. Always answers.
//! Not the sending (retry) and not the end of the record (recording).
//! Start at [`Relay::exchange`].

use std::rc::Rc;

use http::header::EXPECT;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::cached::{Answer, Consulted, Errand, Permitted, Purpose, Settled};
use super::recording::Recording;
use super::retry::Message;
use super::tries::Tries;
use super::tunnel::{self, Tunnel};
use super::upgrade::{self, Asked};
use super::way::{Judging, Way};
use super::{Caller, Destination, Refusal, Relay, filtered, personal, throttle};
use crate::cache::CacheStatus;
use crate::gate::{Intent, Judged};
use crate::listener::http::Trouble;
use crate::message::compress::Plan;
use crate::message::{Body, ProxyError, Reply, buffer, hop, normal_path, other_reading};
use crate::policy::{Allowance, NamedBy, Scheme};
use crate::pool::{Failure, Received};
use crate::report::{FlowKind, text_of};

impl Relay {
    /// Carries one request to its origin and the response back. The reply's body goes on after this returns.
    ///
    /// The head is changed into the one that is sent. Dropping the future ends the exchange; its record says so.
    pub async fn exchange(
        &self,
        (head, body): (&mut Parts, Body),
        caller: &Caller,
        to: &Destination,
    ) -> Reply {
        let whose = (caller, to, Purpose::Client);
        self.carry((head, body), whose).await
    }

    /// The same, for a client or for the cache.
    pub(super) async fn carry(
        &self,
        (head, body): (&mut Parts, Body),
        (caller, to, purpose): (&Caller, &Destination, Purpose<'_>),
    ) -> Reply {
        let mut recording = Recording::begin(&self.parts, caller);
        recording.note_request(&head.method, &head.headers, Some(&to.path));
        recording.edit(|record| {
            record.authority = Some(to.authority.clone());
            record.route = to.route().map(|route| route.name.clone());
            let backend = to.backend();
            record.upstream = backend.map(|backend| backend.served.upstream.name().into());
        });
        let sent = self.identify_and_send((head, body), (caller, to, purpose), &mut recording);
        match sent.await {
            Ok(sent) => self.pass_back(sent, caller, recording),
            Err(refusal) => {
                let close = matches!(refusal, Refusal::Trouble(_) | Refusal::Ended(_));
                let response = recording.refuse(&refusal, Some(&to.authority), Some(&head.headers));
                let response = match to.route() {
                    Some(route) => route.treatment.error_pages.replace(response),
                    None => response,
                };
                Reply {
                    response,
                    takeover: None,
                    close,
                }
            }
        }
    }

    async fn identify_and_send(
        &self,
        (head, body): (&mut Parts, Body),
        (caller, to, purpose): (&Caller, &Destination, Purpose<'_>),
        recording: &mut Recording,
    ) -> Result<Sent, Refusal> {
        let principal = match purpose {
            Purpose::Refresh(known @ Some(_)) => self.recall(caller, known)?,
            Purpose::Refresh(None) | Purpose::Client => self.known(caller, &head.headers).await?,
        };
        let path = normal_path(&to.path);
        let intent = Intent {
            listener: caller.service.name.clone(),
            client: caller.client,
            principal,
            authority: to.judged(caller.local),
            scheme: if to.secure {
                Scheme::Https
            } else {
                Scheme::Http
            },
            method: Some(head.method.clone()),
            other_path: other_reading(&path).map(Into::into),
            path: Some(path.into()),
            hello: caller.hello.clone(),
            now: recording.time(),
            named_by: if to.by.is_some() {
                NamedBy::Operator
            } else {
                NamedBy::Client
            },
            judged: Judged::default(),
        };
        recording.note_intent(intent, FlowKind::Exchange);
        if to.by.is_some() {
            recording.saw(caller.hello.clone());
        }
        let Some(flow) = recording.flow().cloned() else {
            return Err(Refusal::Misdirected("nothing was asked for"));
        };
        tokio::select! {
            biased;
            // Whichever loses is dropped: a request under way closes its connection.
            reason = flow.killed() => Err(Refusal::Ended(reason.to_string())),
            sent = self.decide_and_send(head, body, (caller, to, purpose), recording) => sent,
        }
    }

    async fn decide_and_send(
        &self,
        head: &mut Parts,
        body: Body,
        (caller, to, purpose): (&Caller, &Destination, Purpose<'_>),
        recording: &mut Recording,
    ) -> Result<Sent, Refusal> {
        let generation = self.parts.generation();
        let plan = to.route().and_then(|route| {
            let compress = route.treatment.compress.as_ref()?;
            Some(compress.plan(&head.method, &head.headers))
        });
        if to.by.is_some() {
            // The gateway was told them, in the origin's place.
            caller.service.gate.strip_credentials(&mut head.headers);
        }
        let body = self.taken_in((head, body), (caller, to), recording).await?;
        let consulted = self
            .consult(head, &body, (caller, to, purpose), recording)
            .await?;
        let sent = |answer: Answer, allowance| Sent {
            received: answer.received,
            cache: answer.status,
            secure: to.secure,
            asked: None,
            allowance,
            as_judged: None,
            generation,
            cookie: None,
            plan,
            read_ahead: to.read_ahead(),
        };
        let permitted = match consulted {
            Consulted::Permitted(permitted) => permitted,
            Consulted::Answered(allowance, answer) => return Ok(sent(answer, allowance)),
        };
        let as_judged = hop::read(&head.headers)
            .upgrade
            .then(|| head.headers.clone());
        let asked = upgrade::set_aside(&mut head.headers, head.version, &body);
        let filters = &permitted.way.allowance.obligations.filters;
        to.vouch(&mut head.headers);
        filters.on_request(&mut head.headers, &recording.variables());
        permitted.errand.prepare(&mut head.headers);
        caller.service.via.append(&mut head.headers, head.version);
        if let Some(asked) = &asked {
            asked.restore(&mut head.headers);
        }
        let (answer, way) = self
            .send((head, body), permitted, (caller, to), recording)
            .await?;
        let cookie = way.picked.as_ref().and_then(|picked| to.cookie(picked));
        recording.hold(way.picked);
        Ok(Sent {
            asked,
            as_judged,
            cookie,
            ..sent(answer, way.allowance)
        })
    }

    /// The body, as a whole where its route asks for that: it is waited for before there is a place at the upstream, so that who
    /// sends slowly holds none. Policy has been asked by name before any of it is read.
    async fn taken_in(
        &self,
        (head, body): (&mut Parts, Body),
        (caller, to): (&Caller, &Destination),
        recording: &Recording,
    ) -> Result<Body, Refusal> {
        if !to.takes_in() || body.is_empty() {
            return Ok(body);
        }
        let _grant = self.admit(caller, recording, Some(&head.headers))?;
        // Who waits to be told to go on is told so by whom it is that waits (RFC 9110 §10.1.1); the origin gets it all at once.
        if head.headers.remove(EXPECT).is_some() {
            caller.interim.push(StatusCode::CONTINUE, HeaderMap::new());
        }
        let taking = to.take_in(body);
        match to.deadline(recording.started(), &head.headers) {
            Some(deadline) => match timeout_at(deadline.at, taking).await {
                Ok(taken) => Ok(taken?),
                Err(_) => Err(Refusal::Trouble(Trouble::SlowBody)),
            },
            None => Ok(taking.await?),
        }
    }

    /// Sends what was prepared, and tells the cache what came of it.
    async fn send(
        &self,
        (head, body): (&mut Parts, Body),
        mut permitted: Box<Permitted>,
        (caller, to): (&Caller, &Destination),
        recording: &mut Recording,
    ) -> Result<(Answer, Way), Refusal> {
        let mut errand = std::mem::replace(&mut permitted.errand, Errand::none());
        let Permitted {
            way, grant, judged, ..
        } = &mut *permitted;
        let obligations = way.allowance.obligations.clone();
        let filters = &obligations.filters;
        let deadline = to.deadline(recording.started(), &head.headers);
        recording.limit(deadline.map(|deadline| deadline.at));
        let tries = Tries {
            relay: self,
            judging: Judging {
                caller,
                to,
                grant,
                headers: judged.as_ref(),
            },
            interim: &filtered::interim(filters, &caller.interim),
            deadline,
        };
        let body = filtered::request_body(filters, body);
        // What was taken in as a whole is bounded already.
        let body = if to.takes_in() { body } else { to.bound(body)? };
        // What a credential of ours is in is for the upstream that it was meant for, and for no other.
        let body = match filters.wanting_hosts() {
            Some(_) => body,
            None => self.mirrored((head, body), &tries, recording).await?,
        };
        let mut body = match obligations.bandwidth {
            Some(rate) => throttle::body(recording.counted(body), rate),
            None => recording.counted(body),
        };
        loop {
            let message = Message {
                method: &head.method,
                headers: &head.headers,
            };
            let received = tries.send(way, message, body, recording).await;
            // Where the operator named the address, it is not for policy to guard it.
            let guarded = to.by.is_none() && recording.is_guarded();
            match errand.settle(received, guarded, &self.parts.life)? {
                Settled::Answer(answer) => return Ok((answer, permitted.way)),
                Settled::Again(other) => errand = *other,
            }
            // Only what has no content is asked twice.
            errand.prepare(&mut head.headers);
            body = Body::Empty;
        }
    }

    fn pass_back(&self, mut sent: Sent, caller: &Caller, mut recording: Box<Recording>) -> Reply {
        let started = recording.started();
        recording.edit(|record| record.first_byte = Some(started.elapsed()));
        let response = &mut sent.received.response;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(sent, caller, recording);
        }
        let unswitched = |asked: &Asked| asked.overlooked(response.status());
        if let Some(refusal) = sent.asked.as_ref().and_then(unswitched) {
            return Reply::closing(recording.refuse(&refusal, None, None));
        }
        let version = response.version();
        let obligations = &sent.allowance.obligations;
        hop::strip(response.headers_mut());
        let filters = &obligations.filters;
        filters.on_response(response.headers_mut(), sent.secure, &recording.variables());
        // What the filters hide must not be recorded either.
        if self.parts.reporter.wants().content_type {
            let kind = response
                .headers()
                .get(http::header::CONTENT_TYPE)
                .map(|value| text_of(value.as_bytes()));
            recording.edit(|record| record.content_type = kind);
        }
        caller.service.via.append(response.headers_mut(), version);
        if let Some(status) = &sent.cache {
            recording.edit(|record| record.cache = Some(status.word()));
            let cache = self.parts.cache();
            let own = cache
                .as_ref()
                .and_then(|cache| cache.settings().name.as_deref());
            let name = own.unwrap_or_else(|| caller.service.via.name());
            status.append(response.headers_mut(), name);
        }
        let response = match obligations.bandwidth {
            Some(rate) => sent
                .received
                .response
                .map(|body| throttle::body(body, rate)),
            None => sent.received.response,
        };
        let mut response = response.map(|body| filtered::response_body(filters, body));
        if let Some(cookie) = sent.cookie {
            personal::add_cookie(response.headers_mut(), cookie);
        }
        let response = match sent.plan {
            Some(plan) => plan.apply(response),
            None => response,
        };
        let response = match sent.read_ahead {
            Some(limit) => response.map(|body| buffer::read_ahead(body, limit, &self.parts.life)),
            None => response,
        };
        Reply::new(recording.follow(response))
    }

    fn switch(&self, sent: Sent, caller: &Caller, mut recording: Box<Recording>) -> Reply {
        let Received {
            mut response,
            upgraded,
            ..
        } = sent.received;
        let unasked = || {
            Refusal::Failed(Failure::new(
                ProxyError::ProtocolError,
                "the origin switched protocols unasked",
            ))
        };
        let (Some(origin), Some(asked)) = (upgraded, sent.asked) else {
            return Reply::closing(recording.refuse(&unasked(), None, None));
        };
        if let Err(refusal) = asked.accept(&mut response) {
            return Reply::closing(recording.refuse(&refusal, None, None));
        }
        let filters = &sent.allowance.obligations.filters;
        filters.on_response(response.headers_mut(), sent.secure, &recording.variables());
        caller
            .service
            .via
            .append(response.headers_mut(), Version::HTTP_11);
        recording.edit(|record| record.status = Some(asked.granted().as_u16()));
        let tunnel = Tunnel {
            parts: Rc::clone(&self.parts),
            service: caller.service.clone(),
            client: caller.client,
            recording,
            origin,
            bandwidth: sent.allowance.obligations.bandwidth,
            headers: sent.as_judged.map(tunnel::to_keep),
            generation: sent.generation,
            held: None,
        };
        Reply {
            response,
            takeover: Some(Box::new(move |client| Box::pin(tunnel.carry(client)))),
            close: true,
        }
    }
}

/// A response, and what was asked for it.
struct Sent {
    received: Received,
    /// What the cache had to do with it; `None` where there is none.
    cache: Option<CacheStatus>,
    /// Whether it came over TLS.
    secure: bool,
    asked: Option<Asked>,
    allowance: Allowance,
    /// The fields that policy saw, where a tunnel may follow that has to be judged again.
    as_judged: Option<HeaderMap>,
    generation: watch::Receiver<u64>,
    /// Keeps the client at the endpoint that answers.
    cookie: Option<HeaderValue>,
    /// How the response is compressed.
    plan: Option<Plan>,
    /// How much of the response is read before the client takes it.
    read_ahead: Option<usize>,
}
