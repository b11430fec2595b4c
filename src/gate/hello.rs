//! The third moment of a tunnel: what its first bytes say is held against what it was permitted for. Of a gateway's request, what its
//! connection began with is known from the start.
//! Reads no bytes (relay does): it is given what was seen.
//! Start at [`Gate::judge_hello`].

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::{Gate, Intent};
use crate::addr::Authority;
use crate::policy::{
    Allowance, Demands, Denial, DenyAction, Facts, Grant, HelloProblem, Look, NamedBy, Permit,
    Reason, RuleRef, Sni,
};

impl Gate {
    /// Asks again, now that the first bytes of an open tunnel to `peer` were seen: by the rules, where any asks about them, and
    /// by what the rule that holds demands of a ClientHello.
    ///
    /// A tunnel to an address whose ClientHello names a host is judged by that name too: both must be allowed.
    pub fn judge_hello(
        &self,
        permit: Permit,
        intent: &Intent,
        headers: Option<&HeaderMap>,
        peer: SocketAddr,
    ) -> Result<Permit, Denial> {
        let permit = if self.asks_hello {
            self.permit_for(&intent.facts(headers), peer)?
        } else {
            permit
        };
        let demands = permit.obligations().tls;
        let hello = intent.hello.look().hello();
        if let Some(problem) = demands.problem(&intent.authority.host, hello) {
            return Err(refused(permit.rule(), problem));
        }
        let Some(named) = self.named_otherwise(intent, &demands) else {
            return Ok(permit);
        };
        let mut facts = intent.facts(headers);
        facts.authority = &named;
        self.permit_for(&facts, peer).map(|_by_name| permit)
    }

    /// Holds a request to a gateway against what its connection began with: TLS that ended here, and may carry requests for
    /// several hosts (RFC 9113 §9.1.1). Where no rule goes by that, it makes no difference. Where one does, a request for another
    /// host than the connection's is misdirected (RFC 9110 §15.5.20), unless its rule takes any server name: the client asks
    /// again on a connection of its own, and is decided about by the name of that.
    pub(super) fn judge_connection(
        &self,
        allowance: &Allowance,
        intent: &Intent,
    ) -> Result<(), Denial> {
        if !self.gateway || !self.looks() {
            return Ok(());
        }
        let hello = intent.hello.look().hello();
        let demands = &allowance.obligations.tls;
        let Some(problem) = demands.problem(&intent.authority.host, hello) else {
            return Ok(());
        };
        let mut denial = refused(&allowance.rule, problem);
        if matches!(denial.reason, Reason::Hello(HelloProblem::OtherName { .. })) {
            denial.action = Arc::new(DenyAction {
                status: StatusCode::MISDIRECTED_REQUEST.as_u16(),
                ..DenyAction::default()
            });
        }
        Err(denial)
    }

    /// A ClientHello that can not be read is refused: the origin might read it.
    pub fn refuse_hello(&self, permit: &Permit, why: &str) -> Denial {
        refused(permit.rule(), HelloProblem::Malformed(why.into()))
    }

    /// The authority by the name in the ClientHello, where the tunnel was asked for by address.
    fn named_otherwise(&self, intent: &Intent, demands: &Demands) -> Option<Authority> {
        let hello = intent.hello.look().hello()?;
        let name = hello.server_name.as_ref()?;
        let by_address = intent.authority.host.ip().is_some() && demands.sni != Sni::Any;
        by_address.then(|| Authority::new(name.clone(), intent.authority.port))
    }

    /// The first two moments at once, for an address that is connected already.
    pub(super) fn permit_for(&self, facts: &Facts<'_>, peer: SocketAddr) -> Result<Permit, Denial> {
        let grant = self.decide(facts)?;
        self.confirm_by(&grant, facts, &[peer])
    }

    /// The second moment, for addresses of whoever named them.
    pub(super) fn confirm_by(
        &self,
        grant: &Grant,
        facts: &Facts<'_>,
        addresses: &[SocketAddr],
    ) -> Result<Permit, Denial> {
        match facts.named_by {
            NamedBy::Operator => self.policy.confirm_endpoint(grant, facts, addresses),
            NamedBy::Client => {
                let own = |address| self.own.contains(address);
                self.policy.confirm(grant, facts, addresses, &own)
            }
        }
    }
}

fn refused(rule: &RuleRef, problem: HelloProblem) -> Denial {
    Denial {
        rule: rule.clone(),
        reason: Reason::Hello(problem),
        action: DenyAction::default().into(),
    }
}

impl Intent {
    /// Whether the look at the first bytes is still to come.
    pub fn is_unseen(&self) -> bool {
        matches!(self.hello.look(), Look::Later)
    }
}
