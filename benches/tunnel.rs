//! What one GiB through a tunnel costs: CPU seconds of the tunnel's own thread, as it moves bytes by itself (copied where few come at
//! a time, spliced where many do) and always copied. Without criterion, as it is not time that counts: the peers have threads of
//! their own. `cargo bench --bench tunnel`
//!
//! Aimed at: spliced in at most 0.4 of what it costs to copy where a megabyte comes at a time; nowhere more than to copy.

use std::future::pending;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use egret::stream::{Limits, Stream, Traffic, duplex};
use rustix::time::{ClockId, clock_gettime};

const TOTAL: usize = 1 << 30;

#[expect(clippy::print_stdout, reason = "the figures are the bench's result")]
fn main() {
    println!("chunk        how      CPU of the tunnel   per GiB elapsed");
    for chunk in [1 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20] {
        for copied in [false, true] {
            let total = if chunk < 4096 { TOTAL / 8 } else { TOTAL };
            let (cpu, elapsed) = measure(chunk, total, copied);
            let how = if copied { "copy" } else { "auto" };
            let scale = (TOTAL / total) as f64;
            println!(
                "{chunk:>8} B   {how}     {:>8.3} s        {:>8.3} s",
                cpu * scale,
                elapsed * scale
            );
        }
    }
}

fn measure(chunk: usize, total: usize, copied: bool) -> (f64, f64) {
    let (mut client, client_side) = pair();
    let (mut origin, origin_side) = pair();
    let sender = thread::spawn(move || {
        client.set_nodelay(true).expect("a connected socket");
        let bytes = vec![7; chunk];
        for _ in 0..total / chunk {
            client.write_all(&bytes).expect("the tunnel takes all");
        }
    });
    let receiver = thread::spawn(move || {
        let (mut bytes, mut got) = (vec![0; 1 << 20], 0);
        while got < total {
            match origin.read(&mut bytes).expect("the tunnel delivers all") {
                0 => break,
                n => got += n,
            }
        }
        got
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (cpu, wall) = (clock(ClockId::ThreadCPUTime), clock(ClockId::Monotonic));
    let traffic = Traffic::default();
    runtime.block_on(async {
        let limits = Limits {
            idle: Duration::from_secs(60),
            total: None,
        };
        let side = |tcp: TcpStream| {
            tcp.set_nonblocking(true).expect("a socket");
            tokio::net::TcpStream::from_std(tcp).expect("a socket")
        };
        let client = match copied {
            true => Stream::boxed(side(client_side)),
            false => Stream::from_tcp(side(client_side)),
        };
        let origin = Stream::from_tcp(side(origin_side));
        duplex(client, origin, &limits, &traffic, pending()).await
    });
    let spent = clock(ClockId::ThreadCPUTime) - cpu;
    sender.join().expect("the sender ends");
    assert_eq!(receiver.join().expect("the receiver ends"), total);
    (spent, clock(ClockId::Monotonic) - wall)
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
    (peer, listener.accept().expect("a peer").0)
}

fn clock(id: ClockId) -> f64 {
    let now = clock_gettime(id);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
