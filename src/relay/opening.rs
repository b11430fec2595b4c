//! A tunnel that was granted, from its first byte on: what it begins with is looked at and judged, then it is relayed or intercepted.
//! Not the relaying (tunnel) and not the interception (intercept).
//! Start at [`Opening::carry`].

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use tokio::io::AsyncWriteExt;

use super::intercept::{self, Session};
use super::look::{First, look};
use super::permission::check_obligations;
use super::tunnel::{Tunnel, ended};
use super::{Interception, Refusal};
use crate::gate::Seen;
use crate::policy::Permit;
use crate::pool::Failure;
use crate::stream::Stream;

/// A tunnel whose origin side is ready.
#[derive(Debug)]
pub struct Opening {
    /// Our own address on the origin's side, for protocols that tell it.
    pub local: Option<SocketAddr>,
    pub(super) to: TunnelTo,
}

/// Where a tunnel leads.
#[derive(Debug)]
pub(super) enum TunnelTo {
    /// To an origin, as far as the permit goes.
    Origin(Box<Reached>),
    /// To an endpoint, after all was looked at and judged.
    Endpoint(Box<Tunnel>),
    /// To the proxy's own pages.
    Own(Box<(Tunnel, Arc<Interception>)>),
}

/// A tunnel to an origin.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) tunnel: Tunnel,
    pub(super) permit: Permit,
    pub(super) peer: SocketAddr,
    /// The origin can not be reached: only what is decrypted can be answered, from the cache.
    pub(super) absent: Option<Failure>,
}

impl Opening {
    /// Carries the tunnel until it ends. `status` is what the client was told, for the record.
    pub async fn carry(self, client: Stream, status: Option<StatusCode>) {
        let status = status.map(|status| status.as_u16());
        let mut reached = match self.to {
            TunnelTo::Origin(reached) => reached,
            TunnelTo::Endpoint(mut tunnel) => {
                tunnel.recording.edit(|record| record.status = status);
                return Box::pin(tunnel.carry(client)).await;
            }
            TunnelTo::Own(way) => {
                let (mut tunnel, means) = *way;
                tunnel.recording.edit(|record| record.status = status);
                return Box::pin(intercept::serve_own(tunnel, means, client)).await;
            }
        };
        reached
            .tunnel
            .recording
            .edit(|record| record.status = status);
        // Each in a box, so that a tunnel holds no room for what is over, nor for what may still come: there are many, and most of
        // them are silent.
        if let Some((tunnel, client)) = Box::pin(begin(reached, client)).await {
            Box::pin(tunnel.carry(client)).await;
        }
    }
}

/// Looks and judges; what is left is a tunnel to relay as it is. What comes after the look stands in boxes: a client may wait for long
/// before it says anything, and there are many.
async fn begin(reached: Box<Reached>, mut client: Stream) -> Option<(Tunnel, Stream)> {
    let first = first(&reached.tunnel, &mut client).await;
    let Reached {
        mut tunnel,
        permit,
        peer,
        absent,
    } = *reached;
    let seen = match first {
        Ok(First::Seen(seen)) => seen,
        Ok(First::Unreadable(why)) => {
            let denial = tunnel.service.gate.refuse_hello(&permit, &why);
            Box::pin(deny(tunnel, client, &Refusal::Denied(denial), true)).await;
            return None;
        }
        Err(reason) => {
            tunnel.recording.cut(reason);
            return None;
        }
    };
    let hello = match &seen {
        Seen::Hello(hello) => Some(hello.clone()),
        Seen::Nothing | Seen::Later => None,
    };
    tunnel.recording.saw(seen);
    let intent = tunnel.recording.intent()?;
    let authority = intercept::authority_of(&intent.authority, hello.as_ref());
    let gate = &tunnel.service.gate;
    let permit = match gate.judge_hello(permit, intent, tunnel.headers.as_ref(), peer) {
        Ok(permit) => permit,
        Err(denial) => {
            let refusal = Refusal::Denied(denial);
            Box::pin(deny(tunnel, client, &refusal, hello.is_some())).await;
            return None;
        }
    };
    // Another rule may hold now, with obligations of its own.
    let intercepts = tunnel.parts.intercepts();
    let unmet = check_obligations(permit.allowance(), None, intercepts);
    if let Err(refusal) = unmet {
        Box::pin(deny(tunnel, client, &refusal, hello.is_some())).await;
        return None;
    }
    tunnel.bandwidth = permit.obligations().bandwidth;
    tunnel.recording.allowed(permit.allowance());
    let Some(intercept) = permit.obligations().intercept.clone() else {
        return Box::pin(unless_absent(absent, (tunnel, client), hello.is_some())).await;
    };
    // There: the obligations were just checked. What a rule intercepts is never relayed unseen for want of it.
    let means = tunnel.parts.interception()?;
    let session = Session {
        tunnel,
        permit,
        peer,
        intercept,
        means,
        hello,
        authority,
        absent,
    };
    Box::pin(session.carry(client)).await
}

/// What is not looked into needs an origin: a tunnel without one ends.
pub(super) async fn unless_absent(
    absent: Option<Failure>,
    (tunnel, client): (Tunnel, Stream),
    tls: bool,
) -> Option<(Tunnel, Stream)> {
    let Some(failure) = absent else {
        return Some((tunnel, client));
    };
    deny(tunnel, client, &Refusal::Failed(failure), tls).await;
    None
}

/// What the tunnel begins with; or why it ended before it began.
async fn first(tunnel: &Tunnel, client: &mut Stream) -> Result<First, String> {
    if let Some(flow) = tunnel.recording.flow() {
        flow.state.set("looking");
    }
    let limits = &tunnel.service.limits;
    let (idle, begun) = (limits.tunnel_idle, limits.header_time);
    tokio::select! {
        biased;
        reason = ended(tunnel) => Err(reason),
        // Dropped, it has left what it read in the stream.
        first = tokio::time::timeout(idle, look(client, &tunnel.origin, begun)) => {
            first.map_err(|_| "no byte moved within the idle limit".to_owned())
        }
    }
}

/// Ends a tunnel that is not allowed after all. A client that speaks TLS is told so in its terms.
pub(super) async fn deny(mut tunnel: Tunnel, mut client: Stream, refusal: &Refusal, tls: bool) {
    tunnel.recording.note_refusal(refusal);
    tunnel.recording.finish();
    if tls {
        let told = async {
            client.write_all(&ACCESS_DENIED).await?;
            client.shutdown().await
        };
        // A client that does not take it is no reason to wait.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), told).await;
    }
}

/// A fatal alert, `access_denied` (RFC 8446 §6.2): a valid certificate or name was received, but access is not allowed.
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
