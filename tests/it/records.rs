//! Records: one for each exchange and tunnel, in each form, with what happened and without what nobody should read.
//! Not their syntax, which has its tests beside the code.

use crate::support::{Ca, Config, Dns, Egret, Origin, get, ok, tunnel, until};

#[test]
fn the_record_of_an_exchange_says_who_where_by_which_rule_how_long_and_how_much() {
    let origin = Origin::http(|_| {
        b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
            .to_vec()
    });
    let dns = Dns::start(&[("origin.test", "127.0.0.1")]);
    let egret = Egret::start(&Config::loopback().dns(&dns).workers(1));
    let url = format!("http://Origin.TEST:{}/path?secret=1", origin.port());
    let mut wire = egret.connect();
    let client = wire.local().to_string();
    for _ in 0..2 {
        let head = "User-Agent: test/1\r\nContent-Length: 3\r\n\r\nabc";
        wire.send(format!("PUT {url} HTTP/1.1\r\nHost: a\r\n{head}").as_bytes());
        assert_eq!(wire.response("PUT").status, 201);
    }
    until("both records", || egret.records().len() == 2);
    let records = egret.records();
    let authority = format!("origin.test:{}", origin.port());
    for record in &records {
        for (key, value) in [
            ("listener", "egress"),
            ("client", &client),
            ("protocol", "http/1.1"),
            ("scheme", "http"),
            ("method", "PUT"),
            ("authority", &authority),
            ("path", "/path"),
            ("verdict", "allow"),
            ("rule", "loopback"),
            ("origin", &origin.address.to_string()),
            ("user_agent", "test/1"),
        ] {
            assert_eq!(record[key], value, "{key}: {record}");
        }
        for (key, value) in [("status", 201), ("bytes_in", 3), ("bytes_out", 5)] {
            assert_eq!(record[key], value, "{key}: {record}");
        }
        for key in [
            "error",
            "reason",
            "aborted",
            "query",
            "tls_ms",
            "principal",
            "cache",
        ] {
            assert!(record[key].is_null(), "{key}: {record}");
        }
        let time: jiff::Timestamp = record["time"].as_str().unwrap().parse().unwrap();
        let age = jiff::Timestamp::now().duration_since(time).as_secs();
        assert!((0..60).contains(&age), "{record}");
        let first = record["first_byte_ms"].as_f64().unwrap();
        assert!(record["total_ms"].as_f64().unwrap() >= first, "{record}");
    }
    assert_ne!(records[0]["id"], records[1]["id"]);
    assert_eq!(
        (&records[0]["reused"], &records[1]["reused"]),
        (&false.into(), &true.into())
    );
    assert!(records[0]["connect_ms"].is_number() && records[0]["dns_ms"].is_number());
    assert!(records[1]["connect_ms"].is_null(), "{}", records[1]);
}

#[test]
fn the_record_of_a_tunnel_counts_bytes_each_way_and_is_written_at_its_end() {
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let mut wire = tunnel(&egret, &echo.address.to_string());
    wire.send(&[7; 1000]);
    wire.exact(1000);
    assert!(egret.records().is_empty(), "it is not over");
    wire.half_close();
    wire.read_to_end();
    let record = egret.wait_record("the tunnel", |record| record["scheme"] == "tunnel");
    for (key, value) in [("status", 200), ("bytes_in", 1000), ("bytes_out", 1000)] {
        assert_eq!(record[key], value, "{key}: {record}");
    }
    assert_eq!(record["protocol"], "connect");
    assert_eq!(record["authority"], echo.address.to_string());
    assert!(record["connect_ms"].is_number() && record["total_ms"].is_number());
    for key in ["path", "aborted", "error", "reason"] {
        assert!(record[key].is_null(), "{key}: {record}");
    }
    assert_eq!(egret.records().len(), 1);
}

#[test]
fn the_record_of_an_https_exchange_has_the_time_of_its_handshake() {
    let ca = Ca::mint();
    let origin = Origin::https(&ca, &["127.0.0.1"], |_| ok(b"answer"));
    let egret = Egret::start_with(&[("ca.pem", ca.pem())], &Config::loopback().roots());
    let url = format!("https://{}/", origin.address);
    assert_eq!(egret.ask(&get(&url, "")).status, 200);
    let record = egret.wait_record("the exchange", |record| record["scheme"] == "https");
    assert!(record["tls_ms"].as_f64().unwrap() > 0.0, "{record}");
}

#[test]
fn failures_and_denials_are_recorded_with_their_token_and_reason() {
    let dns = Dns::start(&[("closed.test", "127.0.0.1")]);
    let egret = Egret::start(&Config::loopback().dns(&dns));
    for (url, status, error, verdict) in [
        ("http://closed.test:1/", 502, "connection_refused", "allow"),
        ("http://missing.test/", 502, "dns_error", "allow"),
        ("http://10.0.0.1/", 403, "http_request_denied", "deny"),
    ] {
        let answer = egret.ask(&get(url, ""));
        assert_eq!(answer.status, status, "{url}: {}", answer.head);
        let id = answer.text();
        let id = id.split("Request id: ").nth(1).unwrap().trim();
        let record = egret.wait_record(url, |record| record["id"] == id);
        assert_eq!(record["error"], error, "{record}");
        assert_eq!(record["status"], status, "{record}");
        assert_eq!(record["verdict"], verdict, "{record}");
        assert!(record["reason"].is_string(), "{record}");
    }
    let totals = &egret.status()["totals"];
    assert_eq!(totals["denials"], 1, "{totals}");
    assert_eq!(totals["failures"]["dns_error"], 1, "{totals}");
}

#[test]
fn a_query_is_recorded_only_where_it_is_asked_for() {
    let origin = Origin::http(|_| ok(b""));
    for (log, shown) in [
        ("to = \"stdout\"", false),
        ("to = \"stdout\"\nquery = true", true),
    ] {
        let egret = Egret::start(&Config::loopback().log(log));
        egret.ask(&get(&origin.url("/p?token=abc"), ""));
        egret.wait_record("the exchange", |record| record["path"] == "/p");
        assert_eq!(
            egret.everything_written().contains("token=abc"),
            shown,
            "{log}"
        );
    }
}

#[test]
fn combined_and_squid_lines_are_in_the_file_as_their_analysers_expect_them() {
    let origin = Origin::http(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello".to_vec()
    });
    let place = origin.address;
    for (format, lines) in [
        (
            "combined",
            [
                format!("] \"GET http://{place}/a HTTP/1.1\" 200 5 \"-\" \"x \\\"y\\\"\""),
                "] \"GET http://10.0.0.1/ HTTP/1.1\" 403 ".to_owned(),
            ],
        ),
        (
            "squid",
            [
                format!(" 127.0.0.1 TCP_MISS/200 5 GET http://{place}/a - HIER_DIRECT/127.0.0.1 "),
                " 127.0.0.1 TCP_DENIED/403 ".to_owned(),
            ],
        ),
    ] {
        let log = format!("format = \"{format}\"\nto = \"{{dir}}/access.log\"");
        let egret = Egret::start(&Config::loopback().log(&log));
        egret.ask(&get(&origin.url("/a?b"), "User-Agent: x \"y\"\r\n"));
        egret.ask(&get("http://10.0.0.1/", ""));
        let text = egret.wait_file("access.log", |text| text.lines().count() == 2);
        // The two may have come to two workers, whose records are written in no order.
        for part in lines {
            assert!(
                text.lines().any(|line| line.contains(&part)),
                "{part:?} is not in {text:?}"
            );
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(egret.path("access.log"))
                .unwrap()
                .permissions(),
        );
        assert_eq!(
            mode & 0o007,
            0,
            "who went where is not for everyone: {mode:o}"
        );
    }
}

#[test]
fn a_destination_that_takes_nothing_costs_records_that_are_counted_and_no_traffic() {
    let origin = Origin::http(|_| ok(b""));
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()));
    // Open for reading, but never read: the pipe fills up, and then the queue.
    let reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let log = format!("to = \"{}\"\nqueue = 16", fifo.display());
    let egret = Egret::start(&Config::loopback().log(&log));
    let mut wire = egret.connect();
    let request = get(&origin.url(&format!("/{}", "x".repeat(1500))), "");
    let lost = || {
        let records = &egret.status()["totals"]["records"];
        records["dropped"].as_u64().unwrap() + records["lost"].as_u64().unwrap()
    };
    let mut sent = 0;
    let began = std::time::Instant::now();
    while lost() == 0 {
        for _ in 0..50 {
            wire.send(request.as_bytes());
            assert_eq!(wire.response("GET").status, 200);
        }
        sent += 50;
        assert!(
            began.elapsed() < crate::support::PATIENCE,
            "{sent} records, none lost"
        );
    }
    egret.wait_line("a warning", |line| {
        line.contains("WARN") && line.contains("access")
    });
    drop(reader);
}

#[test]
fn the_log_can_be_off() {
    let origin = Origin::http(|_| ok(b""));
    let egret = Egret::start(&Config::loopback().log("to = \"off\""));
    assert_eq!(egret.ask(&get(&origin.url("/"), "")).status, 200);
    until("the count", || egret.status()["totals"]["requests"] == 1);
    assert!(egret.records().is_empty());
}
