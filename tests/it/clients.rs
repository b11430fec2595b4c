//! Programs that people use, through the real process to real origins: curl, git, pip, Python.
//! Not the protocol's corners, which `forward`, `connect` and `socks` try by hand.

use std::fs;
use std::path::{Component, Path};
use std::process::Command;

use crate::support::{Ca, Config, Dns, Egret, Origin, Outcome, ok, pattern, python, run};

/// One proxy, one name, an origin in plain text and one over TLS.
struct World {
    egret: Egret,
    plain: Origin,
    secure: Origin,
    _dns: Dns,
}

impl World {
    fn new(
        answer: impl Fn(&crate::support::Request) -> Vec<u8> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::with(Config::loopback(), &[], answer)
    }

    fn with(
        config: Config,
        files: &[(&str, &str)],
        answer: impl Fn(&crate::support::Request) -> Vec<u8> + Clone + Send + Sync + 'static,
    ) -> Self {
        let ca = Ca::mint();
        let dns = Dns::start(&[("origin.test", "127.0.0.1")]);
        let plain = Origin::http(answer.clone());
        let secure = Origin::https(&ca, &["origin.test", "127.0.0.1"], answer);
        let files = [files, &[("ca.pem", ca.pem())]].concat();
        let egret = Egret::start_with(&files, &config.dns(&dns).roots());
        Self {
            egret,
            plain,
            secure,
            _dns: dns,
        }
    }

    fn http(&self, path: &str) -> String {
        format!("http://origin.test:{}{path}", self.plain.port())
    }

    fn https(&self, path: &str) -> String {
        format!("https://origin.test:{}{path}", self.secure.port())
    }

    fn ca(&self) -> String {
        self.egret.path("ca.pem").display().to_string()
    }

    /// Runs curl quietly, with the test's authority.
    fn curl(&self, words: &[&str]) -> Option<Outcome> {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--cacert",
            &self.ca(),
        ]);
        run(curl.args(words))
    }
}

#[test]
fn curl_over_every_protocol_of_the_port() {
    let world =
        World::new(|request| ok(format!("{} {}", request.method, request.target).as_bytes()));
    let proxy = world.egret.proxy_url();
    let address = world.egret.address("egress").to_string();
    let by_address = format!("http://{}/x", world.plain.address);
    let secure_by_address = format!("https://{}/x", world.secure.address);
    let (http, https) = (world.http("/x"), world.https("/x"));
    let cases: &[(&[&str], &str)] = &[
        (&["-x", &proxy], &http),
        (&["-x", &proxy], &https),
        (&["-x", &proxy, "--http1.0"], &http),
        (&["-x", &proxy, "-p"], &http),
        (&["--proxy1.0", &address], &http),
        (&["--proxy1.0", &address], &https),
        (&["--socks4", &address], &by_address),
        (&["--socks4", &address], &secure_by_address),
        (&["--socks4a", &address], &http),
        (&["--socks4a", &address], &https),
        (&["--socks5", &address], &by_address),
        (&["--socks5", &address], &secure_by_address),
        (&["--socks5-hostname", &address], &http),
        (&["--socks5-hostname", &address], &https),
    ];
    for (words, url) in cases {
        let Some(outcome) = world.curl(&[words, &[*url][..]].concat()) else {
            return;
        };
        assert!(outcome.success, "{words:?} {url}: {outcome:?}");
        assert_eq!(outcome.text(), "GET /x", "{words:?} {url}");
    }
    for protocol in ["http/1.1", "connect", "socks4", "socks4a", "socks5"] {
        let record = world
            .egret
            .wait_record(protocol, |record| record["protocol"] == protocol);
        assert_eq!(record["rule"], "loopback", "{record}");
    }
}

#[test]
fn curl_says_who_it_is() {
    let Some(users) = crate::socks::htpasswd() else {
        return;
    };
    let config = Config::closed()
        .listener("auth = [{ basic = { file = \"users\" } }]")
        .rule("name = \"alice\"\nallow = {}\nprincipal = \"alice\"\naddress = \"127.0.0.0/8\"");
    let world = World::with(config, &[("users", &users)], |request| {
        ok(request.head.as_bytes())
    });
    let proxy = world.egret.proxy_url();
    let address = world.egret.address("egress").to_string();
    let (http, https) = (world.http("/"), world.https("/"));
    for words in [
        ["-x", &proxy, &http],
        ["-x", &proxy, &https],
        ["--socks5-hostname", &address, &http],
    ] {
        let good = [&["--proxy-user", "alice:secret"][..], &words].concat();
        let Some(outcome) = world.curl(&good) else {
            return;
        };
        let head = outcome.succeeded().text().to_ascii_lowercase();
        assert!(!head.contains("proxy-authorization"), "{head}");
        let bad = [&["--fail", "--proxy-user", "alice:wrong"][..], &words].concat();
        assert!(!world.curl(&bad).unwrap().success, "{words:?}");
        let none = [&["--fail"][..], &words].concat();
        assert!(!world.curl(&none).unwrap().success, "{words:?}");
    }
    let answer = world
        .egret
        .ask(&format!("GET {http} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(answer.status, 407);
    let challenge = answer.header("proxy-authenticate").unwrap_or_default();
    assert!(
        challenge.to_ascii_lowercase().starts_with("basic realm="),
        "{challenge}"
    );
    world
        .egret
        .wait_record("alice's record", |record| record["principal"] == "alice");
    let written = world.egret.everything_written();
    assert!(
        !written.contains("secret") && !written.contains(&crate::support::base64("alice:secret"))
    );
}

#[test]
fn curl_uploads() {
    let world = World::new(|request| ok(request.body.len().to_string().as_bytes()));
    let body = pattern((1 << 20) + 4321);
    let file = world.egret.path("upload");
    fs::write(&file, &body).unwrap();
    let (proxy, file) = (world.egret.proxy_url(), file.display().to_string());
    let data = format!("@{file}");
    let (http, https) = (world.http("/"), world.https("/"));
    for url in [&http, &https] {
        let cases: &[&[&str]] = &[
            &["-T", &file],
            &["-T", &file, "-H", "Transfer-Encoding: chunked"],
            // Larger than 1 MiB: curl expects 100-continue of itself.
            &["--data-binary", &data],
            &["--data-binary", &data, "-H", "Expect: 100-continue"],
            &["--data-binary", &data, "-H", "Expect:"],
        ];
        for words in cases {
            let Some(outcome) = world.curl(&[&["-x", &proxy, url], *words].concat()) else {
                return;
            };
            let text = outcome.succeeded().text();
            assert_eq!(text, body.len().to_string(), "{words:?} {url}");
        }
    }
    let all = [world.plain.requests(), world.secure.requests()].concat();
    assert_eq!(all.len(), 10);
    assert!(all.iter().all(|request| request.body == body));
}

#[test]
fn curl_is_told_why_it_may_not() {
    let world = World::with(Config::closed(), &[], |_| ok(b""));
    let proxy = world.egret.proxy_url();
    let http = world.http("/");
    let form = "%{http_code} %header{proxy-status}";
    let Some(outcome) = world.curl(&["-x", &proxy, "-w", form, &http]) else {
        return;
    };
    let text = outcome.succeeded().text();
    assert!(
        text.contains("403 ") && text.contains("http_request_denied"),
        "{text}"
    );
    assert_eq!(world.plain.connections(), 0);
    for (accept, kind) in [
        ("application/json", "application/json"),
        ("text/html", "text/html"),
        ("text/plain", "text/plain"),
    ] {
        let accept = format!("Accept: {accept}");
        let words = [
            "-x",
            &proxy,
            "-o",
            "/dev/null",
            "-H",
            &accept,
            "-w",
            "%{content_type}",
            &http,
        ];
        let text = world.curl(&words).unwrap().succeeded().text();
        assert!(text.starts_with(kind), "{accept}: {text}");
    }
}

#[test]
fn git_clones_over_https() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&root)
            .env("HOME", &root)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.test",
                "-c",
                "init.defaultBranch=main",
            ]);
        git.args(words).env("GIT_SSL_CAINFO", root.join("ca.pem"));
        run(&mut git)
    };
    if git(&["init", "-q", "work"]).is_none() {
        return;
    }
    let content = pattern(50_000);
    fs::write(root.join("work/file"), &content).unwrap();
    for words in [
        &["-C", "work", "add", "file"][..],
        &["-C", "work", "commit", "-q", "-m", "one"],
        &["clone", "-q", "--bare", "work", "served.git"],
        // What a server of plain files needs.
        &["-C", "served.git", "update-server-info"],
    ] {
        git(words).unwrap().succeeded();
    }
    let served = root.clone();
    let world = World::new(move |request| file(&served, request.path()));
    fs::copy(world.ca(), root.join("ca.pem")).unwrap();
    let setting = format!("http.proxy={}", world.egret.proxy_url());
    let url = world.https("/served.git");
    git(&["-c", &setting, "clone", "-q", &url, "cloned"])
        .unwrap()
        .succeeded();
    assert!(fs::read(root.join("cloned/file")).unwrap() == content);
    world.egret.wait_record("the tunnel's record", |record| {
        record["method"] == "CONNECT"
            && record["authority"]
                .as_str()
                .is_some_and(|a| a.starts_with("origin.test:"))
    });
}

#[test]
fn pip_installs_from_an_index() {
    let Some(mut make) = python(&["pip", "zipfile"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let index = root.join("simple/tiny");
    fs::create_dir_all(&index).unwrap();
    run(make.arg("-c").arg(MAKE_WHEEL).arg(&index))
        .unwrap()
        .succeeded();
    let served = root.clone();
    let world = World::new(move |request| file(&served, request.path()));
    for (number, url) in [world.http("/simple/"), world.https("/simple/")]
        .iter()
        .enumerate()
    {
        let target = root.join(format!("installed{number}"));
        let mut pip = python(&[]).unwrap();
        pip.args([
            "-m",
            "pip",
            "--isolated",
            "--disable-pip-version-check",
            "--no-cache-dir",
        ])
        .args(["--proxy", &world.egret.proxy_url(), "--cert", &world.ca()])
        .args([
            "install",
            "--no-deps",
            "--trusted-host",
            "origin.test",
            "--index-url",
            url,
            "--target",
        ])
        .arg(&target)
        .arg("tiny");
        run(&mut pip).unwrap().succeeded();
        assert_eq!(
            fs::read_to_string(target.join("tiny.py")).unwrap(),
            "answer = 42\n"
        );
    }
}

#[test]
fn python_requests_over_http_https_and_socks() {
    let Some(mut python) = python(&["requests", "socks"]) else {
        return;
    };
    let world =
        World::new(|request| ok(format!("{} {}", request.method, request.body.len()).as_bytes()));
    let words = [
        world.egret.proxy_url(),
        world.egret.address("egress").to_string(),
        world.http("/"),
        world.https("/"),
        world.ca(),
    ];
    run(python.arg("-c").arg(REQUESTS).args(words))
        .unwrap()
        .succeeded();
}

#[test]
fn python_httpx_over_http_and_https() {
    let Some(mut python) = python(&["httpx"]) else {
        return;
    };
    let world = World::new(|request| ok(request.method.as_bytes()));
    let words = [
        world.egret.proxy_url(),
        world.http("/"),
        world.https("/"),
        world.ca(),
    ];
    run(python.arg("-c").arg(HTTPX).args(words))
        .unwrap()
        .succeeded();
}

#[test]
fn python_websockets_through_connect_and_upgrade() {
    let Some(mut python) = python(&["websockets.sync.client"]) else {
        return;
    };
    let egret = Egret::start(&Config::loopback());
    let address = egret.address("egress");
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    run(python.arg("-c").arg(WEBSOCKETS).args([host, port]))
        .unwrap()
        .succeeded();
    egret.wait_record("the tunnel's record", |record| {
        record["method"] == "CONNECT"
    });
    egret.wait_record("the upgrade's record", |record| record["status"] == 101);
}

#[test]
fn http_2_with_prior_knowledge_carries_requests_and_tunnels() {
    let Some(mut python) = python(&["h2.connection"]) else {
        return;
    };
    let world =
        World::new(|request| ok(format!("{} {}", request.method, request.body.len()).as_bytes()));
    let echo = Origin::echo();
    let address = world.egret.address("egress");
    let words = [
        address.ip().to_string(),
        address.port().to_string(),
        format!("origin.test:{}", world.plain.port()),
        echo.address.to_string(),
    ];
    run(python.arg("-c").arg(HTTP2).args(words))
        .unwrap()
        .succeeded();
    assert_eq!(echo.connections(), 1);
}

/// A file below a folder, or a page of links where it is a folder.
fn file(root: &Path, path: &str) -> Vec<u8> {
    let relative = Path::new(path.trim_start_matches('/'));
    let inside = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let found = root.join(relative);
    if inside && found.is_dir() {
        let link = |entry: fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            format!("<a href=\"{name}\">{name}</a>\n")
        };
        let links: String = fs::read_dir(found).unwrap().flatten().map(link).collect();
        let page = format!("<!DOCTYPE html><html><body>{links}</body></html>");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n";
        return format!("{head}Content-Length: {}\r\n\r\n{page}", page.len()).into_bytes();
    }
    match fs::read(found) {
        Ok(content) if inside => ok(&content),
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    }
}

/// Arguments: the folder.
const MAKE_WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/tiny-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tiny.py", "answer = 42\n")
    info = "tiny-1.0.dist-info/"
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "tiny.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n")
"#;

/// Arguments: the proxy's URL, its address, an http and an https URL, the authority's file.
const REQUESTS: &str = r#"
import sys, requests
proxy, address, http, https, ca = sys.argv[1:]
for through in (proxy, "socks5h://" + address, "socks4a://" + address):
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": through, "https": through}
        session.verify = ca
        for url in (http, https):
            for _ in range(3):
                answer = session.get(url, timeout=20)
                assert (answer.status_code, answer.text) == (200, "GET 0"), (through, url, answer.text)
            answer = session.post(url, data=b"x" * 300000, timeout=20)
            assert answer.text == "POST 300000", (through, url, answer.text)
            answer = session.put(url, data=(b"y" * 1000 for _ in range(10)), timeout=20)
            assert answer.text == "PUT 10000", (through, url, answer.text)
"#;

/// Arguments: the proxy's URL, an http and an https URL, the authority's file.
const HTTPX: &str = r#"
import ssl, sys, httpx
proxy, http, https, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
with httpx.Client(proxy=proxy, verify=context, trust_env=False, timeout=20) as client:
    for url in (http, https):
        for _ in range(3):
            answer = client.get(url)
            assert (answer.status_code, answer.text) == (200, "GET"), (url, answer.text)
"#;

/// Arguments: the proxy's host and port. The server stands in the same program.
const WEBSOCKETS: &str = r#"
import base64, socket, sys, threading
from websockets.sync.client import connect
from websockets.sync.server import serve

host, port = sys.argv[1], int(sys.argv[2])

def echo(peer):
    for message in peer:
        peer.send(message)

server = serve(echo, "127.0.0.1", 0, compression=None)
there = server.socket.getsockname()[1]
threading.Thread(target=server.serve_forever, daemon=True).start()

# The client's own way: a tunnel.
with connect(f"ws://127.0.0.1:{there}/", proxy=f"http://{host}:{port}", compression=None) as peer:
    for message in ("hello", "x" * 100000, b"\x00\xff"):
        peer.send(message)
        assert peer.recv(timeout=10) == message

# The other way: the request goes to the proxy, which passes the upgrade on. RFC 6455 §1.3 has the key and its answer.
with socket.create_connection((host, port), timeout=10) as raw:
    raw.sendall((f"GET http://127.0.0.1:{there}/ HTTP/1.1\r\nHost: 127.0.0.1:{there}\r\n"
                 "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
    stream = raw.makefile("rb")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        assert line, head
        head += line
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head
    # One masked text frame; the mask is zero, so that the text stands there as it is.
    raw.sendall(b"\x81\x85\x00\x00\x00\x00hello")
    assert stream.read(7) == b"\x81\x05hello"
server.shutdown()
"#;

/// Arguments: the proxy's host and port, an authority with HTTP, an authority that echoes.
const HTTP2: &str = r#"
import socket, sys
import h2.config, h2.connection, h2.events

host, port, http, echo = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
raw = socket.create_connection((host, port), timeout=10)
peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
peer.initiate_connection()
raw.sendall(peer.data_to_send())
headers, bodies, ended = {}, {}, set()

def turn():
    data = raw.recv(65536)
    assert data, "the proxy closed"
    for event in peer.receive_data(data):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.ResponseReceived):
            headers[stream] = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            bodies[stream] = bodies.get(stream, b"") + event.data
            peer.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded):
            ended.add(stream)
        elif isinstance(event, h2.events.StreamReset):
            # NO_ERROR after a whole answer only says that the rest of the request is not wanted. RFC 9113 §8.1.
            assert event.error_code == 0, ("reset", stream, event.error_code)
    raw.sendall(peer.data_to_send())

def until(done):
    while not done():
        turn()

# Requests, several at once.
streams = []
for body in (b"", b"x" * 1000, b""):
    stream = peer.get_next_available_stream_id()
    method = "POST" if body else "GET"
    peer.send_headers(stream, [(":method", method), (":scheme", "http"), (":authority", http), (":path", "/")],
                      end_stream=not body)
    if body:
        peer.send_data(stream, body, end_stream=True)
    streams.append((stream, f"{method} {len(body)}".encode()))
raw.sendall(peer.data_to_send())
until(lambda: all(stream in ended for stream, _ in streams))
for stream, expected in streams:
    assert headers[stream][":status"] == "200", headers[stream]
    assert bodies[stream] == expected, bodies[stream]

# A tunnel. RFC 9113 §8.5.
stream = peer.get_next_available_stream_id()
peer.send_headers(stream, [(":method", "CONNECT"), (":authority", echo)])
raw.sendall(peer.data_to_send())
until(lambda: stream in headers)
assert headers[stream][":status"] == "200", headers[stream]
peer.send_data(stream, b"hello")
raw.sendall(peer.data_to_send())
until(lambda: bodies.get(stream) == b"hello")
peer.end_stream(stream)
raw.sendall(peer.data_to_send())
until(lambda: stream in ended)

# What is denied says so on its own stream, and the connection lives on.
stream = peer.get_next_available_stream_id()
peer.send_headers(stream, [(":method", "CONNECT"), (":authority", "169.254.169.254:80")])
raw.sendall(peer.data_to_send())
until(lambda: stream in headers)
assert headers[stream][":status"] == "403", headers[stream]
"#;
