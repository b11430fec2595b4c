//! The configurations of gateways in `policies/gateway`, run as they are shipped: only the addresses are those of the test.

use std::fs;
use std::path::Path;

use crate::reverse::{ask, get};
use crate::support::{Authority, Client, Egret, Origin, Wire, ok, until};

/// A shipped configuration on loopback ports that are free, with endpoints in the place of those that it names.
fn sample(name: &str, endpoints: &[(&str, &Origin)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/gateway");
    let mut text = fs::read_to_string(path.join(name)).unwrap();
    for (named, origin) in endpoints {
        assert!(text.contains(named), "{named} is missing in {name}");
        text = text.replace(named, &origin.address.to_string());
    }
    let lines = text.lines().map(|line| {
        if line.trim_start().starts_with("bind") {
            "bind = \"127.0.0.1:0\"".to_owned()
        } else {
            line.to_owned()
        }
    });
    let lines: Vec<String> = lines.collect();
    let lines = lines
        .join("\n")
        .replace("[[listener]]\nbind", "[[listener]]\nname = \"web\"\nbind");
    format!(
        "{lines}\n[log.access]\nformat = \"json\"\nto = \"stdout\"\n[admin]\nsocket = \"{{dir}}/admin.sock\"\n"
    )
}

fn named(name: &'static str) -> Origin {
    Origin::http(move |request| match request.path() {
        "/healthz" => ok(b"fine"),
        _ => ok(name.as_bytes()),
    })
}

#[test]
fn one_server_on_this_machine() {
    let app = named("app");
    let text = sample("one-server.egret.toml", &[("127.0.0.1:3000", &app)]);
    let egret = Egret::spawn(&[], &text);
    assert_eq!(ask(&egret, &get("127.0.0.1:8080", "/", "")).text(), "app");
    assert_eq!(
        app.wait_request(0).header("x-forwarded-for"),
        Some("127.0.0.1")
    );
}

#[test]
fn a_server_behind_port_80() {
    let app = named("app");
    let text = sample("behind-port-80.egret.toml", &[("10.0.0.11:8080", &app)]);
    let egret = Egret::spawn(&[], &text);
    assert_eq!(ask(&egret, &get("www.example.com", "/", "")).text(), "app");
    assert_eq!(ask(&egret, &get("other.example.com", "/", "")).status, 404);
}

#[test]
fn two_services_by_path() {
    let (users, more, orders) = (named("users"), named("users"), named("orders"));
    let text = sample(
        "by-path.egret.toml",
        &[
            ("10.0.1.11:8080", &users),
            ("10.0.1.12:8080", &more),
            ("10.0.2.11:8080", &orders),
        ],
    )
    .replace("name = \"api\"", "name = \"web\"");
    let egret = Egret::spawn(&[], &text);
    for (path, status, answer) in [
        ("/api/v1/users", 200, "users"),
        ("/api/v1/users/7", 200, "users"),
        ("/api/v1/orders/9", 200, "orders"),
        ("/api/v1/usersandmore", 404, ""),
        ("/", 404, ""),
    ] {
        let response = ask(&egret, &get("api.example", path, ""));
        assert_eq!(response.status, status, "{path}");
        if status == 200 {
            assert_eq!(response.text(), answer, "{path}");
        }
    }
}

#[test]
fn five_web_servers() {
    let origins: Vec<Origin> = ["1", "2", "3", "4", "5"].into_iter().map(named).collect();
    let names: Vec<String> = (11..=15)
        .map(|last| format!("10.0.0.{last}:8080"))
        .collect();
    let endpoints: Vec<(&str, &Origin)> = names.iter().map(String::as_str).zip(&origins).collect();
    let text = sample("five-servers.egret.toml", &endpoints);
    let secret = [(
        "sticky.secret",
        "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n",
    )];
    let egret = Egret::spawn(&secret, &text);
    let asked = |origin: &Origin| {
        let requests = origin.requests();
        requests
            .iter()
            .filter(|request| request.path() == "/")
            .count()
    };
    until("every server was asked", || {
        let response = ask(&egret, &get("www.example", "/", ""));
        assert_eq!(response.status, 200);
        origins.iter().all(|origin| asked(origin) > 0)
    });
    let first = ask(&egret, &get("www.example", "/", ""));
    let cookie = first.header("set-cookie").expect("a cookie").to_owned();
    let cookie = cookie.split(';').next().unwrap_or_default();
    for _ in 0..5 {
        let again = ask(
            &egret,
            &get("www.example", "/", &format!("Cookie: {cookie}\r\n")),
        );
        assert_eq!(again.text(), first.text());
    }
}

#[test]
fn https_for_an_internal_application() {
    let authority = Authority::new();
    let app = named("app");
    let text = sample("https.egret.toml", &[("10.0.5.9:8080", &app)]);
    authority.server("app", &["app.example"]);
    let at = |file: &str| authority.path(file).display().to_string();
    let text = text
        .replace("app.pem", &at("app.pem"))
        .replace("app.key", &at("app.key"));
    let egret = Egret::spawn(&[], &text);
    let mut plain = Wire::connect(egret.address("http"));
    plain.send(get("app.example", "/x?y=1", "").as_bytes());
    let moved = plain.response("GET");
    assert_eq!(moved.status, 308);
    assert_eq!(moved.header("location"), Some("https://app.example/x?y=1"));
    let client = Client::new(&authority, None, &[]);
    let mut secure = client.connect(egret.address("https"), "app.example");
    secure.send(get("app.example", "/", "").as_bytes());
    let answer = secure.response("GET");
    assert_eq!((answer.status, answer.text().as_str()), (200, "app"));
    assert!(answer.header("strict-transport-security").is_some());
    assert_eq!(
        app.wait_request(0).header("x-forwarded-proto"),
        Some("https")
    );
}
