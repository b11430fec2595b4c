//! `egret explain`: without a process, asking one, and of a record. Not how a walk is shown: that is the policy's own tests.
//! Start at the first test.

use std::path::Path;
use std::process::{Output, Stdio};

use crate::balanced::listener;
use crate::reverse::{ask, get, reverse, upstream};
use crate::support::{Config, Dns, Egret, Origin, ok, program};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_record_s_id_explains_the_decision_as_it_was_made() {
    let origin = Origin::http(|_| ok(b"answer"));
    let dns = Dns::start(&[
        ("inside.test", "10.1.2.3"),
        ("metadata.test", "169.254.169.254"),
    ]);
    let config = Config::closed()
        .rule("name = \"builds\"\nallow = {}\naddress = \"127.0.0.0/8\"\nheader = { x-build = \"7*\" }")
        .rule("name = \"names\"\nallow = {}\nhost = \"*.test\"")
        .dns(&dns);
    let egret = Egret::start(&config);
    let port = origin.address.port();
    let cases = [
        (
            format!("http://127.0.0.1:{port}/"),
            "X-Build: 77\r\n",
            "allow",
            "builds",
        ),
        (
            format!("http://127.0.0.1:{port}/"),
            "X-Build: 6\r\n",
            "deny",
            "default",
        ),
        (
            "http://inside.test/".to_owned(),
            "",
            "deny",
            "10.1.2.3 is guarded",
        ),
        (
            "http://metadata.test/".to_owned(),
            "Cookie: hush\r\n",
            "deny",
            "169.254.169.254 is guarded",
        ),
    ];
    for (number, (url, fields, verdict, part)) in cases.iter().enumerate() {
        let request = format!("GET {url}{number} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        egret.ask(&request);
        let path = format!("/{number}");
        let record = egret.wait_record(url, |record| record["path"] == *path);
        assert_eq!(record["verdict"], *verdict, "{record}");
        let explained = egret.command(&["explain", record["id"].as_str().unwrap()]);
        let said = text(&explained);
        assert!(
            said.contains(verdict) && said.contains(part),
            "{url}: {said}"
        );
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn a_request_line_is_a_question_with_and_without_a_process() {
    let egret = Egret::start(&Config::loopback());
    let line = "CONNECT 127.0.0.1:443 HTTP/1.1";
    let live = egret.command(&["explain", "--live", "--listener", "egress", line]);
    let offline = explain(&egret, &["--listener", "egress", line]);
    for said in [text(&live), text(&offline)] {
        assert!(said.starts_with("CONNECT 127.0.0.1:443 (tunnel)"), "{said}");
        assert!(said.contains("allow"), "{said}");
    }
}

#[test]
fn a_listener_that_is_not_there_is_named_and_the_nearest_suggested() {
    let egret = Egret::start(&Config::loopback());
    let live = egret.command(&["explain", "--live", "--listener", "egres", "a.test:443"]);
    let offline = explain(&egret, &["--listener", "egres", "a.test:443"]);
    for asked in [live, offline] {
        assert_eq!(asked.status.code(), Some(2));
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(said.contains("there is no listener \"egres\""), "{said}");
        assert!(said.contains("Did you mean \"egress\"?"), "{said}");
    }
}

#[test]
fn a_gateway_s_request_is_explained_as_its_record_says() {
    let app = Origin::http(|_| ok(b"app"));
    let policy = "[policy.edge]\n[[policy.edge.rule]]\nname = \"no admin\"\ndeny = {}\npath = \"/api/admin/*\"\n\
                  [[policy.edge.rule]]\nname = \"near\"\nallow = {}\naddress = \"127.0.0.0/8\"";
    let tables = format!(
        "[[route]]\nname = \"api\"\npath = \"/api/*\"\nto = \"app\"\n{policy}\n{}",
        upstream("app", &[app.address], "")
    );
    let egret = Egret::start(&reverse("policy = \"edge\"", &tables));
    let port = egret.address("web").port();
    for (path, status, said_of_it) in [
        ("/api/users", 200, "allow by \"near\""),
        ("/api/admin/x", 403, "deny by \"no admin\""),
        ("/lost", 404, "refused before the policy is asked: 404"),
    ] {
        // Its host is an address, of which nobody asks where it leads.
        let host = format!("127.0.0.1:{port}");
        assert_eq!(ask(&egret, &get(&host, path, "")).status, status);
        let record = egret.wait_record(path, |record| record["path"] == path);
        let url = format!("http://{host}{path}");
        let live = egret.command(&["explain", "--live", "--listener", "web", &url]);
        let offline = explain(&egret, &["--listener", "web", &url]);
        for output in [live, offline] {
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let said = text(&output);
            assert!(said.contains(&format!("\n{said_of_it}")), "{path}: {said}");
            let routed = said.contains("route \"api\" (") && said.contains("to upstream \"app\"");
            assert_eq!(routed, record["route"] == "api", "{path}: {said}");
            let to = said.contains(&format!("\n  to {}", app.address));
            assert_eq!(to, status == 200, "{path}: {said}");
            assert!(!said.contains("not resolved"), "{path}: {said}");
        }
    }
    let tunnel = explain(&egret, &["--listener", "web", "a.test:443"]);
    assert_eq!(tunnel.status.code(), Some(2), "{tunnel:?}");
    let said = String::from_utf8_lossy(&tunnel.stderr);
    assert!(said.contains("takes no tunnels"), "{said}");
}

#[test]
fn a_case_about_a_gateway_is_tried_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    for (mode, passes) in [("reverse", true), ("forward", false)] {
        let policy = format!(
            "[policy.edge]\ndefault = \"allow\"\n[[policy.edge.expect]]\n\
             request = {{ url = \"http://127.0.0.1/\", mode = \"{mode}\" }}\nverdict = \"allow\""
        );
        let tables = format!(
            "[[route]]\nto = \"app\"\n{policy}\n{}",
            upstream("app", &["192.0.2.1:80".parse().unwrap()], "")
        );
        let config = reverse("policy = \"edge\"", &tables);
        let text = config.text().replace("{dir}", "/nowhere");
        std::fs::write(&file, text).unwrap();
        let output = program()
            .arg("check")
            .arg("-c")
            .arg(&file)
            .output()
            .unwrap();
        let code = if passes { 0 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{mode}: {output:?}");
    }
}

#[test]
fn where_datagrams_are_received_a_connection_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    for (transport, verdict) in [
        ("tcp", "\ndeny by \"default\""),
        ("udp", "\nallow by \"all\""),
    ] {
        let own = listener(
            &format!("to = \"app\"\ntransport = \"{transport}\""),
            &[("app", &["192.0.2.1:53".parse().unwrap()])],
        )
        .replace("127.0.0.1:0", "8.8.4.4:5399");
        let config = Config::closed()
            .rule("name = \"all\"\nallow = {}")
            .more(&own);
        std::fs::write(&file, config.text()).unwrap();
        let words = ["--address", "8.8.4.4", "http://dns.test:5399/"];
        let said = text(&explain_by(&file, &words));
        assert!(said.contains(verdict), "{transport}: {said}");
    }
}

/// `egret explain -c FILE …`, which asks no process.
fn explain(egret: &Egret, words: &[&str]) -> Output {
    explain_by(&egret.path("egret.toml"), words)
}

fn explain_by(file: &Path, words: &[&str]) -> Output {
    let mut command = program();
    command.arg("explain").arg("-c").arg(file);
    command.args(words).stdin(Stdio::null()).output().unwrap()
}
