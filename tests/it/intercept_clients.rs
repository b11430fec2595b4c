//! Programs that people use, with the authority of interception in their stores: curl, Python, Node, Java and a browser.
//! Not the rules of interception, which `intercept` tries by hand; nor programs without it, which are in `clients`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Ca, Config, Dns, Egret, Interception, Origin, Outcome, Papers, Request, Served, WHEEL, ok,
    pattern, python, run,
};

/// One proxy that intercepts whatever is at a loopback address.
struct World {
    egret: Egret,
    _dns: Dns,
}

impl World {
    /// Trusts these authorities for origins.
    fn new(roots: &str) -> Self {
        let authority = Interception::init();
        let dns = Dns::start(&[("origin.test", "127.0.0.1")]);
        let files = [&authority.files()[..], &[("ca.pem", roots)]].concat();
        let config = Config::closed()
            .rule("name = \"seen\"\nallow = { intercept = true }\naddress = \"127.0.0.0/8\"")
            .more("[intercept]\nauthority = { cert = \"{dir}/intercept.pem\", key = { file = \"{dir}/intercept.key\" } }")
            .dns(&dns)
            .roots();
        Self {
            egret: Egret::start_with(&files, &config),
            _dns: dns,
        }
    }

    /// With an origin that says what it was asked, or for `/big` sends [`big`].
    fn with_origin() -> (Self, Origin) {
        let ca = Ca::mint();
        let origin = Origin::https(&ca, &["origin.test"], |request| match request.path() {
            "/big" => ok(&big()),
            _ => ok(summary(request).as_bytes()),
        });
        (Self::new(ca.pem()), origin)
    }

    /// With an origin in Python that serves a folder by `http.server`. `None` where there is no Python.
    fn with_folder(folder: &Path) -> Option<(Self, Served)> {
        let mut python = python(&["http.server", "ssl"])?;
        let papers = Papers::mint(&["origin.test"]);
        let stored = stored(&papers);
        let origin = Served::start(
            python
                .args(["-c", FOLDER])
                .arg(folder)
                .args(pair(stored.path())),
        )?;
        Some((Self::new(&papers.authority), origin))
    }

    /// With an origin in Python that has a page and a WebSocket that echoes. `None` where there is no such Python.
    fn with_sockets() -> Option<(Self, Served)> {
        let mut python = python(&["websockets.asyncio.server"])?;
        let papers = Papers::mint(&["origin.test"]);
        let stored = stored(&papers);
        let origin = Served::start(python.args(["-c", SOCKETS]).args(pair(stored.path())))?;
        Some((Self::new(&papers.authority), origin))
    }

    fn host(&self) -> String {
        self.egret.address("egress").ip().to_string()
    }

    fn port(&self) -> String {
        self.egret.address("egress").port().to_string()
    }

    /// The file with the authority of interception.
    fn ca(&self) -> String {
        self.egret.path("intercept.pem").display().to_string()
    }

    /// The record of the request for a path, which must have come out of an intercepted tunnel.
    fn intercepted(&self, path: &str) -> Value {
        let record = self.egret.wait_record(path, |record| {
            record["path"] == path && record["method"] != "CONNECT"
        });
        assert_eq!(record["intercepted"], true, "{record}");
        assert_eq!(record["scheme"], "https", "{record}");
        assert_eq!(record["rule"], "seen", "{record}");
        assert!(record["tunnel"].is_string(), "{record}");
        record
    }

    /// Runs curl quietly, by itself trusting nobody but the authority of interception.
    fn curl(&self, words: &[&str]) -> Option<Outcome> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "50"]);
        run(curl.args(["--cacert", &self.ca()]).args(words))
    }
}

#[test]
fn curl_speaks_either_version_inside_connect_and_socks() {
    let (world, origin) = World::with_origin();
    let proxy = world.egret.proxy_url();
    let address = world.egret.address("egress").to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["--http1.1", "-x", &proxy], "1.1"),
        (&["--http2", "-x", &proxy], "2"),
        (&["--http1.1", "--socks5-hostname", &address], "1.1"),
        (&["--http2", "--socks5-hostname", &address], "2"),
        (&["--http2", "--socks4a", &address], "2"),
        (&["--http2", "--tls-max", "1.2", "-x", &proxy], "2"),
        (&["--no-alpn", "-x", &proxy], "1.1"),
    ];
    for (number, (words, version)) in cases.iter().enumerate() {
        let path = format!("/{number}");
        let url = format!("https://origin.test:{}{path}", origin.port());
        let form = ["-w", " %{http_version}", &url];
        let Some(outcome) = world.curl(&[words, &form[..]].concat()) else {
            return;
        };
        assert!(outcome.success, "{words:?}: {outcome:?}");
        assert_eq!(
            outcome.text(),
            format!("GET {path} 0 {version}"),
            "{words:?}"
        );
        let record = world.intercepted(&path);
        let protocol = if *version == "2" {
            "http/2"
        } else {
            "http/1.1"
        };
        assert_eq!(record["protocol"], protocol, "{words:?}: {record}");
        assert_eq!(record["status"], 200, "{record}");
    }
    assert_eq!(origin.requests().len(), cases.len());
}

#[test]
fn curl_that_trusts_only_the_origins_authority_gets_nothing() {
    let (world, origin) = World::with_origin();
    let url = format!("https://origin.test:{}/", origin.port());
    let roots = world.egret.path("ca.pem").display().to_string();
    let words = ["-x", &world.egret.proxy_url(), "--cacert", &roots, &url];
    let Some(outcome) = world.curl(&words) else {
        return;
    };
    // 60: the peer's certificate is not trusted.
    assert_eq!(outcome.code, Some(60), "{outcome:?}");
    assert!(outcome.stdout.is_empty());
    let record = world.egret.wait_record("the rejection", |record| {
        record["method"] == "CONNECT" && record["aborted"] == true
    });
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("rejected our certificate"), "{record}");
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn curl_uploads_and_downloads_much() {
    let (world, origin) = World::with_origin();
    let big = big();
    let file = world.egret.path("upload").display().to_string();
    fs::write(&file, &big).unwrap();
    let data = format!("@{file}");
    let proxy = world.egret.proxy_url();
    let url = |path: &str| format!("https://origin.test:{}{path}", origin.port());
    let cases: &[(&[&str], &str)] = &[
        (&["-T", &file], "PUT"),
        (&["-T", &file, "-H", "Transfer-Encoding: chunked"], "PUT"),
        (
            &["--data-binary", &data, "-H", "Expect: 100-continue"],
            "POST",
        ),
        (&["--data-binary", &data, "-H", "Expect:"], "POST"),
    ];
    for version in ["--http1.1", "--http2"] {
        for (number, (words, method)) in cases.iter().enumerate() {
            let path = format!("/{}/{number}", version.trim_start_matches('-'));
            let url = url(&path);
            let words = [&[version, "--verbose", "-x", &proxy, &url], *words].concat();
            let Some(outcome) = world.curl(&words) else {
                return;
            };
            let outcome = outcome.succeeded();
            assert_eq!(outcome.text(), format!("{method} {path} {}", big.len()));
            if version == "--http1.1" && words.contains(&"Expect: 100-continue") {
                let continued = outcome.stderr.contains("< HTTP/1.1 100");
                assert!(continued, "{}", outcome.stderr);
            }
            let record = world.intercepted(&path);
            assert_eq!(record["bytes_in"], big.len(), "{record}");
        }
        let got = world.curl(&[version, "-x", &proxy, &url("/big")]).unwrap();
        assert!(got.succeeded().stdout == big, "{version}");
        let record = world.intercepted("/big");
        assert_eq!(record["bytes_out"], big.len(), "{record}");
    }
    let bodies = origin.requests();
    let mut uploads = bodies.iter().filter(|request| request.method != "GET");
    assert!(uploads.all(|request| request.body == big));
}

/// What the proxy's TLS holds back, because the socket was full, must follow by itself.
#[test]
fn curl_that_reads_slowly_gets_the_whole_answer() {
    let ca = Ca::mint();
    let much = pattern(24 << 20);
    let answer = ok(&much);
    let origin = Origin::https(&ca, &["origin.test"], move |_| answer.clone());
    let world = World::new(ca.pem());
    let proxy = world.egret.proxy_url();
    let url = format!("https://origin.test:{}/", origin.port());
    for version in ["--http1.1", "--http2"] {
        let words = [version, "--limit-rate", "12M", "--max-time", "50"];
        let words = [&words[..], &["-x", &proxy, &url]].concat();
        let Some(outcome) = world.curl(&words) else {
            return;
        };
        assert!(outcome.success, "{version}: {}", outcome.stderr);
        assert!(outcome.stdout == much, "{version}");
    }
}

#[test]
fn openssl_as_the_origin_over_tls_1_2_and_1_3() {
    for (version, said) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let papers = Papers::mint(&["origin.test"]);
        let stored = stored(&papers);
        let [certificate, key] = pair(stored.path());
        let mut openssl = Command::new("openssl");
        openssl.args(["s_server", "-www", "-accept", "127.0.0.1:0", version]);
        openssl.args(["-cert", &certificate, "-key", &key]);
        let Some(origin) = Served::start(&mut openssl) else {
            return;
        };
        let world = World::new(&papers.authority);
        for inside in ["--http1.1", "--http2"] {
            let path = format!("/{}", inside.trim_start_matches('-'));
            let url = format!("https://origin.test:{}{path}", origin.port);
            let proxy = world.egret.proxy_url();
            let Some(outcome) = world.curl(&[inside, "-x", &proxy, &url]) else {
                return;
            };
            let text = outcome.succeeded().text();
            assert!(text.contains(said) && text.contains("</HTML>"), "{text}");
            let record = world.intercepted(&path);
            assert_eq!(record["aborted"], Value::Null, "{record}");
        }
    }
}

#[test]
fn pip_installs_from_an_index_of_pythons_own_server() {
    let Some(mut make) = python(&["pip", "zipfile"]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("simple/tiny");
    fs::create_dir_all(&index).unwrap();
    run(make.args(["-c", WHEEL]).arg(&index))
        .unwrap()
        .succeeded();
    let Some((world, origin)) = World::with_folder(folder.path()) else {
        return;
    };
    let target = folder.path().join("installed");
    let url = format!("https://origin.test:{}/simple/", origin.port);
    let mut pip = python(&[]).unwrap();
    pip.args([
        "-m",
        "pip",
        "--isolated",
        "--disable-pip-version-check",
        "--no-cache-dir",
    ])
    .args(["--proxy", &world.egret.proxy_url(), "--cert", &world.ca()])
    .args(["install", "--no-deps", "--index-url", &url, "--target"])
    .arg(&target)
    .arg("tiny");
    run(&mut pip).unwrap().succeeded();
    let installed = fs::read_to_string(target.join("tiny.py")).unwrap();
    assert_eq!(installed, "answer = 42\n");
    world.intercepted("/simple/tiny/");
    world.intercepted("/simple/tiny/tiny-1.0-py3-none-any.whl");
}

#[test]
fn python_requests_over_connect_and_socks() {
    let Some(mut python) = python(&["requests", "socks"]) else {
        return;
    };
    let (world, origin) = World::with_origin();
    let address = world.egret.address("egress").to_string();
    let (port, length) = (origin.port().to_string(), big().len().to_string());
    run(python
        .args(["-c", REQUESTS])
        .args([address, port, world.ca(), length]))
    .unwrap()
    .succeeded();
    for path in ["/http", "/socks5h", "/big"] {
        assert_eq!(world.intercepted(path)["protocol"], "http/1.1");
    }
    assert_eq!(origin.requests().len(), 12);
}

#[test]
fn python_httpx_speaks_http_2_inside() {
    let Some(mut python) = python(&["httpx", "h2"]) else {
        return;
    };
    let (world, origin) = World::with_origin();
    let (port, length) = (origin.port().to_string(), big().len().to_string());
    run(python
        .args(["-c", HTTPX])
        .args([world.egret.proxy_url(), port, world.ca(), length]))
    .unwrap()
    .succeeded();
    for path in ["/post", "/3", "/big"] {
        assert_eq!(world.intercepted(path)["protocol"], "http/2");
    }
    assert_eq!(world.intercepted("/one")["protocol"], "http/1.1");
}

#[test]
fn python_websockets_inside() {
    let Some((world, origin)) = World::with_sockets() else {
        return;
    };
    let mut python = python(&["websockets.asyncio.client"]).unwrap();
    run(python.args(["-c", WEBSOCKETS]).args([
        world.egret.proxy_url(),
        origin.port.to_string(),
        world.ca(),
    ]))
    .unwrap()
    .succeeded();
    assert_eq!(world.intercepted("/echo")["status"], 101);
}

#[test]
fn node_speaks_either_version_inside() {
    let (world, origin) = World::with_origin();
    let mut node = Command::new("node");
    node.env("NODE_EXTRA_CA_CERTS", world.ca())
        .args(["-e", NODE, "--"])
        .args([world.host(), world.port(), origin.port().to_string()])
        .arg(big().len().to_string());
    let Some(outcome) = run(&mut node) else {
        return;
    };
    outcome.succeeded();
    for (path, protocol) in [
        ("/get/1", "http/1.1"),
        ("/post/1", "http/1.1"),
        ("/get/2", "http/2"),
        ("/post/2", "http/2"),
        ("/big", "http/1.1"),
    ] {
        assert_eq!(world.intercepted(path)["protocol"], protocol);
    }
}

#[test]
fn java_speaks_either_version_inside() {
    let (world, origin) = World::with_origin();
    let source = world.egret.path("Client.java");
    let trust = world.egret.path("trust.p12").display().to_string();
    fs::write(&source, JAVA).unwrap();
    let mut keytool = Command::new("keytool");
    keytool.args(["-importcert", "-noprompt", "-trustcacerts"]);
    keytool.args(["-alias", "egret", "-file", &world.ca()]);
    keytool.args(["-keystore", &trust, "-storepass", "changeit"]);
    let Some(outcome) = run(&mut keytool) else {
        return;
    };
    outcome.succeeded();
    let mut java = Command::new("java");
    java.arg(format!("-Djavax.net.ssl.trustStore={trust}"))
        .arg("-Djavax.net.ssl.trustStorePassword=changeit")
        .arg(&source)
        .args([world.host(), world.port(), origin.port().to_string()])
        .arg(big().len().to_string());
    let Some(outcome) = run(&mut java) else {
        return;
    };
    outcome.succeeded();
    for (path, protocol) in [
        ("/get/HTTP_1_1", "http/1.1"),
        ("/post/HTTP_1_1", "http/1.1"),
        ("/get/HTTP_2", "http/2"),
        ("/post/HTTP_2", "http/2"),
    ] {
        assert_eq!(world.intercepted(path)["protocol"], protocol);
    }
}

#[test]
fn a_browser_shows_a_page() {
    let (world, origin) = World::with_origin();
    let Some(browser) = Browser::new(Some(&world)) else {
        return;
    };
    let url = format!("https://origin.test:{}/page", origin.port());
    let Some(page) = browser.page(&world, &url) else {
        return;
    };
    assert!(page.contains("GET /page 0"), "{page}");
    assert_eq!(world.intercepted("/page")["protocol"], "http/2");
}

#[test]
fn a_browser_without_the_authority_shows_nothing_of_the_origin() {
    let (world, origin) = World::with_origin();
    let Some(browser) = Browser::new(None) else {
        return;
    };
    let url = format!("https://origin.test:{}/page", origin.port());
    let Some(page) = browser.page(&world, &url) else {
        return;
    };
    assert!(!page.contains("GET /page"), "{page}");
    assert_eq!(origin.requests().len(), 0);
    let record = world.egret.wait_record("the rejection", |record| {
        let reason = record["reason"].as_str().unwrap_or_default();
        reason.contains("rejected our certificate")
    });
    assert_eq!(record["sni"], "origin.test", "{record}");
}

#[test]
fn a_browser_learns_from_the_proxys_own_page_whether_it_trusts() {
    // A proxy for each: what has rejected the certificate is remembered by its address.
    for trusting in [false, true] {
        let (world, _origin) = World::with_origin();
        let Some(browser) = Browser::new(trusting.then_some(&world)) else {
            return;
        };
        let Some(page) = browser.page(&world, "http://egret.invalid/") else {
            return;
        };
        assert!(page.contains("/ca.pem"), "{page}");
        let picture = |record: &Value| record["path"] == "/trusted.svg";
        if trusting {
            let record = world.egret.wait_record("the picture", picture);
            assert_eq!(record["intercepted"], true, "{record}");
            assert_eq!(record["status"], 200, "{record}");
        } else {
            assert!(!world.egret.records().iter().any(picture));
        }
    }
}

#[test]
fn a_browser_opens_a_websocket_from_a_page() {
    let Some((world, origin)) = World::with_sockets() else {
        return;
    };
    let Some(browser) = Browser::new(Some(&world)) else {
        return;
    };
    let url = format!("https://origin.test:{}/page", origin.port);
    let Some(page) = browser.page(&world, &url) else {
        return;
    };
    assert!(page.contains("heard hello"), "{page}");
    world.intercepted("/page");
    world.intercepted("/hold");
    let socket = world.intercepted("/echo");
    // Chromium asks for it over HTTP/2: a CONNECT that is answered with 200 (RFC 8441).
    assert_eq!(socket["protocol"], "http/2", "{socket}");
    assert_eq!(socket["status"], 200, "{socket}");
}

/// A headless Chromium with a home of its own.
struct Browser {
    home: TempDir,
}

impl Browser {
    /// Trusts the authority of a proxy, or none but those that it came with. `None` where a program is not installed.
    fn new(trusting: Option<&World>) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        if let Some(world) = trusting {
            let store = home.path().join(".pki/nssdb");
            fs::create_dir_all(&store).unwrap();
            let store = format!("sql:{}", store.display());
            let ca = world.ca();
            for words in [
                &["-N", "--empty-password"][..],
                &["-A", "-t", "C,,", "-n", "egret", "-i", &ca],
            ] {
                let mut certutil = Command::new("certutil");
                certutil.args(["-d", &store]).args(words);
                run(&mut certutil)?.succeeded();
            }
        }
        Some(Self { home })
    }

    /// What a page is in the end, through this proxy, which also resolves its name.
    fn page(&self, world: &World, url: &str) -> Option<String> {
        let home = self.home.path();
        let mut chromium = Command::new("chromium");
        chromium
            .env("HOME", home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .args(CHROMIUM)
            .arg(format!(
                "--user-data-dir={}",
                home.join("profile").display()
            ))
            .arg(format!("--proxy-server={}", world.egret.proxy_url()))
            .args(["--dump-dom", url]);
        Some(run(&mut chromium)?.succeeded().text())
    }
}

/// Without what a browser would ask of the network by itself.
const CHROMIUM: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

fn summary(request: &Request) -> String {
    format!(
        "{} {} {}",
        request.method,
        request.target,
        request.body.len()
    )
}

/// Several megabytes, and not a whole number of anything.
fn big() -> Vec<u8> {
    pattern((6 << 20) + 4321)
}

/// A folder with the papers of an origin that is a program, see [`pair`].
fn stored(papers: &Papers) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("origin.pem"), &papers.certificate).unwrap();
    fs::write(folder.path().join("origin.key"), &papers.key).unwrap();
    folder
}

/// The certificate and the key in a folder that [`stored`] made.
fn pair(folder: &Path) -> [String; 2] {
    ["origin.pem", "origin.key"].map(|name| folder.join(name).display().to_string())
}

/// Arguments: a folder, a certificate's file, its key's.
const FOLDER: &str = r#"
import functools, http.server, ssl, sys
folder, certificate, key = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
# The handshake belongs to the thread of a connection, not to the one that accepts.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// Arguments: a certificate's file, its key's. The page has a picture that comes when the WebSocket has ended; until then the
/// browser goes on to load the page. Without threads: one that reads and one that writes disturb each other in Python's TLS.
const SOCKETS: &str = r#"
import asyncio, ssl, sys
from websockets.asyncio.server import serve

PAGE = """<!doctype html><title>page</title><p id=out>nothing</p><img src=/hold>
<script>
const socket = new WebSocket("wss://" + location.host + "/echo");
socket.onopen = () => socket.send("hello");
socket.onmessage = message => { out.textContent = "heard " + message.data; socket.close(); };
</script>"""

async def main():
    ended = asyncio.Event()

    async def page(peer, request):
        if request.path == "/echo":
            return None
        if request.path == "/hold":
            await asyncio.wait_for(ended.wait(), 40)
            return peer.respond(404, "held\n")
        answer = peer.respond(200 if request.path == "/page" else 404, PAGE)
        del answer.headers["Content-Type"]
        answer.headers["Content-Type"] = "text/html"
        return answer

    async def echo(peer):
        async for message in peer:
            await peer.send(message)
        ended.set()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[1:])
    async with serve(echo, "127.0.0.1", 0, ssl=context, process_request=page, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

asyncio.run(main())
"#;

/// Arguments: the proxy's URL, the origin's port, the authority's file.
const WEBSOCKETS: &str = r#"
import asyncio, ssl, sys
from websockets.asyncio.client import connect
proxy, port, ca = sys.argv[1:]

async def main():
    context = ssl.create_default_context(cafile=ca)
    options = dict(proxy=proxy, ssl=context, max_size=None)
    for compression in (None, "deflate"):
        async with connect(f"wss://origin.test:{port}/echo", compression=compression, **options) as peer:
            for message in ("hello", "x" * 300000, b"\x00\xff", bytes(range(256)) * 8000):
                await peer.send(message)
                assert await asyncio.wait_for(peer.recv(), 10) == message, len(message)
            await asyncio.wait_for(await peer.ping(), 10)

asyncio.run(main())
"#;

/// Arguments: the proxy's address, the origin's port, the authority's file, the length of `/big`.
const REQUESTS: &str = r#"
import sys, requests
address, port, ca, length = sys.argv[1:]
origin = "https://origin.test:" + port
for through in ("http", "socks5h"):
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": through + "://" + address}
        session.verify = ca
        for _ in range(3):
            answer = session.get(origin + "/" + through, timeout=20)
            assert (answer.status_code, answer.text) == (200, "GET /" + through + " 0"), answer.text
        answer = session.post(origin + "/post", data=b"x" * 300000, timeout=20)
        assert answer.text == "POST /post 300000", answer.text
        answer = session.put(origin + "/put", data=(b"y" * 1000 for _ in range(10)), timeout=20)
        assert answer.text == "PUT /put 10000", answer.text
        assert len(session.get(origin + "/big", timeout=20).content) == int(length)
"#;

/// Arguments: the proxy's URL, the origin's port, the authority's file, the length of `/big`.
const HTTPX: &str = r#"
import asyncio, ssl, sys, httpx
proxy, port, ca, length = sys.argv[1:]
origin = "https://origin.test:" + port

async def main():
    options = dict(proxy=proxy, trust_env=False, timeout=20)
    context = ssl.create_default_context(cafile=ca)
    async with httpx.AsyncClient(http2=True, verify=context, **options) as client:
        answer = await client.post(origin + "/post", content=b"x" * 300000)
        assert (answer.http_version, answer.text) == ("HTTP/2", "POST /post 300000"), answer.text
        paths = ["/" + str(number) for number in range(20)]
        answers = await asyncio.gather(*(client.get(origin + path) for path in paths))
        for path, answer in zip(paths, answers):
            assert (answer.http_version, answer.text) == ("HTTP/2", "GET " + path + " 0"), answer.text
        answer = await client.get(origin + "/big")
        assert (answer.http_version, len(answer.content)) == ("HTTP/2", int(length)), answer
    context = ssl.create_default_context(cafile=ca)
    async with httpx.AsyncClient(verify=context, **options) as client:
        answer = await client.get(origin + "/one")
        assert (answer.http_version, answer.text) == ("HTTP/1.1", "GET /one 0"), answer.text

asyncio.run(main())
"#;

/// Arguments: the proxy's host and port, the origin's port, the length of `/big`. The authority is in the environment.
const NODE: &str = r#"
const assert = require("assert"), http = require("http"), http2 = require("http2"), https = require("https"), tls = require("tls");
const [host, port, there, length] = process.argv.slice(-4);
const origin = "origin.test:" + there;

// A tunnel, and TLS in it.
const secured = ALPNProtocols => new Promise((done, fail) => {
  http.request({ host, port, method: "CONNECT", path: origin })
    .on("connect", (answer, socket) => {
      assert.strictEqual(answer.statusCode, 200);
      const secure = tls.connect({ socket, servername: "origin.test", ALPNProtocols }, () => done(secure));
      secure.on("error", fail);
    })
    .on("error", fail).end();
});
const whole = stream => new Promise((done, fail) => {
  const parts = [];
  stream.on("data", part => parts.push(part)).on("end", () => done(Buffer.concat(parts).toString("latin1"))).on("error", fail);
});
const one = (socket, method, path, body) => new Promise((done, fail) => {
  https.request({ host: "origin.test", port: there, method, path, createConnection: () => socket },
    answer => done(whole(answer))).on("error", fail).end(body);
});

(async () => {
  const body = Buffer.alloc(300000, "x");
  for (const [method, path, sent] of [["GET", "/get/1"], ["POST", "/post/1", body]]) {
    const socket = await secured(["http/1.1"]);
    assert.strictEqual(socket.alpnProtocol, "http/1.1");
    assert.strictEqual(await one(socket, method, path, sent), `${method} ${path} ${sent ? sent.length : 0}`);
  }
  assert.strictEqual((await one(await secured(), "GET", "/big")).length, Number(length));

  const socket = await secured(["h2", "http/1.1"]);
  assert.strictEqual(socket.alpnProtocol, "h2");
  const session = http2.connect("https://" + origin, { createConnection: () => socket });
  const two = (method, path, sent) => {
    const stream = session.request({ ":method": method, ":path": path });
    stream.end(sent);
    return whole(stream);
  };
  const answers = await Promise.all([two("GET", "/get/2"), two("POST", "/post/2", body), two("GET", "/other/2")]);
  assert.deepStrictEqual(answers, ["GET /get/2 0", "POST /post/2 300000", "GET /other/2 0"]);
  session.close();
})().catch(error => { console.error(error); process.exit(1); });
"#;

/// Arguments: the proxy's host and port, the origin's port, the length of `/big`. The authority is in the trust store.
const JAVA: &str = r#"
import java.net.*;
import java.net.http.*;
import java.net.http.HttpResponse.BodyHandlers;

public class Client {
    public static void main(String[] words) throws Exception {
        var proxy = ProxySelector.of(new InetSocketAddress(words[0], Integer.parseInt(words[1])));
        var origin = "https://origin.test:" + words[2];
        for (var version : HttpClient.Version.values()) {
            var client = HttpClient.newBuilder().proxy(proxy).version(version).build();
            var get = HttpRequest.newBuilder(URI.create(origin + "/get/" + version)).build();
            for (int i = 0; i < 3; i++) {
                expect(version, client.send(get, BodyHandlers.ofString()), "GET /get/" + version + " 0");
            }
            var body = HttpRequest.BodyPublishers.ofByteArray(new byte[300000]);
            var post = HttpRequest.newBuilder(URI.create(origin + "/post/" + version)).POST(body).build();
            expect(version, client.send(post, BodyHandlers.ofString()), "POST /post/" + version + " 300000");
            var big = HttpRequest.newBuilder(URI.create(origin + "/big")).build();
            int length = client.send(big, BodyHandlers.ofByteArray()).body().length;
            if (length != Integer.parseInt(words[3])) throw new AssertionError(length);
        }
    }

    static void expect(HttpClient.Version version, HttpResponse<String> answer, String text) {
        if (answer.statusCode() != 200 || answer.version() != version || !answer.body().equals(text)) {
            throw new AssertionError(answer + " " + answer.version() + " " + answer.body());
        }
    }
}
"#;
