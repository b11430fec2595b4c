//! Which route is taken, in tables of requests.

use super::{found, table};

/// In an order that would be wrong if it said anything.
const MIXED: &str = r#"
    [[route]]
    name = "default"
    to = "old"
    [[route]]
    name = "regex"
    host = "www.example"
    path = { regex = "/(user|group)/[0-9]+" }
    to = "app"
    [[route]]
    name = "host"
    host = "www.example"
    to = "app"
    [[route]]
    name = "api"
    host = ["www.example", "api.example"]
    path = "/api/*"
    to = "app"
    [[route]]
    name = "api v1"
    host = "www.example"
    path = "/api/v1/*"
    to = "app"
    [[route]]
    name = "raw"
    host = "www.example"
    path = "/api/*/raw"
    to = "app"
    [[route]]
    name = "exact"
    host = "www.example"
    path = "/api/v1/raw"
    to = "app"
    [[route]]
    name = "exact post"
    host = "www.example"
    path = "/api/v1/raw"
    method = "POST"
    to = "new"
    [[route]]
    name = "below"
    host = "*.example"
    path = "/api/*"
    to = "new"
    [[route]]
    name = "far below"
    host = "*.eu.example"
    to = "new"
    [[route]]
    name = "anywhere"
    path = "/status"
    to = "new"
"#;

#[test]
fn the_most_specific_route_is_taken_wherever_it_stands() {
    let table = table(MIXED);
    for (request, expected) in [
        ("/", "host"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/x", "api"),
        ("/apix", "host"),
        ("/api/v1", "api v1"),
        ("/api/v1/x/y", "api v1"),
        ("/api/v2/raw", "raw"),
        ("/api/v2/raw/x", "api"),
        ("/api/v1/raw", "exact"),
        ("POST /api/v1/raw", "exact post"),
        ("/api/v1/raw?x=/y", "exact"),
        ("/user/7", "regex"),
        ("/user/7/x", "host"),
        ("/user/x", "host"),
        // A host comes before a path.
        ("/status", "host"),
        ("host:other.example /status", "anywhere"),
        ("host:other.example /api/x", "below"),
        ("host:other.example /x", "default"),
        ("host:a.eu.example /api/x", "far below"),
        ("host:eu.example /api/x", "below"),
        ("host:a.b.eu.example /", "far below"),
        ("host:api.example /api/x", "api"),
        // What an exact host has no route for, a wildcard may have.
        ("host:api.example /x", "default"),
        ("host:example /api/x", "default"),
        ("host:192.0.2.1 /status", "anywhere"),
        ("host:none /status", "anywhere"),
        ("host:WWW.Example. /api/v1", "api v1"),
        ("OPTIONS *", "host"),
        ("listener:admin /api", "api"),
        ("listener:nobody /api", "nothing"),
    ] {
        assert_eq!(found(&table, request), expected, "{request}");
    }
}

#[test]
fn the_order_of_the_file_says_nothing() {
    let mut routes: Vec<&str> = MIXED.split("[[route]]").skip(1).collect();
    routes.reverse();
    let (forth, back) = (
        table(MIXED),
        table(&format!("[[route]]{}", routes.join("[[route]]"))),
    );
    for request in [
        "/",
        "/api/v1/raw",
        "POST /api/v1/raw",
        "/user/7",
        "/api/v2/raw",
        "host:a.eu.example /api/x",
    ] {
        assert_eq!(found(&forth, request), found(&back, request), "{request}");
    }
}

/// Hosts and paths are the same; what is asked beside differs.
const CONDITIONS: &str = r#"
    [[route]]
    name = "any"
    to = "app"
    [[route]]
    name = "there"
    header = { x-version = true }
    to = "app"
    [[route]]
    name = "two or three"
    header = { x-version = ["2", "3"] }
    to = "app"
    [[route]]
    name = "two"
    header = { x-version = "2" }
    to = "app"
    [[route]]
    name = "two something"
    header = { x-version = "2*" }
    to = "app"
    [[route]]
    name = "two beta"
    header = { x-version = "2" }
    query = { beta = "1" }
    to = "app"
    [[route]]
    name = "admin"
    listener = "admin"
    to = "app"
    [[route]]
    name = "write"
    method = ["POST", "PUT"]
    path = "/w"
    to = "app"
    [[route]]
    name = "post"
    method = "POST"
    path = "/w"
    to = "app"
"#;

#[test]
fn more_conditions_come_first_and_of_as_many_those_that_say_more() {
    let table = table(CONDITIONS);
    for (request, expected) in [
        ("/", "any"),
        ("x-version:1 /", "there"),
        ("x-version:2 /", "two"),
        ("x-version:21 /", "two something"),
        ("x-version:3 /", "two or three"),
        ("x-version:1 x-version:3 /", "two or three"),
        ("x-version:2 /?beta=1", "two beta"),
        ("x-version:2 /?a&%62eta=%31", "two beta"),
        ("x-version:2 /?beta=2", "two"),
        ("x-version:2 /?beta", "two"),
        ("/?beta=1", "any"),
        ("listener:admin /", "admin"),
        ("POST /w", "post"),
        ("PUT /w", "write"),
        ("GET /w", "any"),
    ] {
        assert_eq!(found(&table, request), expected, "{request}");
    }
}

#[test]
fn a_path_that_two_origins_read_in_two_ways_takes_a_route_only_where_both_ways_lead_to_the_same() {
    let table = table(
        r#"
        [[route]]
        name = "all"
        to = "app"
        [[route]]
        name = "admin"
        path = "/admin/*"
        to = "old"
        [[route]]
        name = "git"
        path = "/git/*"
        to = "app"
        [[route]]
        name = "slow"
        path = "/slow/*"
        to = "app"
        rate = "1/s"
        [[route]]
        name = "secret"
        path = "/secret/*"
        to = "app"
        headers = { request = { set = { x-secret = "1" } } }
        [[route]]
        name = "café"
        path = "/caf%c3%a9/*"
        to = "old"
        "#,
    );
    for (request, expected) in [
        // Nothing is protected otherwise: it passes, by the route of the normal reading.
        ("/git%2Frepo", "all"),
        ("/git/a%2Frepo", "git"),
        ("/git/repo;v=1", "git"),
        ("/x%2Fy;z", "all"),
        ("//x//y", "all"),
        ("/%7Euser", "all"),
        // The normal form is not the only one that an origin may go by.
        ("/admin%2Fx", "ambiguous"),
        ("/%2Fadmin/x", "ambiguous"),
        ("/admin;a/x", "ambiguous"),
        ("/slow%2Fx", "ambiguous"),
        ("/secret%2Fx", "ambiguous"),
        ("//admin/x", "ambiguous"),
        ("/%61dmin/x", "ambiguous"),
        ("/admin/%78", "admin"),
        ("/admin//x%2Fy", "admin"),
        // The case of digits is no difference.
        ("/caf%c3%a9/x", "café"),
        ("/caf%C3%A9/x", "café"),
        // In the query nothing is read as a path.
        ("/x?/admin%2Fx", "all"),
    ] {
        assert_eq!(found(&table, request), expected, "{request}");
    }
}

#[test]
fn what_one_reading_has_no_route_for_is_not_reached_by_the_other() {
    let table = table("[[route]]\nname = \"one\"\npath = \"/a/*\"\nto = \"app\"\n");
    for (request, expected) in [
        ("/a/b%2Fc", "one"),
        ("/a%2Fb", "ambiguous"),
        ("/a;x", "ambiguous"),
        ("/b%2Fa", "nothing"),
    ] {
        assert_eq!(found(&table, request), expected, "{request}");
    }
}

#[test]
fn globs_stay_in_a_segment_and_mean_all_below_at_their_end() {
    let table = table(
        r#"
        [[route]]
        name = "versions"
        path = "/v?/x"
        to = "app"
        [[route]]
        name = "raw"
        path = "/**/raw"
        to = "app"
        [[route]]
        name = "tree"
        path = "/repo/*/tree/*"
        to = "app"
        [[route]]
        name = "either"
        path = "/{left,right}"
        to = "app"
        "#,
    );
    for (request, expected) in [
        ("/v1/x", "versions"),
        ("/v12/x", "nothing"),
        ("/a/b/raw", "raw"),
        ("/repo/a/tree", "tree"),
        ("/repo/a/tree/b/c", "tree"),
        ("/repo/a/b/tree/c", "nothing"),
        ("/repo/a/trees", "nothing"),
        ("/left", "either"),
        ("/middle", "nothing"),
    ] {
        assert_eq!(found(&table, request), expected, "{request}");
    }
}
