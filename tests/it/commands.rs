//! What a person types, and what they read: each command, its words and its exit code.
//! Not what `check` finds in the policies of this repository, which is `policy_files`.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Config, Dns, Egret, Origin, base64, connect, get, ok, program, said, tunnel};

/// A folder with a configuration of this text.
fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = text.replace("{dir}", &folder.path().display().to_string());
    fs::write(folder.path().join("egret.toml"), text).unwrap();
    folder
}

fn egret(folder: &Path, words: &[&str]) -> Output {
    program()
        .args(words)
        .arg("-c")
        .arg(folder.join("egret.toml"))
        .output()
        .unwrap()
}

fn alone(words: &[&str]) -> Output {
    program().args(words).output().unwrap()
}

#[test]
fn check_prints_every_fault_with_place_source_caret_and_remedy_and_exits_with_2() {
    let text = Config::closed()
        .top("drian = \"30s\"")
        .limits("connections = \"many\"")
        .rule("name = \"one\"\nallow = {}\nprot = 443")
        .rule("name = \"one\"\nallow = {}\naddress = \"10.0.0.0/99\"")
        .rule("name = \"when\"\nallow = {}\nwhen = [\"nothing\"]")
        .rule("name = \"time\"\nallow = {}\ntime = \"Mon-Fri 08:00-18:00 Europe/Nowhere\"")
        .rule("name = \"list\"\nallow = {}\nhost = \"@nothing\"")
        .more("[dns]\ntimeout = 5")
        .text();
    let folder = folder(&text);
    let output = egret(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty(), "{}", said(&output));
    let said = said(&output);
    let lines: Vec<&str> = text.lines().collect();
    for (mark, part) in [
        ("drian", "\"drain\""),
        ("connections =", "many"),
        ("prot =", "\"port\""),
        ("10.0.0.0/99", "10.0.0.0/99"),
        ("[\"nothing\"]", "nothing"),
        ("Nowhere", "Europe/Nowhere"),
        ("@nothing", "@nothing"),
        ("timeout = 5", "timeout"),
    ] {
        let line = lines.iter().position(|line| line.contains(mark)).unwrap();
        let place = format!("egret.toml:{}:", line + 1);
        let at = said.find(&place);
        let at = at.unwrap_or_else(|| panic!("no fault at {place} ({mark}) in\n{said}"));
        let shown: Vec<&str> = said[at..].lines().take(4).collect();
        assert!(shown[1].contains(lines[line]), "{mark}: {shown:?}");
        let column = shown[0]
            .split(':')
            .nth(2)
            .unwrap()
            .parse::<usize>()
            .unwrap();
        let gutter = shown[2].find('|').unwrap() + 2;
        assert_eq!(
            shown[2].find('^'),
            Some(gutter + column - 1),
            "{mark}: {shown:?}"
        );
        // Where the problem says what is expected, that is the remedy.
        let remedy = shown[0].contains(": expected ") || shown[3].contains("= ");
        assert!(remedy, "{mark} has no remedy: {shown:?}");
        assert!(shown.join("\n").contains(part), "{mark}: {shown:?}");
    }
    assert!(said.contains("faults"), "{said}");
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_a_fault_with_its_place() {
    let broken = folder("workers = 2\n[[listener]\nname = \"a\"\n");
    let output = egret(broken.path(), &["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("egret.toml:2:"), "{}", said(&output));
    for command in ["check", "test", "run"] {
        let output = alone(&[command, "-c", "/nowhere/egret.toml"]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(
            said(&output).contains("/nowhere/egret.toml"),
            "{}",
            said(&output)
        );
    }
    // A fault in a policy's own file names that file.
    let policy = folder(
        &Config::closed()
            .text()
            .replace("default = \"deny\"", "file = \"policy.toml\""),
    );
    fs::write(policy.path().join("policy.toml"), "default = \"maybe\"\n").unwrap();
    let output = egret(policy.path(), &["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("policy.toml:1:11"),
        "{}",
        said(&output)
    );
}

#[test]
fn check_and_test_say_what_they_have_done() {
    let text = Config::closed()
        .rule("name = \"good\"\nallow = {}\nhost = \"good.test\"")
        .more("[[policy.test.expect]]\nrequest = { url = \"https://good.test/\" }\nverdict = \"allow\"\nrule = \"good\"")
        .more("[[policy.test.expect]]\nrequest = { url = \"https://bad.test/\" }\nverdict = \"deny\"")
        .text();
    let good = folder(&text);
    let output = egret(good.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("expectations: 2"),
        "{}",
        said(&output)
    );
    let output = egret(good.path(), &["test"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("2 passed, 0 failed"),
        "{}",
        said(&output)
    );

    let bad = folder(&text.replace("https://bad.test/", "https://good.test/"));
    let output = egret(bad.path(), &["test"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("1 passed, 1 failed"),
        "{}",
        said(&output)
    );
    assert!(said(&output).contains("FAILED"), "{}", said(&output));
    let output = egret(bad.path(), &["check"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn explain_shows_each_rule_and_condition_and_the_smallest_change() {
    let text = Config::closed()
        .rule("name = \"listed\"\ndeny = {}\nhost = \"bad.test\"")
        .rule("name = \"ci fetches\"\nallow = {}\ngroup = \"ci\"\nhost = \"*.packages.test\"\nport = 443")
        .text();
    let folder = folder(&text);
    let words = ["explain", "--from", "10.0.0.7", "https://a.packages.test/"];
    let output = egret(folder.path(), &words);
    assert_eq!(output.status.code(), Some(0));
    let text = said(&output);
    for part in [
        "listed",
        "ci fetches",
        "group",
        "host",
        "port",
        "deny",
        "egret.toml:",
        "10.0.0.7",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let output = egret(folder.path(), &[&words[..], &["--json"]].concat());
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(explained["verdict"], "deny", "{explained}");
    assert_eq!(explained["rule"], "default", "{explained}");
    let change = explained["smallest_change"].as_str().unwrap();
    assert!(change.contains("ci"), "{change}");
    let rules = explained["walks"][0]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 2, "{explained}");
    let conditions = rules[1]["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 3, "{explained}");
    let outcomes: Vec<&str> = conditions
        .iter()
        .map(|c| c["outcome"].as_str().unwrap())
        .collect();
    assert!(
        outcomes.contains(&"yes") && outcomes.contains(&"unknown"),
        "{explained}"
    );

    // The change that it names does it.
    let output = egret(
        folder.path(),
        &[&words[..], &["--group", "ci", "--json"]].concat(),
    );
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(explained["verdict"], "allow", "{explained}");
    assert_eq!(explained["rule"], "ci fetches", "{explained}");

    let output = egret(folder.path(), &["explain", "not a url"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn explain_asks_the_running_process_about_a_name_and_about_a_record() {
    let origin = Origin::http(|_| ok(b"answer"));
    let dns = Dns::start(&[("origin.test", "127.0.0.1"), ("rebound.test", "10.0.0.9")]);
    let egret = Egret::start(
        &Config::closed()
            .rule("name = \"named\"\nallow = {}\nhost = \"*.test\"\naddress = [\"127.0.0.0/8\", \"public\"]")
            .dns(&dns),
    );
    let explain = |words: &[&str]| {
        let output = egret.command(&[&["explain", "--json"][..], words].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let live = explain(&["--live", "http://origin.test/"]);
    assert_eq!(
        (&live["verdict"], &live["rule"]),
        (&"allow".into(), &"named".into()),
        "{live}"
    );
    assert_eq!(live["permitted"][0], "127.0.0.1:80", "{live}");
    let live = explain(&["--live", "http://rebound.test/"]);
    assert_eq!(live["verdict"], "deny", "{live}");

    let url = format!("http://origin.test:{}/a", origin.port());
    egret.ask(&get(&url, ""));
    egret.ask(&get("http://denied.example/b", ""));
    for (path, verdict) in [("/a", "allow"), ("/b", "deny")] {
        let record = egret.wait_record(path, |record| record["path"] == path);
        let id = record["id"].as_str().unwrap();
        let by_id = explain(&[id]);
        assert_eq!(by_id["verdict"], verdict, "{by_id}");
        assert_eq!(by_id["rule"], record["rule"], "{by_id}");
        assert_eq!(
            by_id["request"]["authority"], record["authority"],
            "{by_id}"
        );
        let text = egret.command(&["explain", id]);
        assert!(said(&text).contains("named"), "{}", said(&text));
    }
    let record = egret.wait_record("the denial", |record| record["path"] == "/b");
    let unknown = record["id"]
        .as_str()
        .unwrap()
        .replace(|c: char| c.is_ascii_digit(), "0");
    let output = egret.command(&["explain", &unknown]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn flows_are_listed_and_ended_by_who_and_where() {
    let echo = Origin::echo();
    let Some(alice) = crate::socks::htpasswd() else {
        return;
    };
    let users = format!("{alice}{}", alice.replace("alice:", "bob:"));
    let config = Config::closed()
        .listener("auth = [{ basic = { file = \"users\" } }]")
        .rule("name = \"known\"\nallow = {}\nprincipal = \"*\"\naddress = \"127.0.0.0/8\"");
    let egret = Egret::start_with(&[("users", &users)], &config);
    let open = |user: &str| {
        let basic = base64(&format!("{user}:secret"));
        let mut wire = egret.connect();
        let line = format!("Proxy-Authorization: Basic {basic}\r\n");
        wire.send(connect(&echo.address.to_string(), &line).as_bytes());
        assert_eq!(wire.response("CONNECT").status, 200);
        wire.send(b"hello");
        assert_eq!(wire.exact(5), b"hello");
        wire
    };
    let (mut of_alice, mut of_bob) = (open("alice"), open("bob"));
    let list = egret.command(&["flows"]);
    assert_eq!(list.status.code(), Some(0));
    for part in [
        "alice",
        "bob",
        "known",
        &echo.address.to_string(),
        "tunnel",
        "RULE",
    ] {
        assert!(said(&list).contains(part), "{part}: {}", said(&list));
    }
    let list = egret.command(&["flows", "--json", "--where", "user=alice"]);
    let flows: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(flows.as_array().unwrap().len(), 1, "{flows}");
    let flow = &flows[0];
    assert_eq!(flow["principal"], "alice", "{flow}");
    assert_eq!(flow["client"], of_alice.local().to_string(), "{flow}");
    assert_eq!(
        (&flow["bytes_in"], &flow["bytes_out"]),
        (&5.into(), &5.into()),
        "{flow}"
    );
    assert!(flow["age_ms"].is_u64(), "{flow}");

    let kill = egret.command(&["flows", "kill", "--where", "user=alice"]);
    assert_eq!(kill.status.code(), Some(0), "{}", said(&kill));
    assert!(said(&kill).contains("1 ended"), "{}", said(&kill));
    assert!(of_alice.read_to_any_end().is_empty());
    let record = egret.wait_record("alice's tunnel", |record| record["principal"] == "alice");
    assert!(
        record["reason"].as_str().unwrap().contains("operator"),
        "{record}"
    );
    of_bob.send(b"still");
    assert_eq!(of_bob.exact(5), b"still");
}

#[test]
fn a_filter_that_says_nothing_or_is_mistyped_ends_nothing() {
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let mut wire = tunnel(&egret, &echo.address.to_string());
    for words in [
        &["flows", "kill"][..],
        &["flows", "kill", "--where", ""],
        &["flows", "kill", "--where", "usr=bob"],
        &["flows", "--where", "age>never"],
    ] {
        let output = egret.command(words);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        if words.contains(&"usr=bob") {
            assert!(said.contains("\"user\""), "{said}");
        }
    }
    wire.send(b"still");
    assert_eq!(wire.exact(5), b"still");
}

#[test]
fn an_exchange_that_is_under_way_can_be_ended_too() {
    let origin = Origin::scripted(|wire| {
        wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
        wire.drain();
    });
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(get(&origin.url("/"), "").as_bytes());
    wire.head();
    wire.exact(5);
    let kill = egret.command(&["flows", "kill", "--where", "kind=exchange"]);
    assert!(said(&kill).contains("1 ended"), "{}", said(&kill));
    wire.read_to_any_end();
    let record = egret.wait_record("the exchange", |record| record["aborted"] == true);
    assert!(
        record["reason"].as_str().unwrap().contains("operator"),
        "{record}"
    );
}

#[test]
fn status_is_for_people_and_as_json_for_programs() {
    let echo = Origin::echo();
    let egret = Egret::start(&Config::loopback());
    let _wire = tunnel(&egret, &echo.address.to_string());
    let status = egret.status();
    assert_eq!(status["workers"], 2, "{status}");
    assert_eq!(status["flows"], 1, "{status}");
    assert_eq!(status["draining"], false, "{status}");
    assert_eq!(status["totals"]["connections_open"], 1, "{status}");
    assert_eq!(
        status["listeners"][0]["address"],
        egret.address("egress").to_string()
    );
    let text = said(&egret.command(&["status"]));
    for part in ["version", "workers: 2", "egress", "connections_open: 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_process_that_is_not_there_is_told_with_2() {
    for words in [
        &["status"][..],
        &["reload"],
        &["drain"],
        &["flows"],
        &["explain", "--live", "http://a.test/"],
    ] {
        let output = alone(&[words, &["--socket", "/nowhere/egret.sock"]].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let text = said(&output);
        assert!(
            text.contains("/nowhere/egret.sock") && text.contains("is it running?"),
            "{text}"
        );
    }
}

#[test]
fn the_admin_socket_is_for_its_user_alone_and_survives_nonsense() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    let egret = Egret::start(&Config::loopback());
    let socket = egret.path("admin.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    for nonsense in [
        &b"\n"[..],
        b"{}\n",
        b"{\"command\":\"dance\"}\n",
        b"\xff\xfe\n",
        &[b'x'; 100_000],
    ] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(nonsense);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(egret.status()["draining"], false);
}

#[test]
fn what_is_mistyped_gets_a_suggestion_and_2() {
    for (words, part) in [
        (&["relaod"][..], "reload"),
        (&["check", "--confg", "x"], "--config"),
        (
            &["explain", "--form", "10.0.0.1", "http://a.test/"],
            "--from",
        ),
        (&["run", "--workers", "0"], "1..=1024"),
        (&["explain", "--from", "me", "http://a.test/"], "invalid"),
        (&["hash", "--method", "md5"], "bcrypt"),
    ] {
        let output = alone(words);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{words:?}: {}",
            said(&output)
        );
        assert!(said(&output).contains(part), "{words:?}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn help_has_examples_and_conditions_completions_and_the_manual_come_from_what_is_there() {
    let help = alone(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(said(&help).contains("Examples:") && said(&help).contains("Exit codes"));
    assert!(said(&alone(&["explain", "--help"])).contains("Examples:"));
    assert!(said(&alone(&["--version"])).starts_with("egret "));
    let conditions = said(&alone(&["conditions"]));
    for condition in [
        "client",
        "listener",
        "principal",
        "group",
        "host",
        "address",
        "port",
        "scheme",
        "method",
        "path",
        "header",
        "time",
    ] {
        let there = conditions.lines().any(|line| line.starts_with(condition));
        assert!(there, "{condition}: {conditions}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = alone(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        for word in ["explain", "flows", "socket"] {
            assert!(said(&output).contains(word), "{shell}: {word}");
        }
    }
    assert!(said(&alone(&["man"])).contains(".TH egret"));
    assert_eq!(
        alone(&["completions", "nushell-of-doom"]).status.code(),
        Some(2)
    );
}

#[test]
fn hash_refuses_a_name_that_would_break_the_file() {
    for name in ["a:b", "", "a\nb"] {
        let output = alone(&["hash", name]);
        assert_eq!(output.status.code(), Some(2), "{name:?}: {}", said(&output));
    }
}

#[test]
fn the_built_in_configuration_allows_what_is_public_on_two_ports_and_nothing_else() {
    for (url, verdict) in [
        ("http://93.184.216.34/", "allow"),
        ("https://93.184.216.34/", "allow"),
        ("https://example.com/", "allow"),
        ("http://93.184.216.34:8080/", "deny"),
        ("http://127.0.0.1/", "deny"),
        ("http://10.0.0.1/", "deny"),
        ("http://169.254.169.254/latest/meta-data/", "deny"),
        ("http://[::1]/", "deny"),
        ("http://[fe80::1]/", "deny"),
        ("http://[::ffff:10.0.0.1]/", "deny"),
        ("http://100.64.0.1/", "deny"),
    ] {
        let output = alone(&["explain", "--json", url]);
        assert_eq!(output.status.code(), Some(0), "{url}: {}", said(&output));
        let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(explained["verdict"], verdict, "{url}: {explained}");
    }
    let check = alone(&["check"]);
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
}

#[test]
fn explain_says_of_a_record_what_the_record_says_where_the_address_decided() {
    let dns = Dns::start(&[("rebound.test", "10.0.0.9")]);
    let rule =
        "name = \"named\"\nallow = {}\nhost = \"*.test\"\naddress = [\"127.0.0.0/8\", \"public\"]";
    let egret = Egret::start(&Config::closed().rule(rule).dns(&dns));
    assert_eq!(egret.ask(&get("http://rebound.test/", "")).status, 403);
    let record = egret.wait_record("the denial", |record| record["status"] == 403);
    let output = egret.command(&["explain", "--json", record["id"].as_str().unwrap()]);
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(explained["verdict"], "deny", "{}", said(&output));
}
