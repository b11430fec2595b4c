//! The reverse proxy among clients who mean harm: what one of them does must not become another one's.

use crate::reverse::{ask, get, reverse, upstream};
use crate::support::{Egret, Origin, Request, Wire, ok, read_request, said};

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

#[test]
fn the_rates_of_routes_are_counted_apart_where_one_rule_allows_them_all() {
    let app = cacheable();
    let routes = format!(
        "[[route]]\npath = \"/few\"\nto = \"app\"\nrate = \"2/h\"\n\
         [[route]]\npath = \"/more\"\nto = \"app\"\nrate = \"3/h\"\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &routes));
    let statuses = |path: &str, times: usize| -> Vec<u16> {
        let request = get("www.example", path, "");
        (0..times).map(|_| ask(&egret, &request).status).collect()
    };
    assert_eq!(statuses("/few", 3), [200, 200, 429]);
    assert_eq!(statuses("/more", 4), [200, 200, 200, 429]);
}

#[test]
fn a_client_that_gives_no_time_does_not_have_an_endpoint_left_out() {
    let app = Origin::scripted(|wire| {
        // Says nothing to calls, until they are given up.
        let call = read_request(wire, 0);
        if call.is_ok_and(|request| request.target == "/") {
            wire.send(&ok(b"app"));
        } else {
            let _ = wire.try_some();
        }
    });
    let routes = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[app.address], "outlier = { failures = 2 }")
    );
    let egret = Egret::start(&reverse("", &routes));
    let call = "content-type: application/grpc\r\ngrpc-timeout: 20m\r\n";
    for _ in 0..4 {
        let late = ask(&egret, &get("a", "/pkg.Service/Call", call));
        assert_eq!(late.header("grpc-status"), Some("4"));
    }
    assert_eq!(ask(&egret, &get("a", "/", "")).text(), "app");
    let listed = said(&egret.command(&["upstream", "list"]));
    let endpoint = listed
        .lines()
        .find(|line| line.contains(&app.address.to_string()));
    let failed = endpoint.and_then(|line| line.split_whitespace().nth(6));
    assert_eq!(failed, Some("0"), "{listed}");
}

#[test]
fn a_credential_goes_to_its_upstream_over_tls_alone_and_into_no_copy() {
    let (app, copy) = (cacheable(), cacheable());
    let tables = |more: &str| {
        format!(
            r#"
            [[route]]
            host = "www.example"
            to = "app"
            inject = {{ header = "X-Key", value = {{ file = "secret" }}{more} }}
            mirror = {{ to = "copy", share = "100%" }}
            [[route]]
            to = "app"
            mirror = {{ to = "copy", share = "100%" }}
            {}{}"#,
            upstream("app", &[app.address], ""),
            upstream("copy", &[copy.address], "")
        )
    };
    let files = [("secret", "0123456789abcdef")];
    // That the client says https is nothing to the upstream.
    let lines = "trusted-proxies = [\"127.0.0.1/32\"]";
    let said_secure = "X-Forwarded-Proto: https\r\n";
    let egret = Egret::start_with(&files, &reverse(lines, &tables("")));
    let refused = ask(&egret, &get("www.example", "/", said_secure));
    assert_eq!(refused.status, 403);
    assert!(app.requests().is_empty() && copy.requests().is_empty());
    drop(egret);
    let egret = Egret::start_with(&files, &reverse(lines, &tables(", insecure = true")));
    assert_eq!(ask(&egret, &get("www.example", "/", "")).status, 200);
    assert_eq!(
        app.wait_request(0).header("x-key"),
        Some("0123456789abcdef")
    );
    // The copy of a request that came later is the first.
    assert_eq!(ask(&egret, &get("other.example", "/later", "")).status, 200);
    assert_eq!(copy.wait_request(0).target, "/later");
}

#[test]
fn an_encoded_character_does_not_lead_past_a_rule_or_a_route() {
    let (app, verbs) = (cacheable(), cacheable());
    let tables = format!(
        r#"
        [[route]]
        path = "/v1/users:purge"
        to = "verbs"
        [[route]]
        to = "app"
        {}{}
        [policy.edge]
        default = "allow"
        [[policy.edge.rule]]
        name = "no deletion"
        deny = {{}}
        path = "/v1/*:delete"
        "#,
        upstream("app", &[app.address], ""),
        upstream("verbs", &[verbs.address], "")
    );
    let egret = Egret::start(&reverse("policy = \"edge\"", &tables));
    for (path, status) in [
        ("/v1/doc:delete", 403),
        ("/v1/doc%3adelete", 403),
        ("/v1/users%3Apurge", 400),
        ("/v1/users:purge", 200),
        ("/v1/doc%3Aread", 200),
    ] {
        let response = ask(&egret, &get("www.example", path, ""));
        assert_eq!(response.status, status, "{path}");
    }
    assert_eq!(app.wait_request(0).target, "/v1/doc%3Aread");
}

#[test]
fn who_sends_slowly_holds_no_place_at_an_upstream_where_bodies_are_buffered() {
    let app = cacheable();
    let routes = format!(
        "[[route]]\nto = \"app\"\nbuffer = {{ request = \"64KiB\" }}\n{}",
        upstream("app", &[app.address], "limits = { requests = 1 }")
    );
    let egret = Egret::start(&reverse("", &routes));
    let mut slow = Wire::connect(egret.address("web"));
    slow.send(
        b"POST /slow HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    // It is waited for.
    assert_eq!(slow.response("POST").status, 100);
    slow.send(b"ab");
    assert_eq!(ask(&egret, &get("a", "/", "")).status, 200);
    slow.send(b"cd");
    assert_eq!(slow.response("POST").status, 200);
    assert_eq!(app.wait_request(1).body, b"abcd");
}

#[test]
fn a_conversation_does_not_wait_for_its_end_where_requests_are_mirrored() {
    let app = Origin::scripted(|wire| {
        let head = wire.head().to_ascii_lowercase();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        wire.send(&ok(b"first"));
        // The rest of the request comes, or its client goes.
        while wire.try_some().is_ok_and(|some| !some.is_empty()) {}
    });
    let shadow = cacheable();
    let routes = format!(
        "[[route]]\nto = \"app\"\nmirror = {{ to = \"shadow\" }}\n{}{}",
        upstream("app", &[app.address], ""),
        upstream("shadow", &[shadow.address], "")
    );
    let egret = Egret::start(&reverse("", &routes));
    let mut wire = Wire::connect(egret.address("web"));
    wire.send(b"POST /talk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
    assert_eq!(wire.response("POST").text(), "first");
}

#[test]
fn trailers_do_not_say_what_a_field_was_not_let_say() {
    // RFC 9110 §6.5.1: some servers merge them into the header section, and believe what stands there.
    let app = cacheable();
    let routes = format!(
        "[[route]]\nto = \"app\"\n\
         headers = {{ request = {{ set = {{ x-user = \"nobody\" }} }} }}\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("", &routes));
    let request = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\
         X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n\
         Proxy: http://10.0.0.1/\r\nX-User: root\r\nX_User: root\r\nX-Sum: 42\r\n\r\n";
    assert_eq!(ask(&egret, request).status, 200);
    let trailers = app.wait_request(0).trailers;
    let names: Vec<&str> = trailers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-sum"]);
}
