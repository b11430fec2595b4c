//! The reverse proxy from outside: routes, what endpoints are told, retries, stickiness, what an operator reads.
//! Not the search for a route and not the algorithms of balancing, which have their tests beside the code.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::{Config, Egret, Origin, Response, Wire, contains, ok, pipe, until};

/// A listener `web` with these lines, and these tables.
pub(crate) fn reverse(lines: &str, tables: &str) -> Config {
    Config::closed().more(&format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nmode = \"reverse\"\n{lines}\n{tables}"
    ))
}

/// A table of an upstream with these endpoints.
pub(crate) fn upstream(name: &str, endpoints: &[SocketAddr], lines: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    format!("[upstream.{name}]\nendpoints = {endpoints:?}\n{lines}\n")
}

fn says(text: &'static str) -> Origin {
    Origin::http(move |_| ok(text.as_bytes()))
}

/// Asks the listener `web`, over a connection of its own.
pub(crate) fn ask(egret: &Egret, request: &str) -> Response {
    let mut wire = Wire::connect(egret.address("web"));
    wire.send(request.as_bytes());
    let method = request.split(' ').next().unwrap_or_default();
    wire.response(method)
}

pub(crate) fn get(host: &str, path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")
}

/// An address where nobody listens.
pub(crate) fn nobody() -> (socket2::Socket, SocketAddr) {
    let kind = socket2::Type::STREAM;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[test]
fn a_request_goes_where_its_route_says_and_is_recorded_so() {
    let (users, orders) = (says("users"), says("orders"));
    let routes = format!(
        "[[route]]\nname = \"users\"\npath = \"/api/v1/users/*\"\nto = \"users\"\n\
         [[route]]\nname = \"orders\"\npath = \"/api/v1/orders/*\"\nto = \"orders\"\n{}{}",
        upstream("users", &[users.address], ""),
        upstream("orders", &[orders.address], ""),
    );
    let egret = Egret::start(&reverse("", &routes));
    for (path, answer) in [
        ("/api/v1/users", "users"),
        ("/api/v1/users/7?full=1", "users"),
        ("/api/v1/orders/", "orders"),
    ] {
        let response = ask(&egret, &get("api.example", path, ""));
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, answer),
            "{path}"
        );
    }
    let seen = users.wait_request(1);
    assert_eq!(seen.target, "/api/v1/users/7?full=1");
    assert_eq!(
        seen.header("host"),
        Some("api.example"),
        "the client's host is kept"
    );
    let lost = ask(&egret, &get("api.example", "/elsewhere", ""));
    assert_eq!(lost.status, 404);
    assert_eq!(lost.proxy_error(), Some("destination_not_found"));
    let record = egret.wait_record("the second", |record| record["path"] == "/api/v1/users/7");
    assert_eq!(record["route"], "users");
    assert_eq!(record["upstream"], "users");
    assert_eq!(record["origin"], users.address.to_string());
    assert_eq!(record["authority"], "api.example:80");
    assert_eq!(record["verdict"], "allow");
}

#[test]
fn routes_answer_redirect_and_close_for_maintenance_by_themselves() {
    let app = says("app");
    let routes = format!(
        r#"
        [[route]]
        path = "/health"
        respond = {{ status = 200, body = "fine" }}
        [[route]]
        path = "/old/*"
        redirect = {{ to = "https://{{host}}{{path}}{{query}}", status = 308 }}
        [[route]]
        path = "/shop/*"
        to = "app"
        maintenance = {{ retry-after = "10m", allow = ["192.0.2.1"] }}
        {}"#,
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &routes));
    let fine = ask(&egret, &get("www.example", "/health", ""));
    assert_eq!((fine.status, fine.text().as_str()), (200, "fine"));
    let moved = ask(&egret, &get("www.example", "/old/a%2Fb?x=1", ""));
    assert_eq!(moved.status, 308);
    assert_eq!(
        moved.header("location"),
        Some("https://www.example/old/a%2Fb?x=1")
    );
    let closed = ask(&egret, &get("www.example", "/shop/", ""));
    assert_eq!(closed.status, 503);
    assert_eq!(closed.header("retry-after"), Some("600"));
    assert!(app.requests().is_empty());
}

#[test]
fn what_a_client_says_of_itself_is_not_believed_and_what_a_trusted_proxy_says_is() {
    let app = says("app");
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[app.address], "")
    );
    let lines = "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=203.0.113.9\r\n";
    let egret = Egret::start(&reverse("", &tables));
    ask(&egret, &get("www.example", "/a", lines));
    let seen = app.wait_request(0);
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("www.example"));
    assert_eq!(seen.header("forwarded"), None);
    let trusting = Egret::start(&reverse("trusted-proxies = [\"127.0.0.0/8\"]", &tables));
    ask(&trusting, &get("www.example", "/b", lines));
    let seen = app.wait_request(1);
    assert_eq!(
        seen.header("x-forwarded-for"),
        Some("198.51.100.7, 127.0.0.1")
    );
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    let record = trusting.wait_record("the request", |record| record["path"] == "/b");
    let client = record["client"].as_str().unwrap_or_default();
    assert!(client.starts_with("198.51.100.7:"), "{record}");
}

#[test]
fn policy_guards_a_gateway_by_client_path_method_and_principal_and_needs_no_rule_for_endpoints() {
    let app = says("app");
    let policy = r#"
        [policy.edge]
        default = "deny"
        [[policy.edge.rule]]
        name = "no admin"
        deny = { status = 404 }
        path = "/admin/**"
        [[policy.edge.rule]]
        name = "read"
        allow = {}
        method = ["GET", "HEAD"]
        host = "www.example"
    "#;
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}{policy}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("policy = \"edge\"", &tables));
    for (request, status) in [
        (get("www.example", "/", ""), 200),
        (get("www.example", "/admin/x", ""), 404),
        (get("www.example", "/admin%2Fx", ""), 404),
        (get("other.example", "/", ""), 403),
        (
            "POST / HTTP/1.1\r\nHost: www.example\r\nContent-Length: 0\r\n\r\n".to_owned(),
            403,
        ),
    ] {
        assert_eq!(ask(&egret, &request).status, status, "{request}");
    }
    assert_eq!(app.requests().len(), 1);
}

#[test]
fn a_gateway_asks_who_a_client_is_as_an_origin_does_and_keeps_the_password_to_itself() {
    let app = says("app");
    let hash = crate::support::program()
        .args(["hash", "alice", "--method", "sha512"])
        .stdin(pipe("secret\n"))
        .output()
        .unwrap();
    let users = crate::support::said(&hash);
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[app.address], "")
    );
    let config = reverse("auth = [{ basic = { file = \"users\" } }]", &tables);
    let egret = Egret::start_with(&[("users", &users)], &config);
    let asked = ask(&egret, &get("www.example", "/", ""));
    assert_eq!(asked.status, 401);
    assert!(
        asked
            .header("www-authenticate")
            .is_some_and(|value| value.starts_with("Basic"))
    );
    assert_eq!(asked.header("proxy-authenticate"), None);
    let credentials = crate::support::base64("alice:secret");
    let line = format!("Authorization: Basic {credentials}\r\n");
    assert_eq!(ask(&egret, &get("www.example", "/", &line)).status, 200);
    assert_eq!(app.wait_request(0).header("authorization"), None);
    let record = egret.wait_record("alice's", |record| record["status"] == 200);
    assert_eq!(record["principal"], "alice");
}

#[test]
fn an_endpoint_that_can_not_be_reached_costs_no_client_anything() {
    let app = says("app");
    let (_socket, dead) = nobody();
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[dead, app.address], "balance = \"round-robin\"")
    );
    let egret = Egret::start(&reverse("", &tables));
    for request in 0..20 {
        // Also what is not idempotent: nothing of it was sent.
        let method = if request % 2 == 0 { "GET" } else { "POST" };
        let text =
            format!("{method} /{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(ask(&egret, &text).status, 200, "{text}");
    }
    let retried = egret.wait_record("a retry", |record| record["tries"] == 2);
    assert_eq!(retried["status"], 200);
}

#[test]
fn a_response_that_counts_as_a_failure_is_asked_for_elsewhere_where_that_is_safe() {
    let broken = Origin::http(|_| {
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown".to_vec()
    });
    let app = says("app");
    let tables = format!(
        "[[route]]\nto = \"app\"\nretry = {{ on = [503] }}\n{}",
        upstream(
            "app",
            &[broken.address, app.address],
            "balance = \"round-robin\"\noutlier = false"
        )
    );
    let egret = Egret::start(&reverse("", &tables));
    for _ in 0..8 {
        assert_eq!(ask(&egret, &get("a", "/", "")).text(), "app");
    }
    assert!(!broken.requests().is_empty());
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let statuses: Vec<u16> = (0..4).map(|_| ask(&egret, post).status).collect();
    assert!(
        statuses.contains(&503),
        "what is not idempotent is not sent twice: {statuses:?}"
    );
}

/// An origin that wants to be left alone, in these words.
fn tired(status: u16, after: &'static str) -> Origin {
    Origin::http(move |_| {
        format!("HTTP/1.1 {status} Tired\r\nRetry-After: {after}\r\nContent-Length: 5\r\n\r\ntired")
            .into_bytes()
    })
}

/// A gateway whose one route leads to these in turn, and tries 429 and 503 again.
fn retrying(origins: &[&Origin], lines: &str) -> Egret {
    let endpoints: Vec<SocketAddr> = origins.iter().map(|origin| origin.address).collect();
    let lines = format!("balance = \"round-robin\"\noutlier = false\n{lines}");
    let routes = "[[route]]\nto = \"app\"\nretry = { on = [429, 503] }\n";
    let tables = format!("{routes}{}", upstream("app", &endpoints, &lines));
    Egret::start(&reverse("", &tables))
}

#[test]
fn an_endpoint_that_asks_to_be_left_alone_is_so_by_all_requests_for_a_while() {
    for (status, expected) in [(503, 1..=1), (429, 2..=8)] {
        let (tired, app) = (tired(status, "3600"), says("app"));
        let egret = retrying(&[&tired, &app], "");
        for _ in 0..8 {
            assert_eq!(ask(&egret, &get("a", "/", "")).text(), "app");
        }
        // What one client is told of itself is nothing to others.
        let asked = tired.requests().len();
        assert!(expected.contains(&asked), "{status}: {asked}");
    }
    let (tired, app) = (tired(503, "Fri, 31 Dec 9999 23:59:59 GMT"), says("app"));
    let egret = retrying(&[&tired, &app], "retry = { rest = \"50ms\" }");
    until("its time is over, however long it wanted", || {
        assert_eq!(ask(&egret, &get("a", "/", "")).text(), "app");
        tired.requests().len() > 2
    });
}

#[test]
fn where_only_waiting_would_help_the_client_is_told_for_how_long() {
    let (first, second) = (tired(503, "17"), tired(503, "17"));
    let egret = retrying(&[&first, &second], "");
    for _ in 0..6 {
        let told = ask(&egret, &get("a", "/", ""));
        assert_eq!((told.status, told.text().as_str()), (503, "tired"));
        assert_eq!(told.header("retry-after"), Some("17"));
    }
    let (asked, others) = (first.requests().len(), second.requests().len());
    assert_eq!((asked.min(others), asked.max(others)), (1, 6));
    // Where there is but one, there is nobody to ask meanwhile.
    let only = tired(503, "17");
    let egret = retrying(&[&only], "");
    for _ in 0..3 {
        assert_eq!(ask(&egret, &get("a", "/", "")).status, 503);
    }
    assert_eq!(only.requests().len(), 3);
}

#[test]
fn an_upstream_without_an_endpoint_is_told_so_and_the_other_routes_serve() {
    let app = says("app");
    let (_socket, dead) = nobody();
    let tables = format!(
        "[[route]]\npath = \"/dead\"\nto = \"dead\"\n[[route]]\nto = \"app\"\n{}{}",
        upstream("app", &[app.address], ""),
        upstream("dead", &[dead], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    let failed = ask(&egret, &get("a", "/dead", ""));
    assert_eq!(failed.status, 502);
    assert_eq!(failed.proxy_error(), Some("connection_refused"));
    assert_eq!(ask(&egret, &get("a", "/", "")).status, 200);
}

#[test]
fn a_sticky_client_stays_at_its_endpoint_and_is_given_another_when_that_is_gone() {
    let origins = [says("one"), says("two"), says("three")];
    let addresses: Vec<SocketAddr> = origins.iter().map(|origin| origin.address).collect();
    let table = |endpoints: &[SocketAddr]| {
        let lines = "balance = \"round-robin\"\nsticky = { cookie = \"at\", secret = { file = \"secret\" } }";
        format!(
            "[[route]]\nto = \"app\"\n{}",
            upstream("app", endpoints, lines)
        )
    };
    let files = [("secret", "0123456789abcdef0123456789abcdef")];
    let egret = Egret::start_with(&files, &reverse("", &table(&addresses)));
    let first = ask(&egret, &get("a", "/", ""));
    let set = first
        .header("set-cookie")
        .expect("a cookie is set")
        .to_owned();
    for word in ["HttpOnly", "SameSite=", "at="] {
        assert!(set.contains(word), "{set}");
    }
    let cookie = set.split(';').next().unwrap_or_default();
    for _ in 0..9 {
        let again = ask(
            &egret,
            &get("a", "/", &format!("Cookie: x=y; {cookie}\r\n")),
        );
        assert_eq!(again.text(), first.text());
        assert_eq!(
            again.header("set-cookie"),
            None,
            "a client that has it needs no other"
        );
    }
    let forged = cookie.replace("at=", "at=A");
    let other = ask(&egret, &get("a", "/", &format!("Cookie: {forged}\r\n")));
    assert!(
        other.header("set-cookie").is_some(),
        "what was not signed is not believed"
    );
}

#[test]
fn a_weighted_split_and_a_field_send_requests_to_a_canary() {
    let (stable, canary) = (says("stable"), says("canary"));
    let tables = format!(
        r#"
        [[route]]
        to = [
            {{ upstream = "stable", weight = 3 }},
            {{ upstream = "canary", weight = 1 }},
            {{ upstream = "canary", when = {{ header = {{ x-canary = "yes" }} }} }},
        ]
        {}{}"#,
        upstream("stable", &[stable.address], ""),
        upstream("canary", &[canary.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    let mut wire = Wire::connect(egret.address("web"));
    let mut count = |lines: &str, of: &str| {
        let answers = (0..200).filter(|_| {
            wire.send(get("a", "/", lines).as_bytes());
            wire.response("GET").text() == of
        });
        answers.count()
    };
    assert_eq!(count("X-Canary: yes\r\n", "canary"), 200);
    let share = count("", "canary");
    assert!(
        (20..=80).contains(&share),
        "a quarter of 200, more or less: {share}"
    );
}

#[test]
fn a_path_that_may_mean_another_route_is_refused_and_a_harmless_one_passes_as_it_is() {
    let (open, admin) = (says("open"), says("admin"));
    let tables = format!(
        "[[route]]\npath = \"/admin/*\"\nto = \"admin\"\n[[route]]\nto = \"open\"\n{}{}",
        upstream("open", &[open.address], ""),
        upstream("admin", &[admin.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    for (path, status) in [
        ("/admin%2Fusers", 400),
        ("/admin;x/users", 400),
        ("/a/../admin/users", 400),
        // An origin that does not decode it takes another route than one that does.
        ("/%61dmin/users", 400),
        ("/repos/git%2Frepo", 200),
        ("/admin/users", 200),
    ] {
        assert_eq!(ask(&egret, &get("a", path, "")).status, status, "{path}");
    }
    assert_eq!(open.wait_request(0).target, "/repos/git%2Frepo");
    assert_eq!(admin.wait_request(0).target, "/admin/users");
}

#[test]
fn a_gateway_takes_no_request_of_a_proxys() {
    let app = says("app");
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    let connect = ask(
        &egret,
        "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n",
    );
    assert_eq!(connect.status, 400);
    // The authority of an absolute target counts, not Host (RFC 9112 §3.2.2).
    let absolute = "GET http://www.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n";
    assert_eq!(ask(&egret, absolute).status, 200);
    assert_eq!(app.wait_request(0).header("host"), Some("www.example"));
}

#[test]
fn responses_are_cached_behind_routes_and_apart_for_each_upstream() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let app = Origin::http(move |_| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        let body = format!("answer {number}");
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    });
    let tables = format!(
        "[[route]]\nto = \"app\"\n[cache]\nmemory = \"16MiB\"\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    let first = ask(&egret, &get("www.example", "/page", ""));
    let second = ask(&egret, &get("www.example", "/page", ""));
    assert_eq!(
        (first.text(), second.text()),
        ("answer 0".into(), "answer 0".into())
    );
    let status = second.header("cache-status").unwrap_or_default();
    assert!(status.contains("hit"), "{status}");
    assert_eq!(app.requests().len(), 1);
}

#[test]
fn a_copy_of_a_request_goes_to_the_mirror_and_nobody_waits_for_it() {
    let app = says("app");
    let mirror = Origin::scripted(|wire| {
        // Takes a request and never answers.
        let _ = wire.try_head();
        let _ = wire.try_some();
    });
    let shadow = says("shadow");
    let tables = format!(
        "[[route]]\npath = \"/slow\"\nto = \"app\"\nmirror = {{ to = \"silent\" }}\n\
         [[route]]\nto = \"app\"\nmirror = {{ to = \"shadow\" }}\n{}{}{}",
        upstream("app", &[app.address], ""),
        upstream("silent", &[mirror.address], ""),
        upstream("shadow", &[shadow.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    assert_eq!(ask(&egret, &get("a", "/slow", "")).text(), "app");
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(ask(&egret, post).text(), "app");
    let copy = shadow.wait_request(0);
    assert_eq!(
        (copy.method.as_str(), copy.body.as_slice()),
        ("POST", &b"body"[..])
    );
    assert_eq!(app.wait_request(1).body, b"body");
}

#[test]
fn a_route_waits_for_an_answer_as_long_as_it_says() {
    let silent = Origin::scripted(|wire| {
        let _ = wire.try_head();
        let _ = wire.try_some();
    });
    let tables = format!(
        "[[route]]\nto = \"app\"\ntimeouts = {{ response = \"100ms\" }}\nretry = {{ tries = 1 }}\n{}",
        upstream("app", &[silent.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    let late = ask(&egret, &get("a", "/", ""));
    assert_eq!(late.status, 504);
    assert_eq!(late.proxy_error(), Some("connection_read_timeout"));
}

#[test]
fn an_operators_page_takes_the_place_of_an_error_and_not_of_an_origins_answer() {
    let missing =
        Origin::http(|_| b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nown".to_vec());
    let (_socket, dead) = nobody();
    let tables = format!(
        "[[route]]\npath = \"/dead\"\nto = \"dead\"\nerror-pages = {{ 5xx = \"sorry.html\" }}\n\
         [[route]]\nto = \"app\"\nerror-pages = {{ 5xx = \"sorry.html\" }}\n{}{}",
        upstream("app", &[missing.address], "outlier = false"),
        upstream("dead", &[dead], "")
    );
    let files = [("sorry.html", "<p>Sorry</p>")];
    let egret = Egret::start_with(&files, &reverse("", &tables));
    let sorry = ask(&egret, &get("a", "/dead", ""));
    assert_eq!((sorry.status, sorry.text().as_str()), (502, "<p>Sorry</p>"));
    assert_eq!(sorry.proxy_error(), Some("connection_refused"));
    assert_eq!(ask(&egret, &get("a", "/", "")).text(), "own");
}

#[test]
fn a_response_is_compressed_for_who_takes_it() {
    let text: &'static [u8] = Box::leak(
        "all work and no play "
            .repeat(200)
            .into_bytes()
            .into_boxed_slice(),
    );
    let app = Origin::http(move |_| {
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"a\"\r\nContent-Length: {}\r\n\r\n",
            text.len()
        )
        .into_bytes();
        answer.extend_from_slice(text);
        answer
    });
    let tables = format!(
        "[[route]]\nto = \"app\"\ncompress = true\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    let packed = ask(&egret, &get("a", "/", "Accept-Encoding: gzip\r\n"));
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("etag"), Some("W/\"a\""));
    assert!(packed.body.len() < text.len() / 4);
    let plain = ask(&egret, &get("a", "/", ""));
    assert_eq!(plain.header("content-encoding"), None);
    assert!(contains(&plain.body, text));
}

#[test]
fn a_websocket_passes_to_an_endpoint() {
    let app = Origin::scripted(|wire| {
        let Ok(head) = wire.try_head() else { return };
        assert!(
            head.to_ascii_lowercase().contains("upgrade: websocket"),
            "{head}"
        );
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        while let Ok(bytes) = wire.try_some() {
            if wire.try_send(&bytes).is_err() {
                break;
            }
        }
    });
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    let mut wire = Wire::connect(egret.address("web"));
    let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    wire.send(get("a", "/chat", lines).as_bytes());
    assert!(wire.head().starts_with("HTTP/1.1 101"));
    wire.send(b"ping");
    assert_eq!(wire.exact(4), b"ping");
}

#[test]
fn the_room_in_an_upstream_is_bounded_and_so_is_the_queue_for_it() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (arrived, came) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let app = Origin::http(move |request| {
        if request.path() == "/slow" {
            arrived.send(()).unwrap();
            let _ = held.lock().unwrap().recv();
        }
        ok(b"done")
    });
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[app.address], "limits = { requests = 1 }")
    );
    let egret = Egret::start(&reverse("", &tables));
    let mut first = Wire::connect(egret.address("web"));
    first.send(get("a", "/slow", "").as_bytes());
    came.recv().unwrap();
    let full = ask(&egret, &get("a", "/", ""));
    assert_eq!(full.status, 503);
    assert_eq!(full.proxy_error(), Some("connection_limit_reached"));
    release.send(()).unwrap();
    assert_eq!(first.response("GET").text(), "done");
    until("there is room again", || {
        ask(&egret, &get("a", "/", "")).status == 200
    });
}

#[test]
fn a_route_bounds_how_long_an_endpoint_may_take() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let app = Origin::http(move |_| {
        // The answer comes when the test is over.
        let _ = held.lock().unwrap().recv();
        ok(b"late")
    });
    let tables = format!(
        "[[route]]\npath = \"/response\"\nto = \"app\"\ntimeouts = {{ response = \"100ms\" }}\n\
         [[route]]\nto = \"app\"\ntimeouts = {{ total = \"100ms\" }}\n{}",
        upstream("app", &[app.address], "retry = { tries = 1 }")
    );
    let egret = Egret::start(&reverse("", &tables));
    for path in ["/response", "/total"] {
        let slow = ask(&egret, &get("a", path, ""));
        assert_eq!(slow.status, 504, "{path}");
        assert_eq!(
            slow.proxy_error(),
            Some("connection_read_timeout"),
            "{path}"
        );
    }
    drop(release);
}

#[test]
fn a_faulty_gateway_is_refused_with_every_fault_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("egret.toml");
    let text = r#"
[[listener]]
bind = "127.0.0.1:0"
mode = "reverse"
[[listener]]
name = "out"
bind = "127.0.0.1:0"
mode = "forward"
policy = "p"
trusted-proxies = ["10.0.0.0/8"]
[policy.p]
[[route]]
to = "app"
[[route]]
to = "app"
[[route]]
path = "/x"
to = "ap"
[upstream.app]
endpoints = [{ address = "127.0.0.1:80", weight = 0 }]
[upstream.none]
endpoints = []
"#;
    std::fs::write(&path, text).unwrap();
    let output = crate::support::program()
        .args(["check", "-c"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "has no \"trusted-proxies\"",
        "there is no upstream \"ap\"",
        "weight",
        "endpoints",
        "route",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
}

#[test]
fn each_of_the_usual_mistakes_is_a_fault_with_its_remedy() {
    let web = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\nmode = \"reverse\"\n";
    let route = "[[route]]\nto = \"app\"\n";
    let app = "[upstream.app]\nendpoints = [\"10.0.0.11:80\"]\n";
    let weightless = "[upstream.app]\nendpoints = [{ address = \"10.0.0.11:80\", weight = 0 }, { address = \"10.0.0.12:80\", weight = 0 }]\n";
    let split = "[[route]]\nto = [{ upstream = \"app\", weight = 0 }]\n";
    for (text, problem, remedy) in [
        (
            format!("{web}{route}{route}{app}"),
            "two default routes",
            "keep one",
        ),
        (
            format!("{web}[[route]]\nto = \"ap\"\n{app}"),
            "there is no upstream \"ap\"",
            "Did you mean \"app\"?",
        ),
        (
            format!("{web}{route}"),
            "there is no upstream \"app\"",
            "[upstream.app]",
        ),
        (
            format!("{web}{route}[upstream.app]\nendpoints = []\n"),
            "an upstream without endpoints serves nobody",
            "name where",
        ),
        (
            format!("{web}{web}{route}{app}"),
            "there are two listeners named \"web\"",
            "give each a name of its own",
        ),
        (
            format!("{web}{}{route}{app}", web.replace("\"web\"", "\"other\"")),
            "127.0.0.1:8080 is bound twice",
            "give each listener an address or a port of its own",
        ),
        (
            format!("{web}{route}{weightless}"),
            "every endpoint has weight 0",
            "weight",
        ),
        (
            format!("{web}{split}{app}"),
            "every upstream has the weight 0",
            "weight",
        ),
    ] {
        let told = faults(&text);
        assert!(
            told.contains(problem) && told.contains(remedy),
            "{text}\n{told}"
        );
        assert!(
            told.contains("egret.toml:"),
            "a place is missing in\n{told}"
        );
    }
}

/// What is told of a configuration that is refused.
fn faults(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("egret.toml");
    std::fs::write(&path, text).unwrap();
    let mut check = crate::support::program();
    let output = check.args(["check", "-c"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_call_of_grpc_that_fails_is_told_in_its_own_words() {
    let (_socket, dead) = nobody();
    let tables = format!("[[route]]\nto = \"app\"\n{}", upstream("app", &[dead], ""));
    let egret = Egret::start(&reverse("", &tables));
    let call = "POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nTE: trailers\r\nContent-Length: 0\r\n\r\n";
    let failed = ask(&egret, call);
    assert_eq!(failed.status, 200);
    assert_eq!(failed.header("grpc-status"), Some("14"));
    let record: Value = egret.wait_record("the call", |record| record["path"] == "/a.B/C");
    assert_eq!(record["error"], "connection_refused");
}
