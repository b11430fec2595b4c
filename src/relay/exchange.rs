//! One exchange, phase by phase: who, may you by name, may you by address, send, receive. Always answers.
//! Not the sending (retry) and not the end of the record (recording).
//! Start at [`Relay::exchange`].

use std::rc::Rc;

use http::{HeaderMap, Request, StatusCode, Version};
use tokio::sync::watch;

use super::cached::{Answer, Consulted, Errand, Purpose, Settled};
use super::recording::Recording;
use super::tunnel::{self, Tunnel};
use super::upgrade::{self, Asked};
use super::{Caller, Destination, Refusal, Relay, filtered, retry, throttle};
use crate::cache::CacheStatus;
use crate::gate::{Intent, Judged, Seen};
use crate::message::ProxyError;
use crate::message::{Body, Reply, default_port, hop, normal_path, other_reading};
use crate::policy::{Allowance, Permit, Scheme};
use crate::pool::{Failure, Received};
use crate::report::{FlowKind, text_of};

impl Relay {
    /// Carries one request to its origin and the response back. The reply's body goes on after this returns.
    ///
    /// Dropping the future ends the exchange; its record says so.
    pub async fn exchange(
        &self,
        request: Request<Body>,
        caller: &Caller,
        to: &Destination,
    ) -> Reply {
        self.carry(request, caller, to, Purpose::Client).await
    }

    /// The same, for a client or for the cache.
    pub(super) async fn carry(
        &self,
        request: Request<Body>,
        caller: &Caller,
        to: &Destination,
        purpose: Purpose,
    ) -> Reply {
        let mut recording = Recording::begin(&self.parts, caller);
        recording.note_request(request.method(), request.headers(), Some(&to.path));
        recording.edit(|record| record.authority = Some(to.authority.clone()));
        // What a refusal needs of the request: the client's preferences for the form of the answer.
        let asked = accept_of(request.headers());
        let attempt = self.attempt(request, (caller, to, purpose), &mut recording);
        match attempt.await {
            Ok(sent) => self.pass_back(sent, caller, recording),
            Err(refusal) => {
                let close = matches!(refusal, Refusal::Trouble(_) | Refusal::Ended(_));
                let response = recording.refuse(&refusal, Some(&to.authority), Some(&asked));
                Reply {
                    response,
                    takeover: None,
                    close,
                }
            }
        }
    }

    async fn attempt(
        &self,
        request: Request<Body>,
        (caller, to, purpose): (&Caller, &Destination, Purpose),
        recording: &mut Recording,
    ) -> Result<Sent, Refusal> {
        let (head, body) = request.into_parts();
        let principal = self.known(caller, &head.headers).await?;
        let path = normal_path(&to.path);
        let intent = Intent {
            listener: caller.service.name.clone(),
            client: caller.client,
            principal,
            authority: to.authority.clone(),
            scheme: if to.secure {
                Scheme::Https
            } else {
                Scheme::Http
            },
            method: Some(head.method.clone()),
            other_path: other_reading(&path).map(Into::into),
            path: Some(path.into()),
            hello: caller
                .within
                .as_ref()
                .map_or(Seen::Nothing, |within| within.hello.clone()),
            now: recording.time(),
            judged: Judged::default(),
        };
        recording.note_intent(intent, FlowKind::Exchange);
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
        mut head: http::request::Parts,
        body: Body,
        (caller, to, purpose): (&Caller, &Destination, Purpose),
        recording: &mut Recording,
    ) -> Result<Sent, Refusal> {
        let generation = self.parts.generation();
        let consulted = self
            .consult(&head, &body, (caller, to, purpose), recording)
            .await?;
        let (permit, errand) = match consulted {
            Consulted::Permitted(permit, errand) => (permit, errand),
            Consulted::Answered(allowance, answer) => {
                return Ok(Sent {
                    received: answer.received,
                    cache: answer.status,
                    secure: to.secure,
                    asked: None,
                    allowance,
                    as_judged: None,
                    generation,
                });
            }
        };
        let as_judged = hop::read(&head.headers)
            .upgrade
            .then(|| head.headers.clone());
        let asked = upgrade::set_aside(&mut head.headers, head.version, &body);
        let filters = &permit.obligations().filters;
        filters.on_request(&mut head.headers);
        errand.prepare(&mut head.headers);
        caller.service.via.append(&mut head.headers, head.version);
        if let Some(asked) = &asked {
            asked.restore(&mut head.headers);
        }
        let answer = self
            .send((head, body), errand, &permit, (caller, to), recording)
            .await?;
        Ok(Sent {
            received: answer.received,
            cache: answer.status,
            secure: to.secure,
            asked,
            allowance: permit.allowance().clone(),
            as_judged,
            generation,
        })
    }

    /// Sends what was prepared, and tells the cache what came of it.
    async fn send(
        &self,
        (mut head, body): (http::request::Parts, Body),
        mut errand: Errand,
        permit: &Permit,
        (caller, to): (&Caller, &Destination),
        recording: &mut Recording,
    ) -> Result<Answer, Refusal> {
        let host = to
            .authority
            .without_default_port(default_port(to.secure))
            .to_string();
        let obligations = permit.obligations();
        let filters = &obligations.filters;
        let sending = retry::Sending {
            pool: &self.parts.pool,
            permit,
            to,
            host: &host,
            interim: &filtered::interim(filters, &caller.interim),
        };
        let body = filtered::request_body(filters, body);
        let mut body = match obligations.bandwidth {
            Some(rate) => throttle::body(recording.counted(body), rate),
            None => recording.counted(body),
        };
        loop {
            let received = sending
                .send(&head.method, &head.headers, body, recording)
                .await;
            let guarded = recording.is_guarded();
            match errand.settle(received, guarded, &self.parts.life)? {
                Settled::Answer(answer) => return Ok(answer),
                Settled::Again(other) => errand = *other,
            }
            // Only what has no content is asked twice.
            errand.prepare(&mut head.headers);
            body = Body::Empty;
        }
    }

    fn pass_back(&self, mut sent: Sent, caller: &Caller, mut recording: Recording) -> Reply {
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
        filters.on_response(response.headers_mut(), sent.secure);
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
        let response = response.map(|body| filtered::response_body(filters, body));
        Reply::new(recording.follow(response))
    }

    fn switch(&self, sent: Sent, caller: &Caller, mut recording: Recording) -> Reply {
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
        filters.on_response(response.headers_mut(), sent.secure);
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
}

fn accept_of(headers: &HeaderMap) -> HeaderMap {
    let mut asked = HeaderMap::new();
    if let Some(accept) = headers.get(http::header::ACCEPT) {
        asked.insert(http::header::ACCEPT, accept.clone());
    }
    asked
}
