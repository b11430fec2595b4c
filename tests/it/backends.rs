//! Servers that people run, behind one gateway: nginx, one in Python, one in Node. Each must get whole what clients send, and
//! clients what it answers. Not what endpoints are told of clients, which is `reverse`.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::http2::{Peer, run as run_client};
use crate::reverse::{reverse, upstream};
use crate::support::{Config, Egret, Response, Served, Wire, free_port, pattern, python, until};

/// The three, and the folder with what they show.
struct Backends {
    nginx: Served,
    python: Served,
    node: Served,
    _folder: TempDir,
}

impl Backends {
    /// `None` where one of them is not installed, which is said.
    fn start() -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("backends-")
            .tempdir()
            .unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("www/files")).unwrap();
        fs::write(path.join("www/hello"), "hello").unwrap();
        fs::write(path.join("www/large"), pattern(LARGE)).unwrap();
        // Server-side includes are of unknown length.
        fs::write(
            path.join("www/pieces.html"),
            "one <!--# echo var=\"x\" -->two",
        )
        .unwrap();
        fs::write(path.join("server.mjs"), NODE).unwrap();
        Some(Self {
            nginx: nginx(path)?,
            python: Served::start(python(&[])?.arg("-c").arg(PYTHON).arg(path))?,
            node: Served::start(Command::new("node").arg(path.join("server.mjs")).arg(path))?,
            _folder: folder,
        })
    }

    fn gateway(&self) -> Config {
        let tables = [
            ("nginx", &self.nginx),
            ("python", &self.python),
            ("node", &self.node),
        ]
        .map(|(name, served)| {
            let address = ([127, 0, 0, 1], served.port).into();
            format!(
                "[[route]]\npath = \"/{name}/*\"\nto = \"{name}\"\nrewrite = {{ strip-prefix = \"/{name}\" }}\n{}",
                upstream(name, &[address], "")
            )
        });
        reverse("", &tables.concat())
    }
}

fn nginx(folder: &Path) -> Option<Served> {
    let port = free_port();
    let path = folder.display().to_string();
    let config = NGINX
        .replace("FOLDER", &path)
        .replace("PORT", &port.to_string());
    fs::write(folder.join("nginx.conf"), config).unwrap();
    // Not on the path of users who are not root.
    let program = Some("/usr/sbin/nginx").filter(|program| Path::new(program).exists());
    let mut command = Command::new(program.unwrap_or("nginx"));
    command.args(["-e", "stderr", "-p", &path, "-c"]);
    Served::at(port, command.arg(folder.join("nginx.conf")))
}

/// One client's connection, which is the same for all that is asked.
struct Client(Wire);

impl Client {
    fn ask(&mut self, method: &str, path: &str, lines: &str, body: &[u8]) -> Response {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n");
        self.0.send(&[head.as_bytes(), body].concat());
        let response = self.0.response(method);
        // An answer that begins before all of the request has come may end the connection, and says so (RFC 9112 §9.6).
        if response.header("connection") == Some("close") {
            self.0 = Wire::connect(self.0.peer());
        }
        assert!(
            response.status < 300,
            "{method} {path}: {}\n{}",
            response.head,
            response.text()
        );
        response
    }

    fn get(&mut self, path: &str) -> Response {
        self.ask("GET", path, "", b"")
    }

    fn sized(&mut self, method: &str, path: &str, body: &[u8]) -> Response {
        let line = format!("Content-Length: {}\r\n", body.len());
        self.ask(method, path, &line, body)
    }

    fn chunked(&mut self, method: &str, path: &str, body: &[u8]) -> Response {
        let mut chunks = Vec::new();
        for chunk in body.chunks(50_000) {
            chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            chunks.extend_from_slice(chunk);
            chunks.extend_from_slice(b"\r\n");
        }
        chunks.extend_from_slice(b"0\r\n\r\n");
        self.ask(method, path, "Transfer-Encoding: chunked\r\n", &chunks)
    }
}

#[test]
fn nginx_python_and_node_serve_behind_one_gateway() {
    let Some(backends) = Backends::start() else {
        return;
    };
    let egret = Egret::start(&backends.gateway());
    let mut client = Client(Wire::connect(egret.address("web")));
    let large = pattern(LARGE);
    for (name, server) in [("nginx", "nginx"), ("python", "Python"), ("node", "node")] {
        let at = |path: &str| format!("/{name}/{path}");
        let hello = client.get(&at("hello"));
        assert_eq!(hello.text(), "hello", "{name}");
        let said = hello.header("server").unwrap_or_default();
        assert!(said.contains(server), "{name}: {}", hello.head);
        let head = client.ask("HEAD", &at("hello"), "", b"");
        assert_eq!(head.header("content-length"), Some("5"), "{name}");
        let pieces = client.get(&at("pieces.html"));
        assert_eq!(pieces.header("transfer-encoding"), Some("chunked"));
        assert!(pieces.text().starts_with("one "), "{}", pieces.text());
        assert!(pieces.text().ends_with("two"), "{}", pieces.text());
        assert!(client.get(&at("large")).body == large, "{name}");
        for body in [&b""[..], b"body", &large] {
            if name == "nginx" {
                // It keeps files, and reads no content of POST by itself.
                client.sized("PUT", &at("files/sized"), body);
                assert!(client.get(&at("files/sized")).body == body);
                client.chunked("PUT", &at("files/chunked"), body);
                assert!(client.get(&at("files/chunked")).body == body);
                let length = client.sized("POST", &at("length"), body).text();
                assert_eq!(length, format!("POST {}", body.len()));
            } else {
                assert!(
                    client.sized("POST", &at("echo"), body).body == body,
                    "{name}"
                );
                assert!(
                    client.chunked("POST", &at("echo"), body).body == body,
                    "{name}"
                );
            }
        }
        let told = client.get(&at("client")).text();
        assert_eq!(told, "127.0.0.1 app.example", "{name}");
    }
    for upstream in ["nginx", "python", "node"] {
        // Records are written beside the requests: the last ones may still be on their way.
        until("five requests on kept connections", || {
            let records = egret.records();
            let kept = |record: &&serde_json::Value| {
                record["upstream"] == upstream && record["reused"] == true
            };
            records.iter().filter(kept).count() >= 5
        });
    }
    run_client(async {
        let mut peer = Peer::connect(egret.address("web")).await;
        for name in ["nginx", "python", "node"] {
            let answer = peer.get(&format!("http://app.example/{name}/large")).await;
            assert_eq!(answer.status, 200, "{name}");
            assert!(answer.body == large, "{name}");
        }
    });
}

const LARGE: usize = 1 << 20;

const NGINX: &str = r#"
daemon off;
master_process off;
pid FOLDER/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    client_max_body_size 2m;
    types { text/html html; }
    server {
        listen 127.0.0.1:PORT;
        root FOLDER/www;
        location / { }
        location /pieces.html { ssi on; }
        location /files/ { dav_methods PUT; }
        location /length { return 200 "$request_method $content_length"; }
        location /client { return 200 "$http_x_forwarded_for $host"; }
    }
}
"#;

/// Argument: the folder. Of the standard library alone.
const PYTHON: &str = r#"
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        if self.path == "/client":
            return self.answer(f"{self.headers['X-Forwarded-For']} {self.headers['Host']}".encode())
        if self.path == "/pieces.html":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (b"one ", b"two"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            return self.wfile.write(b"0\r\n\r\n")
        with open(sys.argv[1] + "/www" + self.path, "rb") as file:
            self.answer(file.read())

    do_HEAD = do_GET

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.answer(self.rfile.read(int(self.headers["Content-Length"])))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        self.answer(body)

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// Argument: the folder. Without packages.
const NODE: &str = r#"
import { createServer } from "node:http";
import { createReadStream, statSync } from "node:fs";
const folder = process.argv[2] + "/www";

const server = createServer((request, response) => {
    response.setHeader("Server", "node");
    if (request.url === "/echo") {
        request.pipe(response);
    } else if (request.url === "/client") {
        response.end(`${request.headers["x-forwarded-for"]} ${request.headers.host}`);
    } else if (request.url === "/pieces.html") {
        response.write("one ");
        response.end("two");
    } else {
        const file = folder + request.url;
        response.setHeader("Content-Length", statSync(file).size);
        if (request.method === "HEAD") response.end();
        else createReadStream(file).pipe(response);
    }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;
