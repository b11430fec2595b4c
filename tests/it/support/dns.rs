//! A real DNS server on UDP that answers A and AAAA from a table, and may change its mind with each question.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A running server. Answers live for 0 seconds, so that nobody may remember them, unless a test says otherwise.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    closed: Arc<AtomicBool>,
}

/// What a name answers: the first question of a type gets the first list, the last list is for all that follow.
type Answers = Vec<Vec<IpAddr>>;

impl Dns {
    /// Answers the same to every question.
    pub(crate) fn start(table: &[(&str, &str)]) -> Self {
        let table: Vec<_> = table
            .iter()
            .map(|(name, address)| (*name, vec![vec![*address]]))
            .collect();
        Self::changing(&table)
    }

    /// Answers the n-th list to the n-th question for a name. A name that is not here does not exist; an empty list
    /// says that it exists without an address.
    pub(crate) fn changing(table: &[(&str, Vec<Vec<&str>>)]) -> Self {
        Self::lasting(0, table)
    }

    /// As [`Self::changing`], with answers that live for so many seconds, also those that say that there is nothing.
    pub(crate) fn lasting(ttl: u32, table: &[(&str, Vec<Vec<&str>>)]) -> Self {
        let parse = |list: &Vec<&str>| list.iter().map(|a| a.parse().unwrap()).collect();
        let table: HashMap<String, Answers> = table
            .iter()
            .map(|(name, lists)| ((*name).to_owned(), lists.iter().map(parse).collect()))
            .collect();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicBool::new(false));
        let (all, over) = (asked.clone(), closed.clone());
        thread::spawn(move || {
            let mut counts = HashMap::new();
            let mut packet = [0; 1500];
            while !over.load(Ordering::SeqCst) {
                let Ok((length, peer)) = socket.recv_from(&mut packet) else {
                    continue;
                };
                let Some(answer) = answer(&packet[..length], ttl, &table, &mut counts, &all) else {
                    continue;
                };
                let _ = socket.send_to(&answer, peer);
            }
        });
        Self {
            address,
            asked,
            closed,
        }
    }

    /// The names that were asked for, in order, lower case, without the last dot.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// A name that begins so gets no answer at all.
pub(crate) const SILENT: &str = "silent-";

/// RFC 1035 §4.1: the question is repeated, the answers point at its name.
fn answer(
    query: &[u8],
    ttl: u32,
    table: &HashMap<String, Answers>,
    counts: &mut HashMap<(String, u16), usize>,
    asked: &Mutex<Vec<String>>,
) -> Option<Vec<u8>> {
    let (name, end) = question_name(query)?;
    let question = query.get(12..end + 4)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    asked.lock().unwrap().push(name.clone());
    if name.starts_with(SILENT) {
        return None;
    }
    let lists = table.get(&name);
    let count = counts.entry((name, kind)).or_insert(0);
    let list = lists.map(|lists| {
        lists
            .get(*count)
            .or_else(|| lists.last())
            .cloned()
            .unwrap_or_default()
    });
    *count += 1;
    let records: Vec<Vec<u8>> = list
        .iter()
        .flatten()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(v4), 1) => Some(v4.octets().to_vec()),
            (IpAddr::V6(v6), 28) => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    let code: u8 = if list.is_some() { 0 } else { 3 };
    let mut packet = query.get(..2)?.to_vec();
    // A response, recursion as asked for and available.
    packet.extend([0x80 | (query.get(2)? & 0x01), 0x80 | code, 0, 1]);
    packet.extend(u16::try_from(records.len()).ok()?.to_be_bytes());
    // RFC 2308 §3: how long a nothing lives stands in the zone's SOA.
    let nothing = records.is_empty();
    packet.extend([0, u8::from(nothing), 0, 0]);
    packet.extend_from_slice(question);
    for record in records {
        packet.extend([0xc0, 12]);
        packet.extend(kind.to_be_bytes());
        packet.extend([0, 1]);
        packet.extend(ttl.to_be_bytes());
        packet.extend(u16::try_from(record.len()).ok()?.to_be_bytes());
        packet.extend(record);
    }
    if nothing {
        packet.extend([0xc0, 12, 0, 6, 0, 1]);
        packet.extend(ttl.to_be_bytes());
        packet.extend([0, 22, 0, 0]);
        for number in [1, 60, 60, 60, ttl] {
            packet.extend(number.to_be_bytes());
        }
    }
    Some(packet)
}

/// The name of the first question, and where it ends.
fn question_name(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = query.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}
