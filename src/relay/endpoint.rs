//! A tunnel to an endpoint of an upstream: chosen, judged and dialled, one after the other until one can be reached.
//! Not the choice of the upstream (balancing) and not the relaying (tunnel).
//! Start at [`Relay::open_to`].

use std::net::SocketAddr;
use std::sync::Arc;

use super::attempts::Attempts;
use super::destination::name_of;
use super::opening::{Opening, TunnelTo};
use super::recording::Recording;
use super::tunnel::{Refused, Tunnel};
use super::way::{is_full, unavailable};
use super::{Caller, Refusal, Relay, Served};
use crate::addr::Authority;
use crate::gate::{Intent, Judged, Seen};
use crate::policy::{Grant, NamedBy, Permit, Scheme};
use crate::pool::{self, Dialled, Failure, Protocol};
use crate::proxy_protocol::{Outgoing, Transport, Version};
use crate::report::FlowKind;
use crate::stream::Stream;
use crate::tls::acceptor::Alpn;
use crate::tls::connector::Offered;
use crate::upstream::balance::Key;
use crate::upstream::{Connected, Dice, Entered, Picked, Upstream};

/// Where the bytes of a client are to go, whatever they are.
#[derive(Debug, Clone)]
pub struct Toward {
    /// What the client wants, for policy and records: the name that it asks for, or the address that it came to.
    pub authority: Authority,
    /// What the connection began with, where that was looked at.
    pub seen: Seen,
    /// Whose endpoint it is, and how that is spoken to.
    pub served: Arc<Served>,
    /// The PROXY header that comes first.
    pub send: Option<Version>,
    /// The address that the client connected to.
    pub local: Option<SocketAddr>,
    /// What was agreed on by ALPN, where TLS has ended here: otherwise it is between the client and the endpoint.
    pub alpn: Option<Alpn>,
}

/// An endpoint in use: counted for as long as this is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) picked: Picked,
    _connected: Connected,
    _entered: Arc<Entered>,
}

/// A connection to an endpoint, and what it took to get it.
struct Arrived {
    origin: Stream,
    peer: SocketAddr,
    permit: Permit,
    held: Held,
}

/// The endpoints of an upstream for one client, once the upstream has room for it.
#[derive(Debug)]
pub(super) struct Visit {
    upstream: Arc<Upstream>,
    attempts: Attempts,
    entered: Arc<Entered>,
}

impl Visit {
    /// Waits until the upstream takes one more, where it has a limit; at most as long as it says.
    pub(super) async fn begin(
        upstream: &Arc<Upstream>,
        client: SocketAddr,
    ) -> Result<Self, Refusal> {
        let entered = upstream.enter(0).await;
        let entered = entered.map_err(|full| is_full(upstream, full))?;
        let key = upstream.key().filter(|key| *key == Key::Client);
        let key = key.map(|_| Key::of_client(client.ip()));
        Ok(Self {
            upstream: upstream.clone(),
            attempts: Attempts::new(key, None),
            entered: Arc::new(entered),
        })
    }

    /// The next endpoint that has room and that policy permits.
    pub(super) fn next(
        &mut self,
        dice: &Dice,
        (grant, caller): (&Grant, &Caller),
        recording: &Recording,
    ) -> Result<(Held, Permit), Refusal> {
        let upstream = &self.upstream;
        if self.attempts.found() >= upstream.settings().retry.tries.max(1) {
            let why = || unavailable(upstream, "every endpoint that was tried failed");
            return Err(self.attempts.why_not(why));
        }
        let intent = recording.intent().ok_or(super::permission::NOTHING)?;
        let gate = &caller.service.gate;
        let fit = |picked: &Picked| {
            let permit = gate.vet_endpoint(grant, intent, None, &[picked.address()]);
            let permit = permit.map_err(Refusal::Denied)?;
            let connected = upstream.connect(picked.endpoint());
            let connected = connected.map_err(|full| is_full(upstream, full))?;
            Ok((permit, connected))
        };
        let (picked, (permit, connected)) = self.attempts.next(upstream, dice, fit)?;
        let judged = gate.judge_hello(permit, intent, None, picked.address());
        let permit = judged.map_err(Refusal::Denied)?;
        let held = Held {
            picked,
            _connected: connected,
            _entered: self.entered.clone(),
        };
        Ok((held, permit))
    }

    /// An endpoint failed.
    pub(super) fn failed(&mut self, held: &Held, failure: Failure) {
        self.attempts.failed(&held.picked, failure);
    }

    /// An endpoint is none that could ever be used, which is no failure of its own.
    pub(super) fn pass_over(&mut self, held: &Held, failure: Failure) {
        self.attempts
            .pass_over(&held.picked, Refusal::Failed(failure));
    }

    /// An endpoint was reached.
    pub(super) fn arrived(&mut self) {
        self.attempts.arrived();
    }

    /// The endpoint has answered: should it fail later, that is another story than the beginning's.
    pub(super) fn renew(&mut self) {
        let tries = self.upstream.settings().retry.tries;
        self.attempts.renew(tries);
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
        let arrived = match self.reach(caller, toward, &mut recording).await {
            Ok(arrived) => arrived,
            Err(refusal) => return Err(Refused::new(refusal, recording, authority)),
        };
        let Arrived {
            origin,
            peer,
            permit,
            held,
        } = arrived;
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
        let to = TunnelTo::Endpoint(Box::new(tunnel));
        Ok(Opening { local, to })
    }

    async fn reach(
        &self,
        caller: &Caller,
        toward: Toward,
        recording: &mut Recording,
    ) -> Result<Arrived, Refusal> {
        let grant = self.admit_to(caller, &toward, recording).await?;
        let mut visit = Visit::begin(&toward.served.upstream, caller.client).await?;
        let header = toward.header(caller.client, Transport::Stream);
        let mut taken_up = false;
        loop {
            let (held, permit) = visit.next(&self.parts.dice, (&grant, caller), recording)?;
            if !std::mem::replace(&mut taken_up, true) {
                self.take_up_endpoint(&permit, caller, recording)?;
            }
            recording.state("connecting");
            let way = (&permit, &held.picked);
            match self.dial_endpoint(way, &toward, &header).await {
                Ok(dialled) => {
                    recording.edit(|record| {
                        record.connect = Some(dialled.connect);
                        record.tls = dialled.tls;
                    });
                    held.picked.succeeded(dialled.connect, None);
                    visit.arrived();
                    return Ok(Arrived {
                        origin: dialled.stream,
                        peer: dialled.peer,
                        permit,
                        held,
                    });
                }
                Err(failure) => visit.failed(&held, failure),
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

    /// Dials on the upstream's terms. Who the client is comes first where that is wanted, and TLS over it.
    async fn dial_endpoint(
        &self,
        (permit, picked): (&Permit, &Picked),
        toward: &Toward,
        header: &[u8],
    ) -> Result<Dialled, Failure> {
        let terms = &toward.served.terms;
        // What is inside is not ours: which HTTP it may be makes no difference to the connection.
        let key = pool::Key::to_endpoint(terms.clone(), name_of(picked), false);
        let alpn = toward.offered();
        self.parts.pool.dial_for(permit, &key, header, alpn).await
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
            alpn: self.alpn.map(|alpn| alpn.id().as_bytes()),
        }
        .encode(version)
    }

    /// What the endpoint is offered inside of TLS, where it has that: what its upstream says, or else what was agreed on with the
    /// client, since that is what comes.
    fn offered(&self) -> Offered {
        match (self.served.terms.protocol(), self.alpn) {
            (Protocol::Http2, _) | (Protocol::Auto, Some(Alpn::Http2)) => Offered::Http2,
            (Protocol::Http1, _) | (Protocol::Auto, Some(Alpn::Http1)) => Offered::Http1,
            (Protocol::Auto, None) | (Protocol::Http2Clear, _) => Offered::Nothing,
        }
    }
}
