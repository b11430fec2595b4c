//! Origins: listening sockets in this process that answer exactly what a test says, and remember what they saw.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::wire::{self, Wire};
use super::{Ca, PATIENCE};

/// A port that is free, at the loopback address.
const ANYWHERE: (&str, u16) = ("127.0.0.1", 0);

/// A listening origin. Stops to accept when dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

/// A request, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    /// The head as it came, with its last empty line.
    pub(crate) head: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    grown: Condvar,
    connections: AtomicUsize,
    closed: AtomicBool,
}

impl Origin {
    /// Answers the first request of each connection with these bytes, then closes.
    pub(crate) fn replies(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self::plain(ANYWHERE, move |wire, connection, seen| {
            let Ok(request) = read_request(wire, connection) else {
                return;
            };
            seen.push(request);
            // The proxy may refuse what it reads and close first.
            let _ = wire.try_send(&bytes);
            wire.half_close_quietly();
            wire.drain();
        })
    }

    /// Answers each request with what this says, on connections that stay open.
    pub(crate) fn http(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::http_on(ANYWHERE, answer)
    }

    /// As [`Self::http`], at another loopback address and a given port.
    pub(crate) fn http_on(
        place: (&str, u16),
        answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::plain(place, move |wire, connection, seen| {
            serve(wire, connection, seen, &answer);
        })
    }

    /// As [`Self::http`], over TLS with a certificate for these names.
    pub(crate) fn https(
        ca: &Ca,
        names: &[&str],
        answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::tls(ca.server(names), answer)
    }

    /// As [`Self::https`], asking for a client certificate, which nobody has to show.
    pub(crate) fn https_asking(
        ca: &Ca,
        names: &[&str],
        answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::tls(ca.asking_server(names), answer)
    }

    /// As [`Self::https`], with any configuration of TLS.
    pub(crate) fn tls(
        config: Arc<rustls::ServerConfig>,
        answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(ANYWHERE, move |wire, connection, seen| {
            let mut wire = wire.wrapped(|tcp| super::tls::accept(&config, tcp));
            serve(&mut wire, connection, seen, &answer);
        })
    }

    /// Hands each connection over.
    pub(crate) fn scripted(play: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        Self::plain(ANYWHERE, move |wire, _, _| play(wire))
    }

    /// Sends back whatever comes, until the client's side ends; then ends too.
    pub(crate) fn echo() -> Self {
        Self::scripted(|wire| {
            while let Ok(byte) = wire.try_some() {
                if wire.try_send(&byte).is_err() {
                    break;
                }
            }
        })
    }

    fn plain(
        place: (&str, u16),
        play: impl Fn(&mut Wire, usize, &Seen) + Send + Sync + 'static,
    ) -> Self {
        Self::listen(place, move |mut wire, connection, seen| {
            play(&mut wire, connection, seen);
        })
    }

    fn listen(
        place: (&str, u16),
        play: impl Fn(Wire, usize, &Seen) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(place).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let play = Arc::new(play);
        let all = seen.clone();
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let Ok(tcp) = tcp else { continue };
                if all.closed.load(Ordering::SeqCst) {
                    return;
                }
                let connection = all.connections.fetch_add(1, Ordering::SeqCst);
                let (play, all) = (play.clone(), all.clone());
                thread::spawn(move || play(Wire::from_tcp(tcp), connection, &all));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://IP:PORT` and this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The whole requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// The request of this index, as soon as it is there.
    pub(crate) fn wait_request(&self, index: usize) -> Request {
        let until = Instant::now() + PATIENCE;
        let mut requests = self.seen.requests.lock().unwrap();
        loop {
            if let Some(request) = requests.get(index) {
                return request.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "request {index} did not come");
            (requests, _) = self.seen.grown.wait_timeout(requests, left).unwrap();
        }
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.seen.closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = std::net::TcpStream::connect(self.address);
    }
}

impl Seen {
    fn push(&self, request: Request) {
        self.requests.lock().unwrap().push(request);
        self.grown.notify_all();
    }
}

impl Request {
    /// The only field of this name; panics where there are more.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        wire::only(&self.headers, name)
    }

    /// The path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

fn serve(wire: &mut Wire, connection: usize, seen: &Seen, answer: &impl Fn(&Request) -> Vec<u8>) {
    while let Ok(request) = read_request(wire, connection) {
        let answer = answer(&request);
        seen.push(request);
        if wire.try_send(&answer).is_err() {
            return;
        }
    }
}

/// Reads a request by its framing, and answers `Expect: 100-continue`.
pub(crate) fn read_request(wire: &mut Wire, connection: usize) -> io::Result<Request> {
    let head = wire.try_head()?;
    let mut words = head.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let mut request = Request {
        connection,
        method: word(),
        target: word(),
        headers: wire::fields(&head),
        head,
        body: Vec::new(),
        trailers: Vec::new(),
    };
    if request.header("expect").is_some() {
        wire.try_send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if request.header("transfer-encoding").is_some() {
        (request.body, request.trailers) = wire.try_chunked()?;
    } else if let Some(length) = request.header("content-length") {
        let length = length.parse().map_err(io::Error::other)?;
        request.body = wire.try_exact(length)?;
    }
    Ok(request)
}

/// `200 OK` with a body of known length.
pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}
