//! Where a request goes: to the origin that its authority names, or wherever a gateway's route says.
//! Not the way there (way), nor the search for a route (gateway).
//! Start at [`Destination`].

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use http_body::Body as _;
use tokio::time::Instant;

use super::followed::bounded;
use crate::addr::{Authority, Host};
use crate::message::forwarded::{Provenance, Writing};
use crate::message::{Body, BodyError, buffer, default_port, grpc};
use crate::policy::{Allowance, Obligations};
use crate::pool::Terms;
use crate::route::{HostRewrite, Page, Route, Timeouts};
use crate::upstream::{Picked, Upstream};

/// An origin that a request is for, and what to ask there: the effective request URI (RFC 9110 §7.1).
#[derive(Debug, Clone)]
pub struct Destination {
    /// Whether its scheme is `https`.
    pub secure: bool,
    /// Host and port.
    pub authority: Authority,
    /// Path and query, or `*`, as the client sent them.
    pub path: String,
    /// What a gateway does with it; `None` where the authority itself is asked.
    pub by: Option<Rc<Gateway>>,
    /// The proxy's own answer, once policy has allowed what was asked for: nobody else is asked.
    pub own: Option<Rc<Page>>,
}

/// What a gateway does with one request.
#[derive(Debug)]
pub struct Gateway {
    pub(super) route: Arc<Route>,
    pub(super) step: Step,
    /// Where the request came from, as far as it is vouched for.
    pub(super) seen: Provenance,
    /// Who sent it to us.
    pub(super) peer: IpAddr,
    pub(super) writing: Writing,
    /// An upstream that gets a copy.
    pub(super) mirror: Option<Arc<Served>>,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Step {
    /// The proxy answers by itself.
    Answer(Page),
    /// An endpoint of an upstream is asked.
    Send(Backend),
}

/// An upstream, and what it is asked for.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) served: Arc<Served>,
    /// Path and query as they leave.
    pub(super) target: String,
    /// By what a balancer with keys knows the request.
    pub(super) key: Option<u64>,
    /// The endpoint that its cookie names.
    pub(super) sticky: Option<u64>,
}

/// An upstream, and how its endpoints are spoken to.
#[derive(Debug)]
pub struct Served {
    /// The endpoints.
    pub upstream: Arc<Upstream>,
    /// How they are spoken to.
    pub terms: Arc<Terms>,
}

/// When an exchange must have ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    /// It is the client's own word, nearer than that of the route.
    pub(super) is_hurried: bool,
}

impl Destination {
    /// The upstream that is asked.
    pub(super) fn backend(&self) -> Option<&Backend> {
        match &self.by.as_ref()?.step {
            Step::Send(backend) => Some(backend),
            Step::Answer(_) => None,
        }
    }

    /// The proxy's own answer.
    pub(super) fn own_answer(&self) -> Option<&Page> {
        if let Some(page) = &self.own {
            return Some(page);
        }
        match &self.by.as_ref()?.step {
            Step::Answer(page) => Some(page),
            Step::Send(_) => None,
        }
    }

    /// The route that leads here.
    pub(super) fn route(&self) -> Option<&Arc<Route>> {
        self.by.as_ref().map(|by| &by.route)
    }

    /// What is to be done with an exchange that policy allows: what its rule asks for, and what its route does.
    pub(super) fn treated(&self, allowance: &Allowance) -> Allowance {
        let mut allowance = allowance.clone();
        if let Some(route) = self.route() {
            allowance.obligations = both(&allowance.obligations, &route.treatment.obligations);
        }
        allowance
    }

    /// The authority that policy judges. Of a gateway, its port is the one that the client connected to: what Host says of it any
    /// client can write as it likes, to pass by a rule. Where it is not known, it is none that a rule can name.
    pub(super) fn judged(&self, local: Option<SocketAddr>) -> Authority {
        let mut authority = self.authority.clone();
        if self.by.is_some() {
            authority.port = local.map_or(0, |local| local.port());
        }
        authority
    }

    /// The target as the origin gets it.
    pub(super) fn target(&self) -> &str {
        let backend = self.backend();
        backend.map_or(&self.path, |backend| &backend.target)
    }

    /// The target and the Host as the origin gets them, where they are not the client's. An endpoint's own host is only told
    /// from others: which endpoint it will be is not known yet.
    pub(super) fn rewritten(&self) -> Option<(&str, &str)> {
        let (route, backend) = (self.route()?, self.backend()?);
        let host = match &route.rewrite.host {
            HostRewrite::Preserve => "",
            HostRewrite::Endpoint => "endpoint",
            HostRewrite::Set(host) => &**host,
        };
        let target = backend.target.as_str();
        (!host.is_empty() || target != self.path).then_some((target, host))
    }

    /// The Host that the origin is told.
    pub(super) fn host(&self, picked: Option<&Picked>) -> String {
        let own = || {
            self.authority
                .without_default_port(default_port(self.secure))
        };
        let Some(by) = &self.by else {
            return own().to_string();
        };
        match (&by.route.rewrite.host, picked) {
            (HostRewrite::Set(host), _) => host.to_string(),
            (HostRewrite::Endpoint, Some(picked)) => name_of(picked).to_string(),
            (HostRewrite::Preserve | HostRewrite::Endpoint, _) => own().to_string(),
        }
    }

    /// Writes down where the request comes from, for the origin.
    pub(super) fn vouch(&self, headers: &mut HeaderMap) {
        let Some(by) = &self.by else {
            return;
        };
        let host = self
            .authority
            .without_default_port(default_port(self.secure));
        by.writing
            .apply(headers, &by.seen, by.peer, self.secure, &host.to_string());
    }

    /// How long the origin may take, where a route says so.
    pub(super) fn timeouts(&self) -> Timeouts {
        self.route()
            .map_or_else(Timeouts::default, |route| route.treatment.timeouts)
    }

    /// When the exchange must have ended: by its route, or as the client of a call of gRPC says.
    pub(super) fn deadline(&self, began: Instant, headers: &HeaderMap) -> Option<Deadline> {
        let of_route = self.route()?.treatment.timeouts.total;
        let of_call = grpc::is_call(headers)
            .then(|| grpc::deadline(headers))
            .flatten();
        let is_hurried = of_call.is_some_and(|call| of_route.is_none_or(|route| call < route));
        let limit = if is_hurried { of_call } else { of_route };
        let at = began.checked_add(limit?)?;
        Some(Deadline { at, is_hurried })
    }

    /// A request's body of which no more passes than its route takes. Errors: it says itself that it is larger.
    pub(super) fn bound(&self, body: Body) -> Result<Body, BodyError> {
        let limit = self
            .route()
            .and_then(|route| route.treatment.limits.body_size);
        match limit {
            Some(limit) if body.size_hint().lower() > limit.0 => Err(BodyError::TooLarge),
            Some(limit) if !body.is_empty() => Ok(bounded(body, limit.0)),
            Some(_) | None => Ok(body),
        }
    }

    /// The same, as a whole where its route asks for that.
    ///
    /// Errors: it is too large, or breaks. Waits for the client, whose listener bounds that.
    pub(super) async fn take_in(&self, body: Body) -> Result<Body, BodyError> {
        let body = self.bound(body)?;
        let limit = self
            .route()
            .and_then(|route| route.treatment.buffer.request);
        match limit {
            Some(limit) => buffer::collect(body, limit.as_usize()).await,
            None => Ok(body),
        }
    }

    /// Whether a request's body is taken in as a whole before it goes on.
    pub(super) fn takes_in(&self) -> bool {
        let route = self.route();
        route.is_some_and(|route| route.treatment.buffer.request.is_some())
    }

    /// How much of a response is read before the client takes it.
    pub(super) fn read_ahead(&self) -> Option<usize> {
        let limit = self.route()?.treatment.buffer.response?;
        Some(limit.as_usize())
    }

    /// The cookie that keeps a client at the endpoint it was given, where it has none that does.
    pub(super) fn cookie(&self, picked: &Picked) -> Option<HeaderValue> {
        let sticky = self.backend()?.served.upstream.sticky()?;
        if picked.is_named() {
            return None;
        }
        sticky.set_cookie(picked.endpoint(), jiff::Timestamp::now())
    }
}

/// What a rule asks for, and what a route does. Where both say how something is done, the route is nearer to it.
fn both(rule: &Arc<Obligations>, route: &Arc<Obligations>) -> Arc<Obligations> {
    // The route's rate is counted for itself: by the rule's name it would be one with those of other routes.
    if rule.is_nothing() && route.rate.is_none() {
        return route.clone();
    }
    if route.is_nothing() {
        return rule.clone();
    }
    let cache = if route.cache == Arc::default() {
        &rule.cache
    } else {
        &route.cache
    };
    Arc::new(Obligations {
        intercept: None,
        tls: rule.tls,
        rate: rule.rate,
        bandwidth: match (rule.bandwidth, route.bandwidth) {
            (Some(rule), Some(route)) => Some(rule.min(route)),
            (rule, route) => rule.or(route),
        },
        filters: rule.filters.and(&route.filters),
        cache: cache.clone(),
    })
}

/// An endpoint by the name that it was configured by, where it has one: its certificate is for that.
pub(super) fn name_of(picked: &Picked) -> Authority {
    let endpoint = picked.endpoint();
    let address = endpoint.address();
    match endpoint.host() {
        Some(host) => Authority::new(host.clone(), address.port()),
        None => Authority::new(Host::Addr(address.ip()), address.port()),
    }
}
