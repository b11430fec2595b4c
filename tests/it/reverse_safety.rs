//! The reverse proxy among clients who mean harm: what one of them does must not become another one's.

use crate::reverse::{ask, get, reverse, upstream};
use crate::support::{Egret, Origin, Request};

/// An origin that says what it was asked for, and that everybody may have it for a minute.
fn cacheable() -> Origin {
    Origin::http(|request: &Request| {
        let host = request.header("host").unwrap_or_default();
        let body = format!("{host}{}", request.target);
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length";
        format!("{head}: {length}\r\n\r\n{body}").into_bytes()
    })
}

#[test]
fn what_one_route_makes_of_a_uri_is_not_stored_for_another_route() {
    let app = cacheable();
    let routes = format!(
        r#"
        [cache]
        memory = "16MiB"
        [[route]]
        path = "/page"
        header = {{ x-tenant = "a" }}
        to = "app"
        rewrite = {{ path = "/tenants/a", host = "a.internal" }}
        [[route]]
        path = "/page"
        to = "app"
        {}"#,
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &routes));
    for _ in 0..2 {
        let own = ask(&egret, &get("www.example", "/page", "X-Tenant: a\r\n"));
        assert_eq!(own.text(), "a.internal/tenants/a");
        let all = ask(&egret, &get("www.example", "/page", ""));
        assert_eq!(all.text(), "www.example/page");
    }
    assert_eq!(app.requests().len(), 2, "each is stored for itself");
}
