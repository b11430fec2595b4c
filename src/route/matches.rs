//! Which requests a route is for, as its table says it.
//! Not the search for the one that fits best (`index`).
//! Start at [`Matches::read`].

use super::conditions::Conditions;
use super::path::PathPattern;
use super::source::Ground;
use crate::addr::{Authority, HostPattern};
use crate::fault::{Fault, Location, nearest};
use crate::settings::{Located, Table};

/// Which requests a route is for.
#[derive(Debug)]
pub(super) struct Matches {
    /// Places among the listeners; all of them where none is named.
    pub(super) listeners: Vec<usize>,
    /// Whether listeners are named.
    pub(super) named: bool,
    pub(super) hosts: Vec<HostPattern>,
    pub(super) paths: Vec<PathPattern>,
    pub(super) conditions: Conditions,
}

impl Matches {
    pub(super) fn read(table: &Table, ground: Ground<'_>) -> Self {
        let faults = ground.faults;
        let before = faults.len();
        let listeners: Option<Located<Vec<Located<String>>>> = table.take("listener", faults);
        let hosts: Option<Located<Vec<Located<String>>>> = table.take("host", faults);
        let paths: Option<Located<Vec<PathPattern>>> = table.take("path", faults);
        let read = faults.len() == before;
        let none = |at: &Location, problem: &str| {
            let remedy = "name at least one, or leave the key out";
            faults.push(Fault::at(at, problem, remedy));
        };
        let named = listeners.is_some();
        let listeners = match &listeners {
            None => (0..ground.listeners.len()).collect(),
            Some(names) => {
                if names.value.is_empty() && read {
                    none(&names.at, "no listener is named");
                }
                read_listeners(&names.value, ground)
            }
        };
        let hosts = match hosts {
            None => vec![HostPattern::Any],
            Some(hosts) => {
                if hosts.value.is_empty() && read {
                    none(&hosts.at, "no host is named");
                }
                let hosts = hosts.value.iter();
                hosts.filter_map(|host| read_host(host, ground)).collect()
            }
        };
        let paths = match paths {
            None => vec![PathPattern::Any],
            Some(paths) => {
                if paths.value.is_empty() && read {
                    none(&paths.at, "no path is named");
                }
                paths.value
            }
        };
        Self {
            listeners,
            named,
            hosts,
            paths,
            conditions: Conditions::read(table, faults),
        }
    }

    /// Each host with each path.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&HostPattern, &PathPattern)> {
        let hosts = self.hosts.iter();
        hosts.flat_map(|host| self.paths.iter().map(move |path| (host, path)))
    }
}

fn read_listeners(names: &[Located<String>], ground: Ground<'_>) -> Vec<usize> {
    let find = |name: &Located<String>| {
        let mut listeners = ground.listeners.iter();
        let at = listeners.position(|known| **known == *name.value);
        if at.is_none() {
            let known = ground.listeners.iter().map(|known| &**known);
            let remedy = match nearest(&name.value, known) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => "name a listener with mode = \"reverse\"".to_owned(),
            };
            let problem = format!("there is no listener \"{}\" that takes routes", name.value);
            ground.faults.push(Fault::at(&name.at, problem, remedy));
        }
        at
    };
    let mut found: Vec<usize> = names.iter().filter_map(find).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn read_host(item: &Located<String>, ground: Ground<'_>) -> Option<HostPattern> {
    let refuse = |problem: String, remedy: &str| {
        ground.faults.push(Fault::at(&item.at, problem, remedy));
        None
    };
    if item.value == "default" {
        return Some(HostPattern::Any);
    }
    if item.value.contains("://") || Authority::parse(&item.value, None).is_ok() {
        return refuse(
            format!("\"{}\" is more than a host", item.value),
            "write the host alone: \"www.example.com\"; ports are those of the listener",
        );
    }
    match HostPattern::parse(&item.value) {
        Ok(HostPattern::Glob(..)) => refuse(
            format!("\"{}\" is a glob, and routes are found by name", item.value),
            "write \"www.example.com\", \"*.example.com\" or \"default\"",
        ),
        Ok(pattern) => Some(pattern),
        Err(error) => refuse(
            error.to_string(),
            "write a host without scheme and port: \"www.example.com\"",
        ),
    }
}
