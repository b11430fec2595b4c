//! A table of 10,000 routes: how long it takes to find one, that nothing is allocated for it, and how long the table takes to
//! build. In three shapes: a host each, a path each on one host, and hosts with paths and wildcards. `cargo bench --bench route`

use std::alloc::System;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use egret::addr::Host;
use egret::fault::{Faults, Source};
use egret::route::{Asked, Found, Ground, Readings, RouteTable, read};
use egret::settings::Table;
use http::{HeaderMap, HeaderValue, Method};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUTES: usize = 10_000;

fn main() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for (shape, text, requests) in [hosts(), paths(), mixed()] {
        let table = build(&text);
        assert_eq!(table.len(), ROUTES);
        let requests: Vec<(Host, &'static str)> = requests
            .into_iter()
            .map(|(host, path)| {
                let host = Host::parse(&host).expect("generated names are hosts");
                (host, &*path.leak())
            })
            .collect();
        let headers = headers();
        let find = |(host, target): &(Host, &str)| {
            // The readings are a part of it: a gateway makes them for each request.
            let path = Readings::of(target);
            let asked = Asked {
                listener: "web",
                host: Some(host),
                path: &path,
                method: &Method::GET,
                headers: &headers,
            };
            matches!(black_box(table.find(&asked)), Found::Route(_))
        };
        // Expressions make what they work with when they are first used.
        assert!(requests.iter().all(find), "{shape}");
        let region = Region::new(ALLOCATOR);
        let found = requests.iter().filter(|request| find(request)).count();
        let allocations = region.change().allocations;
        assert_eq!((found, allocations), (requests.len(), 0), "{shape}");
        let mut requests = requests.iter().cycle();
        criterion.bench_function(&format!("find, {shape}"), |bencher| {
            bencher.iter(|| find(black_box(requests.next().expect("a cycle has no end"))));
        });
    }
    let (_, text, _) = mixed();
    let mut slow = criterion.benchmark_group("build");
    slow.sample_size(10)
        .bench_function("10,000 routes", |bencher| bencher.iter(|| build(&text)));
    slow.finish();
    criterion.final_summary();
}

type Shape = (&'static str, String, Vec<(String, String)>);

/// Each route has a host of its own.
fn hosts() -> Shape {
    let (mut text, mut requests) = (String::new(), Vec::new());
    for n in shuffled() {
        route(&mut text, &format!("host = \"shop-{n}.eu.example.com\""));
        requests.push((format!("shop-{n}.eu.example.com"), format!("/cart/{n}?x=1")));
    }
    ("a host each", text, requests)
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
    ("a path each", text, requests)
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
    ("hosts with paths", text, requests)
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

fn build(text: &str) -> RouteTable {
    let faults = Faults::new();
    let root = Table::parse(&Source::new("routes.toml", text), &faults);
    let ground = Ground {
        listeners: &[Arc::from("web")],
        upstreams: &[Arc::from("app")],
        faults: &faults,
    };
    let table = read(root.take_value("route"), ground);
    assert!(faults.is_empty(), "{:?}", faults.into_vec().first());
    table
}

/// Every number below [`ROUTES`] once, in an order that no table is in.
fn shuffled() -> impl Iterator<Item = usize> {
    (0..ROUTES).map(|n| n * 7_919 % ROUTES)
}
