//! A question about a gateway's listener: which route takes the request, where that leads, and what the policy says.
//! Searches and judges by what a request that has come is searched and judged by (`relay/gateway`, `gate`). Asks no endpoint: known
//! are those that the configuration has as addresses.
//! Start at [`AtGateway::explain`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::addr::Authority;
use crate::auth::Principal;
use crate::config::{Config, ListenerConfig};
use crate::filter::Variables;
use crate::message::normal_path;
use crate::policy::{Explanation, Facts, Look, NamedBy, Routed, Scheme, Verdict};
use crate::question::{Asked, Sent};
use crate::relay::{Refusal, find_route};
use crate::route::{self, Act, Readings, Redirect, Route, Split};
use crate::upstream::EndpointSource;

/// One question, as the listener understands it: behind proxies that it trusts, the client is whom they name.
pub(super) struct AtGateway<'a> {
    config: &'a Config,
    listener: &'a ListenerConfig,
    asked: &'a Asked,
    sent: &'a Sent,
    client: IpAddr,
    principal: Option<Principal>,
    secure: bool,
    /// The host that it is for, and the port that the client connected to.
    authority: Authority,
}

impl<'a> AtGateway<'a> {
    /// `None` for a tunnel, which no gateway takes.
    pub(super) fn new(
        config: &'a Config,
        listener: &'a ListenerConfig,
        asked: &'a Asked,
    ) -> Option<Self> {
        let sent = asked.sent.as_ref()?;
        let trusted = &listener.forwarded.trusted;
        let seen = trusted.read(asked.client, &asked.headers);
        let by_address = || listener.auth.as_ref()?.by_address(seen.client);
        let host = seen.host.map(|authority| authority.host);
        let host = host.unwrap_or_else(|| asked.authority.host.clone());
        Some(Self {
            config,
            listener,
            asked,
            sent,
            client: seen.client,
            principal: asked.principal.clone().or_else(by_address),
            secure: seen.secure.unwrap_or(sent.secure),
            authority: Authority::new(host, asked.authority.port),
        })
    }

    /// Whether a route takes it; `strictly`: and it comes by TLS as the listener has it, or without.
    pub(super) fn is_taken(&self, strictly: bool) -> bool {
        let fits = self.listener.tls.is_some() == self.sent.secure;
        (fits || !strictly) && self.route().is_ok()
    }

    pub(super) fn explain(&self) -> Explanation {
        let path = normal_path(&self.sent.target);
        let facts = self.facts(&path);
        let (route, act) = match self.route().and_then(|route| self.act(route)) {
            Ok(found) => found,
            Err(refusal) => return self.refused(&facts, &refusal),
        };
        let policy = &self.listener.policy;
        // Where no condition is left open by name, no address could change anything.
        let matters = match policy.decide(&facts) {
            Verdict::Allow(grant) => !grant.is_settled(),
            Verdict::Deny(_) => false,
        };
        let does = match act {
            Act::Answer(page) => format!("answers {} by itself", page.status.as_u16()),
            Act::Redirect(redirect) => self.redirected(route, redirect),
            Act::To(split) => self.sent_to(route, split),
        };
        let mut routed = Routed {
            route: route.name.to_string(),
            at: route.at.to_string(),
            does,
            upstreams: Vec::new(),
            unknown: Vec::new(),
        };
        let endpoints = match act {
            Act::To(split) => self.endpoints(split, matters, &mut routed),
            Act::Answer(_) | Act::Redirect(_) => Vec::new(),
        };
        let endpoints = Some(endpoints).filter(|endpoints| !endpoints.is_empty());
        let explanation = policy.explain(&facts, endpoints.as_deref(), &|_| false);
        let explanation = match act {
            Act::To(_) => explanation,
            Act::Answer(_) | Act::Redirect(_) => explanation.answered_here(),
        };
        Explanation {
            route: Some(routed),
            ..explanation
        }
    }

    /// The addresses to be asked about: those that the question has, or else, where they matter, those of the upstreams. Notes these.
    fn endpoints(&self, split: &Split, matters: bool, routed: &mut Routed) -> Vec<SocketAddr> {
        let mut known = Vec::new();
        for (_, chosen) in split.weights(&self.asked.headers) {
            routed.upstreams.push(chosen.name.to_string());
            self.find_endpoints(&chosen.name, &mut known, &mut routed.unknown);
        }
        let given = self.asked.addresses.as_ref();
        if given.is_some() || !matters {
            routed.unknown.clear();
            known.clear();
        }
        let port = self.authority.port;
        let given = given.into_iter().flatten();
        known.extend(given.map(|ip| SocketAddr::new(*ip, port)));
        known
    }

    fn facts<'b>(&'b self, path: &'b str) -> Facts<'b> {
        Facts {
            listener: &self.listener.name,
            client: self.client,
            principal: self.principal.as_ref(),
            authority: &self.authority,
            scheme: if self.secure {
                Scheme::Https
            } else {
                Scheme::Http
            },
            method: Some(&self.sent.method),
            path: Some(path),
            headers: Some(&self.asked.headers),
            // Nobody has shaken hands: what would be agreed on is not known.
            hello: match self.listener.tls {
                Some(_) => Look::Later,
                None => Look::Nothing,
            },
            now: self.asked.at,
            resolved: None,
            named_by: NamedBy::Operator,
        }
    }

    fn route(&self) -> Result<&'a Arc<Route>, Refusal> {
        let readings = Readings::of(&self.sent.target);
        let asked = route::Asked {
            listener: &self.listener.name,
            host: Some(&self.authority.host),
            path: &readings,
            method: &self.sent.method,
            headers: &self.asked.headers,
        };
        find_route(&self.config.routes, &asked)
    }

    /// What the route does. Errors: it can make no target of the path.
    fn act(&self, route: &'a Arc<Route>) -> Result<(&'a Route, Act<'a>), Refusal> {
        let act = route.act(self.client);
        if let Act::To(_) = act {
            let target = route.rewrite.target(&self.sent.target);
            target.map_err(|error| Refusal::Unrewritable(error.to_string()))?;
        }
        Ok((route, act))
    }

    /// The upstreams, and the path where it is another one there.
    fn sent_to(&self, route: &Route, split: &Split) -> String {
        let weights = split.weights(&self.asked.headers);
        let total: u64 = weights.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let several = weights.len() > 1;
        let part = |weight: u32| {
            let part = several.then(|| format!(" ({weight} of {total})"));
            part.unwrap_or_default()
        };
        let names = weights
            .iter()
            .map(|(weight, chosen)| format!("upstream \"{}\"{}", chosen.name, part(*weight)));
        let names = names.collect::<Vec<_>>().join(" or ");
        let target = route.rewrite.target(&self.sent.target);
        let target = target.ok().filter(|target| *target != self.sent.target);
        let target = target.map(|target| format!(", as {}", target.escape_debug()));
        format!("to {names}{}", target.unwrap_or_default())
    }

    fn redirected(&self, route: &Route, redirect: &Redirect) -> String {
        let variables = Variables {
            client: Some(self.client),
            host: Some(&self.authority.host),
            scheme: if self.secure { "https" } else { "http" },
            method: self.sent.method.as_str(),
            listener: &self.listener.name,
            route: &route.name,
            ..Variables::default()
        };
        let to = redirect.location(&self.sent.target, &variables);
        let to = to.as_ref().and_then(|to| to.to_str().ok());
        let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
        format!("redirects with {}{to}", redirect.status.as_u16())
    }

    /// The endpoints of an upstream: addresses, and what nobody has looked up here.
    fn find_endpoints(
        &self,
        upstream: &str,
        known: &mut Vec<SocketAddr>,
        unknown: &mut Vec<String>,
    ) {
        let mut upstreams = self.config.upstreams.read.iter();
        let read = upstreams.find(|read| *read.name == *upstream);
        for endpoint in read.iter().flat_map(|read| &read.settings.endpoints) {
            match &endpoint.source {
                EndpointSource::Address(address) => known.push(*address),
                other @ (EndpointSource::Name(_)
                | EndpointSource::Srv(_)
                | EndpointSource::File(_)) => unknown.push(other.to_string()),
            }
        }
    }

    /// What is refused before the policy is asked.
    fn refused(&self, facts: &Facts<'_>, refusal: &Refusal) -> Explanation {
        let status = refusal.answer(None).status.as_u16();
        let reason = format!("{status}, {}", refusal.reason());
        let change = matches!(refusal, Refusal::NoRoute).then(|| {
            let host = &self.authority.host;
            format!("add\n[[route]]\nhost = \"{host}\"\nto = \"UPSTREAM\"")
        });
        Explanation {
            smallest_change: change,
            ..self.listener.policy.unasked(facts, reason)
        }
    }
}
