//! `health`: how endpoints are probed.

use std::time::Duration;

use super::share;
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Table, Value, one_of};

/// How endpoints are probed.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthSettings {
    /// With what.
    pub probe: Probe,
    /// From the start of one to that of the next.
    pub every: Duration,
    /// By which share of that each is earlier or later, by chance; 0 to 1.
    pub jitter: f64,
    /// How long one may take.
    pub timeout: Duration,
    /// So many that pass in a row bring an endpoint back.
    pub rise: u32,
    /// So many that fail in a row take it out.
    pub fall: u32,
    /// The port that is probed, where it is another than that for requests.
    pub port: Option<u16>,
}

/// What a probe sends, and what it expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connection is accepted.
    Tcp,
    /// A TLS handshake is done, with the trust of the upstream.
    Tls,
    /// A request is answered as expected.
    Http {
        /// Its method: `GET` or `HEAD`.
        method: Box<str>,
        /// Its path and query.
        path: Box<str>,
        /// Its `Host`, where it is another than the endpoint's.
        host: Option<Box<str>>,
        /// What status is expected.
        status: Box<[StatusRange]>,
        /// What the first part of the body contains.
        body: Option<Box<str>>,
    },
    /// `grpc.health.v1.Health/Check` answers SERVING.
    Grpc {
        /// Of which service; empty for the server itself.
        service: Box<str>,
    },
    /// A datagram is answered.
    Udp {
        /// What is sent.
        send: Box<str>,
        /// What the answer contains; `None` for any answer.
        expect: Option<Box<str>>,
    },
}

/// Status codes from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

impl StatusRange {
    /// Whether a status is in it.
    pub fn contains(self, status: u16) -> bool {
        (self.from..=self.to).contains(&status)
    }
}

impl HealthSettings {
    /// `"tcp"`, or `{ http = { path = "/health" }, every = "5s", … }`.
    pub(super) fn read(value: Value, faults: &Faults) -> Option<Self> {
        match value.kind {
            Kind::Text(_) => {
                let word = Located::<String>::from_value(value, faults)?;
                let probe = one_of(&word, WORDS, faults)?;
                Some(Self::with(probe.probe()))
            }
            Kind::Table(table) => read_table(table, faults),
            Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Datetime(_)
            | Kind::List(_) => value.mismatch(
                "\"tcp\", \"tls\", \"grpc\", or { http = { path = \"/\" }, … }",
                faults,
            ),
        }
    }

    /// This probe, at the times that suit most.
    pub fn with(probe: Probe) -> Self {
        Self {
            probe,
            every: Duration::from_secs(5),
            jitter: 0.1,
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            port: None,
        }
    }
}

fn read_table(table: Table, faults: &Faults) -> Option<HealthSettings> {
    let before = faults.len();
    let part = |key| table.take_value(key);
    let probes = [
        part("http").and_then(|value| read_http(value, faults)),
        part("tcp").and_then(|value| read_flag(&value, &Probe::Tcp, faults)),
        part("tls").and_then(|value| read_flag(&value, &Probe::Tls, faults)),
        part("grpc").and_then(|value| read_grpc(value, faults)),
        part("udp").and_then(|value| read_udp(value, faults)),
    ];
    let default = HealthSettings::with(Probe::Tcp);
    let mut settings = HealthSettings {
        every: table.take_time("every", faults).unwrap_or(default.every),
        jitter: share(&table, "jitter", 0.0..=1.0, faults).unwrap_or(default.jitter),
        timeout: table
            .take_time("timeout", faults)
            .unwrap_or(default.timeout),
        rise: table
            .take_within("rise", 1..=1000, faults)
            .unwrap_or(default.rise),
        fall: table
            .take_within("fall", 1..=1000, faults)
            .unwrap_or(default.fall),
        port: table.take_within("port", 1..=u16::MAX, faults),
        probe: Probe::Tcp,
    };
    let at = table.at.clone();
    table.finish(faults);
    let mut probes = probes.into_iter().flatten();
    match (probes.next(), probes.next()) {
        (Some(probe), None) => settings.probe = probe,
        _ if faults.len() > before => return None,
        _ => {
            let remedy = "write one of: http = { path = \"/\" }, tcp = true, tls = true, grpc = true, udp = { send = \"…\" }";
            faults.push(Fault::at(&at, "an endpoint is probed in one way", remedy));
            return None;
        }
    }
    Some(settings)
}

/// `tcp = true`.
fn read_flag(value: &Value, probe: &Probe, faults: &Faults) -> Option<Probe> {
    if matches!(value.kind, Kind::Bool(true)) {
        return Some(probe.clone());
    }
    value.mismatch("true", faults)
}

/// `http = "/path"`, or a table.
fn read_http(value: Value, faults: &Faults) -> Option<Probe> {
    let at = value.at.clone();
    if let Kind::Text(path) = value.kind {
        let path = Located { value: path, at };
        return Some(http(checked_path(path, faults)?));
    }
    let table = Table::from_value(value, faults)?;
    let path = table
        .take("path", faults)
        .map_or_else(|| Some("/".into()), |path| checked_path(path, faults));
    let method: Option<Located<String>> = table.take("method", faults);
    let method = method.map_or(Some("GET"), |word| {
        one_of(&word, &[("GET", "GET"), ("HEAD", "HEAD")], faults)
    });
    let host = table.take::<String>("host", faults).map(Into::into);
    let status: Option<Vec<StatusRange>> = table.take("status", faults);
    let body = table.take::<String>("body", faults).map(Into::into);
    table.finish(faults);
    let Probe::Http {
        status: default, ..
    } = http("/".into())
    else {
        return None;
    };
    Some(Probe::Http {
        method: method?.into(),
        path: path?,
        host,
        status: status.map_or(default, Vec::into_boxed_slice),
        body,
    })
}

fn http(path: Box<str>) -> Probe {
    Probe::Http {
        method: "GET".into(),
        path,
        host: None,
        status: [StatusRange { from: 200, to: 299 }].into(),
        body: None,
    }
}

/// Only what can stand in a request line.
fn checked_path(path: Located<String>, faults: &Faults) -> Option<Box<str>> {
    let text = &path.value;
    if text.starts_with('/')
        && text.parse::<http::uri::PathAndQuery>().is_ok()
        && !text.contains('#')
    {
        return Some(path.value.into());
    }
    faults.push(Fault::at(
        &path.at,
        format!("\"{text}\" is not a path"),
        "write one such as \"/health\"",
    ));
    None
}

/// `grpc = true`, `grpc = "service"`.
fn read_grpc(value: Value, faults: &Faults) -> Option<Probe> {
    if matches!(value.kind, Kind::Bool(true)) {
        return Some(Probe::Grpc { service: "".into() });
    }
    let service = String::from_value(value, faults)?;
    Some(Probe::Grpc {
        service: service.into(),
    })
}

fn read_udp(value: Value, faults: &Faults) -> Option<Probe> {
    let table = Table::from_value(value, faults)?;
    let send: Option<String> = table.require("send", "write what is sent: send = \"ping\"", faults);
    let expect = table.take::<String>("expect", faults).map(Into::into);
    table.finish(faults);
    Some(Probe::Udp {
        send: send?.into(),
        expect,
    })
}

/// `200`, or `"200-299"`.
impl FromValue for StatusRange {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let range = match &value.kind {
            Kind::Integer(code) => u16::try_from(*code).ok().map(|code| (code, code)),
            Kind::Text(text) => text
                .split_once('-')
                .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?))),
            Kind::Float(_) | Kind::Bool(_) | Kind::Datetime(_) | Kind::List(_) | Kind::Table(_) => {
                None
            }
        };
        let range = range.filter(|(from, to)| from <= to && *from >= 100 && *to <= 599);
        if range.is_none() {
            faults.push(Fault::at(
                &value.at,
                "this is no status and no range of them",
                "write one such as 200 or \"200-299\"",
            ));
        }
        range.map(|(from, to)| Self { from, to })
    }
}

#[derive(Debug, Clone, Copy)]
enum Word {
    Tcp,
    Tls,
    Grpc,
    Http,
}

impl Word {
    fn probe(self) -> Probe {
        match self {
            Self::Tcp => Probe::Tcp,
            Self::Tls => Probe::Tls,
            Self::Grpc => Probe::Grpc { service: "".into() },
            Self::Http => http("/".into()),
        }
    }
}

const WORDS: &[(&str, Word)] = &[
    ("tcp", Word::Tcp),
    ("tls", Word::Tls),
    ("http", Word::Http),
    ("grpc", Word::Grpc),
];
