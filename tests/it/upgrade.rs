//! A new process takes the place of the one that runs, and nobody notices; the service manager opens the sockets and is told.
//! Not the end of a process that nobody follows, which is `drain`.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::datagrams::{Client, Server};
use crate::reload_reverse::{open_websocket, serve_websocket};
use crate::reverse::get;
use crate::support::{
    Egret, Load, Origin, PATIENCE, Response, Wire, free_port, ok, python, said, until,
};

/// A gateway and balancers of connections and of datagrams, on ports that a new process finds again.
struct World {
    egret: Egret,
    web: SocketAddr,
    lb: SocketAddr,
    udp: SocketAddr,
    _app: Origin,
    _sockets: Origin,
    _echo: Origin,
    _datagrams: Server,
}

impl World {
    fn start() -> Self {
        let app = Origin::http(|request| ok(request.path().as_bytes()));
        let sockets = Origin::scripted(serve_websocket);
        let (echo, datagrams) = (Origin::echo(), Server::named("heard "));
        let [web, lb, udp] = [(); 3].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let text = CONFIG
            .replace("WEB", &web.to_string())
            .replace("LB", &lb.to_string())
            .replace("UDP", &udp.to_string())
            .replace("APP", &app.address.to_string())
            .replace("SOCKETS", &sockets.address.to_string())
            .replace("ECHO", &echo.address.to_string())
            .replace("DATAGRAMS", &datagrams.address.to_string());
        let egret = Egret::spawn(&[], &text);
        egret.wait_line("ready", |line| line.contains("ready"));
        Self {
            egret,
            web,
            lb,
            udp,
            _app: app,
            _sockets: sockets,
            _echo: echo,
            _datagrams: datagrams,
        }
    }

    /// Kept connections, and one for each request, of which none may fail.
    fn load(&self) -> [Load; 2] {
        [
            Load::start(self.web, 8, Duration::from_millis(8), |wire, number| {
                request(wire, number, "")
            }),
            Load::start(self.web, 4, Duration::from_millis(8), |wire, number| {
                request(wire, number, "Connection: close\r\n")
            }),
        ]
    }

    /// Two tunnels of each kind.
    fn tunnels(&self) -> Vec<Wire> {
        let tunnels = [
            open_websocket(self.web),
            open_websocket(self.web),
            Wire::connect(self.lb),
            Wire::connect(self.lb),
        ];
        let mut tunnels = Vec::from(tunnels);
        use_them(&mut tunnels);
        tunnels
    }
}

fn request(wire: &mut Wire, number: usize, lines: &str) -> Response {
    let path = format!("/{number}");
    wire.send(get("app.example", &path, lines).as_bytes());
    let response = wire.response("GET");
    assert_eq!((response.status, response.text()), (200, path));
    response
}

fn use_them(tunnels: &mut [Wire]) {
    for (number, tunnel) in tunnels.iter_mut().enumerate() {
        let text = format!("tunnel {number}");
        tunnel.send(text.as_bytes());
        assert_eq!(tunnel.exact(text.len()), text.as_bytes());
    }
}

/// Connections on which nothing is under way: half of them have asked once, and half have not yet.
fn idle(address: SocketAddr) -> Vec<Wire> {
    let mut idle: Vec<Wire> = (0..8).map(|_| Wire::connect(address)).collect();
    for (number, wire) in idle.iter_mut().enumerate().skip(4) {
        request(wire, number, "");
    }
    idle
}

fn answered_and_closed(idle: Vec<Wire>) {
    for (number, mut wire) in idle.into_iter().enumerate() {
        let response = request(&mut wire, number, "");
        assert_eq!(response.header("connection"), Some("close"), "{number}");
        assert!(wire.read_to_end().is_empty());
    }
}

/// Whether every record is of what was done, and to its end.
pub(crate) fn none_failed(egret: &Egret) {
    let records = egret.records();
    let failed = records.iter().filter(|record| {
        let status = record["status"].as_u64();
        status.is_some_and(|status| status != 200 && status != 101) || !record["aborted"].is_null()
    });
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// The process that followed: nobody's child once the one before it has ended. Killed when dropped.
pub(crate) struct Heir(Pid);

impl Heir {
    /// As soon as the admin socket is another's than `before`'s.
    pub(crate) fn of(egret: &Egret, before: Pid) -> Self {
        let mut now = before;
        until("another process at the admin socket", || {
            let pid = egret.status()["pid"].as_i64().unwrap();
            now = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            now != before
        });
        Self(now)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.0, signal).unwrap();
    }

    pub(crate) fn wait_end(&self) {
        let stat = format!("/proc/{}/stat", self.0.as_raw_nonzero());
        until("the end of the process", || {
            // Nobody may have taken note of its end.
            std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
        });
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn an_upgrade_under_load_fails_no_request_and_ends_no_tunnel() {
    let mut world = World::start();
    let old = world.egret.pid();
    let load = world.load();
    let mut tunnels = world.tunnels();
    let clients = [(); 4].map(|()| Client::of(world.udp));
    for client in &clients {
        assert_eq!(client.ask("before"), "heard before");
    }
    let idle = idle(world.web);
    load[0].more(200);
    let upgrade = world.egret.command(&["upgrade"]);
    assert_eq!(upgrade.status.code(), Some(0), "{}", said(&upgrade));
    answered_and_closed(idle);
    let heir = Heir::of(&world.egret, old);
    assert!(said(&upgrade).contains(&format!("process {}", heir.0.as_raw_nonzero())));
    world
        .egret
        .wait_line("the drain", |line| line.contains("draining"));
    for one in &load {
        one.more(300);
    }
    // Datagrams go to the new process alone, those of old clients and those of new ones.
    for client in clients.iter().chain([&Client::of(world.udp)]) {
        for _ in 0..10 {
            assert_eq!(client.ask("meanwhile"), "heard meanwhile");
        }
    }
    use_them(&mut tunnels);
    let mut later = world.tunnels();
    assert!(world.egret.is_running(), "it waits for its tunnels");
    let status = world.egret.status();
    assert_eq!(status["draining"], false);
    for address in [world.web, world.lb] {
        assert!(
            status["listeners"]
                .to_string()
                .contains(&address.to_string()),
            "{status}"
        );
    }

    for mut tunnel in tunnels {
        tunnel.half_close();
        assert!(tunnel.read_to_end().is_empty());
    }
    assert_eq!(world.egret.wait_exit().code(), Some(0));
    for one in &load {
        one.more(300);
    }
    use_them(&mut later);
    assert_eq!(clients[0].ask("after"), "heard after");
    assert_eq!(world.egret.status()["pid"], heir.0.as_raw_nonzero().get());
    for one in load {
        one.end();
    }
    none_failed(&world.egret);
}

#[test]
fn the_signal_upgrades_as_the_command_does_and_a_successor_can_be_followed_too() {
    let mut world = World::start();
    let old = world.egret.pid();
    let load = world.load();
    load[0].more(50);
    world.egret.signal(Signal::USR2);
    let second = Heir::of(&world.egret, old);
    assert_eq!(world.egret.wait_exit().code(), Some(0));
    load[0].more(100);
    second.signal(Signal::USR2);
    let third = Heir::of(&world.egret, second.0);
    second.wait_end();
    for one in &load {
        one.more(100);
    }
    for one in load {
        one.end();
    }
    none_failed(&world.egret);
    third.signal(Signal::TERM);
    third.wait_end();
    assert!(TcpStream::connect(world.web).is_err());
    assert!(!world.egret.path("admin.sock").exists());
}

#[test]
fn a_configuration_that_is_broken_leaves_the_old_process_where_it_is_and_says_why() {
    let mut world = World::start();
    let old = world.egret.pid();
    let mut kept = Wire::connect(world.web);
    request(&mut kept, 1, "");
    let mut tunnels = world.tunnels();
    let whole = std::fs::read_to_string(world.egret.path("egret.toml")).unwrap();
    let broken = whole.replace("to = \"app\"", "to = \"ap\"\nmode = 1");
    world.egret.write("egret.toml", &broken);
    let upgrade = world.egret.command(&["upgrade"]);
    assert_eq!(upgrade.status.code(), Some(2), "{}", said(&upgrade));
    assert!(
        said(&upgrade).contains("did not begin to serve"),
        "{}",
        said(&upgrade)
    );
    for part in [
        "egret.toml:",
        "there is no upstream \"ap\"",
        "this process goes on",
    ] {
        world.egret.wait_line(part, |line| line.contains(part));
    }
    assert_eq!(request(&mut kept, 2, "").header("connection"), None);
    use_them(&mut tunnels);
    assert_eq!(Client::of(world.udp).ask("still"), "heard still");
    let status = world.egret.status();
    assert_eq!(status["pid"], old.as_raw_nonzero().get());
    assert_eq!(status["draining"], false);

    // What was mended is taken.
    world.egret.write("egret.toml", &whole);
    let upgrade = world.egret.command(&["upgrade"]);
    assert!(upgrade.status.success(), "{}", said(&upgrade));
    let heir = Heir::of(&world.egret, old);
    request(&mut Wire::connect(world.web), 3, "");
    drop(tunnels);
    assert_eq!(world.egret.wait_exit().code(), Some(0));
    heir.signal(Signal::TERM);
    heir.wait_end();
}

/// What a service manager was told, in order.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// Waits until this is told.
    fn wait(&self, wanted: &str) {
        let mut told = Vec::new();
        loop {
            let mut buffer = [0; 1000];
            let Ok(length) = self.0.recv(&mut buffer) else {
                panic!("{wanted} was not told; what was told is {told:?}");
            };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line.starts_with(wanted)) {
                return;
            }
            told.push(text);
        }
    }
}

#[test]
fn the_service_manager_opens_the_sockets_and_is_told_how_it_goes() {
    let Some(python) = python(&[]) else {
        return;
    };
    let app = Origin::http(|request| ok(request.path().as_bytes()));
    let datagrams = Server::named("heard ");
    let [web, udp] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
    let text = ACTIVATED
        .replace("WEB", &web.to_string())
        .replace("UDP", &udp.to_string())
        .replace("APP", &app.address.to_string())
        .replace("DATAGRAMS", &datagrams.address.to_string());
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("notify");
    let manager = Manager::at(&place);
    let mut command: Command = python;
    command.args([
        "-c",
        OPENED,
        &web.port().to_string(),
        &udp.port().to_string(),
    ]);
    command.arg(env!("CARGO_BIN_EXE_egret"));
    let environment = [
        ("NOTIFY_SOCKET", place.to_str().unwrap()),
        ("NO_COLOR", "1"),
    ];
    let mut egret = Egret::spawn_by(command, &environment, &[], &text);
    manager.wait("READY=1");
    // Bound by somebody else: Egret could not have bound them itself.
    let mut wire = Wire::connect(web);
    request(&mut wire, 1, "");
    assert_eq!(Client::of(udp).ask("you"), "heard you");
    assert!(
        !egret.log().contains("no listener has its address"),
        "{}",
        egret.log()
    );
    let status = egret.status();
    assert_eq!(status["workers"], 2);

    assert!(egret.command(&["reload"]).status.success());
    manager.wait("RELOADING=1");
    manager.wait("READY=1");
    assert!(egret.command(&["upgrade"]).status.success());
    let heir = Heir::of(&egret, egret.pid());
    manager.wait(&format!("MAINPID={}", heir.0.as_raw_nonzero()));
    assert_eq!(egret.wait_exit().code(), Some(0));
    request(&mut Wire::connect(web), 2, "");
    assert_eq!(Client::of(udp).ask("again"), "heard again");
    heir.signal(Signal::TERM);
    manager.wait("STOPPING=1");
    heir.wait_end();
}

const CONFIG: &str = r#"
workers = 2
[[listener]]
name = "web"
bind = "WEB"
mode = "reverse"
[[listener]]
name = "lb"
bind = "LB"
mode = "balanced"
to = "echo"
[[listener]]
name = "datagrams"
bind = "UDP"
mode = "balanced"
transport = "udp"
to = "datagrams"
udp = { idle = "1s" }
[[route]]
path = "/socket"
to = "sockets"
[[route]]
to = "app"
[upstream.app]
endpoints = ["APP"]
[upstream.sockets]
endpoints = ["SOCKETS"]
[upstream.echo]
endpoints = ["ECHO"]
[upstream.datagrams]
endpoints = ["DATAGRAMS"]
[log.access]
format = "json"
to = "stdout"
[admin]
socket = "{dir}/admin.sock"
"#;

const ACTIVATED: &str = r#"
workers = 2
[[listener]]
name = "web"
bind = "WEB"
mode = "reverse"
[[listener]]
name = "datagrams"
bind = "UDP"
mode = "balanced"
transport = "udp"
to = "datagrams"
udp = { idle = "1s" }
[[route]]
to = "app"
[upstream.app]
endpoints = ["APP"]
[upstream.datagrams]
endpoints = ["DATAGRAMS"]
[log.access]
format = "json"
to = "stdout"
[admin]
socket = "{dir}/admin.sock"
"#;

/// What a service manager does: opens sockets, puts them at the descriptors from 3 on, and becomes the program. Arguments: a port of
/// connections, one of datagrams, the program and its arguments.
const OPENED: &str = r#"
import fcntl, os, socket, sys
tcp = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", int(sys.argv[2])))
for place, opened in enumerate([fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (tcp, udp)], 3):
    os.dup2(opened, place)
os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"#;
