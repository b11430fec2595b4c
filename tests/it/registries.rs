//! The policy for registries of packages, as it stands in `policies/`, between real clients and registries of the test.
//! Not the rules of caching, which `cache` tries by hand. Start at [`World`].

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::{
    Ca, Dns, Egret, Interception, Origin, Outcome, Request, WHEEL, base64, python, run,
};

/// The registries of the policy that the tests stand in for; all are one origin.
const HOSTS: [&str; 4] = [
    "index.python.example",
    "files.python.example",
    "npm.example",
    "packages.corp.example",
];

/// The proxy with the policy, and the registries behind it.
struct World {
    egret: Egret,
    origin: Option<Origin>,
    port: u16,
    _dns: Dns,
}

impl World {
    /// With registries that answer so. What they answer is told their port, for the links in it.
    fn new(answer: impl Fn(u16, &Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let ca = Ca::mint();
        let port = Arc::new(OnceLock::new());
        let known = port.clone();
        let origin = Origin::https(&ca, &HOSTS, move |request| answer(*known.wait(), request));
        let port = *port.get_or_init(|| origin.port());
        let authority = Interception::init();
        let [(_, certificate), (_, key)] = authority.files();
        let dns = Dns::start(&HOSTS.map(|host| (host, "127.0.0.1")));
        let files = [
            ("ca.pem", certificate),
            ("ca.key", key),
            ("origins.pem", ca.pem()),
            ("registries.toml", &policy(port)),
        ];
        let egret = Egret::spawn(&files, &configuration(&dns));
        egret.wait_line("ready", |line| line.contains("ready"));
        Self {
            egret,
            origin: Some(origin),
            port,
            _dns: dns,
        }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    /// How often the registries were asked for this path.
    fn asked(&self, path: &str) -> usize {
        self.requests(path).len()
    }

    fn requests(&self, path: &str) -> Vec<Request> {
        let requests = self.origin.as_ref().unwrap().requests();
        let wanted = requests.into_iter().filter(|one| one.path() == path);
        wanted.collect()
    }

    /// The registries are gone: nobody listens any more, and no connection to them is left, since each answer closes its own.
    fn lose_the_registries(&mut self) {
        drop(self.origin.take());
    }

    /// A program with nothing in its environment but what a newcomer is told to put there.
    fn client(&self, program: &Command, home: &Path) -> Command {
        let mut command = Command::new(program.get_program());
        let ca = self.egret.path("ca.pem");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("HTTPS_PROXY", self.egret.proxy_url())
            .env("PIP_CERT", &ca)
            .env("NODE_EXTRA_CA_CERTS", &ca)
            .env("CURL_CA_BUNDLE", &ca)
            .current_dir(home);
        command
    }

    /// Installs `tiny` with pip, on a machine that is new.
    fn pip_installs(&self) {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("installed");
        let mut pip = self.client(&python(&["pip"]).unwrap(), home.path());
        pip.args(["-m", "pip", "--disable-pip-version-check"])
            .args(["install", "--no-cache-dir", "--no-deps", "--index-url"])
            .arg(self.url("index.python.example", "/simple/"))
            .arg("--target")
            .arg(&target)
            .arg("tiny");
        run(&mut pip).unwrap().succeeded();
        let installed = fs::read_to_string(target.join("tiny.py")).unwrap();
        assert_eq!(installed, "answer = 42\n");
    }

    /// Installs `tiny` with npm, on a machine that is new.
    fn npm_installs(&self) {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("package.json"), "{}").unwrap();
        let mut npm = self.client(&Command::new("npm"), home.path());
        npm.args(["install", "tiny", "--no-audit", "--no-fund", "--registry"])
            .arg(self.url("npm.example", "/"))
            .env("npm_config_update_notifier", "false")
            // A `cafile` that a machine has for all would go before `NODE_EXTRA_CA_CERTS`.
            .env("npm_config_globalconfig", home.path().join("none"))
            .env("npm_config_fetch_retries", "0");
        run(&mut npm).unwrap().succeeded();
        let installed = fs::read_to_string(home.path().join("node_modules/tiny/index.js")).unwrap();
        assert_eq!(installed, "module.exports = 42;\n");
    }

    /// Asks with curl, and shows the head of the answer too. `None` where there is no curl.
    fn curl(&self, url: &str, words: &[&str]) -> Option<Outcome> {
        let home = tempfile::tempdir().unwrap();
        let mut curl = self.client(&Command::new("curl"), home.path());
        curl.args(["--silent", "--show-error", "--max-time", "30", "--include"]);
        run(curl.args(words).arg(url))
    }
}

#[test]
fn pip_installs_again_and_the_file_is_not_fetched_again() {
    let Some(world) = python_registry() else {
        return;
    };
    world.pip_installs();
    world.pip_installs();
    assert_eq!(world.asked(FILE_PATH), 1, "the file");
    // pip wants an index that has just been asked about: it is, and has not changed.
    let index = world.requests("/simple/tiny/");
    let known: Vec<_> = index
        .iter()
        .map(|one| one.header("if-none-match"))
        .collect();
    assert_eq!(known, [None, Some("\"index\"")]);
}

#[test]
fn pip_installs_again_while_the_registry_is_gone() {
    let Some(mut world) = python_registry() else {
        return;
    };
    world.pip_installs();
    world.lose_the_registries();
    world.pip_installs();
}

#[test]
fn npm_installs_again_and_nothing_is_fetched_again() {
    let Some(world) = npm_registry() else {
        return;
    };
    world.npm_installs();
    world.npm_installs();
    assert_eq!(world.asked("/tiny/-/tiny-1.0.0.tgz"), 1, "the file");
    assert_eq!(world.asked("/tiny"), 1, "the index");
}

#[test]
fn npm_installs_again_while_the_registry_is_gone() {
    let Some(mut world) = npm_registry() else {
        return;
    };
    world.npm_installs();
    world.lose_the_registries();
    world.npm_installs();
}

#[test]
fn many_builds_at_once_fetch_a_file_once() {
    let world = World::new(|_, _| answer(FILE, b"a file"));
    let url = world.url("npm.example", "/many/-/many-1.0.0.tgz");
    let bodies = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| world.curl(&url, &[])))
            .collect();
        let bodies = builds.into_iter().map(|build| build.join().unwrap());
        bodies.collect::<Option<Vec<_>>>()
    });
    let Some(bodies) = bodies else { return };
    for body in bodies {
        assert!(body.succeeded().text().ends_with("a file"));
    }
    assert_eq!(world.asked("/many/-/many-1.0.0.tgz"), 1);
}

/// Some registries choose the form by `Accept` and do not say so with `Vary`, or only sometimes.
#[test]
fn two_forms_of_an_index_are_kept_apart_even_where_the_registry_does_not_say_that_they_differ() {
    let world = World::new(|_, request| {
        let form = request.header("accept").unwrap_or_default();
        answer(INDEX, form.as_bytes())
    });
    let url = world.url("npm.example", "/tiny");
    for form in ["application/json", "application/vnd.npm.install-v1+json"] {
        for _ in 0..2 {
            let Some(outcome) = world.curl(&url, &["--header", &format!("Accept: {form}")]) else {
                return;
            };
            assert!(
                outcome
                    .succeeded()
                    .text()
                    .ends_with(&format!("\r\n\r\n{form}"))
            );
        }
    }
    assert_eq!(world.asked("/tiny"), 2);
}

#[test]
fn a_registrys_cookie_goes_to_nobody_who_did_not_fetch() {
    let world = World::new(|_, _| answer(&format!("{FILE}Set-Cookie: id=first\r\n"), b"a file"));
    let url = world.url("npm.example", "/tiny/-/tiny-1.0.0.tgz");
    let (Some(first), Some(second)) = (world.curl(&url, &[]), world.curl(&url, &[])) else {
        return;
    };
    assert!(
        first
            .succeeded()
            .text()
            .to_ascii_lowercase()
            .contains("set-cookie: id=first")
    );
    let second = second.succeeded().text().to_ascii_lowercase();
    assert!(!second.contains("set-cookie"), "{second}");
    assert!(
        second.contains("cache-status:") && second.contains("; hit"),
        "{second}"
    );
    assert_eq!(world.asked("/tiny/-/tiny-1.0.0.tgz"), 1);
}

#[test]
fn a_registry_that_fails_is_stood_in_for() {
    let world = World::new(|_, request| match request.header("if-none-match") {
        None => answer("Cache-Control: max-age=0\r\nETag: \"1\"\r\n", b"an index"),
        Some(_) => status("503 Service Unavailable", "", b""),
    });
    let url = world.url("index.python.example", "/simple/tiny/");
    for _ in 0..2 {
        let Some(outcome) = world.curl(&url, &["--fail"]) else {
            return;
        };
        assert!(outcome.succeeded().text().ends_with("an index"));
    }
    let asked = world.requests("/simple/tiny/");
    let known: Vec<_> = asked
        .iter()
        .map(|one| one.header("if-none-match"))
        .collect();
    assert_eq!(known, [None, Some("\"1\"")]);
}

/// What is kept for a month is the file, not a word that it is not there yet or lies elsewhere for some minutes.
#[test]
fn only_the_file_itself_is_kept_for_long() {
    let refusals = [
        "404 Not Found",
        "302 Found",
        "403 Forbidden",
        "500 Internal Server Error",
    ];
    for refusal in refusals {
        let first = AtomicBool::new(true);
        let world = World::new(move |_, _| match first.swap(false, Ordering::SeqCst) {
            true => status(refusal, "Location: /elsewhere\r\n", b""),
            false => answer(FILE, b"a file"),
        });
        let url = world.url("npm.example", "/tiny/-/tiny-1.0.0.tgz");
        let (Some(first), Some(second)) = (world.curl(&url, &[]), world.curl(&url, &[])) else {
            return;
        };
        assert!(first.succeeded().text().contains(&refusal[..3]));
        let second = second.succeeded().text();
        assert!(second.ends_with("a file"), "{refusal}: {second}");
    }
}

#[test]
fn what_is_read_with_a_password_is_given_to_nobody_else() {
    let world = World::new(|_, request| {
        match request.header("authorization") {
            None => status(
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=x\r\n",
                b"",
            ),
            // Fresh for long, and not said to be for everybody.
            Some(who) => answer("Cache-Control: max-age=600\r\n", who.as_bytes()),
        }
    });
    // An index, and a file: the rule's `ttl` for files makes them no more public.
    for path in ["/simple/tiny/", "/packages/tiny-1.0-py3-none-any.whl"] {
        let url = world.url("index.python.example", path);
        for user in ["ada:secret", "bob:secret", "ada:secret"] {
            let Some(outcome) = world.curl(&url, &["--user", user]) else {
                return;
            };
            let text = outcome.succeeded().text();
            assert!(text.ends_with(&format!("Basic {}", base64(user))), "{text}");
        }
        let nobody = world.curl(&url, &[]).unwrap().succeeded().text();
        assert!(nobody.contains(" 401"), "{nobody}");
        assert_eq!(world.asked(path), 4);
    }
}

#[test]
fn a_registry_that_asks_who_you_are_is_not_looked_into() {
    let world = World::new(|_, _| answer(FILE, b"a file"));
    let roots = world.egret.path("origins.pem").display().to_string();
    let url = world.url("packages.corp.example", "/a.whl");
    let words = ["--user", "ada:secret", "--cacert", &roots];
    for _ in 0..2 {
        let Some(outcome) = world.curl(&url, &words) else {
            return;
        };
        assert!(outcome.succeeded().text().ends_with("a file"));
    }
    assert_eq!(world.asked("/a.whl"), 2);
    let record = world.egret.wait_record("the tunnel", |record| {
        record["rule"] == "private registries"
    });
    assert_eq!(record["method"], "CONNECT", "{record}");
    assert_eq!(record["intercepted"], Value::Null, "{record}");
}

#[test]
fn publishing_is_denied_and_an_audit_is_not() {
    let world = World::new(|_, _| answer("", b"heard"));
    for (method, path, status) in [
        ("PUT", "/tiny", " 403"),
        ("DELETE", "/tiny/-rev/1", " 403"),
        ("POST", "/-/npm/v1/security/advisories/bulk", " 200"),
    ] {
        let url = world.url("npm.example", path);
        let Some(outcome) = world.curl(&url, &["--request", method, "--data", "x"]) else {
            return;
        };
        let text = outcome.succeeded().text();
        // The first answer is the tunnel's.
        let last = text.lines().rfind(|line| line.starts_with("HTTP/"));
        assert!(last.unwrap().contains(status), "{method} {path}: {text}");
        let reached = usize::from(status == " 200");
        assert_eq!(world.asked(path), reached, "{method} {path}");
    }
}

const FILE_PATH: &str = "/packages/a1/b2/tiny-1.0-py3-none-any.whl";

/// An index that is fresh for a while, and a file that is for ever, as registries send them.
const INDEX: &str = "Cache-Control: max-age=600, public\r\nETag: \"index\"\r\n";
const FILE: &str = "Cache-Control: public, immutable, max-age=31557600\r\n";

/// A registry of Python packages with one in it. Its files come without a word on how long they may be used, as from some
/// mirrors. `None` where there is no Python.
fn python_registry() -> Option<World> {
    let folder = tempfile::tempdir().unwrap();
    let mut make = python(&["pip", "zipfile"])?;
    run(make.args(["-c", WHEEL]).arg(folder.path()))?.succeeded();
    let wheel = fs::read(folder.path().join("tiny-1.0-py3-none-any.whl")).unwrap();
    let digest: String = Sha256::digest(&wheel)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(World::new(move |port, request| {
        match (request.path(), request.header("if-none-match")) {
            ("/simple/tiny/", Some("\"index\"")) => not_modified(),
            ("/simple/tiny/", _) => {
                let link =
                    format!("https://files.python.example:{port}{FILE_PATH}#sha256={digest}");
                let page =
                    format!("<!doctype html><a href=\"{link}\">tiny-1.0-py3-none-any.whl</a>");
                let fields = format!(
                    "{INDEX}Vary: Accept\r\nContent-Type: application/vnd.pypi.simple.v1+html\r\n"
                );
                answer(&fields, page.as_bytes())
            }
            (FILE_PATH, _) => answer("Content-Type: application/zip\r\n", &wheel),
            (other, _) => panic!("{other} is not there"),
        }
    }))
}

/// A registry of npm packages with one in it. Its edge counts clients with a cookie. `None` where there is no npm.
fn npm_registry() -> Option<World> {
    let folder = tempfile::tempdir().unwrap();
    let (tarball, integrity) = pack(&folder)?;
    Some(World::new(move |port, request| match request.path() {
        "/tiny" => {
            let dist = json!({
                "tarball": format!("https://npm.example:{port}/tiny/-/tiny-1.0.0.tgz"),
                "integrity": integrity,
            });
            let one = json!({ "name": "tiny", "version": "1.0.0", "dist": dist });
            let all = json!({ "name": "tiny", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": one } });
            let fields = format!("{INDEX}Content-Type: application/json\r\nSet-Cookie: id=1\r\n");
            answer(&fields, all.to_string().as_bytes())
        }
        "/tiny/-/tiny-1.0.0.tgz" => answer(&format!("{FILE}Set-Cookie: id=1\r\n"), &tarball),
        other => panic!("{other} is not there"),
    }))
}

/// A package by npm itself, and what npm says of its integrity.
fn pack(folder: &TempDir) -> Option<(Vec<u8>, String)> {
    let at = |name: &str| folder.path().join(name);
    fs::write(
        at("package.json"),
        r#"{ "name": "tiny", "version": "1.0.0", "main": "index.js" }"#,
    )
    .unwrap();
    fs::write(at("index.js"), "module.exports = 42;\n").unwrap();
    let mut npm = Command::new("npm");
    npm.args(["pack", "--json", "--cache"])
        .arg(at("cache"))
        .current_dir(folder.path());
    let said = run(&mut npm)?.succeeded();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    // A list of packages, or since some version a table of them.
    let one = said.get(0).or_else(|| said.get("tiny")).unwrap();
    let integrity = one["integrity"].as_str().unwrap().to_owned();
    Some((fs::read(at("tiny-1.0.0.tgz")).unwrap(), integrity))
}

/// `200 OK` with these fields.
fn answer(fields: &str, body: &[u8]) -> Vec<u8> {
    status("200 OK", fields, body)
}

/// Each answer is its connection's last, so that a registry can go away.
fn status(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn not_modified() -> Vec<u8> {
    let head = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n";
    format!("{head}{INDEX}Vary: Accept\r\n\r\n").into_bytes()
}

/// The policy as it is shipped, for registries at this port of a loopback address.
fn policy(port: u16) -> String {
    let text = shipped("registries.toml");
    let (rules, _) = text.split_once("[[expect]]").unwrap();
    let port = format!("= {port}\naddress = \"127.0.0.0/8\"");
    let rules: Vec<String> = rules
        .lines()
        .map(
            |line| match line.strip_prefix("port").map(str::trim_start) {
                Some("= 443") => format!("port {port}"),
                _ => line.to_owned(),
            },
        )
        .collect();
    rules.join("\n")
}

/// The configuration as it is shipped, at any port, with names and authorities of the test.
fn configuration(dns: &Dns) -> String {
    let text = shipped("registries.egret.toml")
        .replace("\"127.0.0.1:3128\"", "\"127.0.0.1:0\"")
        .replace("\"egret.sock\"", "\"{dir}/admin.sock\"");
    let servers = dns.address;
    format!(
        "workers = 2\n{text}\n[dns]\nservers = [\"{servers}\"]\n[tls]\nroots = [\"{{dir}}/origins.pem\"]\n"
    )
}

fn shipped(name: &str) -> String {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    fs::read_to_string(policies.join(name)).unwrap()
}
