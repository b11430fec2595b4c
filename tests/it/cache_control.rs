//! What an operator says of the cache, and asks of it: settings, rules, commands.
//! Not what is stored and used again, which is RFC 9111's.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::{Config, Egret, Origin, Response, get, ok, program, said};

/// `egret WORDS -c FILE` for a configuration of this text.
fn offline(text: &str, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    fs::write(&file, text).unwrap();
    program().args(words).arg("-c").arg(file).output().unwrap()
}

fn cached() -> Config {
    Config::loopback().more("[cache]\nmemory = \"64MiB\"")
}

#[test]
fn faults_of_the_section_and_of_rules_are_told_at_once_each_at_its_place() {
    let text = Config::closed()
        .rule("name = \"ttl\"\nallow = { cache = { ttl = \"0s\", tll = \"1d\" } }")
        .rule("name = \"word\"\nallow = { cache = \"of\" }")
        .rule("name = \"cookies\"\nallow = { cache = { set-cookie = \"store\" } }")
        .rule("name = \"denied\"\ndeny = { cache = \"off\" }")
        .more(
            "[cache]\nmemori = \"1GiB\"\nlargest = \"0\"\npurge = {}\ndisk = { path = \"cache\" }",
        )
        .text();
    let output = offline(&text, &["check"]);
    assert_eq!(output.status.code(), Some(2));
    let told = said(&output);
    let lines: Vec<&str> = text.lines().collect();
    for (mark, problem) in [
        ("ttl = \"0s\"", "no time at all"),
        ("tll =", "unknown key \"tll\""),
        ("cache = \"of\"", "\"of\" is not known here"),
        ("name = \"cookies\"", "does not name its hosts"),
        ("deny = { cache", "unknown key \"cache\""),
        ("memori =", "unknown key \"memori\""),
        ("largest =", "nothing is stored"),
        ("purge =", "names nobody"),
        ("disk =", "\"size\" is missing"),
    ] {
        let mut line = lines.iter().position(|line| line.contains(mark)).unwrap() + 1;
        if mark.starts_with("name =") {
            // The fault is the rule's: its header stands above its name.
            line -= 1;
        }
        let place = format!("egret.toml:{line}:");
        let found = told
            .lines()
            .any(|line| line.contains(&place) && line.contains(problem));
        assert!(found, "{place} {problem} is missing in\n{told}");
    }
}

#[test]
fn a_rule_that_counts_on_a_cache_that_is_not_there_is_warned_of() {
    let rule = "name = \"kept\"\nallow = { cache = { ttl = \"1d\" } }\nhost = \"a.test\"";
    let off = "name = \"off\"\nallow = { cache = false }\nhost = \"b.test\"";
    let text = Config::closed().rule(rule).rule(off).text();
    let output = offline(&text, &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = said(&output);
    assert!(
        told.contains("warning:") && told.contains("\"kept\""),
        "{told}"
    );
    assert!(
        told.contains("add [cache]") && !told.contains("\"off\""),
        "{told}"
    );
    let output = offline(&format!("{text}\n[cache]\n"), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!said(&output).contains("warning"), "{}", said(&output));
}

#[test]
fn explain_says_what_the_cache_is_to_do() {
    let text = Config::closed()
        .rule("name = \"off\"\nallow = { cache = \"off\" }\nhost = \"off.test\"")
        .rule("name = \"on\"\nallow = { cache = { ttl = \"24h\", ignore-query = \"utm_*\" } }\nhost = \"on.test\"")
        .rule("name = \"plain\"\nallow = {}\nhost = \"plain.test\"")
        .more("[cache]")
        .text();
    for (host, obligations) in [
        ("off.test", &["cache = \"off\""][..]),
        (
            "on.test",
            &["cache = { ttl = \"1d\", ignore-query = [\"utm_*\"] }"],
        ),
        ("plain.test", &[]),
    ] {
        let output = offline(&text, &["explain", "--json", &format!("http://{host}/")]);
        let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
        let told: Vec<&str> = explained["obligations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|obligation| obligation.as_str().unwrap())
            .collect();
        assert_eq!(told, obligations, "{host}");
    }
}

#[test]
fn status_and_stats_tell_of_the_cache_and_of_its_absence() {
    let egret = Egret::start(&cached());
    let status = egret.status();
    assert_eq!(status["cache"]["memory"]["bound"], 64 << 20, "{status}");
    assert_eq!(status["cache"]["hits"], 0, "{status}");
    assert!(status["cache"]["disk"].is_null(), "{status}");
    let text = said(&egret.command(&["status"]));
    assert!(
        text.contains("cache:") && text.contains("bound: 67108864"),
        "{text}"
    );
    let output = egret.command(&["cache", "stats"]);
    assert_eq!(output.status.code(), Some(0));
    let text = said(&output);
    for part in [
        "memory: 0 responses, 0B of 64MiB",
        "largest: 8MiB",
        "hits: 0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let output = egret.command(&["cache", "stats", "--json"]);
    let stats: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stats, egret.status()["cache"]);

    let without = Egret::start(&Config::loopback());
    assert_eq!(without.status()["cache"], "off");
    for words in [
        &["cache", "stats"][..],
        &["cache", "inspect", "http://a.test/"],
        &["cache", "purge", "--all"],
    ] {
        let output = without.command(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(said(&output).contains("no [cache]"), "{}", said(&output));
    }
}

#[test]
fn what_is_not_there_is_told_in_the_form_of_the_key() {
    let egret = Egret::start(&cached());
    let url = "HTTP://A.test:80?utm_a=1#top";
    let output = egret.command(&["cache", "inspect", url]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    assert!(
        text.contains("nothing stored for http://a.test/?utm_a=1"),
        "{text}"
    );
    assert!(text.contains("ignore-query"), "{text}");
    let output = egret.command(&["cache", "inspect", "--json", url]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        answer["variants"].as_array().map(Vec::len),
        Some(0),
        "{answer}"
    );
    for (words, what) in [
        (&["http://A.test"][..], "http://a.test/"),
        (
            &["--prefix", "https://a.test:443/b"],
            "what begins with https://a.test/b",
        ),
        (&["--tag", "release-42"], "the tag release-42"),
        (&["--all"], "anything"),
    ] {
        let output = egret.command(&[&["cache", "purge"], words].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words:?}: {}",
            said(&output)
        );
        let told = format!("nothing stored for {what}\n");
        assert!(
            said(&output).contains(&told),
            "{words:?}: {}",
            said(&output)
        );
    }
    assert_eq!(egret.status()["cache"]["purges"], 4);
}

#[test]
fn nonsense_is_refused_with_a_remedy_and_purges_nothing() {
    let egret = Egret::start(&cached());
    for (words, part) in [
        (&["inspect", "a.test/b"][..], "https://example.com/path"),
        (&["inspect", "ftp://a.test/"], "only http and https"),
        (&["purge", "http://*.a.test/"], "--tag"),
        (&["purge", "--prefix", "a.test"], "not a whole URL"),
        (&["purge", "--tag", "a,b"], "not a tag"),
        (&["purge"], "--all"),
        (&["purge", "http://a.test/", "--all"], "cannot be used with"),
        (
            &["purge", "--tag", "a", "--prefix", "http://a.test/"],
            "cannot be used with",
        ),
        (&[], "purge"),
    ] {
        let output = egret.command(&[&["cache"], words].concat());
        assert_eq!(
            output.status.code(),
            Some(2),
            "{words:?}: {}",
            said(&output)
        );
        assert!(said(&output).contains(part), "{words:?}: {}", said(&output));
    }
    assert_eq!(egret.status()["cache"]["purges"], 0);
}

#[test]
fn a_reload_changes_the_cache_and_keeps_its_numbers() {
    let egret = Egret::start(&cached());
    egret.command(&["cache", "purge", "--all"]);
    let wider = Config::loopback()
        .more("[cache]\nmemory = \"128MiB\"")
        .text();
    egret.write("egret.toml", &wider);
    let output = egret.command(&["reload"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let cache = &egret.status()["cache"];
    assert_eq!(
        (&cache["memory"]["bound"], &cache["purges"]),
        (&(128 << 20).into(), &1.into())
    );
    let rule = "name = \"kept\"\nallow = { cache = { min-uses = 2 } }\nhost = \"a.test\"";
    egret.write("egret.toml", &Config::loopback().rule(rule).text());
    let output = egret.command(&["reload"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("there is no cache"),
        "{}",
        said(&output)
    );
    assert_eq!(egret.status()["cache"], "off");
}

/// Answers with what may be stored, and to PURGE as an origin would that knows it.
fn origin() -> Origin {
    Origin::http(|request| {
        match request.method.as_str() {
        "GET" => b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nSurrogate-Key: all news\r\nContent-Length: 3\r\n\r\none".to_vec(),
        _ => ok(b"of the origin"),
    }
    })
}

fn is_hit(answer: &Response) -> bool {
    let status = answer.header("cache-status").unwrap_or_default();
    status.contains("; hit")
}

/// PURGE for a URL, with further lines.
fn purge(egret: &Egret, url: &str, lines: &str) -> Response {
    egret.ask(&format!("PURGE {url} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

#[test]
fn purge_is_obeyed_for_whom_the_settings_name() {
    let config = Config::loopback().more("[cache]\npurge = { from = [\"127.0.0.0/8\"] }");
    let (egret, origin) = (Egret::start(&config), origin());
    let (url, other) = (origin.url("/one?a=b"), origin.url("/two"));
    for url in [&url, &other] {
        egret.ask(&get(url, ""));
        assert!(is_hit(&egret.ask(&get(url, ""))));
    }
    let answer = purge(&egret, &url, "");
    assert_eq!((answer.status, answer.text()), (200, "purged\n".to_owned()));
    let asked = origin.requests();
    assert!(
        asked.iter().all(|request| request.method == "GET"),
        "it went to the origin"
    );
    assert!(!is_hit(&egret.ask(&get(&url, ""))), "it is there still");
    assert!(is_hit(&egret.ask(&get(&other, ""))), "another went too");
    // The first was stored again by the request above.
    for (url, said) in [
        (&origin.url("/none"), "nothing was stored\n"),
        (&url, "purged\n"),
        (&url, "nothing was stored\n"),
    ] {
        let answer = purge(&egret, url, "");
        assert_eq!((answer.status, answer.text()), (200, said.to_owned()));
    }
    assert_eq!(egret.status()["cache"]["purges"], 4);
    let record = egret.wait_record("the purge", |record| record["method"] == "PURGE");
    assert_eq!(
        (&record["verdict"], &record["status"]),
        (&"allow".into(), &200.into())
    );
}

#[test]
fn purge_is_refused_for_others_and_purges_nothing() {
    let config = Config::loopback()
        .more("[cache]\npurge = { from = [\"192.0.2.0/24\"], principal = [\"ada\"] }");
    let (egret, origin) = (Egret::start(&config), origin());
    let url = origin.url("/one");
    egret.ask(&get(&url, ""));
    // What a client says of itself does not make it another.
    for lines in [
        "",
        "X-Forwarded-For: 192.0.2.1\r\n",
        "Forwarded: for=192.0.2.1\r\n",
    ] {
        let answer = purge(&egret, &url, lines);
        assert_eq!(answer.status, 403, "{}", answer.head);
    }
    assert!(is_hit(&egret.ask(&get(&url, ""))));
    assert_eq!(egret.status()["cache"]["purges"], 0);
    let record = egret.wait_record("the purge", |record| record["method"] == "PURGE");
    assert_eq!(record["verdict"], "deny", "{record}");
    assert!(
        origin
            .requests()
            .iter()
            .all(|request| request.method == "GET")
    );
}

#[test]
fn who_may_purge_is_known_by_name_or_by_group_and_policy_is_asked_first() {
    let listener = "auth = [{ network = { \"127.0.0.0/8\" = { principal = \"ada\", groups = [\"operators\"] } } }]";
    for (right, status) in [
        ("principal = [\"ada\"]", 200),
        ("principal = [\"*\"]", 200),
        ("group = [\"operators\"]", 200),
        ("principal = [\"bob\"]", 403),
        ("group = [\"operators\"], from = [\"192.0.2.0/24\"]", 403),
    ] {
        let config = Config::loopback()
            .listener(listener)
            .more(&format!("[cache]\npurge = {{ {right} }}"));
        let egret = Egret::start(&config);
        assert_eq!(
            purge(&egret, "http://127.0.0.1:9/one", "").status,
            status,
            "{right}"
        );
    }
    let config = Config::closed().more("[cache]\npurge = { from = [\"127.0.0.0/8\"] }");
    let egret = Egret::start(&config);
    assert_eq!(purge(&egret, "http://127.0.0.1:9/one", "").status, 403);
    assert_eq!(egret.status()["cache"]["purges"], 0);
}

#[test]
fn purge_is_a_method_like_others_where_nobody_is_named() {
    let (egret, origin) = (Egret::start(&cached()), origin());
    let url = origin.url("/one");
    egret.ask(&get(&url, ""));
    let answer = purge(&egret, &url, "");
    assert_eq!(answer.text(), "of the origin");
    // An unknown method is not known to be safe, and it went well (RFC 9111 §4.4).
    assert!(!is_hit(&egret.ask(&get(&url, ""))));
    let cache = &egret.status()["cache"];
    assert_eq!(
        (&cache["purges"], &cache["invalidated"]),
        (&0.into(), &1.into())
    );
}

#[test]
fn an_operator_purges_by_url_prefix_and_tag_and_inspects_what_is_there() {
    let (egret, origin) = (Egret::start(&cached()), origin());
    let urls = ["/a/1", "/a/2", "/b"].map(|path| origin.url(path));
    let fill = || urls.iter().for_each(|url| drop(egret.ask(&get(url, ""))));
    let there = || {
        urls.clone()
            .map(|url| is_hit(&egret.ask(&get(&url, "Cache-Control: only-if-cached\r\n"))))
    };
    let [first, _, _] = &urls;
    for (words, left) in [
        (&["purge", first][..], [false, true, true]),
        (
            &["purge", "--prefix", &origin.url("/a/")],
            [false, false, true],
        ),
        (&["purge", "--tag", "news"], [false; 3]),
        (&["purge", "--tag", "other"], [true; 3]),
        (&["purge", "--all"], [false; 3]),
    ] {
        fill();
        assert_eq!(there(), [true; 3]);
        let output = egret.command(&[&["cache"], words].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words:?}: {}",
            said(&output)
        );
        assert_eq!(there(), left, "{words:?}");
    }
    fill();
    let output = egret.command(&["cache", "inspect", "--json", first]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let variant = &told["variants"][0];
    assert_eq!(
        (&variant["status"], &variant["size"], &variant["tier"]),
        (&200.into(), &3.into(), &"memory".into())
    );
    assert_eq!(
        variant["tags"],
        serde_json::json!(["all", "news"]),
        "{told}"
    );
    assert_eq!(
        (&variant["fresh"], &variant["lifetime"]),
        (&true.into(), &600.into())
    );
    let text = said(&egret.command(&["cache", "inspect", first]));
    assert!(
        text.contains("200 ") && text.contains("fresh for"),
        "{text}"
    );
}
