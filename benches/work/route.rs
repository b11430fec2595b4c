//! Tables of 10,000 routes in three shapes, with a request for each route. For `benches/route.rs` and `benches/instructions.rs`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use egret::addr::Host;
use egret::fault::{Faults, Source};
use egret::route::{Asked, Found, Ground, Readings, RouteTable, read};
use egret::settings::Table;
use http::{HeaderMap, HeaderValue, Method};

const ROUTES: usize = 10_000;

/// What a table is written as, and what is asked of it.
pub(crate) struct Shape {
    text: String,
    /// Host and target of each request.
    requests: Vec<(String, String)>,
}

/// A host each; a path each on one host; hosts with paths and wildcards.
pub(crate) fn shapes() -> [Shape; 3] {
    [hosts(), paths(), mixed()]
}

impl Shape {
    /// The table alone.
    pub(crate) fn build(&self) -> RouteTable {
        let faults = Faults::new();
        let root = Table::parse(&Source::new("routes.toml", &*self.text), &faults);
        let ground = Ground {
            listeners: &[Arc::from("web")],
            upstreams: &[Arc::from("app")],
            faults: &faults,
        };
        let table = read(root.take_value("route"), ground);
        assert!(faults.is_empty(), "{:?}", faults.into_vec().first());
        assert_eq!(table.len(), ROUTES);
        table
    }

    /// The table and its requests.
    pub(crate) fn ready(self) -> Routes {
        let table = self.build();
        let host = |name: &str| Host::parse(name).expect("generated names are hosts");
        let requests = self.requests.into_iter();
        let requests = requests.map(|(name, target)| (host(&name), target));
        Routes {
            table,
            requests: requests.collect(),
            headers: headers(),
        }
    }
}

/// A table, and the requests that are looked up in it.
pub(crate) struct Routes {
    table: RouteTable,
    requests: Vec<(Host, String)>,
    headers: HeaderMap,
}

impl Routes {
    /// The requests, from 0.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Host and target of a request.
    pub(crate) fn request(&self, nth: usize) -> &(Host, String) {
        self.requests.get(nth).expect("there is such a request")
    }

    /// Whether a route is found for a request.
    pub(crate) fn find(&self, nth: usize) -> bool {
        let (host, target) = black_box(self.request(nth));
        // The readings are a part of it: a gateway makes them for each request.
        let path = Readings::of(target);
        let asked = Asked {
            listener: "web",
            host: Some(host),
            path: &path,
            method: &Method::GET,
            headers: &self.headers,
        };
        matches!(black_box(self.table.find(&asked)), Found::Route(_))
    }
}

/// Each route has a host of its own.
fn hosts() -> Shape {
    let (mut text, mut requests) = (String::new(), Vec::new());
    for n in shuffled() {
        route(&mut text, &format!("host = \"shop-{n}.eu.example.com\""));
        requests.push((format!("shop-{n}.eu.example.com"), format!("/cart/{n}?x=1")));
    }
    Shape { text, requests }
}

/// Each route has a path of its own, half of them exact, half prefixes of two or three segments.
fn paths() -> Shape {
    let (mut text, mut requests) = (String::new(), Vec::new());
    for n in shuffled() {
        let (path, target) = match n % 4 {
            0 => (
                format!("/v1/things/{n}/*"),
                format!("/v1/things/{n}/parts/7?x=1"),
            ),
            1 => (format!("/service-{n}/*"), format!("/service-{n}/a/b/c/d")),
            _ => (format!("/v2/things/{n}"), format!("/v2/things/{n}?x=1")),
        };
        route(
            &mut text,
            &format!("host = \"api.example.com\"\npath = \"{path}\""),
        );
        requests.push(("api.example.com".to_owned(), target));
    }
    Shape { text, requests }
}

/// A thousand hosts, every tenth a wildcard, with ten routes each: exact, prefixes, a glob, an expression, conditions, default.
fn mixed() -> Shape {
    const PATHS: [(&str, &str); 10] = [
        ("path = \"/\"", "/"),
        ("path = \"/login\"", "/login?next=/x"),
        ("path = \"/login\"\nmethod = \"POST\"", "/login"),
        ("path = \"/api/*\"", "/api/users/7"),
        ("path = \"/api/v2/*\"", "/api/v2/users/7/orders"),
        (
            "path = \"/api/v2/*\"\nheader = { x-beta = true }",
            "/api/v2/carts",
        ),
        ("path = \"/api/*/raw\"", "/api/x/raw"),
        ("path = \"/static/*\"", "/static/css/site.css"),
        ("path = { regex = \"/user/[0-9]+\" }", "/user/1234"),
        ("", "/anything/else/there/is.html"),
    ];
    let (mut text, mut requests) = (String::new(), Vec::new());
    for n in shuffled() {
        let host = n / 10;
        let (path, target) = PATHS.get(n % 10).expect("there are ten");
        let (pattern, name) = match host % 10 {
            0 => (
                format!("*.wild-{host}.example.com"),
                format!("a.wild-{host}.example.com"),
            ),
            _ => (
                format!("www.host-{host}.example.com"),
                format!("www.host-{host}.example.com"),
            ),
        };
        route(&mut text, &format!("host = \"{pattern}\"\n{path}"));
        requests.push((name, (*target).to_owned()));
    }
    Shape { text, requests }
}

fn route(text: &mut String, matches: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "[[route]]\nto = \"app\"\n{matches}");
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [
        "host",
        "user-agent",
        "accept",
        "accept-language",
        "cookie",
        "x-request-id",
    ] {
        headers.insert(
            name,
            HeaderValue::from_static("of the usual length, or a little more"),
        );
    }
    headers
}

/// Every number below [`ROUTES`] once, in an order that no table is in.
fn shuffled() -> impl Iterator<Item = usize> {
    (0..ROUTES).map(|n| n * 7_919 % ROUTES)
}
