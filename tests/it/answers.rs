//! Answers that the proxy gives itself: in the form that the client asks for, safe to show, with Proxy-Status on each.
//! RFC 9209; RFC 9457; RFC 9110 §12.5.1.

use serde_json::Value;

use crate::support::{Config, Dns, Egret, Origin, Response, connect, contains, get};

#[test]
fn a_denial_comes_as_text_json_or_html_as_accept_asks() {
    let rule = "name = \"no <b>bold</b> & \\\"quoted\\\"\"\nhost = \"denied.test\"\ndeny = { message = \"<script>alert(1)</script>\" }";
    let egret = Egret::start(&Config::closed().rule(rule));
    let ask = |accept: &str| {
        let lines = format!("Accept: {accept}\r\n");
        egret.ask(&get("http://denied.test/", &lines))
    };
    for accept in [
        "text/html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "application/json;q=0.5, text/html",
    ] {
        let answer = ask(accept);
        let kind = answer.header("content-type").unwrap_or_default();
        assert_eq!(kind, "text/html; charset=utf-8", "{accept}");
        let text = answer.text();
        assert!(
            !text.contains("<script>") && !text.contains("<b>"),
            "{text}"
        );
        assert!(
            text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
            "{text}"
        );
        assert!(text.contains("no &lt;b&gt;bold&lt;/b&gt; &amp; "), "{text}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'"), "{}", answer.head);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    for accept in [
        "application/json",
        "application/problem+json",
        "text/html;q=0, application/json",
    ] {
        let answer = ask(accept);
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/") && kind.ends_with("json"),
            "{accept}: {kind}"
        );
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["status"], 403, "{problem}");
        assert_eq!(problem["rule"], "no <b>bold</b> & \"quoted\"", "{problem}");
        assert_eq!(problem["remedy"], "<script>alert(1)</script>", "{problem}");
        let id = &problem["id"];
        egret.wait_record("its record", |record| record["id"] == *id);
    }
    for accept in ["text/plain", "*/*", "image/png", ""] {
        let answer = ask(accept);
        let kind = answer.header("content-type").unwrap_or_default();
        assert_eq!(kind, "text/plain; charset=utf-8", "{accept}");
        for part in ["Reason: ", "Rule: no <b>", "Request id: "] {
            assert!(answer.text().contains(part), "{}", answer.text());
        }
    }
    assert_eq!(ask("text/html").header("cache-control"), Some("no-store"));
}

#[test]
fn what_the_client_wrote_is_escaped_in_a_page_about_it() {
    let egret = Egret::start(&Config::closed());
    for target in [
        "http://a.test/<script>alert(1)</script>",
        "http://<script>.test/",
        "http://a.test:99999/",
        "ftp://a.test/<b>",
    ] {
        let answer = egret.ask(&get(target, "Accept: text/html\r\n"));
        assert!(answer.status >= 400, "{target}");
        assert!(!contains(&answer.body, b"<script>"), "{}", answer.text());
        assert!(!contains(&answer.body, b"<b>"), "{}", answer.text());
    }
}

#[test]
fn every_refusal_has_proxy_status() {
    let limits =
        "header-count = 20\nheader-size = \"2KiB\"\nheader-time = \"500ms\"\nbody-size = \"1KiB\"";
    let egret = Egret::start(&Config::loopback().limits(limits));
    let post = "POST http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n";
    let long = format!("X: {}\r\n", "y".repeat(4000));
    let slow = "GET http://a.test/ HTTP/1.1\r\n";
    let (denied, bad) = ("http_request_denied", "http_request_error");
    for (case, request, status, error) in [
        ("a denial", get("http://10.0.0.1/", ""), 403, denied),
        ("a denied tunnel", connect("10.0.0.1:1", ""), 403, denied),
        ("malformed", get("http://a b/", ""), 400, bad),
        ("origin-form", get("/", ""), 400, bad),
        ("two hosts", get("http://a.test/", "Host: b\r\n"), 400, bad),
        ("slow", slow.to_owned(), 408, bad),
        ("large", post.to_owned(), 413, bad),
        ("long", get("http://a.test/", &long), 431, bad),
    ] {
        assert_own(case, &egret.ask(&request), status, error);
    }
}

#[test]
fn every_failure_has_proxy_status() {
    let reset = Origin::scripted(|wire| {
        wire.head();
        wire.reset_now();
    });
    let silent = Origin::scripted(|wire| {
        wire.drain();
    });
    let garbage = Origin::replies(b"SSH-2.0-nonsense\r\n\r\n");
    let dns = Dns::start(&[]);
    let config = Config::loopback()
        .more("[pool]\nresponse = \"500ms\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    let at = |origin: &Origin| get(&origin.url("/"), "");
    for (case, request, status, error) in [
        (
            "refused",
            get("http://127.0.0.1:1/", ""),
            502,
            "connection_refused",
        ),
        (
            "a refused tunnel",
            connect("127.0.0.1:1", ""),
            502,
            "connection_refused",
        ),
        ("reset", at(&reset), 502, "connection_terminated"),
        ("no HTTP", at(&garbage), 502, "http_protocol_error"),
        ("silent", at(&silent), 504, "connection_read_timeout"),
        ("no name", get("http://missing.test/", ""), 502, "dns_error"),
    ] {
        assert_own(case, &egret.ask(&request), status, error);
    }
}

#[test]
fn one_connection_too_many_has_proxy_status() {
    let egret = Egret::start(&Config::closed().limits("connections = 2"));
    let mut held = Vec::new();
    let refused = (0..20).find_map(|_| {
        let mut wire = egret.connect();
        let _ = wire.try_send(get("http://10.0.0.1/", "").as_bytes());
        let answer = wire.response("GET");
        held.push(wire);
        (answer.status == 503).then_some(answer)
    });
    assert_own(
        "too many",
        &refused.unwrap(),
        503,
        "connection_limit_reached",
    );
}

fn assert_own(case: &str, answer: &Response, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{case}: {}", answer.head);
    assert_eq!(answer.proxy_error(), Some(error), "{case}: {}", answer.head);
    let field = answer.header("proxy-status").unwrap();
    assert!(field.starts_with("egret;"), "{case}: {field}");
    // The one answer that is given before anything was read is short.
    let details = field.contains("details=\"") || status == 503;
    assert!(details, "{case}: {field}");
    let stored = answer.header("cache-control") != Some("no-store");
    assert!(!stored || status == 503, "{case}");
    assert!(
        answer
            .header("date")
            .is_none_or(|date| date.ends_with("GMT")),
        "{case}"
    );
}

#[test]
fn an_answer_to_head_has_no_body_and_one_to_connect_closes() {
    let egret = Egret::start(&Config::closed());
    let mut wire = egret.connect();
    wire.send(b"HEAD http://a.test/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.response("HEAD").status, 403);
    // The connection is still good, so nothing of a body came.
    wire.send(b"GET http://a.test/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.response("GET").status, 403);
    wire.send(connect("a.test:443", "").as_bytes());
    let answer = wire.response("CONNECT");
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(wire.read_to_end().is_empty());
}

#[test]
fn an_answer_of_the_origin_s_passes_with_its_own_proxy_status() {
    let origin = Origin::http(|_| {
        b"HTTP/1.1 502 Bad Gateway\r\nProxy-Status: cdn; error=dns_error\r\nContent-Length: 4\r\n\r\nhers".to_vec()
    });
    let egret = Egret::start(&Config::loopback());
    let answer = egret.ask(&get(&origin.url("/"), ""));
    assert_eq!(answer.text(), "hers");
    let field = answer.header("proxy-status").unwrap_or_default();
    assert!(field.starts_with("cdn; error=dns_error"), "{field}");
}
