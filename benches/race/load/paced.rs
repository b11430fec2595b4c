//! Asks through a proxy at a fixed rate, however fast it is answered: an open loop. A request's latency counts from when it was due, so that
//! one slow answer counts for all the requests that it kept waiting. Each answer must be a 200 of the length that it says.
//!
//! A thread for each connection, which sleeps until the next request is due: Tokio's clock has ticks of a millisecond, the kernel's has none.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::pairs::Pairs;
use crate::tunnel::Head;

/// Asks until the time is over, and for as long after it as answers may take; what is not answered then is an error.
pub fn paced(pairs: &Pairs<'_>) -> io::Result<()> {
    let plan = Plan::read(pairs)?;
    let at_once = pairs.or("at-once", 64)?;
    // Else the kernel lets each sleep last 50 µs longer, to wake several at once. The threads have it from this one.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    let came = thread::scope(|scope| {
        let all: Vec<_> = (0..at_once).map(|_| scope.spawn(|| plan.ask())).collect();
        let mut came = Came::default();
        for one in all {
            came.add(one.join().expect("a thread that asks does not panic"));
        }
        came
    });
    println!("{}", came.told());
    Ok(())
}

struct Plan {
    to: SocketAddr,
    request: Vec<u8>,
    rate: f64,
    started: Instant,
    /// Requests that are due before this one are not counted; none is due after the end.
    counted: u64,
    end: u64,
    /// The next request that nobody has taken.
    next: AtomicU64,
}

/// What came of it; times in microseconds.
#[derive(Default)]
struct Came {
    latencies: Vec<u64>,
    /// How late a thread was that had nothing to do but to wait: what the load adds by itself.
    late: Vec<u64>,
    errors: u64,
    first: String,
}

impl Plan {
    fn read(pairs: &Pairs<'_>) -> io::Result<Self> {
        let (target, host): (String, String) = (pairs.need("target")?, pairs.need("host")?);
        let rate: f64 = pairs.need("rate")?;
        let (seconds, warm): (f64, f64) = (pairs.need("seconds")?, pairs.or("warm", 0.0)?);
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: race\r\naccept: */*\r\n\r\n"
        );
        Ok(Self {
            to: pairs.need("to")?,
            request: request.into_bytes(),
            rate,
            // The threads are there by then.
            started: Instant::now() + Duration::from_millis(50),
            counted: (warm * rate) as u64,
            end: ((warm + seconds) * rate) as u64,
            next: AtomicU64::new(0),
        })
    }

    /// One connection after the other, as long as there are requests to be taken.
    fn ask(&self) -> Came {
        let mut came = Came::default();
        let mut connection = None;
        let over = self.due(self.end) + PATIENCE;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.end {
                return came;
            }
            let (due, counts) = (self.due(number), number >= self.counted);
            let before = Instant::now();
            if let Some(wait) = due.checked_duration_since(before) {
                thread::sleep(wait);
                if counts {
                    came.late.push(micros(due.elapsed()));
                }
            }
            let asked = if before > over {
                Err(io::Error::other("the proxy is slower than the rate"))
            } else {
                self.exchange(&mut connection)
            };
            match asked {
                Ok(()) if counts => came.latencies.push(micros(due.elapsed())),
                Ok(()) => {}
                Err(error) => {
                    connection = None;
                    came.error(error.to_string(), 1);
                }
            }
        }
    }

    fn due(&self, number: u64) -> Instant {
        self.started + Duration::from_secs_f64(number as f64 / self.rate)
    }

    fn exchange(&self, connection: &mut Option<Connection>) -> io::Result<()> {
        let connection = match connection {
            Some(open) => open,
            None => connection.insert(Connection::open(self.to)?),
        };
        connection.stream.write_all(&self.request)?;
        connection.answer()
    }
}

struct Connection {
    stream: TcpStream,
    buf: Vec<u8>,
}

impl Connection {
    fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let buf = vec![0; 64 << 10];
        Ok(Self { stream, buf })
    }

    /// Reads one answer to its end.
    fn answer(&mut self) -> io::Result<()> {
        let (mut filled, mut whole) = (0, usize::MAX);
        while filled < whole {
            // Of a long content the beginning is kept.
            let room = self.buf.get_mut(filled.min(32 << 10)..).unwrap_or_default();
            filled += match self.stream.read(room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                size => size,
            };
            if whole == usize::MAX {
                let come = self.buf.get(..filled).unwrap_or_default();
                whole = length(come)?.unwrap_or(whole);
            }
        }
        if filled > whole {
            return Err(io::Error::other("an answer that is longer than it says"));
        }
        Ok(())
    }
}

/// The length of an answer with its head; `None` where the head is not there yet.
fn length(come: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = come.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    match Head::parse(come.get(..end).unwrap_or_default()) {
        Head {
            ok: true,
            length: Some(length),
        } => Ok(Some(end + 4 + length as usize)),
        _ => Err(io::Error::other(
            "an answer that is no 200, or has no length",
        )),
    }
}

impl Came {
    fn error(&mut self, text: String, count: u64) {
        if self.errors == 0 {
            self.first = text;
        }
        self.errors += count;
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.late.extend(other.late);
        if other.errors > 0 {
            self.error(other.first, other.errors);
        }
    }

    fn told(mut self) -> String {
        self.latencies.sort_unstable();
        self.late.sort_unstable();
        let of = |thousandth| nth(&self.latencies, thousandth);
        format!(
            "{{\"requests\": {}, \"p50\": {}, \"p99\": {}, \"p999\": {}, \"most\": {}, \"late\": {}, \"errors\": {}, \"first\": {:?}}}",
            self.latencies.len(),
            of(500),
            of(990),
            of(999),
            of(1000),
            nth(&self.late, 990),
            self.errors,
            self.first
        )
    }
}

/// The value that so many thousandths of these are not above; they are in order.
fn nth(sorted: &[u64], thousandths: usize) -> u64 {
    let rank = (sorted.len() * thousandths).div_ceil(1000);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
