//! A tunnel to an endpoint of an upstream: chosen, judged and dialled, one after the other until one can be reached.
//! Not the choice of the upstream (balancing) and not the relaying (tunnel).
//! Start at [`Relay::open_to`].

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::opening::{Opening, Way};
use super::recording::Recording;
use super::tunnel::{Refused, Tunnel};
use super::way::{is_full, unavailable};
use super::{Caller, Parts, Refusal, Relay};
use crate::addr::Authority;
use crate::gate::{Intent, Judged, Seen};
use crate::message::ProxyError;
use crate::policy::{Grant, NamedBy, Permit, Scheme};
use crate::pool::Failure;
use crate::proxy_protocol::{Outgoing, Transport, Version};
use crate::report::FlowKind;
use crate::stream::Stream;
use crate::upstream::balance::Key;
use crate::upstream::{Ask, Connected, EndpointKey, Entered, Picked, Retrying, Upstream};

/// Where the bytes of a client are to go, whatever they are.
#[derive(Debug, Clone)]
pub struct Toward {
    /// What the client wants, for policy and records: the name that it asks for, or the address that it came to.
    pub authority: Authority,
    /// What the connection began with, where that was looked at.
    pub seen: Seen,
    /// Whose endpoint it is.
    pub upstream: Arc<Upstream>,
    /// The PROXY header that comes first.
    pub send: Option<Version>,
    /// The address that the client connected to.
    pub local: Option<SocketAddr>,
    /// What was agreed on by ALPN, where TLS has ended here: otherwise it is between the client and the endpoint.
    pub alpn: Option<&'static str>,
}

/// An endpoint in use: counted for as long as this is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) picked: Picked,
    _connected: Connected,
    _entered: Arc<Entered>,
    retrying: Option<Retrying>,
}

/// Endpoints of an upstream for one client, one after the other, none twice.
#[derive(Debug)]
pub(super) struct Attempts {
    upstream: Arc<Upstream>,
    key: Option<u64>,
    tried: Vec<EndpointKey>,
    left: u32,
    entered: Arc<Entered>,
    /// Why there was none so far that will do.
    why: Option<Refusal>,
    has_failed: bool,
}

impl Attempts {
    /// Waits until the upstream takes one more, where it has a limit; at most as long as it says.
    pub(super) async fn begin(
        upstream: &Arc<Upstream>,
        client: SocketAddr,
    ) -> Result<Self, Refusal> {
        let entered = upstream
            .enter(0)
            .await
            .map_err(|full| is_full(upstream, full))?;
        let key = upstream.key().filter(|key| *key == Key::Client);
        Ok(Self {
            key: key.map(|_| Key::of_client(client.ip())),
            tried: Vec::new(),
            left: upstream.settings().retry.tries.max(1),
            upstream: upstream.clone(),
            entered: Arc::new(entered),
            why: None,
            has_failed: false,
        })
    }

    /// The next endpoint. The first one is free; each other is a retry, of which there are only so many.
    pub(super) fn next(&mut self, parts: &Parts) -> Result<Held, Refusal> {
        let upstream = self.upstream.clone();
        loop {
            if self.left == 0 {
                return Err(
                    self.give_up(|| unavailable(&upstream, "every endpoint that was tried failed"))
                );
            }
            let ask = Ask {
                key: self.key,
                tried: &self.tried,
                again: self.has_failed,
                ..Ask::new(&parts.dice, Instant::now())
            };
            let picked = match upstream.pick(&ask) {
                Ok(picked) => picked,
                Err(none) => return Err(self.give_up(|| unavailable(&upstream, none))),
            };
            let retrying = self.has_failed.then(|| upstream.retry()).transpose();
            let retrying = match retrying {
                Ok(retrying) => retrying,
                Err(full) => return Err(self.give_up(|| is_full(&upstream, full))),
            };
            self.tried.push(picked.endpoint().key().clone());
            match upstream.connect(picked.endpoint()) {
                Ok(connected) => {
                    return Ok(Held {
                        picked,
                        _connected: connected,
                        _entered: self.entered.clone(),
                        retrying,
                    });
                }
                Err(full) => self.unfit(is_full(&upstream, full)),
            }
            self.left -= 1;
        }
    }

    /// Notes that an endpoint will not do, which is no failure of its own: another one is asked for.
    pub(super) fn unfit(&mut self, why: Refusal) {
        self.why.get_or_insert(why);
    }

    /// Notes that an endpoint failed, and tells it so.
    pub(super) fn failed(&mut self, held: Held, failure: Failure) {
        held.picked.failed();
        self.has_failed = true;
        self.left = self.left.saturating_sub(1);
        self.why = Some(Refusal::Failed(failure));
    }

    /// The endpoint has answered: should it fail later, that is another story than the beginning's.
    pub(super) fn renew(&mut self) {
        self.left = self.upstream.settings().retry.tries.max(2);
        let last = self.tried.pop();
        self.tried.clear();
        self.tried.extend(last);
    }

    fn give_up(&mut self, otherwise: impl FnOnce() -> Refusal) -> Refusal {
        self.why.take().unwrap_or_else(otherwise)
    }
}

impl Relay {
    /// Decides, chooses an endpoint and dials it; another one where it can not be reached, as often as the upstream's `retry`
    /// allows. The client is told nothing yet.
    ///
    /// Waits at most for a place in the upstream and for the connections. Dropping the future ends it; the record says so.
    pub async fn open_to(&self, caller: &Caller, toward: Toward) -> Result<Opening, Box<Refused>> {
        let mut recording = Recording::begin(&self.parts, caller);
        let generation = self.parts.generation();
        let authority = toward.authority.clone();
        let (origin, peer, permit, held) = match self.reach(caller, toward, &mut recording).await {
            Ok(reached) => reached,
            Err(refusal) => return Err(Refused::new(refusal, recording, authority)),
        };
        recording.origin(peer);
        let local = origin.as_tcp().and_then(|tcp| tcp.local_addr().ok());
        let tunnel = Tunnel {
            parts: self.parts.clone(),
            service: caller.service.clone(),
            client: caller.client,
            recording,
            origin,
            bandwidth: permit.obligations().bandwidth,
            headers: None,
            generation,
            held: Some(held),
        };
        let way = Way::Endpoint(Box::new(tunnel));
        Ok(Opening { local, way })
    }

    async fn reach(
        &self,
        caller: &Caller,
        toward: Toward,
        recording: &mut Recording,
    ) -> Result<(Stream, SocketAddr, Permit, Held), Refusal> {
        let grant = self.admit_to(caller, &toward, recording).await?;
        let mut attempts = Attempts::begin(&toward.upstream, caller.client).await?;
        let header = toward.header(caller.client, Transport::Stream);
        let mut taken_up = false;
        loop {
            let mut held = attempts.next(&self.parts)?;
            let Some(permit) =
                self.permit_endpoint(&grant, caller, &held, recording, &mut attempts)?
            else {
                continue;
            };
            if !std::mem::replace(&mut taken_up, true) {
                self.take_up_endpoint(&permit, caller, recording)?;
            }
            match self.dial_endpoint(&permit, &header, recording).await {
                Ok((stream, peer)) => {
                    let took = recording.connect_time().unwrap_or_default();
                    held.picked.succeeded(took, None);
                    held.retrying = None;
                    return Ok((stream, peer, permit, held));
                }
                Err(failure) => attempts.failed(held, failure),
            }
        }
    }

    /// The first moment of a flow to an upstream, once it is known who asks.
    pub(super) async fn admit_to(
        &self,
        caller: &Caller,
        toward: &Toward,
        recording: &mut Recording,
    ) -> Result<Grant, Refusal> {
        recording.edit(|record| record.authority = Some(toward.authority.clone()));
        let principal = self.identify(caller, None).await?;
        let intent = Intent {
            listener: caller.service.name.clone(),
            client: caller.client,
            principal,
            authority: toward.authority.clone(),
            scheme: Scheme::Tunnel,
            method: None,
            path: None,
            other_path: None,
            hello: Seen::Nothing,
            now: recording.time(),
            named_by: NamedBy::Operator,
            judged: Judged::default(),
        };
        recording.note_intent(intent, FlowKind::Tunnel);
        recording.saw(toward.seen.clone());
        self.admit(caller, recording, None)
    }

    /// The second moment, and what is demanded of the first bytes. `None` where this endpoint is not allowed: others may be.
    pub(super) fn permit_endpoint(
        &self,
        grant: &Grant,
        caller: &Caller,
        held: &Held,
        recording: &Recording,
        attempts: &mut Attempts,
    ) -> Result<Option<Permit>, Refusal> {
        let address = held.picked.address();
        let intent = recording.intent().ok_or(super::permission::NOTHING)?;
        let gate = &caller.service.gate;
        let permit = match gate.vet_endpoint(grant, intent, None, &[address]) {
            Ok(permit) => permit,
            Err(denial) => {
                attempts.unfit(Refusal::Denied(denial));
                return Ok(None);
            }
        };
        let judged = gate.judge_hello(permit, intent, None, address);
        judged.map(Some).map_err(Refusal::Denied)
    }

    /// What is allowed is made use of, once for a flow.
    pub(super) fn take_up_endpoint(
        &self,
        permit: &Permit,
        caller: &Caller,
        recording: &mut Recording,
    ) -> Result<(), Refusal> {
        if permit.obligations().intercept.is_some() {
            let what = "the rule asks for interception, which a balanced listener does not do";
            return Err(Refusal::Unmet(permit.rule().name.clone(), what));
        }
        let purpose = super::cached::Purpose::Client;
        self.take_up(permit.allowance(), (caller, None), purpose, recording)
    }

    /// Dials, and says first who the client is where that is wanted.
    async fn dial_endpoint(
        &self,
        permit: &Permit,
        header: &[u8],
        recording: &mut Recording,
    ) -> Result<(Stream, SocketAddr), Failure> {
        if let Some(flow) = recording.flow() {
            flow.state.set("connecting");
        }
        let start = Instant::now();
        let (mut stream, peer) = self.parts.pool.dial(permit).await?;
        recording.edit(|record| record.connect = Some(start.elapsed()));
        if header.is_empty() {
            return Ok((stream, peer));
        }
        let limit = self.parts.pool.settings().connect;
        match timeout(limit, stream.write_all(header)).await {
            Ok(Ok(())) => Ok((stream, peer)),
            Ok(Err(_)) | Err(_) => Err(Failure::new(
                ProxyError::ConnectionTerminated,
                format!("{peer} did not take the PROXY header"),
            )),
        }
    }
}

impl Toward {
    /// The PROXY header; empty where none is wanted.
    pub(super) fn header(&self, client: SocketAddr, transport: Transport) -> Vec<u8> {
        let Some(version) = self.send else {
            return Vec::new();
        };
        Outgoing {
            source: client,
            destination: self.local,
            transport,
            authority: self.authority.host.name(),
            alpn: self.alpn.map(str::as_bytes),
        }
        .encode(version)
    }
}
