//! A credential that the workload does not have: set at the proxy, and never seen by the workload, nor written anywhere.
//! Mostly over plain HTTP where a rule says so; what is the same over TLS is not repeated here.

use crate::support::{Ca, Config, Egret, Interception, Origin, ok, said, shake_hands, tunnel};

const SECRET: &str = "tok-7f3a/91==";

/// The rule `api`, which may inject over plain HTTP where `more` says so.
fn api(value: &str, more: &str) -> Config {
    Config::closed().rule(&format!(
        "name = \"api\"\nhost = \"127.0.0.1\"\naddress = \"127.0.0.0/8\"\n\
         allow = {{ inject = {{ header = \"Authorization\", value = {value}{more} }} }}"
    ))
}

fn get(origin: &Origin, more: &str) -> String {
    crate::support::get(&origin.url("/"), more)
}

/// Repeats the credential in every place that a response has for fields.
fn repeating() -> Origin {
    Origin::http(|request| {
        let seen = request.header("authorization").unwrap_or("none");
        let bare = seen.trim_start_matches("Bearer ");
        let encoded = bare.replace('/', "%2F").replace('=', "%3D");
        format!(
            "HTTP/1.1 103 Early Hints\r\nX-Seen: {seen}\r\n\r\n\
             HTTP/1.1 200 OK\r\nX-Seen: {seen}\r\nX-Seen: a {bare} b\r\nLocation: /?t={encoded}&u=1\r\n\
             Content-Type: text/{bare}\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n\
             2\r\nok\r\n0\r\nX-End: {seen}\r\nX-Sum: 42\r\n\r\n"
        )
        .into_bytes()
    })
}

#[test]
fn the_origin_sees_the_credential_and_the_workload_does_not() {
    let origin = repeating();
    let config = api(
        "{ env = \"EGRET_TEST_TOKEN\" }",
        ", prefix = \"Bearer \", insecure = true",
    );
    let egret = Egret::start_in(&[("EGRET_TEST_TOKEN", SECRET)], &[], &config);
    let mut wire = egret.connect();
    let own = "Authorization: Basic b3du\r\nAuthorization: Basic dHdv\r\nTE: trailers\r\nConnection: TE\r\n";
    wire.send(get(&origin, own).as_bytes());
    let hints = wire.response("GET");
    assert_eq!(
        (hints.status, hints.header("x-seen")),
        (103, Some("Bearer (hidden)"))
    );
    let answer = wire.response("GET");
    let seen = origin.wait_request(0);
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {SECRET}").as_str())
    );
    let expected = [
        ("x-seen", "Bearer (hidden)"),
        ("x-seen", "a (hidden) b"),
        ("location", "/?t=(hidden)&u=1"),
        ("content-type", "text/(hidden)"),
    ];
    for (name, value) in expected {
        let same =
            |field: &(String, String)| field.0.eq_ignore_ascii_case(name) && field.1 == value;
        assert!(answer.headers.iter().any(same), "{name}: {}", answer.head);
    }
    let trailers: Vec<&str> = answer
        .trailers
        .iter()
        .map(|field| field.1.as_str())
        .collect();
    assert_eq!(trailers, ["Bearer (hidden)", "42"]);
    let record = egret.wait_record("the request", |record| record["status"] == 200);
    let explained = egret.command(&["explain", record["id"].as_str().unwrap()]);
    assert!(said(&explained).contains("api"), "{}", said(&explained));
    for text in [egret.everything_written(), said(&explained)] {
        assert!(
            !text.contains(SECRET) && !text.contains("tok-7f3a"),
            "{text}"
        );
    }
}

#[test]
fn a_page_that_repeats_the_credential_shows_asterisks_in_its_place() {
    let origin = Origin::http(|request| {
        let bare = request.header("authorization").unwrap_or("none");
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        let page = format!("<p>{bare} is wrong: ?t={}</p>", bare.replace('=', "%3D"));
        match request.path() {
            "/whole" => format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n{page}", page.len()),
            _ => {
                let (one, other) = page.split_at(10);
                let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
                let chunks = [one, other].map(chunk).concat();
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{chunks}0\r\nX-Sum: 42\r\n\r\n")
            }
        }
        .into_bytes()
    });
    let config = api("{ file = \"{dir}/token\" }", ", insecure = true");
    let egret = Egret::start_with(&[("token", "tok-7f3a-91==")], &config);
    let mut wire = egret.connect();
    for (path, status) in [("/whole", 401), ("/chunks", 200), ("/whole", 401)] {
        let own = "Accept-Encoding: gzip\r\n";
        wire.send(crate::support::get(&origin.url(path), own).as_bytes());
        let answer = wire.response("GET");
        assert_eq!(answer.status, status);
        let (page, hidden) = (answer.text(), "*".repeat(13));
        assert!(!page.contains("tok-7") && page.ends_with("</p>"), "{page}");
        assert!(page.contains(&format!("<p>{hidden} is wrong")), "{page}");
        assert_eq!(answer.trailers.len(), usize::from(status == 200));
    }
}

#[test]
fn what_the_proxy_says_of_an_origin_that_fails_repeats_no_credential() {
    let answers = [
        "",
        "HTTP/1.1 200 OK\r\nX-Seen tok-7f3a/91==\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntok-7f3a/91==: 1\r\n\r\n",
        "tok-7f3a/91== 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: tok-7f3a/91==\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: tok-7f3a/91==\r\n\r\n",
    ];
    for answer in answers {
        let origin = Origin::replies(answer.as_bytes());
        let config = api("{ file = \"{dir}/token\" }", ", insecure = true");
        let egret = Egret::start_with(&[("token", SECRET)], &config);
        let page = egret.ask(&get(&origin, ""));
        assert_eq!(page.status, 502, "{answer}: {}", page.head);
        let seen = origin.wait_request(0);
        assert_eq!(seen.header("authorization"), Some(SECRET));
        let record = egret.wait_record("the record", |record| record["status"] == 502);
        let explained = egret.command(&["explain", record["id"].as_str().unwrap()]);
        for text in [
            &page.head,
            &page.text(),
            &egret.everything_written(),
            &said(&explained),
        ] {
            assert!(!text.contains("tok-7f3a"), "{answer}: {text}");
        }
    }
}

#[test]
fn a_placeholder_is_replaced_where_the_workload_sends_it_and_only_there() {
    let origin = Origin::http(|_| ok(b""));
    let more = ", placeholder = \"FROM-THE-PROXY\", insecure = true";
    let files = [("token", "tok-7f3a/91==\n")];
    let egret = Egret::start_with(&files, &api("{ file = \"{dir}/token\" }", more));
    let mut wire = egret.connect();
    for (number, (sent, expected)) in [
        (
            "Authorization: Bearer FROM-THE-PROXY\r\n",
            Some("Bearer tok-7f3a/91=="),
        ),
        ("Authorization: Bearer mine\r\n", Some("Bearer mine")),
        ("X-Other: FROM-THE-PROXY\r\n", None),
    ]
    .into_iter()
    .enumerate()
    {
        wire.send(get(&origin, sent).as_bytes());
        assert_eq!(wire.response("GET").status, 200, "{sent}");
        let seen = origin.wait_request(number);
        assert_eq!(seen.header("authorization"), expected, "{sent}");
    }
}

#[test]
fn what_can_not_be_done_safely_is_refused_and_nothing_is_sent() {
    let origin = Origin::http(|_| ok(b""));
    let token = [("token", SECRET)];
    for (more, method) in [
        ("", "GET"),
        (", placeholder = \"X\"", "GET"),
        (", insecure = true", "TRACE"),
        (", insecure = true", "CONNECT"),
    ] {
        let egret = Egret::start_with(&token, &api("{ file = \"{dir}/token\" }", more));
        let target = match method {
            "CONNECT" => origin.address.to_string(),
            _ => origin.url("/"),
        };
        let answer = egret.ask(&format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.status, 403, "{method}{more}: {}", answer.head);
        assert!(!answer.text().contains(SECRET), "{}", answer.text());
        let record = egret.wait_record("the refusal", |record| record["verdict"] == "deny");
        assert_eq!(record["rule"], "api", "{record}");
        assert!(!egret.everything_written().contains(SECRET));
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_switch_of_protocols_hides_the_credential_too() {
    let origin = Origin::http(|request| {
        let seen = request.header("authorization").unwrap_or("none");
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Seen: {seen}\r\n\r\n"
        )
        .into_bytes()
    });
    let config = api("{ file = \"{dir}/token\" }", ", insecure = true");
    let egret = Egret::start_with(&[("token", SECRET)], &config);
    let answer = egret.ask(&get(
        &origin,
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
    ));
    assert_eq!(
        (answer.status, answer.header("x-seen")),
        (101, Some("(hidden)"))
    );
    assert_eq!(answer.header("upgrade"), Some("websocket"));
}

#[test]
fn a_reload_reads_the_secret_anew_and_a_missing_one_leaves_the_old_in_force() {
    let origin = Origin::http(|_| ok(b""));
    let config = api("{ file = \"{dir}/token\" }", ", insecure = true");
    let egret = Egret::start_with(&[("token", SECRET)], &config);
    let asked = |number: usize| {
        assert_eq!(egret.ask(&get(&origin, "")).status, 200);
        let seen = origin.wait_request(number);
        seen.header("authorization").map(str::to_owned)
    };
    assert_eq!(asked(0).as_deref(), Some(SECRET));
    egret.write("token", "tok-second");
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!(asked(1).as_deref(), Some("tok-second"));
    egret.write("token", "\n");
    let reload = egret.command(&["reload"]);
    assert_eq!(reload.status.code(), Some(2), "{}", said(&reload));
    assert!(
        said(&reload).contains("the secret is empty"),
        "{}",
        said(&reload)
    );
    assert_eq!(asked(2).as_deref(), Some("tok-second"));
    let written = egret.everything_written();
    assert!(
        !written.contains(SECRET) && !written.contains("tok-second"),
        "{written}"
    );
}

#[test]
fn a_secret_that_is_not_there_is_a_fault_at_its_place() {
    let config = api("{ env = \"EGRET_TEST_NO_TOKEN\" }", "");
    let mut egret = Egret::spawn(&[], &config.text());
    assert!(!egret.wait_exit().success());
    let line = egret.wait_line("the fault", |line| line.contains("EGRET_TEST_NO_TOKEN"));
    assert!(line.contains("egret.toml:"), "{line}");
}

#[test]
fn filters_let_trailers_pass_but_for_what_they_take_out() {
    let origin = Origin::http(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          2\r\nok\r\n0\r\nX-Sum: 42\r\nServer: secret/1.0\r\n\r\n"
            .to_vec()
    });
    let rule = "name = \"changed\"\naddress = \"127.0.0.0/8\"\nallow = { headers = { request = { remove = [\"x-debug\"] }, \
                response = { remove = [\"server\"] } }, hsts = { max-age = \"365d\" } }";
    let egret = Egret::start(&Config::closed().rule(rule));
    let answer = egret.ask(&format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nX-Debug: 1\r\nX-Check: 1\r\n\r\n",
        origin.url("/")
    ));
    let names = |fields: &[(String, String)]| -> Vec<String> {
        let names = fields.iter().map(|(name, _)| name.to_ascii_lowercase());
        names.collect()
    };
    assert_eq!(names(&answer.trailers), ["x-sum"]);
    assert_eq!(
        answer.header("strict-transport-security"),
        None,
        "{}",
        answer.head
    );
    assert_eq!(names(&origin.wait_request(0).trailers), ["x-check"]);
}

#[test]
fn a_credential_is_added_to_what_is_decrypted() {
    let ca = Ca::mint();
    let origin = Origin::https(&ca, &["127.0.0.1"], |request| {
        let sent = request.header("authorization").unwrap_or_default();
        format!("HTTP/1.1 200 OK\r\nx-echo: {sent}\r\ncontent-length: 0\r\n\r\n").into_bytes()
    });
    let authority = Interception::init();
    let files = [&authority.files()[..], &[("ca.pem", ca.pem())]].concat();
    let rule = "name = \"api\"\nhost = \"127.0.0.1\"\naddress = \"127.0.0.0/8\"\n\
                allow = { intercept = true, hsts = { max-age = \"365d\" }, inject = { header = \"Authorization\", prefix = \"Bearer \", \
                value = { env = \"EGRET_TEST_TOKEN\" } } }";
    let config = Config::closed().rule(rule).roots().more(
        "[intercept]\nauthority = { cert = \"{dir}/intercept.pem\", key = { file = \"{dir}/intercept.key\" } }",
    );
    let egret = Egret::start_in(&[("EGRET_TEST_TOKEN", SECRET)], &files, &config);
    let place = origin.address.to_string();
    let wire = tunnel(&egret, &place);
    let mut met = shake_hands(wire, "127.0.0.1", &[&authority.cert], &[]).expect("TLS");
    met.wire
        .send(format!("GET / HTTP/1.1\r\nhost: {place}\r\n\r\n").as_bytes());
    let answer = met.wire.response("GET");
    assert_eq!(answer.header("x-echo"), Some("Bearer (hidden)"));
    let hsts = answer.header("strict-transport-security");
    assert_eq!(hsts, Some("max-age=31536000"), "{}", answer.head);
    let seen = origin.wait_request(0);
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {SECRET}").as_str())
    );
    drop(met);
    egret.wait_record("the tunnel", |r| r["method"] == "CONNECT");
    assert!(!egret.everything_written().contains(SECRET));
}
