//! Routes as an operator writes them: which is taken, what becomes of a request, what is a fault.

mod actions;
mod faults;
mod find;
mod property;
mod rewrite;

use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Asked, Found, Ground, Readings, Route, RouteTable, read};
use crate::addr::Host;
use crate::fault::{Fault, Faults, Source};
use crate::settings::Table;

/// The routes of a text, and every fault in it. Listeners are `web` and `admin`, upstreams `app`, `old` and `new`.
fn read_text(text: &str, folder: &Path) -> (RouteTable, Vec<Fault>) {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| Arc::from(*name))
            .collect::<Vec<_>>()
    };
    let faults = Faults::new();
    let root = Table::parse(&Source::new(folder.join("egret.toml"), text), &faults);
    let ground = Ground {
        listeners: &names(&["web", "admin"]),
        upstreams: &names(&["app", "old", "new"]),
        faults: &faults,
    };
    let table = read(root.take_value("route"), ground);
    root.finish(&faults);
    (table, faults.into_vec())
}

/// The routes of a text that has no faults.
fn table(text: &str) -> RouteTable {
    let (table, faults) = read_text(text, Path::new(""));
    assert!(faults.is_empty(), "{text}\n{faults:?}");
    table
}

/// The one route of a text.
fn one(text: &str) -> Arc<Route> {
    let table = table(&format!("[[route]]\n{text}"));
    let mut routes = table.routes();
    routes.next().expect("the text has a route").clone()
}

/// What is found for `GET http://www.example/path`; a host and fields may stand beside.
fn found(table: &RouteTable, request: &str) -> String {
    let mut words = request.split_whitespace();
    let (mut host, mut method, mut listener) = ("www.example", Method::GET, "web");
    let mut target = "/";
    let mut headers = HeaderMap::new();
    for word in &mut words {
        match word.split_once(':') {
            Some(("host", name)) => host = name,
            Some(("listener", name)) => listener = name,
            Some((name, value)) if !word.starts_with('/') => {
                let name: HeaderName = name.parse().expect("the tables hold field names");
                let value = HeaderValue::from_str(value).expect("and field values");
                headers.append(name, value);
            }
            Some(_) | None if word.starts_with(['/', '*']) => target = word,
            Some(_) | None => method = word.parse().expect("and methods"),
        }
    }
    let host = (host != "none").then(|| Host::parse(host).expect("and hosts"));
    let path = Readings::of(target);
    let asked = Asked {
        listener,
        host: host.as_ref(),
        path: &path,
        method: &method,
        headers: &headers,
    };
    match table.find(&asked) {
        Found::Route(route) => route.name.to_string(),
        Found::Nothing => "nothing".to_owned(),
        Found::Ambiguous => "ambiguous".to_owned(),
    }
}
