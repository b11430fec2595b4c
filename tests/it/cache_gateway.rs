//! The cache behind a gateway: whose word a URI is taken for, and as whom a stale response is refreshed.
//! Not what is the same for every cache, which is `cache`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cache_disk::{folder, is_hit};
use crate::reverse::{ask, get, reverse, upstream};
use crate::support::{Config, Egret, Origin, Wire, base64, pipe, program, said, until};

/// The line of a user whose password is "secret".
fn user(name: &str) -> String {
    let hash = program()
        .args(["hash", name, "--method", "sha512"])
        .stdin(pipe("secret\n"))
        .output()
        .unwrap();
    said(&hash)
}

fn credentials(name: &str) -> String {
    let text = base64(&format!("{name}:secret"));
    format!("Authorization: Basic {text}\r\n")
}

fn answer(fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// First says what is stale at once and may be used for long, then what is fresh.
fn stale_first() -> Origin {
    let asked = AtomicUsize::new(0);
    Origin::http(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => answer(
            "Cache-Control: public, max-age=10, stale-while-revalidate=600\r\nAge: 20",
            "first",
        ),
        _ => answer("Cache-Control: public, max-age=600", "second"),
    })
}

/// The second request has the stale response, and the third what was fetched behind it.
fn refreshes(egret: &Egret, lines: &str, path: &str) {
    let ask = || {
        let response = ask(egret, &get("www.example", path, lines));
        assert_eq!(response.status, 200, "{}", response.head);
        response.text()
    };
    assert_eq!([ask(), ask()], ["first", "first"]);
    let refreshed = || {
        let records = egret.records();
        let of_path = records.iter().filter(|record| record["path"] == path);
        of_path.count() >= 3
    };
    until("the record of the refresh", refreshed);
    assert_eq!(ask(), "second", "{path} is refreshed");
}

#[test]
fn a_stale_response_is_refreshed_as_the_client_that_the_gateway_knows() {
    let app = stale_first();
    let tables = format!(
        "[cache]\n[[route]]\nto = \"app\"\n{}",
        upstream("app", &[app.address], "")
    );
    let lines = "auth = [{ basic = { file = \"users\" } }]\npolicy = \"test\"";
    let rule = "name = \"alice\"\nallow = { headers = { request = { set = { x-user = \"{principal}\" } } } }\nprincipal = \"alice\"";
    let config = reverse(lines, &tables).rule(rule);
    let egret = Egret::start_with(&[("users", &user("alice"))], &config);
    refreshes(&egret, &credentials("alice"), "/a");
    let refresh = app.wait_request(1);
    assert_eq!(refresh.header("x-user"), Some("alice"));
    assert_eq!(
        refresh.header("authorization"),
        None,
        "that was for the gateway"
    );
    let records = egret.records();
    let others = records.iter().find(|record| record["principal"] != "alice");
    assert!(others.is_none(), "{others:?}");
    assert_eq!(ask(&egret, &get("www.example", "/a", "")).status, 401);
}

#[test]
fn the_credentials_that_a_route_adds_are_on_the_refresh_too() {
    let app = stale_first();
    let tables = format!(
        "[cache]\n[[route]]\nto = \"app\"\n\
         headers = {{ request = {{ set = {{ authorization = \"Bearer of-the-gateway\" }} }} }}\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &tables));
    refreshes(&egret, "", "/a");
    for request in 0..2 {
        let sent = app.wait_request(request);
        assert_eq!(sent.header("authorization"), Some("Bearer of-the-gateway"));
    }
}

#[test]
fn what_an_origin_says_to_whom_a_rule_names_is_theirs_also_where_the_client_has_named_itself() {
    let app = Origin::http(|request| {
        let user = request.header("x-user").unwrap_or_default();
        answer(LASTING, &format!("for {user}"))
    });
    let tables = format!(
        "[cache]\n[[route]]\nto = \"app\"\n{}",
        upstream("app", &[app.address], "")
    );
    let lines = "auth = [{ basic = { file = \"users\" } }]\npolicy = \"test\"";
    let rule = "name = \"known\"\nprincipal = \"*\"\nallow = { headers = { request = { set = { x-user = \"{principal}\" } } } }";
    let config = reverse(lines, &tables).rule(rule);
    let users = format!("{}{}", user("alice"), user("bob"));
    let egret = Egret::start_with(&[("users", &users)], &config);
    for (name, claimed) in [
        ("alice", "alice"),
        ("bob", "bob"),
        ("bob", "alice"),
        ("alice", "bob"),
    ] {
        let lines = format!("{}X-User: {claimed}\r\n", credentials(name));
        let told = ask(&egret, &get("www.example", "/a", &lines)).text();
        assert_eq!(told, format!("for {name}"), "who says it is {claimed}");
    }
}

#[test]
fn what_varies_by_a_field_that_the_gateway_writes_for_each_client_is_not_shared() {
    for (written, field) in [
        ("x-forwarded", "X-Forwarded-For"),
        ("forwarded", "Forwarded"),
    ] {
        let app = Origin::http(move |request| {
            let client = request.header(field).unwrap_or_default();
            answer(&format!("{LASTING}\r\nVary: {field}"), client)
        });
        let tables = format!(
            "[cache]\n[[route]]\nto = \"app\"\n{}",
            upstream("app", &[app.address], "")
        );
        let lines = format!("forwarded = \"{written}\"");
        let egret = Egret::start(&reverse(&lines, &tables));
        for client in ["127.0.0.2", "127.0.0.3"] {
            let kind = socket2::Type::STREAM;
            let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
            let from: SocketAddr = format!("{client}:0").parse().unwrap();
            socket.bind(&from.into()).unwrap();
            socket.connect(&egret.address("web").into()).unwrap();
            let mut wire = Wire::from_tcp(socket.into());
            wire.send(get("www.example", "/a", "").as_bytes());
            let told = wire.response("GET").text();
            assert!(told.contains(client), "{field} for {client}: {told}");
        }
    }
}

/// A listener of each mode over one cache, and the same URI at both: an upstream of the gateway's, and an origin of that name.
struct Both {
    egret: Egret,
    origin: Origin,
    _app: Origin,
}

const LASTING: &str = "Cache-Control: max-age=600";

impl Both {
    fn start(cache: &str) -> Self {
        let origin = Origin::http(|_| answer(LASTING, "of the origin"));
        let app = Origin::http(|_| answer(LASTING, "of the upstream"));
        let tables = format!(
            "{cache}\n[[route]]\nmethod = \"GET\"\nto = \"reads\"\n[[route]]\nto = \"writes\"\n{}{}",
            upstream("reads", &[app.address], ""),
            upstream("writes", &[app.address], ""),
        );
        let web = format!(
            "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nmode = \"reverse\"\n{tables}"
        );
        let egret = Egret::start(&Config::loopback().more(&web));
        Self {
            egret,
            origin,
            _app: app,
        }
    }

    fn at_proxy(&self, method: &str) -> (String, bool) {
        let url = self.origin.url("/a");
        let host = self.origin.address;
        let request =
            format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        let response = self.egret.ask(&request);
        assert_eq!(response.status, 200, "{}", response.head);
        (response.text(), is_hit(&response))
    }

    fn at_gateway(&self, method: &str) -> (String, bool) {
        let host = self.origin.address;
        let request = format!("{method} /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        let response = ask(&self.egret, &request);
        assert_eq!(response.status, 200, "{}", response.head);
        (response.text(), is_hit(&response))
    }

    /// Both have stored it.
    fn stored(&self) {
        for is_stored in [false, true] {
            assert_eq!(
                self.at_proxy("GET"),
                ("of the origin".to_owned(), is_stored)
            );
            assert_eq!(
                self.at_gateway("GET"),
                ("of the upstream".to_owned(), is_stored)
            );
        }
    }
}

#[test]
fn a_change_at_a_gateway_ends_nothing_of_the_proxys_and_none_there_anything_of_the_gateways() {
    let both = Both::start("[cache]");
    both.stored();
    for method in ["POST", "PUT", "DELETE"] {
        both.at_gateway(method);
        assert!(both.at_proxy("GET").1, "{method} at the gateway");
        // Its reads come from another upstream than its writes go to.
        assert!(!both.at_gateway("GET").1, "{method} at the gateway");
        both.at_proxy(method);
        assert!(both.at_gateway("GET").1, "{method} at the proxy");
        assert!(!both.at_proxy("GET").1, "{method} at the proxy");
    }
    // An operator means the URL, wherever it is from.
    let purge = both
        .egret
        .command(&["cache", "purge", &both.origin.url("/a")]);
    assert!(purge.status.success(), "{}", said(&purge));
    assert!(!both.at_proxy("GET").1 && !both.at_gateway("GET").1);
}

#[test]
fn the_same_holds_for_what_lies_on_disk() {
    let folder = folder();
    let path = folder.path().join("cache");
    let both = Both::start(&format!(
        "[cache]\ndisk = {{ path = {path:?}, size = \"16MiB\" }}"
    ));
    both.stored();
    let on_disk = |egret: &Egret, entries: usize| {
        until("what is on disk", || {
            egret.status()["cache"]["disk"]["entries"] == entries
        });
    };
    on_disk(&both.egret, 2);
    both.at_gateway("POST");
    on_disk(&both.egret, 1);
    assert!(!both.at_gateway("GET").1);
    on_disk(&both.egret, 2);
    both.at_proxy("POST");
    on_disk(&both.egret, 1);
    assert!(both.at_gateway("GET").1 && !both.at_proxy("GET").1);
}
