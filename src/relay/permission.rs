//! The two moments of a decision, and what comes with them: the rate, the obligations, the record.
//! Not the decision itself (gate).
//! Start at [`Relay::permit`].

use http::HeaderMap;

use super::cached::Purpose;
use super::recording::Recording;
use super::{Caller, Refusal, Relay};
use crate::filter::Channel;
use crate::policy::{Allowance, Grant, Permit, Scheme};

impl Relay {
    /// Both moments, for an exchange or a tunnel whose intent is noted.
    pub(super) async fn permit(
        &self,
        caller: &Caller,
        recording: &mut Recording,
        headers: Option<&HeaderMap>,
    ) -> Result<Permit, Refusal> {
        let grant = self.admit(caller, recording, headers)?;
        let permit = self.vet(&grant, caller, recording, headers).await?;
        self.take_up(
            permit.allowance(),
            (caller, None),
            Purpose::Client,
            recording,
        )?;
        Ok(permit)
    }

    /// The first moment: by name.
    pub(super) fn admit(
        &self,
        caller: &Caller,
        recording: &Recording,
        headers: Option<&HeaderMap>,
    ) -> Result<Grant, Refusal> {
        let intent = recording.intent().ok_or(NOTHING)?;
        let gate = &caller.service.gate;
        gate.admit(intent, headers).map_err(Refusal::Denied)
    }

    /// The second moment: by address, once the name is resolved.
    pub(super) async fn vet(
        &self,
        grant: &Grant,
        caller: &Caller,
        recording: &mut Recording,
        headers: Option<&HeaderMap>,
    ) -> Result<Permit, Refusal> {
        if let Some(flow) = recording.flow() {
            flow.state.set("resolving");
        }
        let intent = recording.intent().ok_or(NOTHING)?;
        let gate = &caller.service.gate;
        let resolver = self.parts.resolver();
        match gate.vet(grant, intent, headers, &resolver).await {
            Ok(vetted) => {
                recording.edit(|record| record.dns = vetted.dns);
                Ok(vetted.permit)
            }
            Err(barred) => {
                recording.allowed(grant.allowance());
                Err(barred.into())
            }
        }
    }

    /// What is allowed is made use of: it counts for its rule's rate, its obligations must be possible. Where an upstream is
    /// asked, whether that is over TLS is its own affair, and not the client's.
    pub(super) fn take_up(
        &self,
        allowance: &Allowance,
        (caller, upstream_is_secure): (&Caller, Option<bool>),
        purpose: Purpose<'_>,
        recording: &mut Recording,
    ) -> Result<(), Refusal> {
        let intent = recording.intent().ok_or(NOTHING)?;
        let channel = match intent.scheme {
            Scheme::Tunnel => None,
            Scheme::Http | Scheme::Https => Some(Channel {
                secure: upstream_is_secure.unwrap_or(intent.scheme == Scheme::Https),
                method: intent.method.clone(),
            }),
        };
        // Of a tunnel that is decrypted, each request inside counts; what the cache asks, its client has been charged for.
        let counts = channel.is_some() || allowance.obligations.intercept.is_none();
        if counts && purpose == Purpose::Client {
            let gate = &caller.service.gate;
            gate.charge(allowance, intent).map_err(Refusal::Denied)?;
        }
        recording.allowed(allowance);
        check_obligations(allowance, channel.as_ref(), self.parts.intercepts())
    }
}

/// What can not be done must not be left out: then the rule does not allow. The channel is that of a request; a tunnel has none.
pub(super) fn check_obligations(
    allowance: &Allowance,
    channel: Option<&Channel>,
    intercepts: bool,
) -> Result<(), Refusal> {
    let obligations = &allowance.obligations;
    let unmet = |what| Err(Refusal::Unmet(allowance.rule.name.clone(), what));
    if let Some(channel) = channel {
        return obligations.filters.check(channel).or_else(unmet);
    }
    match (&obligations.intercept, obligations.filters.is_empty()) {
        (Some(_), _) if !intercepts => {
            unmet("the rule asks for interception, but [intercept] names no authority")
        }
        (None, false) => unmet("the rule changes fields, which are not seen in a tunnel"),
        // Each request inside is checked by itself.
        (Some(_), _) | (None, true) => Ok(()),
    }
}

pub(super) const NOTHING: Refusal = Refusal::Misdirected("nothing was asked for");
