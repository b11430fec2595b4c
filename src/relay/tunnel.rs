//! One tunnel: dialled before it is granted, carried until a side, a limit, an operator or a changed policy ends it.
//! Not the copy of bytes, which is `stream`; nor the words of CONNECT or SOCKS, which are a mode's.
//! Start at [`Relay::open`].

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method};

use tokio::sync::watch;

use super::endpoint::Held;
use super::opening::{Opening, Reached, TunnelTo};
use super::parts::{Parts, Service};
use super::recording::Recording;
use super::{Caller, Interception, Refusal, Relay, throttle};
use crate::addr::Authority;
use crate::auth::{Credentials, Principal};
use crate::gate::{Intent, Judged, Seen};
use crate::message::Body;
use crate::policy::{NamedBy, Permit, Scheme};
use crate::pool::Failure;
use crate::report::{Flow, FlowKind};
use crate::settings::ByteSize;
use crate::stream::{Ended, Limits, Stream, duplex};

/// What a client offers when it asks for a tunnel.
#[derive(Debug)]
pub struct Offer {
    /// Where it wants to go.
    pub authority: Authority,
    /// The fields of a CONNECT request; `None` for SOCKS.
    pub headers: Option<HeaderMap>,
    /// Credentials of the protocol's own (SOCKS5); those of HTTP stand in the fields.
    pub credentials: Option<Credentials>,
}

/// A tunnel that was refused: the record is still open, so that the mode can say how it answered.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    recording: Box<Recording>,
    authority: Authority,
    headers: Option<HeaderMap>,
}

/// What a client says of itself: the fields of CONNECT, and credentials of SOCKS.
type Who<'a> = (Option<&'a HeaderMap>, Option<Credentials>);

/// What is ready behind a tunnel.
enum Opened {
    Origin(Stream, SocketAddr, Permit),
    /// An origin that can not be reached, for which the cache may stand in.
    Absent(Failure, SocketAddr, Permit),
    Own(Arc<Interception>),
}

impl Opened {
    fn opening(self, mut tunnel: Tunnel) -> Opening {
        let (permit, peer, absent) = match self {
            Self::Own(means) => {
                return Opening {
                    local: None,
                    to: TunnelTo::Own(Box::new((tunnel, means))),
                };
            }
            Self::Origin(origin, peer, permit) => {
                tunnel.recording.origin(peer);
                tunnel.bandwidth = permit.obligations().bandwidth;
                tunnel.origin = origin;
                (permit, peer, None)
            }
            Self::Absent(failure, peer, permit) => {
                // A reload judges it again by the address that it was permitted for.
                if let Some(flow) = tunnel.recording.flow() {
                    flow.origin.set(Some(peer));
                }
                (permit, peer, Some(failure))
            }
        };
        let tcp = tunnel.origin.as_tcp();
        Opening {
            local: tcp.and_then(|tcp| tcp.local_addr().ok()),
            to: TunnelTo::Origin(Box::new(Reached {
                tunnel,
                permit,
                peer,
                absent,
            })),
        }
    }
}

/// In place of a connection that is not there (yet, or any more).
fn nowhere() -> Stream {
    Stream::boxed(tokio::io::empty())
}

impl Relay {
    /// Decides and dials. The client is told nothing yet, so that the answer can tell the truth.
    ///
    /// Waits at most for look-up and connection. Dropping the future ends it; the record says so.
    pub async fn open(&self, caller: &Caller, offer: Offer) -> Result<Opening, Box<Refused>> {
        let mut recording = Recording::begin(&self.parts, caller);
        let generation = self.parts.generation();
        let Offer {
            authority,
            headers,
            credentials,
        } = offer;
        let own = Some(&authority)
            .filter(|authority| authority.port == 443)
            .and_then(|authority| self.parts.own_host(&authority.host));
        let opened = match own {
            Some(means) => {
                let who = (headers.as_ref(), credentials);
                let known = self.open_own(caller, &authority, who, &mut recording);
                known.await.map(|()| Opened::Own(means))
            }
            None => {
                let who = (headers.as_ref(), credentials);
                self.try_open(caller, &authority, who, &mut recording).await
            }
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                let mut refused = Refused::new(refusal, recording, authority);
                refused.headers = headers;
                return Err(refused);
            }
        };
        let tunnel = Tunnel {
            parts: self.parts.clone(),
            service: caller.service.clone(),
            client: caller.client,
            recording,
            origin: nowhere(),
            bandwidth: None,
            headers: headers.map(to_keep),
            generation,
            held: None,
        };
        Ok(opened.opening(tunnel))
    }

    /// Policy is not asked: nothing leaves the process. Who is known here is, as for any other tunnel.
    async fn open_own(
        &self,
        caller: &Caller,
        authority: &Authority,
        who: Who<'_>,
        recording: &mut Recording,
    ) -> Result<(), Refusal> {
        self.asks(caller, authority, who, recording).await.map(drop)
    }

    /// Notes what is asked for, and finds out who asks.
    async fn asks(
        &self,
        caller: &Caller,
        authority: &Authority,
        (headers, credentials): Who<'_>,
        recording: &mut Recording,
    ) -> Result<Option<Principal>, Refusal> {
        if let Some(headers) = headers {
            recording.note_request(&Method::CONNECT, headers, None);
        }
        recording.edit(|record| record.authority = Some(authority.clone()));
        let credentials = match headers {
            Some(headers) => self.credentials(caller, headers)?,
            None => credentials,
        };
        self.identify(caller, credentials.as_ref()).await
    }

    async fn try_open(
        &self,
        caller: &Caller,
        authority: &Authority,
        who: Who<'_>,
        recording: &mut Recording,
    ) -> Result<Opened, Refusal> {
        let headers = who.0;
        let principal = self.asks(caller, authority, who, recording).await?;
        let intent = Intent {
            listener: caller.service.name.clone(),
            client: caller.client,
            principal,
            authority: authority.clone(),
            scheme: Scheme::Tunnel,
            method: headers.map(|_| Method::CONNECT),
            path: None,
            other_path: None,
            hello: Seen::Later,
            now: recording.time(),
            named_by: NamedBy::Client,
            judged: Judged::default(),
        };
        recording.note_intent(intent, FlowKind::Tunnel);
        let permit = self.permit(caller, recording, headers).await?;
        if let Some(flow) = recording.flow() {
            flow.state.set("connecting");
        }
        let start = tokio::time::Instant::now();
        match self.parts.pool.dial(&permit).await {
            Ok((stream, peer)) => {
                recording.edit(|record| record.connect = Some(start.elapsed()));
                Ok(Opened::Origin(stream, peer, permit))
            }
            Err(failure) => match permit.addresses().first().copied() {
                Some(peer) if self.may_stand_in(&permit) => {
                    Ok(Opened::Absent(failure, peer, permit))
                }
                Some(_) | None => Err(Refusal::Failed(failure)),
            },
        }
    }

    /// Whether requests inside a tunnel may be answered by the cache although its origin can not be reached (RFC 9111 §4.2.4): each
    /// is judged by itself, and told inside where nothing that is stored may stand in.
    fn may_stand_in(&self, permit: &Permit) -> bool {
        let obligations = permit.obligations();
        let is_seen = obligations.intercept.is_some() && self.parts.intercepts();
        is_seen && obligations.cache.enabled && self.parts.cache().is_some()
    }
}

impl Refused {
    /// Notes why.
    pub(super) fn new(
        refusal: Refusal,
        mut recording: Box<Recording>,
        authority: Authority,
    ) -> Box<Self> {
        recording.note_refusal(&refusal);
        Box::new(Self {
            refusal,
            recording,
            authority,
            headers: None,
        })
    }

    /// The answer to an HTTP client; writes the record.
    pub fn into_response(self) -> http::Response<Body> {
        self.recording
            .refuse(&self.refusal, Some(&self.authority), self.headers.as_ref())
    }

    /// Writes the record where the protocol has an answer of its own.
    pub fn record(mut self) {
        self.recording.finish();
    }
}

/// A tunnel with all it needs: after CONNECT, SOCKS or a protocol switch.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) parts: Rc<Parts>,
    pub(super) service: Arc<Service>,
    pub(super) client: SocketAddr,
    pub(super) recording: Box<Recording>,
    pub(super) origin: Stream,
    pub(super) bandwidth: Option<ByteSize>,
    pub(super) headers: Option<HeaderMap>,
    /// Subscribed before policy was asked: what changes from then on is judged.
    pub(super) generation: watch::Receiver<u64>,
    /// The endpoint that it leads to, where it is one of an upstream: counted as in use.
    pub(super) held: Option<Held>,
}

impl Tunnel {
    /// Takes the connection to the origin out, for a handshake of its own.
    pub(super) fn take_origin(&mut self) -> Stream {
        std::mem::replace(&mut self.origin, nowhere())
    }

    /// Relays until either side, a limit, an operator or a changed policy ends it.
    pub(super) async fn carry(self, client: Stream) {
        let Self {
            parts,
            service,
            client: _,
            mut recording,
            origin,
            bandwidth,
            headers,
            generation,
            held: _held,
        } = self;
        let limits = Limits {
            idle: service.limits.tunnel_idle,
            total: service.limits.tunnel_total,
        };
        let Some(flow) = recording.flow().cloned() else {
            return;
        };
        flow.state.set("relaying");
        let (client, origin) = match bandwidth {
            Some(rate) => (
                throttle::stream(client, rate),
                throttle::stream(origin, rate),
            ),
            None => (client, origin),
        };
        let mut reason = None;
        let ending = {
            let ends = async {
                let stays = pin!(no_longer_permitted(
                    &parts,
                    &service,
                    &recording,
                    headers.as_ref(),
                    generation
                ));
                reason = Some(killed_or(&flow, stays).await);
            };
            duplex(client, origin, &limits, &flow.traffic, ends).await
        };
        match ending {
            Ended::Closed { .. } => recording.finish(),
            Ended::Killed => {
                recording.cut(reason.unwrap_or_else(|| "ended by the proxy".to_owned()))
            }
            Ended::Idle => recording.cut("no byte moved within the idle limit"),
            Ended::Total => recording.cut("the limit of a tunnel's life was reached"),
            Ended::ClientReset(_) => recording.cut("the client broke the connection"),
            Ended::OriginReset(_) => recording.cut("the origin broke the connection"),
        }
    }
}

/// Waits until an operator or a changed policy ends a tunnel that is not relayed yet, or not as it is. Says why.
pub(super) async fn ended(tunnel: &Tunnel) -> String {
    let Some(flow) = tunnel.recording.flow() else {
        return std::future::pending().await;
    };
    let stays = pin!(no_longer_permitted(
        &tunnel.parts,
        &tunnel.service,
        &tunnel.recording,
        tunnel.headers.as_ref(),
        tunnel.generation.clone(),
    ));
    killed_or(flow, stays).await
}

/// Waits for either. By reference, since a future that is handed on takes its room twice.
pub(super) async fn killed_or(
    flow: &Rc<Flow>,
    no_longer_permitted: Pin<&mut impl Future<Output = String>>,
) -> String {
    tokio::select! {
        // Whichever ends the tunnel first; the other holds nothing.
        reason = flow.killed() => reason.to_string(),
        reason = no_longer_permitted => reason,
    }
}

/// Fields for judging a tunnel again after a reload: a copy without spare room, and without what must not be kept.
pub(super) fn to_keep(mut headers: HeaderMap) -> HeaderMap {
    for name in [PROXY_AUTHORIZATION, AUTHORIZATION, COOKIE] {
        headers.remove(name);
    }
    headers.clone()
}

/// Waits until a changed policy does not permit what it permitted when the tunnel was opened.
pub(super) async fn no_longer_permitted(
    parts: &Parts,
    service: &Arc<Service>,
    recording: &Recording,
    headers: Option<&HeaderMap>,
    mut generation: watch::Receiver<u64>,
) -> String {
    loop {
        let peer = recording.flow().and_then(|flow| flow.origin.get());
        let (Some(intent), Some(peer)) = (recording.intent(), peer) else {
            return std::future::pending().await;
        };
        if generation.changed().await.is_err() {
            return std::future::pending().await;
        }
        let Some(service) = parts.successor(service) else {
            return "its listener is gone".to_owned();
        };
        let mut intent = Intent {
            now: jiff::Timestamp::now(),
            listener: service.name.clone(),
            ..intent.clone()
        };
        let tls = recording.tls().map(|tls| &**tls);
        let (before, client) = (intent.principal.as_ref(), intent.client.ip());
        intent.principal = match service.gate.recall(before, client, tls) {
            Ok(principal) => principal,
            Err(why) => return format!("no longer allowed: {why}"),
        };
        if let Err(denial) = service.gate.still_permits(&intent, headers, peer) {
            return format!("no longer allowed: {}", Refusal::Denied(denial).reason());
        }
    }
}
