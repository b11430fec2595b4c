//! The way that a request may take: what both moments of the decision allow, and for a gateway the endpoint that was picked.
//! Not the sending (retry), nor another endpoint after a failure (tries).
//! Start at [`Relay::find_way`].

use std::fmt::Display;
use std::net::SocketAddr;

use http::HeaderMap;

use super::attempts::Attempts;
use super::cached::Purpose;
use super::destination::{Backend, Destination, name_of};
use super::recording::Recording;
use super::{Caller, Refusal, Relay};
use crate::message::ProxyError;
use crate::policy::{Allowance, Grant, Permit, RuleRef};
use crate::pool::{Failure, Key};
use crate::upstream::{Full, Picked, Upstream};

/// A way that may be taken.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) permit: Permit,
    /// What the rule asks for, and what the route does.
    pub(super) allowance: Allowance,
    /// The endpoint of an upstream; `None` where the way leads to an origin by its name.
    pub(super) picked: Option<Picked>,
    /// How it was found among the others.
    pub(super) attempts: Attempts,
}

/// What is judged about an endpoint, beside its address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judging<'a> {
    pub(super) caller: &'a Caller,
    pub(super) to: &'a Destination,
    pub(super) grant: &'a Grant,
    /// The fields that the first moment saw.
    pub(super) headers: Option<&'a HeaderMap>,
}

impl Relay {
    /// The second moment: by address. Resolves the name, or picks an endpoint once the upstream has room.
    ///
    /// Waits at most for the look-up, or for the upstream's queue.
    pub(super) async fn find_way(
        &self,
        judging: Judging<'_>,
        recording: &mut Recording,
    ) -> Result<Way, Refusal> {
        let Judging {
            caller,
            to,
            grant,
            headers,
        } = judging;
        let Some(backend) = to.backend() else {
            let permit = self.vet(grant, caller, recording, headers).await?;
            return Ok(Way {
                allowance: permit.allowance().clone(),
                permit,
                picked: None,
                attempts: Attempts::default(),
            });
        };
        recording.state("queueing");
        let upstream = &backend.served.upstream;
        let priority = to.route().map_or(0, |route| route.treatment.priority);
        let entered = upstream.enter(priority).await;
        recording.enter(entered.map_err(|full| is_full(upstream, full))?);
        let attempts = Attempts::new(backend.key, backend.sticky);
        self.begin(judging, backend, attempts, recording)
    }

    /// Begins with the first endpoint.
    pub(super) fn begin(
        &self,
        judging: Judging<'_>,
        backend: &Backend,
        mut attempts: Attempts,
        recording: &Recording,
    ) -> Result<Way, Refusal> {
        let (picked, permit) = self.pick(judging, backend, &mut attempts, recording)?;
        Ok(Way {
            allowance: judging.to.treated(permit.allowance()),
            permit,
            picked: Some(picked),
            attempts,
        })
    }

    /// The next endpoint that policy permits.
    fn pick(
        &self,
        judging: Judging<'_>,
        backend: &Backend,
        attempts: &mut Attempts,
        recording: &Recording,
    ) -> Result<(Picked, Permit), Refusal> {
        let upstream = &backend.served.upstream;
        attempts.next(upstream, &self.parts.dice, |picked| {
            permit(judging, picked.address(), recording)
        })
    }

    /// Leaves an endpoint that was tried in vain, and goes on to another one. Errors: there is none, or no retry left; the way is
    /// as it was.
    pub(super) fn go_on(
        &self,
        way: &mut Way,
        judging: Judging<'_>,
        backend: &Backend,
        recording: &Recording,
    ) -> Result<(), Refusal> {
        if let Some(picked) = &way.picked {
            way.attempts.leave(picked);
        }
        let (picked, permit) = self.pick(judging, backend, &mut way.attempts, recording)?;
        way.allowance = judging.to.treated(permit.allowance());
        way.permit = permit;
        way.picked = Some(picked);
        Ok(())
    }
}

impl Relay {
    /// What is allowed is made use of: it counts for its rule's rate, and for its route's.
    pub(super) fn take_on(
        &self,
        allowance: &Allowance,
        (caller, to): (&Caller, &Destination),
        purpose: Purpose<'_>,
        recording: &mut Recording,
    ) -> Result<(), Refusal> {
        let backend = to.backend();
        let is_secure = backend.map(|backend| backend.served.terms.is_secure());
        self.take_up(allowance, (caller, is_secure), purpose, recording)?;
        let Some(route) = to.route().filter(|_| purpose == Purpose::Client) else {
            return Ok(());
        };
        let (Some(_), Some(intent)) = (route.treatment.obligations.rate, recording.intent()) else {
            return Ok(());
        };
        let of_route = Allowance {
            rule: RuleRef {
                name: route.name.clone(),
                index: None,
                at: Some(route.at.clone()),
            },
            obligations: route.treatment.obligations.clone(),
            would_deny: None,
        };
        let gate = &caller.service.gate;
        gate.charge(&of_route, intent).map_err(Refusal::Denied)
    }
}

/// Judges the address of an endpoint. Where no condition was left open it can not matter, and the rules are not walked again.
fn permit(
    judging: Judging<'_>,
    address: SocketAddr,
    recording: &Recording,
) -> Result<Permit, Refusal> {
    let gate = &judging.caller.service.gate;
    let addresses = [address];
    if let Some(permit) = gate.policy.confirm_settled(judging.grant, &addresses) {
        return Ok(permit);
    }
    let intent = recording.intent().ok_or(Refusal::NoRoute)?;
    let vetted = gate.vet_endpoint(judging.grant, intent, judging.headers, &addresses);
    vetted.map_err(Refusal::Denied)
}

impl Way {
    /// What the pool looks a connection up by.
    pub(super) fn key(&self, to: &Destination, host: &str, headers: &HeaderMap) -> Key {
        if let (Some(picked), Some(backend)) = (&self.picked, to.backend()) {
            let terms = &backend.served.terms;
            let http1 = terms.needs_http1(&backend.target, host, headers);
            return Key::to_endpoint(terms.clone(), name_of(picked), http1);
        }
        let intercept = self.permit.obligations().intercept.as_ref();
        Key {
            secure: to.secure,
            authority: to.authority.clone(),
            pins: intercept.map_or_else(Default::default, |how| how.pins.clone().into()),
            http1_only: to.secure && crate::pool::needs_http1(&to.path, host, headers),
            terms: None,
        }
    }
}

/// An upstream has no endpoint for anybody.
pub(super) fn unavailable(upstream: &Upstream, why: impl Display) -> Refusal {
    let detail = format!("upstream \"{}\": {why}", upstream.name());
    Refusal::Failed(Failure::new(ProxyError::DestinationUnavailable, detail))
}

/// An upstream takes no more.
pub(super) fn is_full(upstream: &Upstream, full: Full) -> Refusal {
    let detail = format!("upstream \"{}\": {full}", upstream.name());
    Refusal::Failed(Failure::new(ProxyError::ConnectionLimit, detail))
}
