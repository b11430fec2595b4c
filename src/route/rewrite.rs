//! What a request's target and host look like when it leaves: `rewrite = { strip-prefix = "/api", host = "endpoint" }`.
//! Not its fields (the filter `headers`); the query is never touched.
//! Start at [`Rewrite::target`].

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;
use regex::Regex;

use super::path::whole_regex;
use super::readings::Readings;
use crate::addr::{Authority, Host};
use crate::fault::{Fault, Faults};
use crate::message::{Target, normal_path, other_reading};
use crate::settings::{FromValue, Located, Table, Value};

/// What changes on the way out. Nothing by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rewrite {
    path: PathRewrite,
    /// The host that the origin is told.
    pub host: HostRewrite,
}

/// The host that the origin is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostRewrite {
    /// The client's.
    #[default]
    Preserve,
    /// This one, in canonical form, with a port where one is written.
    Set(Arc<str>),
    /// The endpoint's, as it is configured.
    Endpoint,
}

/// Why a target can not be rewritten. The request is refused: nothing else than what was meant is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unrewritable {
    /// One reading of the path is rewritten and another one is not, or otherwise.
    #[error("the path can be read in two ways, which the route would rewrite differently")]
    Ambiguous,
    /// What comes out is no path, or one that can be read in two ways.
    #[error("the path that the route makes of this one is not valid")]
    Invalid,
}

#[derive(Debug, Clone, Default)]
enum PathRewrite {
    #[default]
    Keep,
    /// The prefix, by whole segments and in normal form, and what stands in its place; neither ends with a slash.
    Prefix { from: Box<str>, to: Box<str> },
    /// The whole path, where it matches.
    Regex { regex: Regex, with: Box<str> },
    /// Always this one.
    Fixed(Box<str>),
}

impl Rewrite {
    /// Path and query as they leave. What is not matched is left as it is; so is the spelling of what is not replaced.
    ///
    /// Errors: a path that is changed under one reading only, and a result that no client could have sent.
    pub fn target<'a>(&self, sent: &'a str) -> Result<Cow<'a, str>, Unrewritable> {
        if matches!(self.path, PathRewrite::Keep) || !sent.starts_with('/') {
            return Ok(Cow::Borrowed(sent));
        }
        let readings = Readings::of(sent);
        let end = sent.find('?').unwrap_or(sent.len());
        let (path, query) = sent.split_at(end);
        let Some(path) = self.path.apply(path, &readings)? else {
            return Ok(Cow::Borrowed(sent));
        };
        let target = path + query;
        // Policy and routes have judged what the client sent; what is made of it must be as plain as that was.
        let short = target.len() <= sent.len().max(LONGEST);
        // What begins with two slashes is an authority to whom resolves it as a reference (RFC 3986 §4.2).
        let plain = short && !target.starts_with("//");
        match Target::parse(&Method::GET, &target) {
            Ok(Target::Origin(target)) if plain => Ok(Cow::Owned(target)),
            Ok(_) | Err(_) => Err(Unrewritable::Invalid),
        }
    }

    pub(super) fn read(value: Value, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let at = value.at.clone();
        let table = Table::from_value(value, faults)?;
        let strip: Option<Located<String>> = table.take("strip-prefix", faults);
        let replace_prefix: Option<Table> = table.take("replace-prefix", faults);
        let replace: Option<Table> = table.take("replace", faults);
        let path: Option<Located<String>> = table.take("path", faults);
        let host: Option<Located<String>> = table.take("host", faults);
        table.finish(faults);
        let stripped = strip.and_then(|from| {
            let from = prefix(&from, faults)?;
            let to = Box::default();
            Some(PathRewrite::Prefix { from, to })
        });
        let replaced = replace_prefix.and_then(|table| read_prefixes(table, faults));
        let matched = replace.and_then(|table| read_regex(table, faults));
        let fixed = path.and_then(|path| {
            let path = literal(&path, faults)?;
            Some(PathRewrite::Fixed(path))
        });
        let mut ways = [stripped, replaced, matched, fixed].into_iter().flatten();
        let way = ways.next();
        if ways.next().is_some() {
            let remedy = "keep one of strip-prefix, replace-prefix, replace, path";
            faults.push(Fault::at(&at, "the path is rewritten in two ways", remedy));
        }
        let host = host.and_then(|host| read_host(&host, faults));
        (faults.len() == before).then(|| Self {
            path: way.unwrap_or_default(),
            host: host.unwrap_or_default(),
        })
    }
}

impl PathRewrite {
    /// The path that takes the place of this one; `None` where it stays.
    fn apply(&self, path: &str, readings: &Readings<'_>) -> Result<Option<String>, Unrewritable> {
        match self {
            Self::Keep => Ok(None),
            Self::Fixed(path) => Ok(Some(path.to_string())),
            Self::Prefix { from, to } => {
                let has = |reading: &str| {
                    let rest = reading.strip_prefix(&**from);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                let found = has(readings.normal());
                if readings.other().is_some_and(|other| has(other) != found) {
                    return Err(Unrewritable::Ambiguous);
                }
                if !found {
                    return Ok(None);
                }
                let rest = after_prefix(path, from).ok_or(Unrewritable::Invalid)?;
                let rest = rest.trim_start_matches('/');
                let slash = if rest.is_empty() && !to.is_empty() && !path.ends_with('/') {
                    ""
                } else {
                    "/"
                };
                Ok(Some(format!("{to}{slash}{rest}")))
            }
            Self::Regex { regex, with } => {
                // In normal form: what is picked out of it and put together again is not spelled by the client.
                let of = |reading: &str| {
                    let found = regex.captures(reading)?;
                    let mut path = String::new();
                    found.expand(with, &mut path);
                    Some(path)
                };
                let path = of(readings.normal());
                let alike = readings
                    .other()
                    .is_none_or(|other| match (&path, of(other)) {
                        // What is read otherwise must be read so afterwards too, and not be another path.
                        (Some(path), Some(other)) => {
                            *path == other || other_reading(path).is_some_and(|path| path == other)
                        }
                        (None, None) => true,
                        (Some(_), None) | (None, Some(_)) => false,
                    });
                if !alike {
                    return Err(Unrewritable::Ambiguous);
                }
                Ok(path)
            }
        }
    }
}

impl PartialEq for PathRewrite {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Keep, Self::Keep) => true,
            (Self::Prefix { from, to }, Self::Prefix { from: f, to: t }) => (from, to) == (f, t),
            (Self::Regex { regex, with }, Self::Regex { regex: r, with: w }) => {
                (regex.as_str(), with) == (r.as_str(), w)
            }
            (Self::Fixed(path), Self::Fixed(other)) => path == other,
            (Self::Keep | Self::Prefix { .. } | Self::Regex { .. } | Self::Fixed(_), _) => false,
        }
    }
}

/// What follows a prefix in a path that begins with it in normal form, as the client spells it.
fn after_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let (mut rest, mut seen) = (path, String::with_capacity(prefix.len()));
    // A step is a character, or the encoding of one; slashes in a row are one.
    while seen.len() < prefix.len() {
        let width = if rest.starts_with('%') { 3 } else { 1 };
        let (step, next) = rest.split_at_checked(width)?;
        if !(step == "/" && seen.ends_with('/')) {
            seen.push_str(&normal_path(step));
        }
        rest = next;
    }
    (seen == prefix && (rest.is_empty() || rest.starts_with('/'))).then_some(rest)
}

fn read_prefixes(table: Table, faults: &Faults) -> Option<PathRewrite> {
    let remedy = "write replace-prefix = { from = \"/old\", to = \"/new\" }";
    let from: Option<Located<String>> = table.require("from", remedy, faults);
    let to: Option<Located<String>> = table.require("to", remedy, faults);
    table.finish(faults);
    let from = from.and_then(|from| prefix(&from, faults));
    let to = to.and_then(|to| literal(&to, faults));
    let to = to?.trim_end_matches('/').into();
    Some(PathRewrite::Prefix { from: from?, to })
}

fn read_regex(table: Table, faults: &Faults) -> Option<PathRewrite> {
    let remedy = "write replace = { regex = \"/user/([0-9]+)\", with = \"/u/$1\" }";
    let regex: Option<Located<String>> = table.require("regex", remedy, faults);
    let with: Option<Located<String>> = table.require("with", remedy, faults);
    table.finish(faults);
    let regex = regex.and_then(|regex| whole_regex(&regex, faults))?;
    let with = with?;
    let refuse = |problem: String, remedy: &str| {
        faults.push(Fault::at(&with.at, problem, remedy));
        None
    };
    if !with.value.starts_with('/') {
        return refuse(
            "what is put in its place has no slash in front".to_owned(),
            "write \"/u/$1\"",
        );
    }
    if with.value.contains(['?', '#']) {
        return refuse(
            "the query is not rewritten".to_owned(),
            "write the path alone",
        );
    }
    for name in references(&with.value) {
        let known = match name.parse::<usize>() {
            Ok(group) => group < regex.captures_len(),
            Err(_) => regex.capture_names().flatten().any(|known| known == name),
        };
        if !known {
            let problem = format!("the expression has no group \"{name}\"");
            return refuse(
                problem,
                "write ${1} where a letter follows, and $$ for a dollar sign",
            );
        }
    }
    let with = with.value.into();
    Some(PathRewrite::Regex { regex, with })
}

/// The groups that a replacement names: `1` and `id` of `/$1/${id}`.
fn references(with: &str) -> impl Iterator<Item = &str> {
    let text = with.split("$$");
    let parts = text.flat_map(|text| text.split('$').skip(1));
    parts.map(|part| match part.strip_prefix('{') {
        Some(named) => named.split('}').next().unwrap_or_default(),
        None => {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            part.get(..end.unwrap_or(part.len())).unwrap_or_default()
        }
    })
}

/// A prefix in normal form, without a slash at its end.
fn prefix(text: &Located<String>, faults: &Faults) -> Option<Box<str>> {
    let trimmed = Located {
        value: text.value.trim_end_matches('/').to_owned(),
        at: text.at.clone(),
    };
    if trimmed.value.is_empty() {
        let problem = format!("\"{}\" is the beginning of every path", text.value);
        faults.push(Fault::at(&text.at, problem, "write \"/api\""));
        return None;
    }
    literal(&trimmed, faults).map(|path| normal_path(&path).into())
}

/// A path that a request may have.
fn literal(text: &Located<String>, faults: &Faults) -> Option<Box<str>> {
    let refuse = |problem: String, remedy: String| {
        faults.push(Fault::at(&text.at, problem, remedy));
        None
    };
    let path = text.value.as_str();
    if !path.starts_with('/') {
        let problem = format!("the path \"{path}\" has no slash in front");
        return refuse(problem, format!("write \"/{path}\""));
    }
    if path.contains('?') {
        let remedy = "write the path alone".to_owned();
        return refuse("the query is not rewritten".to_owned(), remedy);
    }
    if path.contains("*") {
        let remedy = "name the prefix itself: \"/api\"".to_owned();
        return refuse("there are no wildcards here".to_owned(), remedy);
    }
    match Target::parse(&Method::GET, path) {
        Ok(_) if path.starts_with("//") => {
            let remedy = format!("write \"/{}\"", path.trim_start_matches('/'));
            refuse("the path begins with two slashes".to_owned(), remedy)
        }
        Ok(_) => Some(path.into()),
        Err(error) => refuse(
            error.to_string(),
            "write it as a client sends it".to_owned(),
        ),
    }
}

fn read_host(text: &Located<String>, faults: &Faults) -> Option<HostRewrite> {
    match text.value.as_str() {
        "preserve" => Some(HostRewrite::Preserve),
        "endpoint" => Some(HostRewrite::Endpoint),
        name => {
            let bare = Host::parse(name).map(|host| host.to_string());
            let with_port = |_| Authority::parse(name, None).map(|both| both.to_string());
            let read = match name.contains(':') {
                true => bare.or_else(with_port),
                false => bare,
            };
            match read {
                Ok(host) => Some(HostRewrite::Set(host.into())),
                Err(error) => {
                    let remedy =
                        "write \"preserve\", \"endpoint\", or a host such as \"app.example\"";
                    faults.push(Fault::at(&text.at, error.to_string(), remedy));
                    None
                }
            }
        }
    }
}

/// The longest target that a shorter one may become, in bytes.
const LONGEST: usize = 8 << 10;
