//! Random tables and requests: what is found is what a plain reading of the rules of precedence finds.
//! The reading knows strings alone, and none of the code that is under test.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use regex::Regex;

use super::{found, read_text};

/// As written, and what it means.
const HOSTS: [(&str, &[&str]); 7] = [
    ("", &["*"]),
    ("host = \"default\"", &["*"]),
    ("host = \"a.x\"", &["a.x"]),
    ("host = \"*.x\"", &["*.x"]),
    ("host = \"*.a.x\"", &["*.a.x"]),
    ("host = [\"b.a.x\", \"*.x\"]", &["b.a.x", "*.x"]),
    ("host = \"8.8.8.8\"", &["8.8.8.8"]),
];
const PATHS: [(&str, &[&str]); 13] = [
    ("", &["/*"]),
    ("path = \"/a\"", &["/a"]),
    ("path = \"/a/\"", &["/a/"]),
    ("path = \"/a/*\"", &["/a/*"]),
    ("path = \"/a/b/*\"", &["/a/b/*"]),
    ("path = [\"/b/*\", \"/a/b\"]", &["/b/*", "/a/b"]),
    ("path = \"/a/*/c\"", &["/a/*/c"]),
    ("path = \"/a/?/c\"", &["/a/?/c"]),
    ("path = \"/*/b\"", &["/*/b"]),
    ("path = \"/a*\"", &["/a*"]),
    ("path = { regex = \"/[ab]+\" }", &["~/[ab]+"]),
    ("path = { regex = \"/a/.*c\" }", &["~/a/.*c"]),
    ("path = { regex = \".*\" }", &["~.*"]),
];
/// With methods, and values of `x-v` and `q` that fit; `true` for any, nothing where it is not asked for.
const CONDITIONS: [(&str, [&[&str]; 3]); 10] = [
    ("", [&[], &[], &[]]),
    ("method = \"GET\"", [&["GET"], &[], &[]]),
    ("method = [\"POST\", \"GET\"]", [&["GET", "POST"], &[], &[]]),
    ("header = { x-v = \"1\" }", [&[], &["1"], &[]]),
    ("header = { x-v = true }", [&[], &["true"], &[]]),
    ("header = { x-v = \"1*\" }", [&[], &["1*"], &[]]),
    ("header = { x-v = [\"1\", \"2\"] }", [&[], &["1", "2"], &[]]),
    ("query = { q = \"1\" }", [&[], &[], &["1"]]),
    (
        "query = { q = true }\nmethod = \"GET\"",
        [&["GET"], &[], &["true"]],
    ),
    (
        "query = { q = \"1\" }\nheader = { x-v = \"1\" }",
        [&[], &["1"], &["1"]],
    ),
];
const LISTENERS: [(&str, &[&str]); 4] = [
    ("", &["web", "admin"]),
    ("", &["web", "admin"]),
    ("listener = \"web\"", &["web"]),
    ("listener = \"admin\"", &["admin"]),
];

const ASKED_HOSTS: [&str; 8] = ["a.x", "b.a.x", "c.b.a.x", "x", "ax", "y", "8.8.8.8", "none"];
/// As sent, and every way to read it.
const ASKED_PATHS: [(&str, &[&str]); 20] = [
    ("/", &["/"]),
    ("/a", &["/a"]),
    ("/a/", &["/a/"]),
    ("/a/b", &["/a/b"]),
    ("/a/b/", &["/a/b/"]),
    ("/a/b/c", &["/a/b/c"]),
    ("/a/bb/c", &["/a/bb/c"]),
    ("/ab", &["/ab"]),
    ("/b", &["/b"]),
    ("/b/b/c", &["/b/b/c"]),
    ("/c/b", &["/c/b"]),
    ("/abba", &["/abba"]),
    ("/%61", &["/a", "/%61"]),
    ("//a", &["/a", "//a"]),
    ("/a%2Fb", &["/a%2Fb", "/a/b"]),
    ("/a%2fb/c", &["/a%2Fb/c", "/a/b/c"]),
    ("/a;v/b", &["/a;v/b", "/a/b"]),
    ("/a/b;v", &["/a/b;v", "/a/b"]),
    ("//a%2F%62/c", &["/a%2Fb/c", "/a/b/c", "//a%2F%62/c"]),
    ("*", &["*"]),
];
const ASKED_FIELDS: [(&str, &str); 4] =
    [("", ""), ("x-v:1", "1"), ("x-v:12", "12"), ("x-v:2", "2")];
const ASKED_QUERIES: [(&str, Option<&str>); 4] = [
    ("", None),
    ("?q=1", Some("1")),
    ("?q=2", Some("2")),
    ("?%71=%31", Some("1")),
];
const UPSTREAMS: [&str; 2] = ["app", "old"];

/// Places in the tables above.
#[derive(Debug, Clone)]
struct Drawn {
    host: usize,
    path: usize,
    condition: usize,
    listener: usize,
    upstream: usize,
}

prop_compose! {
    fn drawn()(
        host in 0..HOSTS.len(),
        path in 0..PATHS.len(),
        condition in prop_oneof![Just(0), 0..CONDITIONS.len()],
        listener in 0..LISTENERS.len(),
        upstream in 0..UPSTREAMS.len(),
    ) -> Drawn {
        Drawn { host, path, condition, listener, upstream }
    }
}

impl Drawn {
    fn written(&self, at: usize) -> String {
        let Self {
            host,
            path,
            condition,
            listener,
            upstream,
        } = self;
        format!(
            "[[route]]\nname = \"r{at}\"\nto = \"{}\"\n{}\n{}\n{}\n{}\n",
            UPSTREAMS[*upstream],
            HOSTS[*host].0,
            PATHS[*path].0,
            CONDITIONS[*condition].0,
            LISTENERS[*listener].0,
        )
    }
}

/// A request in the same tables.
#[derive(Debug, Clone, Copy)]
struct Request {
    host: &'static str,
    method: &'static str,
    field: &'static str,
    query: Option<&'static str>,
    listener: &'static str,
}

/// The route by the rules, one after the other.
fn plainly(routes: &[Drawn], request: Request, path: &str) -> Option<usize> {
    let first_with = |host: &str, text: &str| {
        let mut places = routes.iter();
        places.position(|route| {
            HOSTS[route.host].1.contains(&host)
                && PATHS[route.path].1.contains(&text)
                && LISTENERS[route.listener].1.contains(&request.listener)
        })
    };
    let mut best = None;
    for (at, route) in routes.iter().enumerate() {
        let named = !LISTENERS[route.listener].0.is_empty();
        if !LISTENERS[route.listener].1.contains(&request.listener) {
            continue;
        }
        let Some(asks) = conditions(&CONDITIONS[route.condition].1, request) else {
            continue;
        };
        let asks = (
            Reverse(asks.0 + usize::from(named)),
            asks.1,
            asks.2,
            asks.3,
            asks.4,
        );
        for host in HOSTS[route.host].1 {
            for pattern in PATHS[route.path].1 {
                let rank = host_rank(host, request.host)
                    .zip(path_rank(pattern, path, first_with(host, pattern)))
                    .map(|(host, path)| (host, path, asks, at));
                best = [best, rank].into_iter().flatten().min();
            }
        }
    }
    best.map(|(_, _, _, at)| at)
}

fn host_rank(pattern: &str, host: &str) -> Option<(u8, Reverse<usize>)> {
    match pattern.strip_prefix('*') {
        None => (pattern == host).then_some((0, Reverse(0))),
        Some("") => Some((2, Reverse(0))),
        Some(suffix) => (host.ends_with(suffix) && host.len() > suffix.len())
            .then_some((1, Reverse(suffix.len()))),
    }
}

/// The kind, the segments that are written out, whether it is no glob, its letters, and the place of its text.
type PathRank = (u8, Reverse<usize>, u8, Reverse<usize>, Option<usize>);

/// Exact, then by the segments that are written out, with globs first; then expressions; then anything.
fn path_rank(pattern: &str, path: &str, first: Option<usize>) -> Option<PathRank> {
    let plain = |kind, segments| (kind, Reverse(segments), 1, Reverse(0), None);
    if pattern == "/*" {
        return Some(plain(3, 0));
    }
    if let Some(regex) = EXPRESSIONS.get(pattern) {
        if path == "*" || !regex.is_match(path) {
            return None;
        }
        if pattern.starts_with('~') {
            return Some((2, Reverse(0), 0, Reverse(0), first));
        }
        let beginning = pattern.split(['*', '?']).next().unwrap_or_default();
        let segments = beginning.matches('/').count() - 1;
        let letters = pattern.len() - pattern.matches(['*', '?']).count();
        return Some((1, Reverse(segments), 0, Reverse(letters), first));
    }
    if let Some(base) = pattern.strip_suffix("/*") {
        let below = path == base || path.starts_with(&format!("{base}/"));
        return below.then(|| plain(1, base.matches('/').count()));
    }
    (pattern == path).then(|| plain(0, 0))
}

/// What expressions and globs match.
static EXPRESSIONS: LazyLock<HashMap<&str, Regex>> = LazyLock::new(|| {
    let patterns = PATHS.iter().flat_map(|(_, patterns)| patterns.iter());
    let expression = |pattern: &&'static str| {
        let expression = match pattern.strip_prefix('~') {
            Some(expression) => expression.to_owned(),
            None if pattern.ends_with("/*") || !pattern.contains(['*', '?']) => return None,
            None => pattern.replace('*', "[^/]*").replace('?', "[^/]"),
        };
        let regex = Regex::new(&format!("^(?:{expression})$")).expect("the table holds patterns");
        Some((*pattern, regex))
    };
    patterns.filter_map(expression).collect()
});

/// How many there are, how many ask for presence, have wildcards, name methods, name values; `None` where one fails.
fn conditions(
    [methods, field, query]: &[&[&str]; 3],
    request: Request,
) -> Option<(usize, usize, usize, usize, usize)> {
    let fits = |wanted: &&str, value: &str| match wanted.strip_suffix('*') {
        Some(beginning) => value.starts_with(beginning),
        None => *wanted == "true" || *wanted == value,
    };
    let method = methods.is_empty() || methods.contains(&request.method);
    let there = !request.field.is_empty();
    let of_field =
        field.is_empty() || there && field.iter().any(|wanted| fits(wanted, request.field));
    let of_query = query.is_empty()
        || request
            .query
            .is_some_and(|value| query.iter().any(|wanted| fits(wanted, value)));
    if !(method && of_field && of_query) {
        return None;
    }
    let values = || field.iter().chain(query.iter());
    let count = [methods, field, query]
        .iter()
        .filter(|list| !list.is_empty())
        .count();
    let present = values().filter(|value| **value == "true").count();
    let globs = values().filter(|value| value.contains('*')).count();
    Some((
        count,
        present,
        globs,
        methods.len(),
        values().count() - present,
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_what_the_rules_of_precedence_say(
        routes in prop::collection::vec(drawn(), 0..14),
        requests in prop::collection::vec(
            (0..ASKED_HOSTS.len(), 0..ASKED_PATHS.len(), 0..ASKED_FIELDS.len(), 0..ASKED_QUERIES.len(), any::<bool>(), any::<bool>()),
            60,
        ),
    ) {
        let text: String = routes.iter().enumerate().map(|(at, route)| route.written(at)).collect();
        // Routes that others hide are faults; what is left of precedence is the same for them.
        let (table, faults) = read_text(&text, std::path::Path::new(""));
        for fault in &faults {
            let hidden = fault.problem.contains("never reached") || fault.problem.contains("two default");
            prop_assert!(hidden, "{text}\n{fault:?}");
        }
        for (host, path, field, query, get, web) in requests {
            let request = Request {
                host: ASKED_HOSTS[host],
                method: if get { "GET" } else { "POST" },
                field: ASKED_FIELDS[field].1,
                query: ASKED_QUERIES[query].1,
                listener: if web { "web" } else { "admin" },
            };
            let (sent, readings) = ASKED_PATHS[path];
            let (field, query) = (ASKED_FIELDS[field].0, ASKED_QUERIES[query].0);
            let query = if sent == "*" { "" } else { query };
            let request = Request { query: request.query.filter(|_| sent != "*"), ..request };
            let by_reading: Vec<Option<usize>> =
                readings.iter().map(|path| plainly(&routes, request, path)).collect();
            let upstream = |at: &Option<usize>| at.map(|at| routes[at].upstream);
            let one = by_reading.iter().all(|at| upstream(at) == upstream(&by_reading[0]));
            let expected = match by_reading[0] {
                _ if !one => "ambiguous".to_owned(),
                Some(at) => format!("r{at}"),
                None => "nothing".to_owned(),
            };
            let asked = format!(
                "listener:{} host:{} {} {field} {sent}{query}",
                request.listener, request.host, request.method
            );
            prop_assert_eq!(found(&table, &asked), expected, "{}\n{}", asked, text);
        }
    }
}

#[test]
fn a_hidden_route_is_never_the_one_that_is_found() {
    // Each pair of routes in the tables: where the second is told to be hidden, no request finds it.
    let all = |listener| {
        [0, 2, 3].into_iter().flat_map(move |host| {
            (0..PATHS.len()).map(move |path| Drawn {
                host,
                path,
                condition: 0,
                listener,
                upstream: 0,
            })
        })
    };
    let mut hidden = 0;
    for one in all(0) {
        for two in all(0).filter(|two| PATHS[two.path].1.len() == 1) {
            let text = format!("{}{}", one.written(0), two.written(1));
            let (table, faults) = read_text(&text, std::path::Path::new(""));
            if !faults.iter().any(|fault| {
                fault.problem.contains("\"r1\" is never") || fault.problem.contains("and \"r1\"")
            }) {
                continue;
            }
            hidden += 1;
            for host in ASKED_HOSTS {
                for (path, _) in ASKED_PATHS {
                    assert_ne!(
                        found(&table, &format!("host:{host} {path}")),
                        "r1",
                        "{text}"
                    );
                }
            }
        }
    }
    assert!(hidden > 30, "{hidden}");
}
