//! curl against a gateway's listeners, in each version of HTTP that it speaks, to endpoints of each version.
//! Not the corners of HTTP/2, which are `http2`.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::reverse::{reverse, upstream};
use crate::support::{Authority, Egret, Origin, Outcome, Served, ok, pattern, python, run};

/// A gateway in the clear and over TLS, before an endpoint of HTTP/1.1.
struct World {
    egret: Egret,
    authority: Authority,
    app: Origin,
}

impl World {
    fn start() -> Self {
        let app = Origin::http(|request| match &*request.method {
            "POST" | "PUT" => ok(&request.body),
            "HEAD" => b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_vec(),
            method => ok(format!("{method} {}", request.target).as_bytes()),
        });
        let authority = Authority::new();
        authority.server("app", &["app.example"]);
        let tables = format!(
            "[[listener]]\nname = \"secure\"\nbind = \"127.0.0.1:0\"\nmode = \"reverse\"\n{}\n\
             [[route]]\nto = \"app\"\n{}",
            authority.tls(&["app"], ""),
            upstream("app", &[app.address], "")
        );
        Self {
            egret: Egret::start(&reverse("", &tables)),
            authority,
            app,
        }
    }

    /// Asks for a path of one of the listeners, quietly; the version stands after the answer.
    fn curl(&self, listener: &str, words: &[&str], path: &str) -> Option<Outcome> {
        let port = self.egret.address(listener).port();
        let scheme = if listener == "secure" {
            "https"
        } else {
            "http"
        };
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "30"]);
        curl.arg("--cacert").arg(self.authority.path("ca.pem"));
        curl.args(["--resolve", &format!("app.example:{port}:127.0.0.1")]);
        curl.args(["--write-out", " %{http_version}"]).args(words);
        run(curl.arg(format!("{scheme}://app.example:{port}{path}")))
    }
}

#[test]
fn curl_in_each_version_over_either_listener() {
    let world = World::start();
    for (listener, words, version) in [
        ("web", &["--http1.0"][..], "1.1"),
        ("web", &["--http1.1"], "1.1"),
        // In the clear it asks for an upgrade, which is not needed and not taken (RFC 9113 §3.1).
        ("web", &["--http2"], "1.1"),
        ("web", &["--http2-prior-knowledge"], "2"),
        ("secure", &["--http1.1"], "1.1"),
        ("secure", &["--http2"], "2"),
        ("secure", &["--tls-max", "1.2", "--http2"], "2"),
    ] {
        let Some(outcome) = world.curl(listener, words, "/a?b=c") else {
            return;
        };
        let text = outcome.succeeded().text();
        assert_eq!(
            text,
            format!("GET /a?b=c {version}"),
            "{listener} {words:?}"
        );
    }
    for (listener, version) in [("web", "http/2"), ("secure", "http/2"), ("web", "http/1.1")] {
        let of = |record: &Value| record["listener"] == listener && record["protocol"] == version;
        let record = world.egret.wait_record("a request", of);
        assert_eq!(record["upstream"], "app", "{record}");
    }
    let schemes: Vec<_> = world
        .app
        .requests()
        .iter()
        .map(|request| {
            request
                .header("x-forwarded-proto")
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(
        schemes,
        ["http", "http", "http", "http", "https", "https", "https"]
    );
}

#[test]
fn curl_uploads_and_asks_for_heads_and_for_many_at_once() {
    let world = World::start();
    let body = pattern((1 << 20) + 4321);
    let file = world.egret.path("upload");
    fs::write(&file, &body).unwrap();
    let (file, data) = (file.display().to_string(), format!("@{}", file.display()));
    for (listener, version) in [
        ("web", "--http1.1"),
        ("web", "--http2-prior-knowledge"),
        ("secure", "--http2"),
    ] {
        for words in [
            &["-T", &file][..],
            &["--data-binary", &data],
            &["--data-binary", &data, "-H", "Expect:"],
            &["-T", &file, "-H", "Transfer-Encoding: chunked"],
        ] {
            let words = [&[version][..], words].concat();
            let Some(outcome) = world.curl(listener, &words, "/") else {
                return;
            };
            let got = outcome.succeeded().stdout;
            assert!(got.starts_with(&body), "{words:?}");
        }
        let head = world.curl(listener, &[version, "--head"], "/x").unwrap();
        let head = head.succeeded().text().to_ascii_lowercase();
        assert!(head.contains("content-length: 7"), "{head}");
        // By prior knowledge, curl 7.88 breaks off all but the first of several at once, whatever server it asks.
        if version == "--http2-prior-knowledge" {
            continue;
        }
        // Eight at once, on one connection where the version has streams.
        let words = [version, "--parallel"];
        let outcome = world
            .curl(listener, &words, "/many/[0-7]")
            .unwrap()
            .succeeded();
        assert_eq!(outcome.text().matches("GET /many/").count(), 8);
    }
}

#[test]
fn curl_reaches_an_endpoint_of_http_2_over_each_version() {
    let Some(mut python) = python(&["h2.connection"]) else {
        return;
    };
    let Some(server) = Served::start(python.args(["-c", SERVER])) else {
        return;
    };
    let address = ([127, 0, 0, 1], server.port).into();
    let tables = format!(
        "[[route]]\nto = \"app\"\n{}",
        upstream("app", &[address], "protocol = \"h2c\"")
    );
    let egret = Egret::start(&reverse("", &tables));
    let url = format!("http://{}/x?y=z", egret.address("web"));
    for version in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "30",
            version,
        ]);
        let Some(outcome) = run(curl.args(["--data-binary", "body", &url])) else {
            return;
        };
        assert_eq!(outcome.succeeded().text(), "POST /x?y=z 4", "{version}");
    }
}

/// Answers each request with its method, its path and how long its body is.
const SERVER: &str = r#"
import socket, threading
import h2.config, h2.connection, h2.events

def serve(raw):
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    peer.initiate_connection()
    raw.sendall(peer.data_to_send())
    asked = {}
    while data := raw.recv(65536):
        for event in peer.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                fields = dict(event.headers)
                asked[event.stream_id] = [fields[":method"], fields[":path"], 0]
            elif isinstance(event, h2.events.DataReceived):
                asked[event.stream_id][2] += len(event.data)
                peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                answer = "{} {} {}".format(*asked.pop(event.stream_id)).encode()
                peer.send_headers(event.stream_id, [(":status", "200"), ("content-length", str(len(answer)))])
                peer.send_data(event.stream_id, answer, end_stream=True)
        raw.sendall(peer.data_to_send())

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    raw, _ = listener.accept()
    threading.Thread(target=serve, args=(raw,), daemon=True).start()
"#;
