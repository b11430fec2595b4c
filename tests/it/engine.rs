//! The engine from outside: workers, their sockets, and what the command line says against the file.

use crate::support::{
    Config, Egret, Origin, Wire, free_port, get, ok, program, python, said, until,
};

#[test]
fn as_many_workers_as_asked_for_share_the_port_and_the_load() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback().workers(4));
    assert_eq!(egret.status()["workers"], 4);
    for _ in 0..64 {
        assert_eq!(egret.ask(&get(&origin.url("/"), "")).status, 200);
    }
    until("all records", || egret.records().len() == 64);
    let mut workers: Vec<_> = egret
        .records()
        .iter()
        .map(|record| record["worker"].as_u64().unwrap())
        .collect();
    workers.sort_unstable();
    workers.dedup();
    // The kernel spreads connections by a hash: all of 64 to fewer than three of four sockets is next to impossible.
    assert!(workers.len() >= 3, "{workers:?}");
}

#[test]
fn a_few_connections_that_last_leave_no_worker_idle() {
    let origin = Origin::http(|_| ok(b"answer"));
    let egret = Egret::start(&Config::loopback().workers(8));
    let lasting: Vec<Wire> = (0..64)
        .map(|_| {
            let mut wire = Wire::connect(egret.address("egress"));
            wire.send(get(&origin.url("/"), "").as_bytes());
            assert_eq!(wire.response("GET").status, 200);
            wire
        })
        .collect();
    until("all records", || egret.records().len() == 64);
    let records = egret.records();
    let of = |worker: u64| records.iter().filter(|r| r["worker"] == worker).count();
    let spread: Vec<usize> = (0..8).map(of).collect();
    // Whatever the kernel chose: by its hash alone, all are so near to eight in 2 of 1,000 runs.
    assert!(
        spread.iter().all(|count| (7..=9).contains(count)),
        "{spread:?}"
    );
    drop(lasting);
}

#[test]
fn what_waits_at_a_socket_when_the_workers_begin_is_answered() {
    let Some(mut command) = python(&[]) else {
        return;
    };
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let answered = folder.path().join("answered");
    command.args(["-c", WAITED_FOR, &port.to_string()]);
    command.arg(&answered).arg(env!("CARGO_BIN_EXE_egret"));
    // Many workers: the first ones have begun, and pass connections on, when the last ones have not.
    let text = Config::loopback().workers(16).text();
    let text = text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let _egret = Egret::spawn_by(command, &[], &[], &text);
    until("all answers", || answered.exists());
    assert_eq!(std::fs::read_to_string(&answered).unwrap(), "100");
}

/// What a service manager does whose socket was asked before the program ran: 100 clients wait. Arguments: the port, where to write how
/// many of them were answered, the program and its arguments.
const WAITED_FOR: &str = r#"
import os, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=200)
clients = [socket.create_connection(server.getsockname(), timeout=30) for _ in range(100)]
if os.fork() == 0:
    server.close()
    answered = 0
    for client in clients:
        client.sendall(b"GET http://192.0.2.1/ HTTP/1.1\r\nHost: a\r\n\r\n")
    for client in clients:
        try:
            answered += client.recv(12) == b"HTTP/1.1 403"
        except OSError:
            pass
    with open(sys.argv[2] + ".part", "w") as file:
        file.write(str(answered))
    os.rename(sys.argv[2] + ".part", sys.argv[2])
    os._exit(0)
for client in clients:
    client.close()
# Also where it is 3 already, which would be closed then.
os.dup2(os.dup(server.fileno()), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"#;

#[test]
fn two_processes_do_not_share_a_port() {
    let egret = Egret::start(&Config::loopback());
    let address = egret.address("egress");
    let text = Config::loopback().text();
    let text = text.replace("127.0.0.1:0", &address.to_string());
    let mut second = Egret::spawn(&[], &text);
    assert_eq!(second.wait_exit().code(), Some(2));
    second.wait_line("the fault", |line| line.contains(&address.to_string()));
    assert_eq!(egret.ask(&get("http://10.0.0.1/", "")).status, 403);
}

#[test]
fn a_listener_binds_several_addresses_of_both_families() {
    let origin = Origin::http(|_| ok(b"answer"));
    let text = Config::loopback().text();
    let text = text.replace(
        "bind = \"127.0.0.1:0\"",
        "bind = [\"127.0.0.1:0\", \"[::1]:0\"]",
    );
    let egret = Egret::spawn(&[], &text);
    egret.wait_line("ready", |line| line.contains("ready"));
    let status = egret.status();
    let listeners = status["listeners"].as_array().unwrap();
    assert_eq!(listeners.len(), 2, "{status}");
    for listener in listeners {
        let address = listener["address"].as_str().unwrap().parse().unwrap();
        let mut wire = Wire::connect(address);
        wire.send(get(&origin.url("/"), "").as_bytes());
        assert_eq!(wire.response("GET").status, 200, "{address}");
    }
}

#[test]
fn accept_leaves_http_out_as_well() {
    let origin = Origin::http(|_| ok(b"answer"));
    let config = Config::loopback().listener("accept = [\"socks5\"]");
    let egret = Egret::start(&config);
    for request in [
        get(&origin.url("/"), ""),
        crate::support::connect(&origin.address.to_string(), ""),
    ] {
        let mut wire = egret.connect();
        let _ = wire.try_send(request.as_bytes());
        let answer = wire.read_to_any_end();
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(origin.connections(), 0);
    let mut wire = egret.connect();
    let place = crate::socks::ipv4(origin.address);
    assert_eq!(crate::socks::open5(&mut wire, 1, &place), 0);
}

#[test]
fn a_tls_handshake_on_a_plain_listener_is_closed_and_recorded() {
    let egret = Egret::start(&Config::loopback());
    let mut wire = egret.connect();
    wire.send(b"\x16\x03\x01\x00\x05hello");
    wire.read_to_any_end();
    let record = egret.wait_record("the handshake", |record| record["reason"].is_string());
    assert!(
        record["status"].is_null() || record["status"] == 400,
        "{record}"
    );
}

#[test]
fn the_sockets_of_the_command_line_and_the_workers_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, socket) = (
        folder.path().join("egret.toml"),
        folder.path().join("own.sock"),
    );
    let text = Config::loopback().text();
    let text = text.replace("{dir}", &folder.path().display().to_string());
    std::fs::write(&file, text).unwrap();
    let mut child = program()
        .args(["run", "--workers", "1", "-c"])
        .arg(&file)
        .arg("--socket")
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the socket", || socket.exists());
    let ask = |words: &[&str]| {
        program()
            .args(words)
            .arg("--socket")
            .arg(&socket)
            .output()
            .unwrap()
    };
    let status = ask(&["status", "--json"]);
    let read: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(read["workers"], 1, "{}", said(&status));
    assert!(!folder.path().join("admin.sock").exists());
    assert!(ask(&["drain"]).status.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
