//! From `[[route]]` to a table, with every fault at its place.
//! Start at [`read`].

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::Route;
use super::action::Action;
use super::matches::Matches;
use super::pages::Files;
use super::rewrite::Rewrite;
use super::shadow::find_hidden;
use super::table::RouteTable;
use super::treatment::Treatment;
use crate::fault::{Fault, Faults, Location};
use crate::settings::{FromValue, Located, Table, Value};

/// What routes may name, and where faults go.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The listeners that take routes.
    pub listeners: &'a [Arc<str>],
    /// The upstreams.
    pub upstreams: &'a [Arc<str>],
    /// Where faults go.
    pub faults: &'a Faults,
}

/// Reads the routes of a configuration: the value of its key `route`. Blocks on the disk, where pages stand in files.
///
/// What is a fault is not in the table that is given back: it is complete where no fault was added.
pub fn read(routes: Option<Value>, ground: Ground<'_>) -> RouteTable {
    let tables = routes.and_then(|routes| Vec::<Table>::from_value(routes, ground.faults));
    let files = Files::default();
    let mut names: HashMap<Arc<str>, Location> = HashMap::new();
    let mut read = Vec::new();
    for (place, table) in tables.unwrap_or_default().into_iter().enumerate() {
        let Some((route, matches)) = read_route(table, place, ground, &files) else {
            continue;
        };
        if let Some(first) = names.get(&route.name) {
            let problem = format!("two routes have the name \"{}\"", route.name);
            let remedy = format!("the other one is at {first}: rename one of them");
            ground.faults.push(Fault::at(&route.at, problem, remedy));
        }
        names
            .entry(route.name.clone())
            .or_insert_with(|| route.at.clone());
        read.push((Arc::new(route), matches));
    }
    find_hidden(ground.listeners, &read, ground.faults);
    RouteTable::new(ground.listeners, read)
}

fn read_route(
    table: Table,
    place: usize,
    ground: Ground<'_>,
    files: &Files,
) -> Option<(Route, Matches)> {
    let faults = ground.faults;
    let before = faults.len();
    let name: Option<Located<String>> = table.take("name", faults);
    if let Some(name) = name.as_ref().filter(|name| !is_name(&name.value)) {
        let problem = format!("{:?} is not a name", name.value);
        let remedy = "write one to 64 letters, digits, dots, hyphens, underscores or spaces";
        faults.push(Fault::at(&name.at, problem, remedy));
    }
    let matches = Matches::read(&table, ground);
    let action = Action::read(&table, ground, files);
    let rewrite = table.take_value("rewrite");
    let rewrite = rewrite.and_then(|value| Rewrite::read(value, faults));
    let treatment = Treatment::read(&table, ground, files);
    let at = table.at.clone();
    table.finish(faults);
    let name = match name {
        Some(name) => name.value,
        None => format!("route-{}", place + 1),
    };
    let route = Route {
        name: name.into(),
        at,
        action: action?,
        rewrite: rewrite.unwrap_or_default(),
        treatment,
        traces: matches.conditions.names(&Method::TRACE),
    };
    (faults.len() == before).then_some((route, matches))
}

/// It goes into records and fields.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-._ ".contains(c);
    (1..=64).contains(&name.chars().count()) && name.chars().all(plain) && name.trim() == name
}
