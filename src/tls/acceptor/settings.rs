//! `[[listener]] tls = { certificates = […], min-version, suites, alpn, client = { … }, tickets }`.
//! Reads no file: that is done by who loads, again and again.
//! Start at [`Settings::read`].

use std::path::Path;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::clients::Clients;
use super::{Alpn, Inside};
use crate::fault::{Fault, Faults, Location, suggest};
use crate::settings::{FromValue, Located, Table, Value, one_of, parse_duration};
use crate::tls::certificates::Source;

/// What was written, with the places of its files.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) at: Location,
    pub(super) listener: Box<str>,
    pub(super) certificates: Vec<Source>,
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    pub(super) suites: Option<Vec<SupportedCipherSuite>>,
    pub(super) alpn: Vec<Alpn>,
    pub(super) client: Option<Clients>,
    /// How long a key of tickets is used; `None` for no tickets.
    pub(super) tickets: Option<Duration>,
}

impl Settings {
    pub(super) fn read(
        value: Value,
        listener: &str,
        inside: Inside,
        faults: &Faults,
    ) -> Option<Self> {
        let table = Table::from_value(value, faults)?;
        let at = table.at.clone();
        let remedy =
            "write certificates = [{ cert = \"proxy.pem\", key = { file = \"proxy.key\" } }]";
        let certificates: Option<Vec<Source>> = table.require("certificates", remedy, faults);
        if certificates.as_ref().is_some_and(Vec::is_empty) {
            faults.push(Fault::at(&at, "\"certificates\" is empty", remedy));
        }
        let versions = table
            .take::<Located<String>>("min-version", faults)
            .and_then(|word| one_of(&word, &[("1.2", BOTH), ("1.3", ONLY_13)], faults));
        let suites = table
            .take::<Vec<Located<String>>>("suites", faults)
            .map(|words| {
                words
                    .iter()
                    .filter_map(|word| suite(word, faults))
                    .collect()
            });
        let alpn = table.take("alpn", faults);
        let alpn = alpn.map_or_else(
            || default_alpn(inside),
            |words| read_alpn(words, inside, faults),
        );
        let client = table.take("client", faults);
        let tickets = table
            .take("tickets", faults)
            .map_or(Some(ROTATION), |text| read_tickets(&text, faults));
        table.finish(faults);
        Some(Self {
            at,
            listener: listener.into(),
            certificates: certificates?,
            versions: versions.unwrap_or(BOTH),
            suites,
            alpn,
            client,
            tickets,
        })
    }

    /// Every file that something is read from.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let of_clients = self.client.iter().flat_map(Clients::files);
        self.certificates
            .iter()
            .flat_map(Source::files)
            .chain(of_clients)
    }
}

static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

/// By its name as registered (RFC 8446 §B.4): rustls writes `TLS13_` where the registry writes `TLS_`.
fn suite(word: &Located<String>, faults: &Faults) -> Option<SupportedCipherSuite> {
    let known: Vec<(String, SupportedCipherSuite)> = aws_lc_rs::ALL_CIPHER_SUITES
        .iter()
        .map(|suite| {
            (
                format!("{:?}", suite.suite()).replace("TLS13_", "TLS_"),
                *suite,
            )
        })
        .collect();
    let wanted = word.value.replace("TLS13_", "TLS_");
    let found = known.iter().find(|(name, _)| *name == wanted);
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        faults.push(Fault::at(
            &word.at,
            format!("\"{}\" is no cipher suite that is known here", word.value),
            suggest(&word.value, &names),
        ));
    }
    found.map(|(_, suite)| *suite)
}

fn default_alpn(inside: Inside) -> Vec<Alpn> {
    match inside {
        Inside::Http => vec![Alpn::Http2, Alpn::Http1],
        Inside::Http1 => vec![Alpn::Http1],
        Inside::Anything => Vec::new(),
    }
}

fn read_alpn(words: Vec<Located<String>>, inside: Inside, faults: &Faults) -> Vec<Alpn> {
    let known = [Alpn::Http2, Alpn::Http1].map(|alpn| (alpn.id(), alpn));
    let mut read = Vec::new();
    for word in words {
        let Some(alpn) = one_of(&word, &known, faults) else {
            continue;
        };
        if alpn == Alpn::Http2 && inside == Inside::Http1 {
            faults.push(Fault::at(
                &word.at,
                "the listener's \"accept\" leaves HTTP/2 out",
                "take \"h2\" out, or add \"http2\" to \"accept\"",
            ));
        }
        read.push(alpn);
    }
    read
}

/// `"12h"` or `"off"`.
fn read_tickets(text: &Located<String>, faults: &Faults) -> Option<Duration> {
    if text.value == "off" {
        return None;
    }
    let problem = match parse_duration(&text.value) {
        Ok(rotation) if (SHORTEST..=LONGEST).contains(&rotation) => return Some(rotation),
        Ok(_) => "the keys of tickets live from one minute to three days".to_owned(),
        Err(problem) => problem,
    };
    faults.push(Fault::at(
        &text.at,
        problem,
        "write how long a key of tickets is used, such as \"12h\", or \"off\"",
    ));
    None
}

const ROTATION: Duration = Duration::from_secs(12 * 3600);
const SHORTEST: Duration = Duration::from_secs(60);
/// A ticket is understood for twice as long, and may live for seven days (RFC 8446 §4.6.1).
const LONGEST: Duration = Duration::from_secs(3 * 86_400);
