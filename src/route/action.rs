//! What becomes of a request that takes a route: an upstream, another place, an answer.
//! Start at [`Action::read`]; a request asks [`Action::act`].

use std::net::IpAddr;

use http::{HeaderValue, StatusCode};
use ipnet::IpNet;

use super::pages::{Files, Page};
use super::source::Ground;
use super::split::Split;
use crate::fault::{Fault, Faults, Location};
use crate::filter::{Place, Template, Variables};
use crate::settings::{FromValue, Kind, Located, Table, Value};

/// What a route does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Sends requests to an upstream.
    To(Split),
    /// Sends clients elsewhere.
    Redirect(Redirect),
    /// Answers by itself.
    Respond(Page),
    /// Answers that the service is down, but to some.
    Maintenance(Maintenance),
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy)]
pub enum Act<'a> {
    /// It goes to an upstream.
    To(&'a Split),
    /// The client is sent elsewhere.
    Redirect(&'a Redirect),
    /// This is the answer.
    Answer(&'a Page),
}

/// A place to send clients to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    to: Template,
}

/// A service that is down, but not for everyone.
#[derive(Debug, Clone, PartialEq)]
pub struct Maintenance {
    page: Page,
    /// Who is served as ever.
    allow: Vec<IpNet>,
    to: Option<Split>,
}

impl Action {
    /// What becomes of a request of this client's.
    pub fn act(&self, client: IpAddr) -> Act<'_> {
        match self {
            Self::To(split) => Act::To(split),
            Self::Redirect(redirect) => Act::Redirect(redirect),
            Self::Respond(page) => Act::Answer(page),
            Self::Maintenance(down) => {
                let client = client.to_canonical();
                let allowed = down.allow.iter().any(|net| net.contains(&client));
                match down.to.as_ref().filter(|_| allowed) {
                    Some(split) => Act::To(split),
                    None => Act::Answer(&down.page),
                }
            }
        }
    }

    /// The upstreams that requests may go to.
    pub fn split(&self) -> Option<&Split> {
        match self {
            Self::To(split) => Some(split),
            Self::Maintenance(down) => down.to.as_ref(),
            Self::Redirect(_) | Self::Respond(_) => None,
        }
    }

    /// Takes the one action of a route; `maintenance` may stand before a `to`, which is then for whom it lets through.
    pub(super) fn read(table: &Table, ground: Ground<'_>, files: &Files) -> Option<Self> {
        let faults = ground.faults;
        let to = table.take_value("to");
        let redirect = table.take_value("redirect");
        let respond = table.take_value("respond");
        let maintenance = table.take_value("maintenance");
        let places = [&to, &redirect, &respond].into_iter().flatten();
        let named: Vec<Location> = places.map(|value| value.at.clone()).collect();
        let beside = maintenance.as_ref().map(|down| &down.at);
        let beside = beside.filter(|_| redirect.is_some() || respond.is_some());
        if let Some(at) = named.get(1).or(beside) {
            let remedy =
                "keep one of to, redirect, respond; maintenance stands alone or before a \"to\"";
            faults.push(Fault::at(at, "a route does more than one thing", remedy));
            return None;
        }
        if named.is_empty() && maintenance.is_none() {
            let remedy = "add to = \"UPSTREAM\", redirect = { to = \"https://…\" } or respond = { status = 404 }";
            faults.push(Fault::at(&table.at, "the route does nothing", remedy));
            return None;
        }
        let listed = to.is_some();
        let split = to.and_then(|value| Split::read(value, ground));
        if let Some(down) = maintenance {
            let down = Maintenance::read(down, (listed, split), files, faults);
            return down.map(|down| down.map_or_else(Self::To, Self::Maintenance));
        }
        let read = |table| Page::read_fixed(table, files, faults);
        split
            .map(Self::To)
            .or_else(|| Redirect::read(redirect?, faults).map(Self::Redirect))
            .or_else(|| read(Table::from_value(respond?, faults)?).map(Self::Respond))
    }
}

impl Redirect {
    /// Where a request is sent to; `None` where that needs its host, and it has none.
    ///
    /// `target` is path and query as sent, which keep their spelling; the rest is taken from the variables.
    pub fn location(&self, target: &str, variables: &Variables<'_>) -> Option<HeaderValue> {
        let end = target.find('?').unwrap_or(target.len());
        let (path, query) = target.split_at(end);
        // `OPTIONS *` has no path that could follow an authority.
        let path = if path.starts_with('/') { path } else { "/" };
        self.to.location(&Variables {
            path,
            query,
            ..*variables
        })
    }

    fn read(value: Value, faults: &Faults) -> Option<Self> {
        let table = match value.kind {
            Kind::Text(to) => {
                let to = Located {
                    value: to,
                    at: value.at,
                };
                return Some(Self {
                    status: StatusCode::FOUND,
                    to: read_place(&to, faults)?,
                });
            }
            Kind::Table(table) => table,
            Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Datetime(_)
            | Kind::List(_) => {
                return value.mismatch("{ to = \"https://…\", status = 308 }", faults);
            }
        };
        let remedy = "say where: to = \"https://{host}{path}{query}\"";
        let to: Option<Located<String>> = table.require("to", remedy, faults);
        let status: Option<Located<u16>> = table.take("status", faults);
        table.finish(faults);
        let to = to.and_then(|to| read_place(&to, faults));
        let status = match status {
            None => StatusCode::FOUND,
            Some(status) => {
                let known = [301, 302, 303, 307, 308].contains(&status.value);
                let code = StatusCode::from_u16(status.value).ok().filter(|_| known);
                if code.is_none() {
                    let problem = format!("{} is not a redirect's status", status.value);
                    let remedy = "choose 301 or 308 for good, 302, 303 or 307 for now; 307 and 308 keep method and content";
                    faults.push(Fault::at(&status.at, problem, remedy));
                }
                code?
            }
        };
        Some(Self { status, to: to? })
    }
}

impl Maintenance {
    /// The page, or the upstream as ever for `maintenance = false`.
    fn read(
        value: Value,
        (listed, to): (bool, Option<Split>),
        files: &Files,
        faults: &Faults,
    ) -> Option<Result<Self, Split>> {
        let before = faults.len();
        let at = value.at.clone();
        let table = match value.kind {
            Kind::Bool(true) => None,
            Kind::Bool(false) => {
                if !listed {
                    let remedy = "add to = \"UPSTREAM\"";
                    faults.push(Fault::at(&at, "the route does nothing", remedy));
                }
                return to.map(Err);
            }
            Kind::Table(table) => Some(table),
            Kind::Text(_)
            | Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Datetime(_)
            | Kind::List(_) => return value.mismatch("true, or { retry-after = \"10m\" }", faults),
        };
        let table = table.unwrap_or_else(|| Table::empty(&at));
        let page = Page::read_maintenance(&table, files, faults);
        let allow: Option<Located<Vec<IpNet>>> = table.take("allow", faults);
        table.finish(faults);
        if let Some(allow) = allow.as_ref().filter(|_| !listed) {
            let remedy = "add to = \"UPSTREAM\" beside it";
            let problem = "whom maintenance lets through has nowhere to go";
            faults.push(Fault::at(&allow.at, problem, remedy));
        }
        if faults.len() > before || listed && to.is_none() {
            return None;
        }
        let allow = allow.map(|allow| allow.value).unwrap_or_default();
        Some(Ok(Self { page, allow, to }))
    }
}

/// A place to redirect to: a web address, or a path on the same host.
fn read_place(text: &Located<String>, faults: &Faults) -> Option<Template> {
    let template = Template::parse(text, Place::Location, faults)?;
    let begins = template.beginning();
    let goes_on = |word| template.goes_on_with(word, Place::Location);
    let authority = begins.split_once("://").map(|(_, rest)| rest);
    let web = begins.starts_with("https://") || begins.starts_with("http://");
    let web = web
        && match authority.and_then(|rest| rest.chars().next()) {
            Some(first) => first.is_alphanumeric() || first == '[',
            None => goes_on("host"),
        };
    let same_scheme = begins.is_empty() && text.value.starts_with("{scheme}://");
    let local = begins.starts_with('/') && !begins.starts_with("//");
    let by_path = begins.is_empty() && goes_on("path");
    let plain = !text
        .value
        .chars()
        .any(|c| c.is_whitespace() || c.is_control());
    if plain && (web || same_scheme || local || by_path) {
        return Some(template);
    }
    let problem = format!("{:?} is no place to redirect to", text.value);
    let remedy = "write \"https://{host}{path}{query}\", \"https://www.example/new\" or \"/new\"";
    faults.push(Fault::at(&text.at, problem, remedy));
    None
}
