//! The policy enforcement point: who are you, may you by name, and — after resolving — may you by address.
//! Decides nothing itself (policy) and dials nothing (pool): it hands out the proofs that a dialler demands.
//! Start at [`Gate::admit`], then [`Gate::vet`].

mod hello;
mod intent;
mod judged;
mod own;
mod rate;
mod ways;

pub use intent::{Intent, Seen};
pub use judged::Judged;
pub use own::OwnListeners;
pub use rate::Rates;
pub use ways::{Group, Ways};

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName};
use tokio::time::Instant;

use crate::addr::Host;
use crate::auth::{Authenticator, Credentials, Outcome, Principal};
use crate::policy::{
    Allowance, Denial, DenyAction, Explanation, Facts, Grant, NamedBy, Permit, Policy, Reason,
    Verdict,
};
use crate::resolve::{CachedResolver, ResolveError};
use crate::tls::acceptor::{ClientTls, Server};

/// What one listener enforces, shared by the workers.
#[derive(Debug)]
pub struct Gate {
    /// The rules.
    pub policy: Arc<Policy>,
    /// How clients are known; `None` where nobody is asked.
    pub auth: Option<Arc<Authenticator>>,
    /// The sockets of this process.
    pub own: Arc<OwnListeners>,
    /// Requests of late, for rules with a rate.
    pub rates: Arc<Rates>,
    /// The TLS of the listener, where it has that: whose certificates are trusted now.
    pub tls: Option<Arc<Server>>,
    /// Whether the listener acts as the origin (RFC 9110 §3.7): clients then name no proxy, and say who they are as to an origin.
    pub gateway: bool,
    /// Whether a request's fields are kept for explanations: where no rule asks for them, they explain nothing.
    keeps_fields: bool,
    /// Whether a rule asks about a tunnel's first bytes.
    asks_hello: bool,
    /// Whether a rule demands something of them.
    demands_hello: bool,
}

/// A permit and what it took to get it.
#[derive(Debug)]
pub struct Vetted {
    /// The proof.
    pub permit: Permit,
    /// How long the name look-up took; `None` for an address or a cached name.
    pub dns: Option<Duration>,
}

/// Why there is no permit.
#[derive(Debug)]
pub enum Barred {
    /// Policy said no.
    Denied(Denial),
    /// The name has no address.
    Unresolved(ResolveError),
}

/// Why a client is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// Two of them, or something that is not credentials.
    #[error("the field with the credentials is malformed or repeated")]
    Malformed,
}

/// What a client's certificate says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certified {
    /// It is this principal.
    Known(Principal),
    /// Its certificate is not trusted any more, or one is demanded by now: the connection is no good any longer.
    Lost,
    /// It has none.
    No,
}

impl Gate {
    /// A gate for one listener.
    pub fn new(
        policy: Arc<Policy>,
        auth: Option<Arc<Authenticator>>,
        own: Arc<OwnListeners>,
        rates: Arc<Rates>,
        tls: Option<Arc<Server>>,
        gateway: bool,
    ) -> Self {
        Self {
            gateway,
            keeps_fields: policy.asks_fields(),
            asks_hello: policy.asks_hello(),
            demands_hello: policy.demands_hello(),
            policy,
            auth,
            own,
            rates,
            tls,
        }
    }

    /// Who the client is by the certificate that its connection began with. It is judged again after every change of roots,
    /// revocation lists and settings.
    pub fn certified(&self, tls: Option<&ClientTls>) -> Certified {
        let identity = tls.and_then(|tls| tls.identity.as_ref());
        match (identity, &self.tls, &self.auth) {
            (Some(identity), Some(server), Some(auth)) if server.trusts(identity) => {
                Certified::Known(auth.of_certificate(&identity.name))
            }
            (Some(_), _, _) => Certified::Lost,
            (None, Some(server), _) if server.requires_certificate() => Certified::Lost,
            (None, _, _) => Certified::No,
        }
    }

    /// Finds out who the client is, from what it offered.
    pub async fn identify(&self, client: IpAddr, offered: Option<&Credentials>) -> Outcome {
        match &self.auth {
            Some(auth) => auth.authenticate(client.to_canonical(), offered).await,
            None => Outcome::Anonymous,
        }
    }

    /// Credentials from a request's fields. Not read where nobody asks for them, so that they can not do harm.
    pub fn credentials(&self, headers: &HeaderMap) -> Result<Option<Credentials>, BadCredentials> {
        if !self
            .auth
            .as_ref()
            .is_some_and(|auth| auth.reads_credentials())
        {
            return Ok(None);
        }
        let mut values = headers.get_all(self.credentials_field()).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => {
                Credentials::from_field(value).map_err(|_| BadCredentials::Malformed)
            }
            (Some(_), Some(_)) => Err(BadCredentials::Malformed),
        }
    }

    /// Where clients say who they are (RFC 9110 §11.6.2, §11.7.2).
    fn credentials_field(&self) -> HeaderName {
        if self.gateway {
            AUTHORIZATION
        } else {
            PROXY_AUTHORIZATION
        }
    }

    /// Takes away what a client said to this listener, and not to the origin behind it.
    pub fn strip_credentials(&self, headers: &mut HeaderMap) {
        let reads = |auth: &Arc<Authenticator>| auth.reads_credentials();
        if self.auth.as_ref().is_some_and(reads) {
            headers.remove(self.credentials_field());
        }
    }

    /// The first moment: by name, before anything is looked up.
    pub fn admit(&self, intent: &Intent, headers: Option<&HeaderMap>) -> Result<Grant, Denial> {
        if let Some(headers) = headers.filter(|_| self.keeps_fields) {
            intent.judged.saw_fields(headers);
        }
        let grant = self.admit_by(intent, &intent.facts(headers))?;
        match intent.other_facts(headers) {
            Some(other) => self.admit_by(intent, &other).map(|_| grant),
            None => Ok(grant),
        }
    }

    fn admit_by(&self, intent: &Intent, facts: &Facts<'_>) -> Result<Grant, Denial> {
        let grant = self.decide(facts)?;
        self.judge_connection(grant.allowance(), intent)?;
        Ok(grant)
    }

    fn decide(&self, facts: &Facts<'_>) -> Result<Grant, Denial> {
        match self.policy.decide(facts) {
            Verdict::Allow(grant) => Ok(grant),
            Verdict::Deny(denial) => Err(denial),
        }
    }

    /// Whether anything is decided by what a tunnel begins with.
    pub fn looks(&self) -> bool {
        self.asks_hello || self.demands_hello
    }

    /// Who a client is now that was known before, or was not: a reload may have taken it away, changed its groups, or have clients say
    /// who they are.
    ///
    /// Errors: why it may not go on with what is open.
    pub fn recall(
        &self,
        before: Option<&Principal>,
        client: IpAddr,
        tls: Option<&ClientTls>,
    ) -> Result<Option<Principal>, &'static str> {
        let (certified, auth) = (self.certified(tls), self.auth.as_ref());
        let Some(before) = before else {
            let asks = auth.is_some_and(|auth| auth.reads_credentials());
            let lost = certified == Certified::Lost;
            return if asks || lost { Err(UNSAID) } else { Ok(None) };
        };
        let known = match certified {
            Certified::Known(principal) => Some(principal),
            Certified::Lost => None,
            Certified::No => auth.and_then(|auth| auth.recall(before, client)),
        };
        known.map(Some).ok_or(UNKNOWN)
    }

    /// Takes a request out of the rate of the rule that allows it, if it has one.
    pub fn charge(&self, allowance: &Allowance, intent: &Intent) -> Result<(), Denial> {
        let Some(rate) = allowance.obligations.rate else {
            return Ok(());
        };
        let taken = self
            .rates
            .take(self.policy.name(), &allowance.rule, intent, rate);
        let Err(wait) = taken else {
            return Ok(());
        };
        let action = DenyAction {
            status: 429,
            message: Some("Too many requests; try again later.".to_owned()),
            redirect: None,
        };
        Err(Denial {
            rule: allowance.rule.clone(),
            reason: Reason::Rate(wait),
            action: Arc::new(action),
        })
    }

    /// The second moment: resolves the name and judges each address. What the permit holds may be dialled.
    ///
    /// Waits at most the resolver's limit. Errors: a denial, or a name without address. Cancel-safe.
    pub async fn vet(
        &self,
        grant: &Grant,
        intent: &Intent,
        headers: Option<&HeaderMap>,
        resolver: &CachedResolver,
    ) -> Result<Vetted, Barred> {
        let port = intent.authority.port;
        let name = match &intent.authority.host {
            Host::Addr(ip) => {
                let addresses = vec![SocketAddr::new(*ip, port)];
                return self.confirm(grant, intent, headers, addresses, None);
            }
            Host::Name(name) => name,
        };
        let (answer, dns) = match resolver.cached(name) {
            Some(answer) => (answer, None),
            None => {
                let start = Instant::now();
                let answer = resolver.resolve_for(name, intent.client.ip()).await;
                let answer = answer.map_err(Barred::Unresolved)?;
                (answer, Some(start.elapsed()))
            }
        };
        let addresses: Vec<SocketAddr> = answer
            .addresses
            .iter()
            .map(|ip| SocketAddr::new(*ip, port))
            .collect();
        self.confirm(grant, intent, headers, addresses, dns)
    }

    /// The second moment for endpoints of an upstream, which the operator named by the configuration: rules about addresses
    /// hold, and nothing is guarded. What the permit holds may be dialled. Looks nothing up.
    ///
    /// Errors: a denial, where no rule allows any of them. Never for an address that a client brought in: [`Gate::vet`].
    pub fn vet_endpoint(
        &self,
        grant: &Grant,
        intent: &Intent,
        headers: Option<&HeaderMap>,
        endpoints: &[SocketAddr],
    ) -> Result<Permit, Denial> {
        let facts = Facts {
            named_by: NamedBy::Operator,
            ..intent.facts(headers)
        };
        let permit = self.confirm_readings(grant, intent, &facts, endpoints);
        intent.judged.saw_addresses(endpoints.to_vec());
        let permit = permit?;
        self.judge_connection(permit.allowance(), intent)?;
        Ok(permit)
    }

    /// Explains what was judged, with the policy in force now: by the fields and the addresses that the decision saw.
    pub fn explain(&self, intent: &Intent) -> Explanation {
        let facts = intent.facts(intent.judged.fields());
        let own = |address| self.own.contains(address);
        self.policy
            .explain(&facts, intent.judged.addresses().as_deref(), &own)
    }

    /// Whether what was permitted before still is, for a tunnel that is open to `peer`.
    pub fn still_permits(
        &self,
        intent: &Intent,
        headers: Option<&HeaderMap>,
        peer: SocketAddr,
    ) -> Result<(), Denial> {
        let permit = self.permit_for(&intent.facts(headers), peer)?;
        if self.gateway {
            return self.judge_connection(permit.allowance(), intent);
        }
        if intent.is_unseen() {
            return Ok(());
        }
        self.judge_hello(permit, intent, headers, peer).map(|_| ())
    }

    fn confirm(
        &self,
        grant: &Grant,
        intent: &Intent,
        headers: Option<&HeaderMap>,
        addresses: Vec<SocketAddr>,
        dns: Option<Duration>,
    ) -> Result<Vetted, Barred> {
        let facts = Facts {
            named_by: NamedBy::Client,
            ..intent.facts(headers)
        };
        let permit = self.confirm_readings(grant, intent, &facts, &addresses);
        intent.judged.saw_addresses(addresses);
        permit
            .map(|permit| Vetted { permit, dns })
            .map_err(Barred::Denied)
    }

    /// Judges addresses by the facts, and by the other reading of the path where there is one.
    fn confirm_readings(
        &self,
        grant: &Grant,
        intent: &Intent,
        facts: &Facts<'_>,
        addresses: &[SocketAddr],
    ) -> Result<Permit, Denial> {
        let permit = self.confirm_by(grant, facts, addresses)?;
        let Some(path) = intent.other_path.as_deref() else {
            return Ok(permit);
        };
        let other = Facts {
            path: Some(path),
            ..*facts
        };
        // By the other reading exactly what was permitted by the first must be permitted too.
        let by_other = self.confirm_by(grant, &other, permit.addresses())?;
        let same = by_other.addresses() == permit.addresses();
        Ok(if same { permit } else { by_other })
    }
}

const UNKNOWN: &str = "the client is not known any more";
const UNSAID: &str = "clients have to say who they are by now";
