//! WebSockets through a gateway to a server of HTTP/1.1: from clients of HTTP/1.1, and of HTTP/2 by RFC 8441; each in the clear
//! and over TLS. Not the handshakes' corners, which are `websocket_h2`.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::http2::{dial, run as run_client};
use crate::reverse::{reverse, upstream};
use crate::support::{Authority, Client, Egret, Served, python, run};
use crate::websocket_h2::{self, receive};

/// A server in Python's websockets behind a gateway with both kinds of listener.
struct World {
    egret: Egret,
    authority: Authority,
    _server: Served,
}

impl World {
    fn start() -> Option<Self> {
        let server = Served::start(python(&["websockets.asyncio.server"])?.args(["-c", SERVER]))?;
        let authority = Authority::new();
        authority.server("app", &["app.example"]);
        let tables = format!(
            "[[listener]]\nname = \"secure\"\nbind = \"127.0.0.1:0\"\nmode = \"reverse\"\n{}\n\
             [[route]]\npath = \"/chat/*\"\nto = \"chat\"\nrewrite = {{ strip-prefix = \"/chat\" }}\n{}",
            authority.tls(&["app"], ""),
            upstream("chat", &[([127, 0, 0, 1], server.port).into()], "")
        );
        Some(Self {
            egret: Egret::start(&reverse("", &tables)),
            authority,
            _server: server,
        })
    }

    /// That each ended in order and was recorded.
    fn recorded(&self, protocol: &str, status: u16) {
        for listener in ["web", "secure"] {
            let record = self.egret.wait_record("a WebSocket", |record| {
                record["listener"] == listener && record["protocol"] == protocol
            });
            assert_eq!(record["status"], status, "{record}");
            assert_eq!(record["upstream"], "chat", "{record}");
            assert!(record["aborted"].is_null(), "{record}");
        }
    }
}

#[test]
fn over_http_1_1_as_programs_open_them() {
    let Some(world) = World::start() else {
        return;
    };
    let mut client = python(&["websockets.asyncio.client"]).unwrap();
    client.args(["-c", CLIENT]);
    client.args(["web", "secure"].map(|name| world.egret.address(name).port().to_string()));
    client.arg(world.authority.path("ca.pem"));
    run(&mut client).unwrap().succeeded();
    world.recorded("http/1.1", 101);
}

#[test]
fn over_http_2_as_browsers_open_them() {
    let Some(world) = World::start() else {
        return;
    };
    let (web, secure) = (world.egret.address("web"), world.egret.address("secure"));
    run_client(async {
        converse(dial(web), "http").await;
        let client = Client::new(&world.authority, None, &["h2"]);
        let name = rustls::pki_types::ServerName::try_from("app.example").unwrap();
        let connector = tokio_rustls::TlsConnector::from(client.config());
        let tls = connector.connect(name, dial(secure)).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        converse(tls, "https").await;
    });
    world.recorded("http/2", 200);
}

/// Several WebSockets on one connection, which say something in turn and close.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, scheme: &str) {
    let mut client = websocket_h2::Client::over(stream).await;
    let url = format!("{scheme}://app.example/chat/room?of=1");
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(client.open(&url).await.1);
    }
    for round in 0..5 {
        for socket in &mut sockets {
            let text = format!("round {round}");
            socket
                .send
                .send_data(frame(1, text.as_bytes()), false)
                .unwrap();
            // The server's frames are not masked (RFC 6455 §5.1).
            let echo = receive(&mut socket.receive, text.len() + 2).await;
            assert_eq!(echo[0], 0x81);
            assert_eq!(&echo[2..], text.as_bytes());
        }
    }
    for socket in &mut sockets {
        socket
            .send
            .send_data(frame(8, &1000_u16.to_be_bytes()), false)
            .unwrap();
        assert_eq!(receive(&mut socket.receive, 4).await, [0x88, 2, 0x03, 0xe8]);
        socket.send.send_data(Bytes::new(), true).unwrap();
        assert_eq!(socket.end().await, Ok(Vec::new()));
    }
}

/// A short frame of a client, masked with zeros.
fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0], payload]
        .concat()
        .into()
}

/// Sends back what comes, where the path is as the route rewrites it.
const SERVER: &str = r#"
import asyncio
from websockets.asyncio.server import serve

async def echo(peer):
    assert peer.request.path.startswith("/room"), peer.request.path
    assert peer.request.headers["X-Forwarded-For"] == "127.0.0.1"
    async for message in peer:
        await peer.send(message)

async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

asyncio.run(main())
"#;

/// Arguments: the port in the clear, the one of TLS, the file of the authority.
const CLIENT: &str = r#"
import asyncio, ssl, sys
from websockets.asyncio.client import connect
plain, secure, ca = sys.argv[1:]

async def talk(url, **options):
    for compression in (None, "deflate"):
        async with connect(url, compression=compression, proxy=None, max_size=None, **options) as peer:
            for message in ("hello", "x" * 300000, b"\x00\xff", bytes(range(256)) * 8000):
                await peer.send(message)
                assert await asyncio.wait_for(peer.recv(), 10) == message, len(message)
            await asyncio.wait_for(await peer.ping(), 10)

async def main():
    context = ssl.create_default_context(cafile=ca)
    await asyncio.gather(
        talk(f"ws://127.0.0.1:{plain}/chat/room"),
        talk(f"wss://127.0.0.1:{secure}/chat/room", ssl=context, server_hostname="app.example"))

asyncio.run(main())
"#;
