//! A name server for tests: answers over UDP and TCP on one port of 127.0.0.1 from a table that a test may change at any time.
//! Not a resolver: it knows its table only, and stands on `std` and the DNS codec alone, so that `tests/it` can include this file.
//! Start at [`DnsServer::start`].

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::panic,
    reason = "included by several test crates, each of which uses a part"
)]

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// What the server says when asked for a name.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These addresses; a family that is not among them is NODATA.
    Addresses(u32, Vec<IpAddr>),
    /// An alias, and in the same answer what the table has for its target.
    Alias(u32, &'static str),
    /// An alias, and nothing about its target.
    BareAlias(u32, &'static str),
    /// NXDOMAIN with an SOA record of this minimum.
    NoSuchName(u32),
    /// NXDOMAIN without an SOA record.
    BareNoSuchName,
    /// An error.
    Fail(ResponseCode),
    /// Nothing at all.
    Silence,
    /// These records as they are, whatever was asked.
    Records(Vec<Record>),
    /// Truncated over UDP, this over TCP.
    OverTcp(Box<Self>),
    /// One after another with each question of the same type; the last one stays.
    InTurn(Vec<Self>),
    /// One thing for A, another for AAAA.
    ByFamily { a: Box<Self>, aaaa: Box<Self> },
}

/// Addresses from text, kept for 60 seconds.
pub fn addresses(texts: &[&str]) -> Reply {
    let parse = |text: &&str| text.parse().expect("a test writes addresses");
    Reply::Addresses(60, texts.iter().map(parse).collect())
}

/// One record, for [`Reply::Records`].
pub fn record(owner: &str, ttl: u32, address: &str) -> Record {
    let address: IpAddr = address.parse().expect("a test writes addresses");
    Record::from_rdata(name(owner), ttl, RData::from(address))
}

/// The running server; stops when dropped.
pub struct DnsServer {
    at: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    table: Mutex<HashMap<String, Reply>>,
    asked: Mutex<Vec<Question>>,
    stop: AtomicBool,
}

/// A question that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In lower case, without the trailing dot.
    pub name: String,
    pub kind: RecordType,
    pub tcp: bool,
}

impl DnsServer {
    /// Starts with an empty table: every name is NXDOMAIN.
    pub fn start() -> Self {
        let (udp, tcp) = bind();
        let at = udp.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State::default());
        let (for_udp, for_tcp) = (state.clone(), state.clone());
        thread::spawn(move || serve_udp(&udp, &for_udp));
        thread::spawn(move || serve_tcp(&tcp, &for_tcp));
        Self { at, state }
    }

    /// Where it listens, on both transports.
    pub fn addr(&self) -> SocketAddr {
        self.at
    }

    /// Sets what is said of a name.
    pub fn set(&self, name: &str, reply: Reply) {
        lock(&self.state.table).insert(name.to_owned(), reply);
    }

    /// All questions so far.
    pub fn asked(&self) -> Vec<Question> {
        lock(&self.state.asked).clone()
    }

    /// How many questions came for a name, of all types and transports.
    pub fn count(&self, name: &str) -> usize {
        let asked = lock(&self.state.asked);
        asked.iter().filter(|asked| asked.name == name).count()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // Both threads wait for a peer: be one.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            drop(socket.send_to(&[], self.at));
        }
        drop(TcpStream::connect(self.at));
    }
}

impl State {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn answer(&self, query: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let question = query.queries.first()?;
        let kind = question.query_type();
        let key = question.name().to_lowercase().to_ascii();
        let key = key.trim_end_matches('.').to_owned();
        let turn = self.note(&key, kind, tcp);
        let table = lock(&self.table).clone();
        let reply = table.get(&key).cloned().unwrap_or(Reply::NoSuchName(60));

        let mut message = query.clone().into_response();
        message.metadata.recursion_available = true;
        let said = fill(
            &mut message,
            question.name(),
            &reply,
            &Asked {
                kind,
                tcp,
                turn,
                table: &table,
            },
        );
        said.then(|| message.to_vec().expect("a test's records can be encoded"))
    }

    /// Notes the question; how many of the same type came over the same transport before.
    fn note(&self, name: &str, kind: RecordType, tcp: bool) -> usize {
        let question = Question {
            name: name.to_owned(),
            kind,
            tcp,
        };
        let mut asked = lock(&self.asked);
        let before = asked.iter().filter(|asked| **asked == question).count();
        asked.push(question);
        before
    }
}

struct Asked<'a> {
    kind: RecordType,
    tcp: bool,
    turn: usize,
    table: &'a HashMap<String, Reply>,
}

/// Writes a reply into a message; `false` where nothing is to be said.
fn fill(message: &mut Message, owner: &Name, reply: &Reply, asked: &Asked<'_>) -> bool {
    match reply {
        Reply::Addresses(ttl, all) => {
            let data = all.iter().map(|address| RData::from(*address));
            let fitting: Vec<Record> = data
                .filter(|data| data.record_type() == asked.kind)
                .map(|data| Record::from_rdata(owner.clone(), *ttl, data))
                .collect();
            if fitting.is_empty() {
                message.add_authority(soa(owner, *ttl));
            }
            message.add_answers(fitting);
        }
        Reply::Alias(ttl, target) | Reply::BareAlias(ttl, target) => {
            let data = RData::CNAME(CNAME(name(target)));
            message.add_answer(Record::from_rdata(owner.clone(), *ttl, data));
            if let (Reply::Alias(..), Some(next)) = (reply, asked.table.get(*target)) {
                return fill(message, &name(target), next, asked);
            }
        }
        Reply::NoSuchName(minimum) => {
            message.metadata.response_code = ResponseCode::NXDomain;
            message.add_authority(soa(owner, *minimum));
        }
        Reply::BareNoSuchName => message.metadata.response_code = ResponseCode::NXDomain,
        Reply::Fail(code) => message.metadata.response_code = *code,
        Reply::Silence => return false,
        Reply::Records(records) => {
            message.add_answers(records.iter().cloned());
        }
        Reply::OverTcp(_) if !asked.tcp => message.metadata.truncation = true,
        Reply::OverTcp(inner) => return fill(message, owner, inner, asked),
        Reply::InTurn(replies) => {
            let last = replies.len().saturating_sub(1);
            let reply = replies.get(asked.turn.min(last));
            return reply.is_some_and(|reply| fill(message, owner, reply, asked));
        }
        Reply::ByFamily { a, aaaa } => {
            let reply = if asked.kind == RecordType::AAAA {
                aaaa
            } else {
                a
            };
            return fill(message, owner, reply, asked);
        }
    }
    true
}

fn soa(owner: &Name, minimum: u32) -> Record {
    let data = SOA::new(owner.clone(), owner.clone(), 1, 1, 1, 1, minimum);
    Record::from_rdata(owner.clone(), minimum, RData::SOA(data))
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a test writes names");
    name.set_fqdn(true);
    name
}

/// One free port on both transports.
fn bind() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let at = udp.local_addr().expect("a bound socket has an address");
        if let Ok(tcp) = TcpListener::bind(at) {
            return (udp, tcp);
        }
    }
    panic!("no port is free on both transports");
}

fn serve_udp(socket: &UdpSocket, state: &State) {
    let mut buffer = [0; 4_096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        if state.stopped() {
            return;
        }
        let query = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = state.answer(query, false) {
            drop(socket.send_to(&answer, peer));
        }
    }
}

fn serve_tcp(listener: &TcpListener, state: &Arc<State>) {
    while let Ok((stream, _)) = listener.accept() {
        if state.stopped() {
            return;
        }
        let state = state.clone();
        thread::spawn(move || serve_stream(stream, &state));
    }
}

/// Answers until the client closes, with two bytes of length before each message (RFC 1035 §4.2.2).
fn serve_stream(mut stream: TcpStream, state: &State) -> Option<()> {
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .ok()?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query).ok()?;
        if let Some(answer) = state.answer(&query, true) {
            let length = u16::try_from(answer.len()).ok()?.to_be_bytes();
            stream.write_all(&[&length[..], &answer].concat()).ok()?;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}
