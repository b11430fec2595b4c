//! A new process takes the place of the one that runs, and the cache's disk tier with it: nothing is fetched anew, and no answer
//! is cut. Not the rest of an upgrade, which is `upgrade`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::cache_disk::{content, folder, is_hit, wait_stored};
use crate::support::{Egret, Load, Origin, Response, Wire, free_port, get, said, until};
use crate::upgrade::{Heir, none_failed};

/// At the edges of what is kept as one and of what memory takes, and beyond.
const STORED: [&str; 5] = [
    "/100/1",
    "/65537/2",
    "/200000/3",
    "/1048576/4",
    "/3000000/5",
];
/// What is asked for all the time.
const BUSY: &str = "/5000/7";
/// Half of it comes, and the rest when the test says so.
const SLOW: &str = "/2000000/9";
const HALF: usize = 1_000_000;

/// A proxy whose process can be followed by another, and an origin whose slow answers wait until they may go on.
struct World {
    egret: Egret,
    address: SocketAddr,
    origin: Origin,
    go_on: Arc<AtomicBool>,
    /// The paths that the origin was asked for.
    asked: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl World {
    fn start() -> Self {
        let go_on = Arc::<AtomicBool>::default();
        let may = go_on.clone();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let paths = asked.clone();
        let origin = Origin::scripted(move |wire| {
            while let Ok(head) = wire.try_head() {
                let path = head.split(' ').nth(1).unwrap();
                paths.lock().unwrap().push(path.to_owned());
                let body = content(path);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                wire.send(head.as_bytes());
                let (first, rest) = if path == SLOW {
                    body.split_at(HALF)
                } else {
                    (body, &[][..])
                };
                let sent = wire.try_send(first).and_then(|()| {
                    if !rest.is_empty() {
                        until("that it may go on", || may.load(Ordering::SeqCst));
                    }
                    wire.try_send(rest)
                });
                if sent.is_err() {
                    return;
                }
            }
        });
        let folder = folder();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let cache = folder.path().join("cache");
        let text = CONFIG
            .replace("ADDRESS", &address.to_string())
            .replace("CACHE", &cache.display().to_string());
        let egret = Egret::spawn(&[], &text);
        egret.wait_line("ready", |line| line.contains("ready"));
        Self {
            egret,
            address,
            origin,
            go_on,
            asked,
            _folder: folder,
        }
    }

    fn ask(&self, wire: &mut Wire, path: &str) -> Response {
        wire.send(get(&self.origin.url(path), "").as_bytes());
        let response = wire.response("GET");
        assert_eq!(response.status, 200, "{path}: {}", response.head);
        assert!(response.body == content(path), "{path} has wrong bytes");
        response
    }

    /// How often the origin was asked for what is stored.
    fn asked(&self) -> usize {
        let asked = self.asked.lock().unwrap();
        let stored = |path: &&String| STORED.contains(&path.as_str());
        asked.iter().filter(stored).count()
    }

    /// Asks for all that is stored, on a new connection; whether each came from the cache.
    fn hits(&self) -> Vec<bool> {
        let mut wire = Wire::connect(self.address);
        let asked = STORED.map(|path| is_hit(&self.ask(&mut wire, path)));
        asked.into()
    }
}

#[test]
fn an_upgrade_hands_the_disk_tier_on_and_cuts_no_answer() {
    let mut world = World::start();
    assert!(!world.hits().contains(&true), "the folder was empty");
    wait_stored(&world.egret, STORED.len());
    let old = world.egret.pid();
    // One that is being written as it arrives, and one that is read as slowly as its client likes.
    let mut arriving = Wire::connect(world.address);
    arriving.send(get(&world.origin.url(SLOW), "").as_bytes());
    arriving.head();
    let mut arrived = arriving.exact(HALF / 2);
    let mut reading = Wire::connect(world.address);
    reading.send(get(&world.origin.url(STORED[4]), "").as_bytes());
    let head = reading.head();
    assert!(head.contains("; hit"), "{head}");
    let url = world.origin.url(BUSY);
    let load = Load::start(
        world.address,
        4,
        Duration::from_millis(8),
        move |wire, _| {
            wire.send(get(&url, "").as_bytes());
            let response = wire.response("GET");
            assert_eq!(response.status, 200, "{}", response.head);
            assert!(response.body == content(BUSY), "wrong bytes");
            response
        },
    );
    load.more(20);
    let asked = world.asked();

    let upgrade = world.egret.command(&["upgrade"]);
    assert!(upgrade.status.success(), "{}", said(&upgrade));
    let heir = Heir::of(&world.egret, old);
    let taken = |line: &str| line.contains("the disk cache is taken over");
    world.egret.wait_line("the disk tier", taken);
    assert_eq!(world.hits(), [true; STORED.len()], "all of it is found");
    assert_eq!(world.asked(), asked, "the origin is not asked");
    load.more(50);

    assert!(world.egret.is_running(), "it waits for its clients");
    assert_eq!(reading.exact(content(STORED[4]).len()), content(STORED[4]));
    world.go_on.store(true, Ordering::SeqCst);
    let rest = content(SLOW).len() - arrived.len();
    arrived.extend(arriving.exact(rest));
    assert!(arrived == content(SLOW), "{SLOW} has wrong bytes");
    drop((arriving, reading));
    assert_eq!(world.egret.wait_exit().code(), Some(0));
    load.more(50);
    load.end();
    none_failed(&world.egret);

    // It goes on to be written to.
    let disk = || world.egret.status()["cache"]["disk"].clone();
    let before = disk()["entries"].as_u64();
    let mut wire = Wire::connect(world.address);
    assert!(!is_hit(&world.ask(&mut wire, "/70000/6")));
    until("one more", || disk()["entries"].as_u64() > before);
    let disk = disk();
    assert_eq!([&disk["torn"], &disk["errors"]], [0, 0], "{disk}");
    heir.signal(Signal::TERM);
    heir.wait_end();
}

#[test]
fn an_upgrade_that_fails_leaves_the_disk_tier_where_it_is() {
    let world = World::start();
    world.hits();
    wait_stored(&world.egret, STORED.len());
    let whole = std::fs::read_to_string(world.egret.path("egret.toml")).unwrap();
    // Found only when everything has been read, and the folder been looked at.
    world.egret.write(
        "egret.toml",
        &whole.replace("default = \"deny\"", "default = \"perhaps\""),
    );
    let upgrade = world.egret.command(&["upgrade"]);
    assert_eq!(upgrade.status.code(), Some(2), "{}", said(&upgrade));
    world.egret.wait_line("that it goes on", |line| {
        line.contains("this process goes on")
    });
    let asked = world.asked();
    assert_eq!(world.hits(), [true; STORED.len()]);
    assert_eq!(world.asked(), asked);
    let mut wire = Wire::connect(world.address);
    assert!(!is_hit(&world.ask(&mut wire, "/70000/6")));
    wait_stored(&world.egret, STORED.len() + 1);
}

#[test]
fn a_second_process_that_follows_nobody_is_refused_the_folder() {
    let world = World::start();
    let text = std::fs::read_to_string(world.egret.path("egret.toml")).unwrap();
    let other = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let text = text
        .replace(&world.address.to_string(), &other.to_string())
        .replace("admin.sock", "other.sock");
    let mut second = Egret::spawn(&[], &text);
    assert_eq!(second.wait_exit().code(), Some(2));
    second.wait_line("why", |line| line.contains("another process holds it"));
}

const CONFIG: &str = r#"
workers = 2
[[listener]]
name = "egress"
bind = "ADDRESS"
mode = "forward"
policy = "test"
[policy.test]
default = "deny"
[[policy.test.rule]]
name = "loopback"
allow = {}
address = "127.0.0.0/8"
[cache]
memory = "1MiB"
disk = { path = "CACHE", size = "64MiB" }
[log.access]
format = "json"
to = "stdout"
[admin]
socket = "{dir}/admin.sock"
"#;
