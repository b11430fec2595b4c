//! One exchange, phase by phase: who, may you by name, may you by address, send, receive. Always answers.

use std::rc::Rc;

use http::{HeaderMap, Request, Response, StatusCode, Version};

use super::recording::Recording;
use super::upgrade::{self, Asked};
use super::{Caller, Destination, Refusal, Relay, retry, throttle};
use crate::gate::Intent;
use crate::message::ProxyError;
use crate::message::{Body, Reply, default_port, hop, normal_path};
use crate::policy::{Obligations, Permit, Scheme};
use crate::pool::{Failure, Received};
use crate::report::FlowKind;

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
        let mut recording = Recording::begin(&self.parts, caller);
        recording.note_request(request.method(), request.headers(), Some(&to.path));
        recording.edit(|record| record.authority = Some(to.authority.clone()));
        // What a refusal needs of the request: the client's preferences for the form of the answer.
        let asked = accept_of(request.headers());
        match self.attempt(request, caller, to, &mut recording).await {
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
        caller: &Caller,
        to: &Destination,
        recording: &mut Recording,
    ) -> Result<Sent, Refusal> {
        let (mut head, body) = request.into_parts();
        let credentials = self.credentials(caller, &head.headers)?;
        let principal = self.identify(caller, credentials.as_ref()).await?;
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
            path: Some(normal_path(&to.path).into()),
            now: recording.time(),
        };
        recording.note_intent(intent, FlowKind::Exchange);
        let permit = self.permit(caller, recording, Some(&head.headers)).await?;
        let asked = upgrade::set_aside(&mut head.headers, head.version, &body);
        permit.obligations().filters.on_request(&mut head.headers);
        caller.service.via.append(&mut head.headers, head.version);
        if let Some(asked) = &asked {
            asked.restore(&mut head.headers);
        }
        let host = to
            .authority
            .without_default_port(default_port(to.secure))
            .to_string();
        let body = match permit.obligations().bandwidth {
            Some(rate) => throttle::body(recording.counted(body), rate),
            None => recording.counted(body),
        };
        let sending = retry::Sending {
            pool: &self.parts.pool,
            permit: &permit,
            to,
            host: &host,
            interim: &caller.interim,
        };
        let received = sending
            .send(&head.method, &head.headers, body, recording)
            .await?;
        Ok(Sent {
            received,
            asked,
            permit,
        })
    }

    /// Both moments of the decision, for an exchange or a tunnel whose intent is noted.
    pub(super) async fn permit(
        &self,
        caller: &Caller,
        recording: &mut Recording,
        headers: Option<&HeaderMap>,
    ) -> Result<Permit, Refusal> {
        let gate = &caller.service.gate;
        let Some(intent) = recording.intent() else {
            return Err(Refusal::Misdirected("nothing was asked for"));
        };
        let grant = gate.admit(intent, headers).map_err(Refusal::Denied)?;
        let vetted = gate
            .vet(&grant, intent, headers, &self.parts.resolver())
            .await;
        let vetted = match vetted {
            Ok(vetted) => vetted,
            Err(barred) => {
                recording.allowed(&grant.rule().name, grant.would_deny());
                return Err(barred.into());
            }
        };
        check_obligations(vetted.permit.obligations(), intent.scheme)?;
        gate.charge(&vetted.permit, intent)
            .map_err(Refusal::Denied)?;
        recording.allowed(&vetted.permit.rule().name, vetted.permit.would_deny());
        recording.edit(|record| record.dns = vetted.dns);
        Ok(vetted.permit)
    }

    fn pass_back(&self, sent: Sent, caller: &Caller, mut recording: Recording) -> Reply {
        let Sent {
            received,
            asked,
            permit,
        } = sent;
        let Received {
            mut response,
            upgraded,
        } = received;
        let started = recording.started();
        recording.edit(|record| record.first_byte = Some(started.elapsed()));
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(response, upgraded, asked, caller, recording, &permit);
        }
        let version = response.version();
        hop::strip(response.headers_mut());
        permit
            .obligations()
            .filters
            .on_response(response.headers_mut());
        caller.service.via.append(response.headers_mut(), version);
        let throttle = permit.obligations().bandwidth;
        let response = match throttle {
            Some(rate) => response.map(|body| throttle::body(body, rate)),
            None => response,
        };
        Reply::new(recording.follow(response))
    }

    fn switch(
        &self,
        mut response: Response<Body>,
        upgraded: Option<crate::stream::Stream>,
        asked: Option<Asked>,
        caller: &Caller,
        recording: Recording,
        permit: &Permit,
    ) -> Reply {
        let (Some(origin), Some(asked)) = (upgraded, asked) else {
            let refusal = Refusal::Failed(Failure::new(
                ProxyError::ProtocolError,
                "the origin switched protocols unasked",
            ));
            return Reply::closing(recording.refuse(&refusal, None, None));
        };
        if let Err(refusal) = asked.accept(&mut response) {
            return Reply::closing(recording.refuse(&refusal, None, None));
        }
        caller
            .service
            .via
            .append(response.headers_mut(), Version::HTTP_11);
        let mut recording = recording;
        recording.edit(|record| record.status = Some(StatusCode::SWITCHING_PROTOCOLS.as_u16()));
        let tunnel = super::tunnel::Tunnel {
            parts: Rc::clone(&self.parts),
            service: caller.service.clone(),
            recording,
            origin,
            bandwidth: permit.obligations().bandwidth,
            headers: None,
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
    asked: Option<Asked>,
    permit: Permit,
}

/// What can not be done must not be left out: then the rule does not allow.
fn check_obligations(obligations: &Obligations, scheme: Scheme) -> Result<(), Refusal> {
    if obligations.intercept {
        return Err(Refusal::Unmet(
            "the rule asks for interception, which this version does not do",
        ));
    }
    if !obligations.filters.is_empty() && scheme == Scheme::Tunnel {
        return Err(Refusal::Unmet(
            "the rule changes fields, which are not seen in a tunnel",
        ));
    }
    Ok(())
}

fn accept_of(headers: &HeaderMap) -> HeaderMap {
    let mut asked = HeaderMap::new();
    if let Some(accept) = headers.get(http::header::ACCEPT) {
        asked.insert(http::header::ACCEPT, accept.clone());
    }
    asked
}
