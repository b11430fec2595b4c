//! Routes that no request can reach, because others take all that they match, as far as that can be known.
//! Start at [`find_hidden`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Route;
use super::matches::Matches;
use super::path::PathPattern;
use crate::addr::HostPattern;
use crate::fault::{Fault, Faults};

/// Adds a fault for each route that another one hides on some listener, for some host and path of its own.
///
/// Known are: a route of the same host, path and conditions that stands before; a regular expression that begins as a prefix
/// does, or follows one that matches everything.
pub(super) fn find_hidden(
    listeners: &[Arc<str>],
    routes: &[(Arc<Route>, Matches)],
    faults: &Faults,
) {
    let mut told = HashSet::new();
    for (place, listener) in listeners.iter().enumerate() {
        let on_it = || {
            let all = routes.iter().enumerate();
            all.filter(move |(_, (_, matches))| matches.listeners.contains(&place))
        };
        let mut seen = Seen::default();
        for (at, (_, matches)) in on_it() {
            seen.add(at, matches);
        }
        for (at, (route, matches)) in on_it() {
            for (host, path) in matches.pairs() {
                let Some(by) = seen.hides(at, matches, host, path) else {
                    continue;
                };
                // A listener after the other says the same.
                if !told.insert((at, by)) {
                    continue;
                }
                let by = routes.get(by).map_or("", |(route, _)| &*route.name);
                let plain = matches!((host, path), (HostPattern::Any, PathPattern::Any));
                faults.push(told_fault(route, by, listener, (host, path), plain));
            }
        }
    }
}

fn told_fault(
    route: &Route,
    by: &str,
    listener: &str,
    (host, path): (&HostPattern, &PathPattern),
    default: bool,
) -> Fault {
    let name = &route.name;
    if default {
        let problem =
            format!("the listener \"{listener}\" has two default routes: \"{by}\" and \"{name}\"");
        let remedy = "keep one, give the other a host, a path or a condition, or say by listener where each is for";
        return Fault::at(&route.at, problem, remedy);
    }
    let problem = format!(
        "the route \"{name}\" is never reached by {}{}: \"{by}\" takes all of it",
        host_text(host),
        path.text()
    );
    let remedy = match path {
        PathPattern::Regex(..) => {
            "expressions are tried last: take it out, or give the other route's prefix up for expressions too"
        }
        PathPattern::Any | PathPattern::Exact(_) | PathPattern::Below(_) | PathPattern::Glob(_) => {
            "take it out, or add a method, header or query that tells them apart"
        }
    };
    Fault::at(&route.at, problem, remedy)
}

fn host_text(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Below(suffix) => format!("*{suffix}"),
        HostPattern::Any | HostPattern::Glob(..) => String::new(),
    }
}

/// What the routes of a listener take.
#[derive(Debug, Default)]
struct Seen {
    /// The first route of each host, path and conditions.
    first: HashMap<String, usize>,
    /// Prefixes without conditions, by host and path.
    prefixes: HashMap<String, usize>,
    /// The first expression without conditions that matches every path, by host.
    everything: HashMap<String, usize>,
    /// The first route of each expression, by host: there all of them are tried.
    regexes: HashMap<String, usize>,
}

impl Seen {
    fn add(&mut self, at: usize, matches: &Matches) {
        let bare = matches.conditions.is_empty();
        for (host, path) in matches.pairs() {
            self.first.entry(key(matches, host, path)).or_insert(at);
            let host = host_text(host);
            match path {
                PathPattern::Below(base) if bare => {
                    self.prefixes.entry(format!("{host}{base}")).or_insert(at);
                }
                PathPattern::Regex(text, _) => {
                    self.regexes.entry(format!("{host} {text}")).or_insert(at);
                    if bare && ALL.contains(&&**text) {
                        self.everything.entry(host).or_insert(at);
                    }
                }
                PathPattern::Any
                | PathPattern::Exact(_)
                | PathPattern::Below(_)
                | PathPattern::Glob(_) => {}
            }
        }
    }

    /// The route that takes all requests of this host and path of another route's.
    fn hides(
        &self,
        at: usize,
        matches: &Matches,
        host: &HostPattern,
        path: &PathPattern,
    ) -> Option<usize> {
        let same = self.first.get(&key(matches, host, path)).copied();
        if let Some(first) = same.filter(|first| *first < at) {
            return Some(first);
        }
        let PathPattern::Regex(text, _) = path else {
            return None;
        };
        let host = host_text(host);
        let tried = self.regexes.get(&format!("{host} {text}"));
        let everything = self.everything.get(&host);
        let everything = everything.filter(|all| tried.is_some_and(|tried| *all < tried));
        let literal = literal_beginning(text);
        // Each whole segment that the expression begins with may be somebody's prefix.
        let slashes = literal.match_indices('/').skip(1);
        let mut bases = slashes.filter_map(|(end, _)| literal.get(..end));
        let prefix = bases.find_map(|base| self.prefixes.get(&format!("{host}{base}")));
        everything.or(prefix).copied().filter(|by| *by != at)
    }
}

/// The same for two that match the same.
fn key(matches: &Matches, host: &HostPattern, path: &PathPattern) -> String {
    let conditions = matches.conditions.text();
    format!(
        "{} {} {} {conditions}",
        host_text(host),
        path.text(),
        matches.named
    )
}

/// The characters that everything begins with that an expression matches.
fn literal_beginning(expression: &str) -> &str {
    let text = expression.strip_prefix('^').unwrap_or(expression);
    if text.contains('|') {
        return "";
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_~%!&,;=:@".contains(c);
    let end = text.find(|c| !plain(c)).unwrap_or(text.len());
    let (literal, rest) = text.split_at(end);
    // What is repeated may be there not at all.
    match rest.chars().next() {
        Some('*' | '?' | '{') => {
            let last = literal.char_indices().last();
            literal
                .get(..last.map_or(0, |(at, _)| at))
                .unwrap_or_default()
        }
        Some(_) | None => literal,
    }
}

/// Expressions that match every path.
const ALL: [&str; 4] = [".*", "/.*", "^.*$", "^/.*$"];
