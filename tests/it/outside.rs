//! What clients of a gateway see of it from outside: what it tells them of failures, what it answers by itself, whose answers are whose.
//! Not the routes, nor what the operator reads, but for the ids that lead there.

use std::net::SocketAddr;

use serde_json::Value;

use crate::reverse::{ask, get, nobody, reverse, upstream};
use crate::support::{Egret, Origin, Response, ok, until};
use crate::who::hashed;

/// One whose route `secret-route` leads to upstream `inner-app`.
fn gateway(endpoints: &[SocketAddr], lines: &str, tables: &str) -> Egret {
    let upstream = upstream("inner-app", endpoints, lines);
    let route = "[[route]]\nname = \"secret-route\"\nto = \"inner-app\"";
    Egret::start(&reverse("", &format!("{route}\n{tables}\n{upstream}")))
}

/// All that a client gets to read.
fn told(response: &Response) -> String {
    format!("{}{}", response.head, response.text())
}

fn record(egret: &Egret, response: &Response) -> Value {
    let id = response.header("x-request-id").unwrap().to_owned();
    egret.wait_record("what the answer's id names", |record| record["id"] == *id)
}

#[test]
fn a_failure_tells_clients_nothing_of_what_is_inside_and_operators_all() {
    let (_held, dead) = nobody();
    let slow = Origin::scripted(|wire| {
        // Until the other side has gone.
        while wire.try_some().is_ok_and(|bytes| !bytes.is_empty()) {}
    });
    let babble = Origin::scripted(|wire| {
        let _ = wire.try_some();
        let _ = wire.try_send(b"220 mail.internal ready\r\n\r\n");
    });
    let table: &[(SocketAddr, &str, u16, &str)] = &[
        (dead, "", 502, "refused the connection"),
        (
            slow.address,
            "timeouts = { response = \"50ms\" }",
            504,
            "the origin did not answer in time",
        ),
        (babble.address, "", 502, "the HTTP version is malformed"),
    ];
    for (endpoint, lines, status, reason) in table {
        let egret = gateway(&[*endpoint], lines, "");
        for accept in ["text/plain", "application/json", "text/html"] {
            let request = get("www.example", "/", &format!("Accept: {accept}\r\n"));
            let answer = ask(&egret, &request);
            assert_eq!(answer.status, *status, "{lines}");
            let told = told(&answer);
            let (address, port) = (endpoint.to_string(), endpoint.port().to_string());
            for inner in [
                "inner-app",
                "secret-route",
                "127.0.0.1",
                "internal",
                &address,
                &port,
            ] {
                assert!(!told.contains(inner), "{inner} in {told}");
            }
            let record = record(&egret, &answer);
            assert!(told.contains(record["id"].as_str().unwrap()));
            assert_eq!(record["upstream"], "inner-app");
            assert_eq!(record["route"], "secret-route");
            assert!(
                record["reason"].as_str().unwrap().contains(reason),
                "{record}"
            );
        }
        // The answer to HEAD has only fields, and a call of gRPC reads its own.
        let head = ask(&egret, "HEAD / HTTP/1.1\r\nHost: www.example\r\n\r\n");
        assert_eq!(record(&egret, &head)["method"], "HEAD");
        let call = get(
            "www.example",
            "/a.B/C",
            "content-type: application/grpc\r\n",
        );
        let call = ask(&egret, &call);
        assert!(call.header("grpc-message").is_some());
        assert!(!told(&call).contains("inner-app"), "{}", call.head);
        assert_eq!(record(&egret, &call)["upstream"], "inner-app");
    }
}

#[test]
fn the_id_stands_beside_an_error_page_too() {
    let (_held, dead) = nobody();
    let pages = "error-pages = { 502 = { file = \"sorry.html\" } }";
    let upstream = upstream("inner-app", &[dead], "");
    let tables = format!("[[route]]\nto = \"inner-app\"\n{pages}\n{upstream}");
    let egret = Egret::start_with(&[("sorry.html", "<p>Sorry</p>")], &reverse("", &tables));
    let answer = ask(&egret, &get("www.example", "/", ""));
    assert_eq!(answer.text(), "<p>Sorry</p>");
    assert_eq!(record(&egret, &answer)["status"], 502);
}

#[test]
fn an_endpoint_that_policy_does_not_permit_is_not_named() {
    let app = Origin::http(|_| ok(b"app"));
    let policy = "[policy.edge]\n[[policy.edge.rule]]\nname = \"elsewhere\"\nallow = {}\naddress = \"192.0.2.0/24\"";
    let tables = format!(
        "[[route]]\nto = \"app\"\n{policy}\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("policy = \"edge\"", &tables));
    let answer = ask(&egret, &get("www.example", "/", ""));
    assert_eq!(answer.status, 403);
    assert!(!told(&answer).contains("127.0.0.1"), "{}", told(&answer));
    let record = record(&egret, &answer);
    assert!(
        record["reason"].as_str().unwrap().contains("127.0.0.1"),
        "{record}"
    );
}

#[test]
fn what_has_no_route_is_recorded_with_who_asked_for_what() {
    let app = Origin::http(|_| ok(b"app"));
    let tables = format!(
        "[[route]]\nhost = \"www.example\"\nto = \"app\"\n{}",
        upstream("app", &[app.address], "")
    );
    let lines = "trusted-proxies = [\"127.0.0.1/32\"]";
    let egret = Egret::start(&reverse(lines, &tables));
    let post = "POST /lost?token=x HTTP/1.1\r\nHost: other.example:8080\r\nX-Forwarded-For: 192.0.2.9\r\nContent-Length: 0\r\n\r\n";
    let answer = ask(&egret, post);
    assert_eq!(answer.status, 404);
    let record = record(&egret, &answer);
    for (key, expected) in [
        ("client", "192.0.2.9:0"),
        ("method", "POST"),
        ("authority", "other.example:8080"),
        ("path", "/lost"),
        ("error", "destination_not_found"),
    ] {
        assert_eq!(record[key], expected, "{record}");
    }
    assert_eq!(record["status"], 404);
    assert!(record["reason"].as_str().unwrap().contains("no route"));
    assert!(record["query"].is_null(), "{record}");
}

fn send(egret: &Egret, method: &str, path: &str, lines: &str) -> Response {
    ask(
        egret,
        &format!("{method} {path} HTTP/1.1\r\nHost: www.example\r\n{lines}\r\n"),
    )
}

#[test]
fn a_trace_goes_on_only_where_a_route_names_it() {
    let app = Origin::http(|request| ok(request.method.as_bytes()));
    let tables = format!(
        "[[route]]\nto = \"app\"\n[[route]]\npath = \"/debug/*\"\nmethod = [\"GET\", \"TRACE\"]\nto = \"app\"\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    for lines in ["", "Max-Forwards: 0\r\n", "Max-Forwards: 5\r\n"] {
        let refused = send(&egret, "TRACE", "/", lines);
        assert_eq!(refused.status, 405, "{lines}");
        let allow = refused.header("allow").unwrap();
        assert!(allow.contains("GET") && !allow.contains("TRACE"), "{allow}");
    }
    assert!(app.requests().is_empty());
    let told = send(&egret, "TRACE", "/debug/x", "X-A: 1\r\n");
    assert_eq!((told.status, told.text().as_str()), (200, "TRACE"));
    // It ends here, and keeps secrets to itself.
    let ended = send(
        &egret,
        "TRACE",
        "/debug/x",
        "Max-Forwards: 0\r\nCookie: a=secret\r\n",
    );
    assert_eq!(ended.header("content-type"), Some("message/http"));
    assert!(
        ended
            .text()
            .starts_with("TRACE http://www.example:80/debug/x")
    );
    assert!(!ended.text().contains("secret"));
    assert_eq!(app.requests().len(), 1);
}

#[test]
fn what_ends_here_is_told_only_to_who_may_have_it() {
    let app = Origin::http(|_| ok(b"app"));
    let policy = "[policy.edge]\ndefault = \"allow\"\n[[policy.edge.rule]]\nname = \"closed\"\ndeny = {}\npath = \"/closed/*\"";
    let tables = format!(
        "[[route]]\nto = \"app\"\n{policy}\n{}",
        upstream("app", &[app.address], "")
    );
    let users = hashed("alice", "secret", &[]);
    let lines = "policy = \"edge\"\nauth = [{ basic = { file = \"users\" } }]";
    let files = [("users", &*users)];
    let egret = Egret::start_with(&files, &reverse(lines, &tables));
    let last = "Max-Forwards: 0\r\n";
    assert_eq!(send(&egret, "OPTIONS", "/", last).status, 401);
    drop(egret);
    let egret = Egret::start(&reverse("policy = \"edge\"", &tables));
    let open = send(&egret, "OPTIONS", "/", last);
    assert_eq!(open.status, 200);
    assert!(open.header("allow").unwrap().contains("OPTIONS"));
    let closed = send(&egret, "OPTIONS", "/closed/x", last);
    assert_eq!((closed.status, closed.header("allow")), (403, None));
    assert_eq!(record(&egret, &closed)["rule"], "closed");
    assert!(app.requests().is_empty());
}

#[test]
fn an_answer_with_a_cookie_of_ours_is_for_nobody_else() {
    let app = Origin::http(|request| {
        let control = match &*request.target {
            "/silent" => "",
            "/shared" => {
                "Cache-Control: public, s-maxage=600, max-age=60\r\nCDN-Cache-Control: max-age=600\r\n"
            }
            _ => "Cache-Control: no-store\r\n",
        };
        format!("HTTP/1.1 200 OK\r\n{control}Content-Length: 3\r\n\r\napp").into_bytes()
    });
    let sticky = "sticky = { cookie = \"at\", secret = { file = \"secret\" }}";
    let tables = format!(
        "[cache]\nmemory = \"16MiB\"\n[[route]]\nto = \"app\"\n{}",
        upstream("app", &[app.address], sticky)
    );
    let files = [("secret", "0123456789abcdef0123456789abcdef")];
    let egret = Egret::start_with(&files, &reverse("", &tables));
    for (path, expected) in [
        ("/silent", "private"),
        ("/shared", "max-age=60, private"),
        ("/never", "no-store, private"),
    ] {
        let answer = ask(&egret, &get("www.example", path, ""));
        assert!(answer.header("set-cookie").is_some(), "{path}");
        assert_eq!(answer.header("cache-control"), Some(expected), "{path}");
        assert_eq!(answer.header("cdn-cache-control"), None, "{path}");
    }
    // What we store ourselves is what the endpoint said, for everybody, without the cookie.
    let before = app.requests().len();
    until("the stored response", || {
        let again = ask(&egret, &get("www.example", "/shared", ""));
        app.requests().len() == before && {
            assert_eq!(again.header("set-cookie"), None);
            assert!(again.header("cache-control").unwrap().contains("public"));
            true
        }
    });
    // Who is where it belongs is given none, and may share what it gets.
    let cookie = ask(&egret, &get("www.example", "/silent", ""));
    let cookie = cookie
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let bound = get("www.example", "/silent", &format!("Cookie: {cookie}\r\n"));
    assert_eq!(ask(&egret, &bound).header("cache-control"), None);
}

#[test]
fn a_rule_about_the_port_goes_by_where_the_client_came_to() {
    let app = Origin::http(|_| ok(b"app"));
    let policy = "[policy.edge]\n[[policy.edge.rule]]\nname = \"public\"\nallow = {}\nport = 443";
    let tables = format!(
        "[[route]]\nto = \"app\"\n{policy}\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("policy = \"edge\"", &tables));
    // Host says what its client likes.
    let denied = ask(&egret, &get("www.example:443", "/", ""));
    assert_eq!(denied.status, 403);
    assert_eq!(record(&egret, &denied)["authority"], "www.example:443");
    drop(egret);
    let lines = "policy = \"edge\"\nproxy-protocol = { accept-from = \"127.0.0.1\" }";
    let egret = Egret::start(&reverse(lines, &tables));
    for (port, status) in [(443, 200), (8443, 403)] {
        let header = format!("PROXY TCP4 192.0.2.7 198.51.100.2 1000 {port}\r\n");
        let answer = ask(&egret, &(header + &get("www.example:443", "/", "")));
        assert_eq!(answer.status, status, "{port}");
    }
}
