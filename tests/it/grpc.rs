//! gRPC through a gateway, with the client and the server of Python's grpcio: calls of every kind, their trailers, and how they
//! end where there is no time or nobody. Not the bytes of it, which are HTTP/2 as any other.

use std::net::SocketAddr;

use crate::reverse::{nobody, reverse, upstream};
use crate::support::{Authority, Config, Egret, Outcome, Served, python, run};

/// A gateway that speaks HTTP/2 in the clear and over TLS, before a server that speaks it in the clear.
struct World {
    egret: Egret,
    authority: Authority,
    _server: Served,
    _dead: socket2::Socket,
}

impl World {
    fn start() -> Option<Self> {
        let server = Served::start(python(&["grpc"])?.args(["-c", SERVER]))?;
        let authority = Authority::new();
        authority.server("app", &["app.example"]);
        let (dead, address) = nobody();
        let config = config(&authority, ([127, 0, 0, 1], server.port).into(), address);
        Some(Self {
            egret: Egret::start(&config),
            authority,
            _server: server,
            _dead: dead,
        })
    }

    /// Runs the client against one of the listeners.
    fn client(&self, listener: &str) -> Outcome {
        let mut client = python(&["grpc"]).unwrap();
        let address = self.egret.address(listener).to_string();
        client.args(["-c", CLIENT, &address]);
        if listener == "secure" {
            client.arg(self.authority.path("ca.pem"));
        }
        run(&mut client).unwrap()
    }
}

fn config(authority: &Authority, server: SocketAddr, dead: SocketAddr) -> Config {
    let secure = format!(
        "[[listener]]\nname = \"secure\"\nbind = \"127.0.0.1:0\"\nmode = \"reverse\"\n{}\n",
        authority.tls(&["app"], "")
    );
    let routes = r#"
        [[route]]
        path = "/test.Echo/*"
        to = "grpc"
        [[route]]
        name = "impatient"
        path = "/test.Late/*"
        to = "grpc"
        timeouts = { total = "300ms" }
        [[route]]
        path = "/test.Gone/*"
        to = "gone"
    "#;
    let upstreams = [
        upstream("grpc", &[server], "protocol = \"h2c\""),
        upstream("gone", &[dead], "protocol = \"h2c\""),
    ];
    reverse("", &[&secure, routes, &upstreams.concat()].concat())
}

#[test]
fn calls_of_every_kind_pass_with_their_trailers_and_end_as_grpc_says() {
    let Some(world) = World::start() else {
        return;
    };
    for listener in ["web", "secure"] {
        world.client(listener).succeeded();
        let of_this = |path: &str, record: &serde_json::Value| {
            record["listener"] == listener && record["path"] == path
        };
        let unary = world
            .egret
            .wait_record("a call", |record| of_this("/test.Echo/Unary", record));
        assert_eq!(unary["status"], 200, "{unary}");
        assert_eq!(unary["upstream"], "grpc", "{unary}");
        let late = world
            .egret
            .wait_record("the late call", |record| of_this("/test.Late/Slow", record));
        assert_eq!(late["route"], "impatient", "{late}");
        let gone = world.egret.wait_record("the call to nobody", |record| {
            of_this("/test.Gone/X", record)
        });
        assert_eq!(gone["error"], "connection_refused", "{gone}");
    }
}

/// Messages are bytes, so that no code has to be made of a schema.
const SERVER: &str = r#"
import threading, time
from concurrent import futures
import grpc

cancelled = 0
lock = threading.Lock()

def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-first", metadata.get("x-sent", "")),))
    context.set_trailing_metadata((("x-last", str(len(request))), ("x-bytes-bin", b"\x00\xff")))
    return request[::-1]

def collect(requests, context):
    return b"+".join(requests)

def pieces(request, context):
    for at in range(int(request)):
        yield b"piece %d" % at
    context.set_trailing_metadata((("x-last", "pieces"),))

def chat(requests, context):
    for request in requests:
        yield request.upper()
    context.set_trailing_metadata((("x-last", "chat"),))

def fail(request, context):
    context.set_trailing_metadata((("x-last", "failed"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not so: 100 % \u00e9")

def slow(request, context):
    global cancelled
    over = threading.Event()
    context.add_callback(over.set)
    if not over.wait(20):
        return b"late"
    with lock:
        cancelled += 1
    return b""

def state(request, context):
    return f"{cancelled}".encode()

def remaining(request, context):
    return f"{context.time_remaining()}".encode()

calls = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Pieces": grpc.unary_stream_rpc_method_handler(pieces),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "State": grpc.unary_unary_rpc_method_handler(state),
    "Remaining": grpc.unary_unary_rpc_method_handler(remaining),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
for service in ("test.Echo", "test.Late"):
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, calls),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
"#;

/// Arguments: the gateway's address, and the file of an authority where it speaks TLS.
const CLIENT: &str = r#"
import sys, threading, time
import grpc

options = [("grpc.ssl_target_name_override", "app.example"), ("grpc.default_authority", "app.example"),
           ("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
if len(sys.argv) > 2:
    with open(sys.argv[2], "rb") as file:
        channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials(file.read()), options)
else:
    channel = grpc.insecure_channel(sys.argv[1], options)

def unary(path):
    return channel.unary_unary(path)

def dictionary(metadata):
    return {key: value for key, value in metadata}

# One message each way, with metadata at both ends.
for size in (0, 5, 1 << 20):
    message = bytes(at % 251 for at in range(size))
    answer, call = unary("/test.Echo/Unary").with_call(message, timeout=30, metadata=(("x-sent", "by me"),))
    assert answer == message[::-1], size
    assert dictionary(call.initial_metadata())["x-first"] == "by me"
    last = dictionary(call.trailing_metadata())
    assert last["x-last"] == str(size) and last["x-bytes-bin"] == b"\x00\xff", last
    assert call.code() == grpc.StatusCode.OK

# Many messages: from the client, from the server.
assert channel.stream_unary("/test.Echo/Collect")(iter([b"a", b"b", b"c"]), timeout=30) == b"a+b+c"
call = channel.unary_stream("/test.Echo/Pieces")(b"100", timeout=30)
assert list(call) == [b"piece %d" % at for at in range(100)]
assert dictionary(call.trailing_metadata())["x-last"] == "pieces"

# Both at once: each message is answered before the next is sent.
answered = threading.Semaphore(1)
def messages():
    for at in range(20):
        assert answered.acquire(timeout=20)
        yield b"message %d" % at
call = channel.stream_stream("/test.Echo/Chat")(messages(), timeout=30)
for at, answer in enumerate(call):
    assert answer == b"MESSAGE %d" % at, answer
    answered.release()
assert at == 19
assert dictionary(call.trailing_metadata())["x-last"] == "chat"

def fails(call, code, **how):
    try:
        call(b"x", **how)
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        return error
    raise AssertionError("it did not fail")

# The server's own words.
error = fails(unary("/test.Echo/Fail"), grpc.StatusCode.FAILED_PRECONDITION, timeout=30)
assert error.details() == "not so: 100 % \u00e9", error.details()
assert dictionary(error.trailing_metadata())["x-last"] == "failed"
fails(unary("/test.Echo/Nothing"), grpc.StatusCode.UNIMPLEMENTED, timeout=30)

# The client's deadline: the server is told of it, and that nobody waits any more.
left = float(unary("/test.Echo/Remaining")(b"", timeout=30))
assert 0 < left <= 31, left
def cancelled():
    return int(unary("/test.Echo/State")(b"", timeout=30))
before = cancelled()
fails(unary("/test.Echo/Slow"), grpc.StatusCode.DEADLINE_EXCEEDED, timeout=0.5)
until = time.monotonic() + 15
while cancelled() == before:
    assert time.monotonic() < until, "the server still works for nobody"
    time.sleep(0.02)

# The gateway's: the client has a longer one.
error = fails(unary("/test.Late/Slow"), grpc.StatusCode.DEADLINE_EXCEEDED, timeout=30)
# Nobody there, and no route.
error = fails(unary("/test.Gone/X"), grpc.StatusCode.UNAVAILABLE, timeout=30)
fails(unary("/test.Other/X"), grpc.StatusCode.UNIMPLEMENTED, timeout=30)
# The channel is none the worse.
assert unary("/test.Echo/Unary")(b"end", timeout=30) == b"dne"
"#;
