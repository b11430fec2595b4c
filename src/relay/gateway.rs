//! What a gateway's listener has beside its gate: routes and upstreams, and the search of both for one request.
//! Not the balancing (upstream), nor what is done on the way (exchange).
//! Start at [`Relay::route`].

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::destination::{Backend, Destination, Gateway, Served, Step};
use super::{Caller, Refusal, Relay};
use crate::addr::{Authority, Host};
use crate::filter::Variables;
use crate::message::forwarded::{Trusted, Writing};
use crate::message::{cookies, default_port, split_query};
use crate::route::{Act, Asked, Found, Page, Readings, Redirect, Route, RouteTable};
use crate::upstream;

/// The routes of a gateway's listener. Built off the workers, shared by them, replaced whole.
#[derive(Debug, Clone)]
pub struct Routes {
    /// The routes of all listeners.
    pub table: Arc<RouteTable>,
    /// The upstreams, in the order by which routes name them.
    pub upstreams: Arc<[Arc<Served>]>,
    /// Whose word is taken on where a request comes from.
    pub trusted: Trusted,
    /// How that is written for origins.
    pub writing: Writing,
}

/// A request to a gateway, as its target and its connection say.
#[derive(Debug)]
pub struct Request<'a> {
    /// Everything but the body.
    pub head: &'a Parts,
    /// Whether it came over TLS.
    pub secure: bool,
    /// The authority that it names.
    pub authority: Option<Authority>,
    /// Path and query, or `*`.
    pub path: String,
}

impl Relay {
    /// Finds what becomes of a request to a gateway, and says who its client is: behind proxies that are trusted, whom they
    /// name.
    ///
    /// Errors: there is no route, or the request can be read as one for several.
    pub fn route(&self, caller: &mut Caller, request: Request<'_>) -> Result<Destination, Refusal> {
        let service = caller.service.clone();
        let Some(routes) = &service.gateway else {
            return Err(Refusal::NoRoute);
        };
        let head = request.head;
        let peer = caller.client.ip().to_canonical();
        let seen = routes.trusted.read(peer, &head.headers);
        let port = seen.port.unwrap_or_else(|| {
            let own = seen.client == peer;
            if own { caller.client.port() } else { 0 }
        });
        caller.client = SocketAddr::new(seen.client, port);
        let secure = seen.secure.unwrap_or(request.secure);
        let authority = seen.host.clone().or(request.authority);
        let readings = Readings::of(&request.path);
        let asked = Asked {
            listener: &service.name,
            host: authority.as_ref().map(|authority| &authority.host),
            path: &readings,
            method: &head.method,
            headers: &head.headers,
        };
        let route = find_route(&routes.table, &asked)?.clone();
        let asking = Asking {
            caller,
            head,
            secure,
            authority: authority.as_ref(),
            path: &request.path,
        };
        let step = self.step(routes, &route, &asking)?;
        let mirror = route.treatment.mirror.as_ref();
        let mirror = mirror.filter(|mirror| mirror.takes(self.parts.dice.roll()));
        let mirror = mirror
            .and_then(|mirror| routes.upstreams.get(mirror.to.at))
            .cloned();
        Ok(Destination {
            secure,
            authority: authority.unwrap_or_else(|| nameless(secure)),
            by: Some(Rc::new(Gateway {
                route,
                step,
                seen,
                peer,
                writing: routes.writing,
                mirror,
            })),
            path: request.path,
            own: None,
        })
    }

    fn step(&self, routes: &Routes, route: &Route, asking: &Asking<'_>) -> Result<Step, Refusal> {
        let split = match route.act(asking.caller.client.ip()) {
            Act::Answer(page) => return Ok(Step::Answer(page.clone())),
            Act::Redirect(redirect) => return asking.redirect(redirect, route).map(Step::Answer),
            Act::To(split) => split,
        };
        let headers = &asking.head.headers;
        let chosen = split.choose(headers, self.parts.dice.roll());
        let served = routes.upstreams.get(chosen.at).ok_or(Refusal::NoRoute)?;
        let target = route.rewrite.target(asking.path);
        let target = target.map_err(|error| Refusal::Unrewritable(error.to_string()))?;
        let sticky = served.upstream.sticky().and_then(|sticky| {
            let cookie = cookie(headers, sticky.cookie())?;
            sticky.read(cookie, jiff::Timestamp::now())
        });
        Ok(Step::Send(Backend {
            target: target.into_owned(),
            key: served.upstream.key().and_then(|key| asking.key(&key)),
            sticky,
            served: served.clone(),
        }))
    }
}

/// The route that a request to a gateway takes.
///
/// Errors: there is none, or the request can be read as one for several, or it is a TRACE that its route does not name.
pub fn find_route<'a>(table: &'a RouteTable, asked: &Asked<'_>) -> Result<&'a Arc<Route>, Refusal> {
    let route = match table.find(asked) {
        Found::Route(route) => route,
        Found::Nothing => return Err(Refusal::NoRoute),
        Found::Ambiguous => return Err(Refusal::Misdirected(TWO_READINGS)),
    };
    if *asked.method == Method::TRACE && !route.traces {
        return Err(Refusal::NoTrace);
    }
    Ok(route)
}

/// One request that asks its way.
struct Asking<'a> {
    caller: &'a Caller,
    head: &'a Parts,
    secure: bool,
    authority: Option<&'a Authority>,
    path: &'a str,
}

impl Asking<'_> {
    /// By what a balancer with keys knows it.
    fn key(&self, key: &upstream::balance::Key) -> Option<u64> {
        use upstream::balance::Key;
        let headers = &self.head.headers;
        let found: Cow<'_, [u8]> = match key {
            Key::Client => return Some(Key::of_client(self.caller.client.ip())),
            Key::Header(name) if *name == HOST => {
                Cow::Owned(self.authority?.to_string().into_bytes())
            }
            Key::Header(name) => Cow::Borrowed(headers.get(name)?.as_bytes()),
            Key::Cookie(name) => Cow::Borrowed(cookie(headers, name)?),
            Key::Path => Cow::Borrowed(split_query(self.path).0.as_bytes()),
            Key::Query(name) => {
                let (_, query) = split_query(self.path);
                let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
                let (_, value) = pairs.find(|(known, _)| *known == &**name)?;
                Cow::Borrowed(value.as_bytes())
            }
        };
        Some(Key::hash(&found))
    }

    fn redirect(&self, redirect: &Redirect, route: &Route) -> Result<Page, Refusal> {
        let variables = Variables {
            client: Some(self.caller.client.ip()),
            host: self.authority.map(|authority| &authority.host),
            scheme: if self.secure { "https" } else { "http" },
            method: self.head.method.as_str(),
            listener: &self.caller.service.name,
            route: &route.name,
            ..Variables::default()
        };
        let to = redirect.location(self.path, &variables);
        let to = to.ok_or(Refusal::Misdirected(NO_HOST))?;
        Ok(page(redirect.status, LOCATION, to))
    }
}

/// What a request of HTTP/1.0 is for that names no host.
fn nameless(secure: bool) -> Authority {
    let host = Host::parse("localhost").expect("it is a name");
    Authority::new(host, default_port(secure))
}

fn page(status: StatusCode, name: http::HeaderName, value: HeaderValue) -> Page {
    let mut headers = HeaderMap::new();
    headers.insert(name, value);
    Page {
        status,
        headers,
        body: Bytes::new(),
    }
}

/// The value of a cookie that a request brings.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let found = cookies(headers).find(|(known, _)| *known == name);
    found.map(|(_, value)| value.as_bytes())
}

/// The methods that a gateway takes where its routes say no more, or that a proxy takes (RFC 9110 §10.2.1).
pub fn allowed(gateway: bool) -> HeaderValue {
    HeaderValue::from_static(if gateway {
        "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"
    } else {
        "GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH"
    })
}

const TWO_READINGS: &str =
    "the path can be read in two ways, which lead to routes that do not do the same";
const NO_HOST: &str = "the request names no host, and where it is sent to needs one";
