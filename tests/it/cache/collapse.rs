//! Many clients that ask for the same thing at once: one fetch for all where it may be shared, and no client held up by
//! another. RFC 9111 §4. Not what is stored then, which is `storing`.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::table::caching;
use crate::support::{Egret, Origin, PATIENCE, Wire, get, pattern, read_request, until};

/// A gate that an origin waits at, with a count of who came.
#[derive(Default)]
struct Gate {
    state: Mutex<(usize, usize)>,
    moved: Condvar,
}

impl Gate {
    /// Comes to the gate, and waits until it is open this far.
    fn pass(&self, stage: usize) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.moved.notify_all();
        while state.1 < stage {
            let (next, late) = self.moved.wait_timeout(state, PATIENCE * 2).unwrap();
            state = next;
            assert!(!late.timed_out(), "nobody opened the gate");
        }
    }

    fn open(&self, stage: usize) {
        self.state.lock().unwrap().1 = stage;
        self.moved.notify_all();
    }

    /// How many came to it, each time counted.
    fn came(&self) -> usize {
        self.state.lock().unwrap().0
    }

    fn wait(&self, count: usize) {
        until("enough requests at the origin", || self.came() >= count);
    }
}

/// An origin that waits before its head (stage 1) and in the middle of its content (stage 2).
fn gated(lines: &'static str, body: Vec<u8>) -> (Arc<Gate>, Origin) {
    let gate = Arc::new(Gate::default());
    let own = gate.clone();
    let origin = Origin::scripted(move |wire| {
        while read_request(wire, 0).is_ok() {
            own.pass(1);
            let (first, second) = body.split_at(body.len() / 2);
            let head = format!(
                "HTTP/1.1 200 OK\r\n{lines}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if wire.try_send(&[head.as_bytes(), first].concat()).is_err() {
                return;
            }
            own.pass(2);
            if wire.try_send(second).is_err() {
                return;
            }
        }
    });
    (gate, origin)
}

/// So many clients that have asked.
fn clients(egret: &Egret, origin: &Origin, count: usize) -> Vec<Wire> {
    let ask = |_| {
        let mut wire = egret.connect();
        wire.send(get(&origin.url("/one"), "").as_bytes());
        wire
    };
    (0..count).map(ask).collect()
}

const FRESH: &str = "Cache-Control: max-age=600";
/// Long enough that a request that would go to the origin has gone there.
const A_MOMENT: Duration = Duration::from_millis(300);

#[test]
fn one_fetch_serves_all_that_wait_for_it() {
    let body = pattern(100_000);
    let (gate, origin) = gated(FRESH, body.clone());
    let egret = Egret::start(&caching());
    let mut wires = clients(&egret, &origin, 30);
    gate.wait(1);
    thread::park_timeout(A_MOMENT);
    gate.open(2);
    for wire in &mut wires {
        let answer = wire.response("GET");
        assert_eq!((answer.status, answer.body.len()), (200, body.len()));
        assert!(answer.body == body);
    }
    // Before its head and in its middle.
    assert_eq!(gate.came(), 2, "the origin was asked more than once");
}

#[test]
fn those_that_wait_get_the_bytes_as_they_come() {
    let body = pattern(100_000);
    let (gate, origin) = gated(FRESH, body.clone());
    let egret = Egret::start(&caching());
    let mut wires = clients(&egret, &origin, 5);
    gate.wait(1);
    gate.open(1);
    // Nobody has let the second half go yet.
    for wire in &mut wires {
        wire.head();
        assert!(wire.exact(50_000) == body[..50_000]);
    }
    // One that comes in the middle begins at the beginning.
    let mut late = clients(&egret, &origin, 1).remove(0);
    late.head();
    assert!(late.exact(50_000) == body[..50_000]);
    gate.open(2);
    wires.push(late);
    for wire in &mut wires {
        assert!(wire.exact(50_000) == body[50_000..]);
    }
    assert_eq!(gate.came(), 2, "the origin was asked more than once");
}

#[test]
fn what_may_not_be_shared_is_fetched_for_each() {
    for lines in [
        "Cache-Control: no-store",
        "Cache-Control: private, max-age=600",
        "Vary: *\r\nCache-Control: max-age=600",
    ] {
        let origin = {
            let count = Mutex::new(0);
            let gate = Arc::new(Gate::default());
            gate.open(1);
            Origin::scripted(move |wire| {
                while read_request(wire, 0).is_ok() {
                    let mine = {
                        let mut count = count.lock().unwrap();
                        *count += 1;
                        format!("{:08}", *count)
                    };
                    thread::park_timeout(Duration::from_millis(30));
                    let answer =
                        format!("HTTP/1.1 200 OK\r\n{lines}\r\nContent-Length: 8\r\n\r\n{mine}");
                    if wire.try_send(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            })
        };
        let egret = Egret::start(&caching());
        let mut wires = clients(&egret, &origin, 12);
        let mut bodies: Vec<_> = wires
            .iter_mut()
            .map(|wire| wire.response("GET").text())
            .collect();
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), 12, "{lines}: some were shared");
    }
}

#[test]
fn those_that_wait_together_are_told_apart_by_what_the_answer_depends_on() {
    let origin = Origin::scripted(|wire| {
        while let Ok(request) = read_request(wire, 0) {
            thread::park_timeout(Duration::from_millis(50));
            let value = request.header("a").unwrap_or_default();
            let answer = format!(
                "HTTP/1.1 200 OK\r\n{FRESH}\r\nVary: A\r\nContent-Length: {}\r\n\r\n{value}",
                value.len()
            );
            if wire.try_send(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let egret = Egret::start(&caching());
    let mut wires: Vec<_> = (0..12)
        .map(|index| {
            let mut wire = egret.connect();
            wire.send(get(&origin.url("/one"), &format!("A: value-{}\r\n", index % 3)).as_bytes());
            wire
        })
        .collect();
    for (index, wire) in wires.iter_mut().enumerate() {
        assert_eq!(wire.response("GET").text(), format!("value-{}", index % 3));
    }
}

#[test]
fn a_client_that_leaves_takes_nothing_from_the_others() {
    let body = pattern(100_000);
    let (gate, origin) = gated(FRESH, body.clone());
    let egret = Egret::start(&caching());
    let mut first = clients(&egret, &origin, 1).remove(0);
    gate.wait(1);
    let mut others = clients(&egret, &origin, 4);
    gate.open(1);
    first.head();
    drop(first);
    for wire in &mut others {
        wire.head();
    }
    gate.open(2);
    for wire in &mut others {
        assert!(wire.exact(body.len()) == body);
    }
}

#[test]
fn a_client_that_leaves_before_the_head_came_takes_nothing_from_the_others() {
    let body = pattern(1_000);
    let (gate, origin) = gated(FRESH, body.clone());
    let egret = Egret::start(&caching());
    let first = clients(&egret, &origin, 1).remove(0);
    gate.wait(1);
    let mut others = clients(&egret, &origin, 4);
    thread::park_timeout(A_MOMENT);
    drop(first);
    thread::park_timeout(A_MOMENT);
    gate.open(2);
    for wire in &mut others {
        let answer = wire.response("GET");
        assert!(
            answer.status == 200 && answer.body == body,
            "{}",
            answer.head
        );
    }
}

#[test]
fn a_slow_reader_holds_up_nobody() {
    // More than the buffers of two connections hold.
    let body = pattern(24 << 20);
    let (gate, origin) = gated(FRESH, body.clone());
    gate.open(2);
    let egret = Egret::start(&caching());
    let mut slow = clients(&egret, &origin, 1).remove(0);
    slow.head();
    let mut fast = clients(&egret, &origin, 3);
    for wire in &mut fast {
        let answer = wire.response("GET");
        assert!(
            answer.body == body,
            "{} of {} bytes",
            answer.body.len(),
            body.len()
        );
    }
    assert!(slow.exact(body.len()) == body);
}

#[test]
fn who_does_not_read_what_is_too_long_to_be_stored_is_cut_before_others_wait_for_long() {
    let body = pattern(24 << 20);
    let chunked = [
        format!("{:x}\r\n", body.len()).as_bytes(),
        &body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let origin = Origin::scripted(move |wire| {
        while read_request(wire, 0).is_ok() {
            // How long it is, is not known before it has come: so they share it at first.
            let head = format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n");
            if wire
                .try_send(&[head.as_bytes(), &chunked].concat())
                .is_err()
            {
                return;
            }
        }
    });
    let egret = Egret::start(&caching());
    let mut slow = clients(&egret, &origin, 1).remove(0);
    slow.head();
    let mut fast = clients(&egret, &origin, 1).remove(0);
    // A client of these tests waits for ten seconds at most.
    assert!(fast.response("GET").body == body);
}

#[test]
fn a_fetch_that_breaks_off_is_whole_for_nobody() {
    let tries = Arc::new(Mutex::new(0));
    let count = tries.clone();
    let origin = Origin::scripted(move |wire| {
        while read_request(wire, 0).is_ok() {
            let breaks = {
                let mut count = count.lock().unwrap();
                *count += 1;
                *count == 1
            };
            thread::park_timeout(Duration::from_millis(100));
            let head = format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 10\r\n\r\n");
            let body = if breaks { "01234" } else { "0123456789" };
            let sent = wire.try_send(format!("{head}{body}").as_bytes());
            if breaks || sent.is_err() {
                return;
            }
        }
    });
    let egret = Egret::start(&caching());
    let mut wires = clients(&egret, &origin, 6);
    for wire in &mut wires {
        let Ok(head) = wire.try_head() else { continue };
        wire.half_close_quietly();
        let body = wire.read_to_any_end();
        let whole = body == b"0123456789";
        let broken = b"01234".starts_with(&body) || !head.starts_with("HTTP/1.1 200");
        assert!(whole || broken, "{head}{body:?}");
    }
    let answer = egret.ask(&get(&origin.url("/one"), ""));
    assert_eq!((answer.status, &*answer.text()), (200, "0123456789"));
}

#[test]
fn those_that_wait_for_a_fetch_that_fails_are_answered() {
    let origin = Origin::scripted(|wire| {
        let _ = read_request(wire, 0);
        thread::park_timeout(Duration::from_millis(100));
    });
    let egret = Egret::start(&caching());
    for wire in &mut clients(&egret, &origin, 8) {
        assert_eq!(wire.response("GET").status, 502);
    }
}

#[test]
fn a_stale_answer_is_confirmed_once_for_all_that_wait() {
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let origin = Origin::scripted(move |wire| {
        while let Ok(request) = read_request(wire, 0) {
            let first = {
                let mut count = count.lock().unwrap();
                *count += 1;
                *count == 1
            };
            let answer = if first {
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nAge: 700\r\nETag: \"a\"\r\nContent-Length: 3\r\n\r\none".to_owned()
            } else {
                assert_eq!(request.header("if-none-match"), Some("\"a\""));
                thread::park_timeout(A_MOMENT);
                format!("HTTP/1.1 304 Not Modified\r\n{FRESH}\r\nETag: \"a\"\r\n\r\n")
            };
            if wire.try_send(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let egret = Egret::start(&caching());
    assert_eq!(egret.ask(&get(&origin.url("/one"), "")).text(), "one");
    for wire in &mut clients(&egret, &origin, 10) {
        assert_eq!(wire.response("GET").text(), "one");
    }
    assert_eq!(*asked.lock().unwrap(), 2);
}

#[test]
fn what_was_asked_for_before_a_change_is_not_kept_after_it() {
    let gate = Arc::new(Gate::default());
    let own = gate.clone();
    let origin = Origin::scripted(move |wire| {
        while let Ok(request) = read_request(wire, 0) {
            if request.method == "GET" {
                own.pass(1);
            }
            let answer = format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 3\r\n\r\none");
            if wire.try_send(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let egret = Egret::start(&caching());
    let url = origin.url("/one");
    let mut early = clients(&egret, &origin, 1).remove(0);
    gate.wait(1);
    let changed = egret.ask(&format!(
        "POST {url} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    ));
    assert_eq!(changed.status, 200);
    gate.open(1);
    assert_eq!(early.response("GET").text(), "one");
    for count in [2, 2] {
        assert_eq!(egret.ask(&get(&url, "")).text(), "one");
        assert_eq!(gate.came(), count);
    }
}
