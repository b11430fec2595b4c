//! What policies say beyond allow and deny: report mode, the words of a denial, conditions on fields and names, lists that
//! change, time. Not the guard and spellings, which are `policy_spellings`; not obligations.

use std::time::{Duration, Instant};

use crate::support::{Config, Dns, Egret, Origin, get, ok, program, said, tunnel, until};

const LOOPBACK: &str = "name = \"loopback\"\nallow = {}\naddress = \"127.0.0.0/8\"";

#[test]
fn a_deny_rule_that_reports_lets_through_and_records_what_it_would_have_done() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::closed()
        .rule("name = \"on trial\"\ndeny = {}\nreport = true\npath = \"/tried\"")
        .rule(LOOPBACK);
    let egret = Egret::start(&config);
    for (path, verdict) in [("/tried", "would-deny"), ("/other", "allow")] {
        assert_eq!(egret.ask(&get(&origin.url(path), "")).status, 200);
        let record = egret.wait_record(path, |record| record["path"] == path);
        assert_eq!(record["verdict"], verdict, "{record}");
    }
    let record = egret.wait_record("the trial", |record| record["path"] == "/tried");
    assert!(record.to_string().contains("on trial"), "{record}");
    assert_eq!(egret.status()["totals"]["would_deny"], 1);
}

#[test]
fn an_allow_rule_that_reports_lets_through_what_the_rest_would_deny() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::closed().rule(&format!("{LOOPBACK}\nreport = true"));
    let egret = Egret::start(&config);
    assert_eq!(egret.ask(&get(&origin.url("/"), "")).status, 200);
    egret.wait_record("the report", |record| record["verdict"] == "would-deny");
}

#[test]
fn a_policy_that_reports_denies_nothing_but_what_the_guard_refuses() {
    let origin = Origin::http(|_| ok(b"answer"));
    let dns = Dns::start(&[("origin.test", "127.0.0.1"), ("inside.test", "10.0.0.1")]);
    let config = Config::closed()
        .policy("report = true")
        .rule("name = \"never\"\ndeny = {}\naddress = \"127.0.0.0/8\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    let url = format!("http://origin.test:{}/", origin.port());
    assert_eq!(egret.ask(&get(&url, "")).status, 403, "the guard stands");
    let inside = get("http://inside.test/", "");
    assert_eq!(egret.ask(&inside).status, 403, "the guard stands");
}

#[test]
fn a_denial_has_the_status_the_message_or_the_redirect_of_its_rule() {
    let config = Config::closed()
        .rule("name = \"gone\"\nhost = \"gone.test\"\ndeny = { status = 410, message = \"Ask security@example.com.\" }")
        .rule("name = \"moved\"\nhost = \"moved.test\"\ndeny = { redirect = \"https://help.example/?from=proxy\" }")
        .rule("name = \"plain\"\nhost = \"plain.test\"\ndeny = {}");
    let egret = Egret::start(&config);
    let gone = egret.ask(&get("http://gone.test/", ""));
    assert_eq!(gone.status, 410);
    for part in ["gone", "Ask security@example.com.", "Request id: "] {
        assert!(gone.text().contains(part), "{}", gone.text());
    }
    let id = gone.text();
    let id = id.split("Request id: ").nth(1).unwrap().trim();
    let record = egret.wait_record("its record", |record| record["id"] == id);
    assert_eq!(
        (&record["rule"], &record["status"]),
        (&"gone".into(), &410.into()),
        "{record}"
    );

    let moved = egret.ask(&get("http://moved.test/", ""));
    assert_eq!(moved.status, 302);
    assert_eq!(
        moved.header("location"),
        Some("https://help.example/?from=proxy")
    );
    assert_eq!(egret.ask(&get("http://plain.test/", "")).status, 403);
    // A tunnel is denied with the same words; a redirect would be of no use, but is no success either.
    for host in ["gone.test", "moved.test", "plain.test"] {
        let answer = egret.ask(&crate::support::connect(&format!("{host}:443"), ""));
        assert!(answer.status >= 300, "{}", answer.head);
    }
}

#[test]
fn conditions_on_method_path_field_and_scheme_see_the_request_as_it_is() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::closed().rule(
        "name = \"pip\"\nallow = {}\naddress = \"127.0.0.0/8\"\nmethod = [\"GET\", \"HEAD\"]\nscheme = \"http\"\n\
         path = \"/simple/*\"\nheader = { user-agent = \"pip/*\", x-build = true }",
    );
    let egret = Egret::start(&config);
    let ask = |method: &str, path: &str, lines: &str| {
        let url = origin.url(path);
        egret
            .ask(&format!(
                "{method} {url} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"
            ))
            .status
    };
    let good = "User-Agent: pip/24.0\r\nX-Build: 7\r\n";
    for (case, status, expected) in [
        ("all of it", ask("GET", "/simple/a/b", good), 200),
        (
            "the query is no part of the path",
            ask("GET", "/simple/?/x", good),
            200,
        ),
        ("another method", ask("POST", "/simple/a", good), 403),
        ("another path", ask("GET", "/other", good), 403),
        (
            "a path that climbs out",
            ask("GET", "/simple/../other", good),
            400,
        ),
        (
            "an encoded climb",
            ask("GET", "/simple/%2e%2e/other", good),
            400,
        ),
        (
            "no field",
            ask("GET", "/simple/a", "User-Agent: pip/24.0\r\n"),
            403,
        ),
        (
            "another value",
            ask("GET", "/simple/a", "User-Agent: curl/8\r\nX-Build: 7\r\n"),
            403,
        ),
    ] {
        assert_eq!(status, expected, "{case}");
    }
    // Inside a tunnel none of that is seen.
    let answer = egret.ask(&crate::support::connect(&origin.address.to_string(), good));
    assert_eq!(answer.status, 403);
}

#[test]
fn named_conditions_and_not_help_a_rule_to_be_read() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::closed()
        .rule(
            "name = \"from here, but not the admin pages\"\nallow = {}\nwhen = [\"local\"]\naddress = \"127.0.0.0/8\"\n\
             not = { path = \"/admin/*\" }",
        )
        .more("[policy.test.condition.local]\nclient = \"127.0.0.0/8\"\nnot = { port = 1 }");
    let egret = Egret::start(&config);
    for (path, status) in [("/", 200), ("/admin/users", 403)] {
        assert_eq!(
            egret.ask(&get(&origin.url(path), "")).status,
            status,
            "{path}"
        );
    }
    // The path in a tunnel is not known, so its `not` does not hold either.
    let answer = egret.ask(&crate::support::connect(&origin.address.to_string(), ""));
    assert_eq!(answer.status, 403);
}

#[test]
fn a_time_window_holds_in_its_own_zone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    let rule = "name = \"office hours\"\nallow = {}\nhost = \"*.partner.test\"\ntime = \"Mon-Fri 08:00-18:00 Europe/Berlin\"";
    std::fs::write(&file, Config::closed().rule(rule).text()).unwrap();
    for (at, verdict) in [
        ("2026-11-24T07:00:00Z", "allow"),
        ("2026-11-24T06:59:59Z", "deny"),
        ("2026-11-24T16:59:59Z", "allow"),
        ("2026-11-24T17:00:00Z", "deny"),
        // Summer time.
        ("2026-07-21T06:00:00Z", "allow"),
        // Saturday.
        ("2026-11-28T10:00:00Z", "deny"),
    ] {
        let output = program()
            .args(["explain", "--json", "--at", at, "-c"])
            .arg(&file)
            .arg("http://a.partner.test/")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let explained: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(explained["verdict"], verdict, "{at}: {explained}");
    }
}

#[test]
fn a_list_file_that_changes_decides_anew_without_a_reload_and_ends_tunnels() {
    let origin = Origin::http(|_| ok(b"answer"));
    let dns = Dns::start(&[("good.test", "127.0.0.1"), ("bad.test", "127.0.0.1")]);
    let list = "[policy.test.list.blocked]\nfile = \"{dir}/blocked.txt\"\nreload = \"1s\"";
    let config = Config::closed()
        .rule("name = \"blocked\"\ndeny = {}\nhost = \"@blocked\"")
        .rule(LOOPBACK)
        .more(list)
        .dns(&dns);
    let egret = Egret::start_with(&[("blocked.txt", "bad.test\nworse!.test\n")], &config);
    let ask = |name: &str| {
        let url = format!("http://{name}:{}/", origin.port());
        egret.ask(&get(&url, "")).status
    };
    assert_eq!((ask("good.test"), ask("bad.test")), (200, 403));
    let lists = egret.status()["lists"].to_string();
    assert!(lists.contains('1') && lists.contains("blocked"), "{lists}");
    let log = egret.log();
    assert!(log.contains("skipped") && log.contains('2'), "{log}");
    let mut wire = tunnel(&egret, &format!("good.test:{}", origin.port()));

    egret.write("blocked.txt", "good.test\n");
    egret.wait_line("the change", |line| line.contains("blocked reloaded"));
    until("the new decision", || {
        (ask("good.test"), ask("bad.test")) == (403, 200)
    });
    assert!(
        wire.read_to_any_end().is_empty(),
        "the tunnel is judged again"
    );
    let record = egret.wait_record("the tunnel", |record| record["method"] == "CONNECT");
    assert!(
        record["reason"].as_str().unwrap().contains("blocked"),
        "{record}"
    );

    // Emptied, then gone: the last good one stays, and that is said.
    egret.write("blocked.txt", "");
    egret.wait_line("the loud word", |line| {
        line.contains("ERROR") && line.contains("last good list")
    });
    assert_eq!((ask("good.test"), ask("bad.test")), (403, 200));
    let lists = egret.status()["lists"].clone();
    assert!(lists[0]["fault"].is_string(), "{lists}");
    std::fs::remove_file(egret.path("blocked.txt")).unwrap();
    until("the fault of now", || {
        egret.log().matches("last good list").count() >= 2
    });
    assert_eq!((ask("good.test"), ask("bad.test")), (403, 200));

    egret.write("blocked.txt", "bad.test\n");
    until("the decision of the start", || {
        (ask("good.test"), ask("bad.test")) == (200, 403)
    });
    let lists = egret.status()["lists"].clone();
    assert!(lists[0]["fault"].is_null(), "{lists}");
}

#[test]
fn a_list_that_can_not_be_read_is_a_fault_at_the_start() {
    let config = |file: &str| {
        Config::closed()
            .rule("name = \"blocked\"\ndeny = {}\nhost = \"@blocked\"")
            .more(&format!(
                "[policy.test.list.blocked]\nfile = \"{{dir}}/{file}\""
            ))
    };
    for file in ["missing.txt", "empty.txt"] {
        let mut egret = Egret::spawn(&[("empty.txt", "# nothing\n")], &config(file).text());
        assert_eq!(egret.wait_exit().code(), Some(2), "{file}");
        egret.wait_line("the fault", |line| line.contains(file));
    }
    let egret = Egret::start_with(&[("blocked.txt", "a.test\n")], &config("blocked.txt"));
    egret.write("blocked.txt", "");
    let reload = egret.command(&["reload"]);
    // Whether the reload is refused or keeps the list: it still holds.
    assert!(said(&reload).contains("blocked"), "{}", said(&reload));
    assert_eq!(egret.ask(&get("http://a.test/", "")).status, 403);
    let record = egret.wait_record("the denial", |record| record["status"] == 403);
    assert_eq!(record["rule"], "blocked", "{record}");
}

#[test]
fn every_form_of_list_is_recognised_and_decides() {
    let forms = [
        ("names", "listed.test\n*.below.test\n", "plain"),
        (
            "hosts",
            "0.0.0.0 listed.test\n0.0.0.0 x.below.test\n",
            "hosts",
        ),
        ("adblock", "||listed.test^\n||below.test^\n", "dblock"),
        (
            "rpz",
            "$TTL 60\n@ SOA localhost. root.localhost. 1 1 1 1 1\n NS localhost.\nlisted.test CNAME .\n*.below.test CNAME .\n",
            "RPZ",
        ),
    ];
    let mut config = Config::closed();
    for (form, _, _) in forms {
        config = config
            .rule(&format!(
                "name = \"{form}\"\nport = {}\ndeny = {{}}\nhost = \"@{form}\"",
                port(form)
            ))
            .more(&format!(
                "[policy.test.list.{form}]\nfile = \"{{dir}}/{form}\""
            ));
    }
    let files: Vec<(&str, &str)> = forms.iter().map(|(form, text, _)| (*form, *text)).collect();
    let egret = Egret::start_with(&files, &config);
    for (form, _, _) in forms {
        for (name, rule) in [
            ("listed.test", form),
            ("x.below.test", form),
            ("other.test", "default"),
        ] {
            let url = format!("http://{name}:{}/", port(form));
            assert_eq!(egret.ask(&get(&url, "")).status, 403);
            let authority = format!("{name}:{}", port(form));
            let record = egret.wait_record(&authority, |record| record["authority"] == authority);
            assert_eq!(record["rule"], rule, "{record}");
        }
    }
}

fn port(form: &str) -> u16 {
    8000 + u16::from(form.as_bytes()[0])
}

#[test]
fn a_bandwidth_is_kept_to_within_a_tenth_or_so() {
    let body = vec![b'x'; 300 << 10];
    let origin = Origin::http(move |_| ok(&body));
    let rule = "name = \"narrow\"\naddress = \"127.0.0.0/8\"\nallow = { bandwidth = \"100KiB/s\" }";
    let egret = Egret::start(&Config::closed().rule(rule));
    let began = Instant::now();
    assert_eq!(egret.ask(&get(&origin.url("/"), "")).body.len(), 300 << 10);
    let took = began.elapsed();
    // A second's worth may go at once.
    assert!(took > Duration::from_millis(1800), "{took:?}");
    assert!(took < Duration::from_millis(4500), "{took:?}");
}

#[test]
fn a_rate_counts_each_client_for_itself_and_is_not_refilled_by_a_reload() {
    let origin = Origin::http(|_| ok(b""));
    let rule = "name = \"few\"\naddress = \"127.0.0.0/8\"\nallow = { rate = \"2/h\" }";
    let config = Config::closed()
        .listener("proxy-protocol = { accept-from = [\"127.0.0.1\"] }")
        .rule(rule);
    let egret = Egret::start(&config);
    let ask = |client: &str| {
        let mut wire = egret.connect();
        let header = format!("PROXY TCP4 {client} 192.0.2.200 1 3128\r\n");
        wire.send((header + &get(&origin.url("/"), "")).as_bytes());
        wire.response("GET").status
    };
    let statuses: Vec<u16> = (0..3).map(|_| ask("192.0.2.1")).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(ask("192.0.2.2"), 200);
    assert!(egret.command(&["reload"]).status.success());
    assert_eq!(ask("192.0.2.1"), 429);
    assert_eq!(ask("192.0.2.2"), 200);
    let record = egret.wait_record("the 429", |record| record["status"] == 429);
    assert_eq!(record["verdict"], "deny", "{record}");
}

#[test]
fn the_listener_is_a_condition() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::closed()
        .rule("name = \"by the second\"\nallow = {}\nlistener = \"second\"\naddress = \"127.0.0.0/8\"")
        .more("[[listener]]\nname = \"second\"\nbind = \"127.0.0.1:0\"\nmode = \"forward\"\npolicy = \"test\"");
    let egret = Egret::start(&config);
    let request = get(&origin.url("/"), "");
    for (listener, status) in [("egress", 403), ("second", 200)] {
        let mut wire = crate::support::Wire::connect(egret.address(listener));
        wire.send(request.as_bytes());
        assert_eq!(wire.response("GET").status, status, "{listener}");
    }
}

#[test]
fn socks_is_judged_and_reported_like_everything_else() {
    let echo = Origin::echo();
    let config = Config::closed()
        .rule(&format!(
            "name = \"closed\"\ndeny = {{}}\nport = {}",
            echo.port()
        ))
        .rule("name = \"tried\"\ndeny = {}\nreport = true\nscheme = \"tunnel\"")
        .rule("name = \"no CONNECT\"\ndeny = {}\nmethod = \"CONNECT\"")
        .rule(LOOPBACK);
    let other = Origin::echo();
    let egret = Egret::start(&config);
    let socks = |origin: &Origin| {
        let mut wire = egret.connect();
        crate::socks::open5(&mut wire, 1, &crate::socks::ipv4(origin.address))
    };
    assert_eq!(socks(&echo), 2, "not allowed by the rules");
    assert_eq!(socks(&other), 0, "only reported, and SOCKS has no method");
    let denied = egret.ask(&crate::support::connect(&other.address.to_string(), ""));
    assert_eq!(denied.status, 403);
    let record = egret.wait_record("the tunnel", |record| record["verdict"] == "would-deny");
    assert_eq!(record["protocol"], "socks5", "{record}");
    assert_eq!(echo.connections(), 0);
}

#[test]
fn a_rate_holds_for_tunnels_of_both_kinds_too() {
    let echo = Origin::echo();
    let rule = "name = \"few\"\naddress = \"127.0.0.0/8\"\nallow = { rate = \"2/h\" }";
    let egret = Egret::start(&Config::closed().rule(rule));
    let place = crate::socks::ipv4(echo.address);
    let socks = || crate::socks::open5(&mut egret.connect(), 1, &place);
    assert_eq!(socks(), 0);
    tunnel(&egret, &echo.address.to_string());
    let answer = egret.ask(&crate::support::connect(&echo.address.to_string(), ""));
    assert_eq!(answer.status, 429, "{}", answer.head);
    assert_ne!(socks(), 0);
}

#[test]
fn explain_knows_fields_listeners_addresses_and_methods() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    let rule = "name = \"all of it\"\nallow = {}\nlistener = \"egress\"\nmethod = \"GET\"\naddress = \"10.0.5.9\"\n\
                header = { x-build = \"7*\" }";
    std::fs::write(&file, Config::closed().rule(rule).text()).unwrap();
    let whole = [
        "--method",
        "GET",
        "--address",
        "10.0.5.9",
        "--header",
        "X-Build: 77",
    ];
    for (leave_out, verdict) in [(None, "allow"), (Some(2), "deny"), (Some(4), "deny")] {
        let mut words = whole.to_vec();
        if let Some(at) = leave_out {
            words.drain(at..at + 2);
        }
        let wrong = ["--address", "10.0.5.8"];
        if leave_out == Some(2) {
            words.extend(wrong);
        }
        let output = program()
            .args(["explain", "--json", "-c"])
            .arg(&file)
            .args(&words)
            .arg("https://metrics.test:9090/")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let explained: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(explained["verdict"], verdict, "{words:?}: {explained}");
    }
}
