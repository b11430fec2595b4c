//! What a person reads who has done something that can not work: each message names what to do, and doing that works.
//! Not the faults of single settings, which have their tests beside the code.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::{Config, program, run, said};

/// A folder with a configuration, in whose text `{dir}` is the folder.
fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = text.replace("{dir}", &folder.path().display().to_string());
    fs::write(folder.path().join("egret.toml"), text).unwrap();
    folder
}

fn egret(folder: &Path, words: &[&str]) -> Output {
    let mut command = program();
    command.current_dir(folder).args(words);
    command.stdin(Stdio::null()).output().unwrap()
}

/// What `check` tells, with exit code 2.
#[track_caller]
fn told(folder: &Path) -> String {
    let output = egret(folder, &["check", "-c", "egret.toml"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    said(&output)
}

/// The rest of the line after these words, as words of a command of `egret`.
#[track_caller]
fn command_after<'a>(told: &'a str, begin: &str) -> Vec<&'a str> {
    let rest = told.split(begin).nth(1);
    let rest = rest.unwrap_or_else(|| panic!("{begin} is missing in {told}"));
    rest.lines().next().unwrap().split_whitespace().collect()
}

#[test]
fn an_authority_that_is_not_there_is_made_by_the_command_that_is_told() {
    let config = Config::closed()
        .rule("name = \"seen\"\nallow = { intercept = true }")
        .more("[intercept]\nauthority = { cert = \"my ca.pem\", key = { file = \"ca.key\" } }");
    let folder = folder(&config.text());
    let folder = folder.path();
    let message = told(folder);
    assert!(message.contains("there is no my ca.pem"), "{message}");
    assert!(message.contains("= make the authority with: "), "{message}");
    assert!(message.contains("1 fault"), "{message}");
    let make = "egret ca init --cert 'my ca.pem' --key ca.key";
    assert!(message.contains(make), "{message}");
    let made = ["ca", "init", "--cert", "my ca.pem", "--key", "ca.key"];
    assert!(egret(folder, &made).status.success());
    let check = ["check", "-c", "egret.toml"];
    assert!(egret(folder, &check).status.success());
    // One without the other: what is left may be what clients trust.
    for gone in ["ca.key", "my ca.pem"] {
        fs::rename(folder.join(gone), folder.join("elsewhere")).unwrap();
        let message = told(folder);
        assert!(
            message.contains(&format!("there is no {gone}")),
            "{message}"
        );
        assert!(message.contains("name the right files"), "{message}");
        assert!(message.contains(&format!("{make} --force")), "{message}");
        fs::rename(folder.join("elsewhere"), folder.join(gone)).unwrap();
    }
}

#[test]
fn users_that_are_not_there_are_made_by_the_command_that_is_told() {
    let config = Config::closed().listener("auth = [{ basic = { file = \"users.htpasswd\" } }]");
    let folder = folder(&config.text());
    let folder = folder.path();
    let message = told(folder);
    let command = command_after(&message, "make it with: egret ");
    assert_eq!(command, ["hash", "USER", ">>", "users.htpasswd"]);
    fs::write(folder.join("password"), "secret\n").unwrap();
    let password = fs::File::open(folder.join("password")).unwrap();
    let mut hash = program();
    let hash = hash.args(["hash", "--method", "sha512", "alice"]);
    let line = hash.stdin(password).output().unwrap();
    fs::write(folder.join("users.htpasswd"), line.stdout).unwrap();
    let check = egret(folder, &["check", "-c", "egret.toml"]);
    assert!(check.status.success(), "{}", said(&check));
}

#[test]
fn nothing_is_no_password() {
    let folder = tempfile::tempdir().unwrap();
    for content in ["", "\n", "\r\n"] {
        fs::write(folder.path().join("password"), content).unwrap();
        let password = fs::File::open(folder.path().join("password")).unwrap();
        let mut hash = program();
        let hash = hash.args(["hash", "alice"]).stdin(password);
        let output = hash.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{content:?}");
        assert!(output.stdout.is_empty(), "{content:?}");
        let message = said(&output);
        assert!(message.contains("has no password"), "{message}");
        assert!(message.contains("egret hash USER < FILE"), "{message}");
    }
}

#[test]
fn a_policy_in_the_place_of_a_configuration_is_known_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rules = "default = \"deny\"\n[[rule]]\nname = \"a\"\nallow = {}\nhost = \"a.example\"\n";
    fs::write(folder.join("web.toml"), rules).unwrap();
    for command in ["check", "run", "explain"] {
        let words = [command, "-c", "web.toml", "http://a.example/"];
        let words = if command == "explain" {
            &words[..]
        } else {
            &words[..3]
        };
        let output = egret(folder, words);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let message = said(&output);
        assert!(
            message.contains("web.toml:1:1: this is a policy"),
            "{message}"
        );
        assert!(
            message.contains("[policy.NAME] file = \"web.toml\""),
            "{message}"
        );
        assert!(message.contains("1 fault"), "{message}");
    }
    // A configuration that serves it stands beside it, as in `policies`.
    fs::write(folder.join("web.egret.toml"), "").unwrap();
    let message = said(&egret(folder, &["check", "-c", "web.toml"]));
    assert!(
        message.contains("serves it: -c web.egret.toml"),
        "{message}"
    );
}

#[test]
fn the_built_in_configuration_tells_how_to_serve_on_another_port() {
    // Whoever has the port now: it is in use.
    let _taken = TcpListener::bind("127.0.0.1:3128");
    let folder = folder("");
    let folder = folder.path();
    let output = egret(folder, &["run", "--socket", "egret.sock"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let message = said(&output);
    assert!(
        message.contains("cannot listen on 127.0.0.1:3128"),
        "{message}"
    );
    // The file in this folder was passed over, and that is said.
    assert!(
        message.contains(
            "egret.toml in this folder is not used; use it with: egret run -c egret.toml"
        ),
        "{message}"
    );
    let lines = message.lines().map(str::trim);
    let lines = lines.filter(|line| line.starts_with("listener = ") || line.starts_with("policy."));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 2, "{message}");
    fs::write(folder.join("egret.toml"), lines.join("\n")).unwrap();
    let check = egret(folder, &["check", "-c", "egret.toml"]);
    assert!(check.status.success(), "{}", said(&check));
    for (url, verdict) in [
        ("https://example.com/", "allow by"),
        ("http://127.0.0.1/", "deny by"),
        ("http://example.com:8080/", "deny by"),
    ] {
        let explained = said(&egret(folder, &["explain", "-c", "egret.toml", url]));
        assert!(explained.contains(verdict), "{url}: {explained}");
    }
}

#[test]
fn each_page_that_the_manual_names_can_be_made() {
    let here = tempfile::tempdir().unwrap();
    let mut pages: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(words) = pages.pop() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = egret(here.path(), &[&["man"], &words[..]].concat());
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout).replace('\\', "");
        let name = [&["egret"], &words[..]].concat().join("-");
        assert!(text.contains(&format!(".TH {name} ")), "{name}: {text}");
        seen += 1;
        for named in text.lines().filter_map(|line| line.strip_suffix("(1)")) {
            let command = named.strip_prefix(&name).unwrap().trim_start_matches('-');
            let page = words.iter().copied().chain([command]);
            pages.push(page.map(str::to_owned).collect());
        }
    }
    assert!(seen > 20, "{seen}");
    let output = egret(here.path(), &["man", "relaod"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("Did you mean \"reload\"?"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_proxy_that_the_race_does_not_know_is_told_with_those_that_it_knows() {
    let race = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/race/race");
    let Some(outcome) = run(Command::new("python3").arg(race).args(["--only", "ngnix"])) else {
        return;
    };
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    for part in ["there is no proxy \"ngnix\"", "nginx, HAProxy, Squid"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}
