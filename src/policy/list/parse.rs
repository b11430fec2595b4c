//! From the text of a list to its names and addresses, whatever form it is in.
//! Not the reading of the file, and not response policy zones (rpz), which have a grammar of their own.
//! Start at [`parse`].

use std::io::{self, Read};
use std::net::IpAddr;

use ipnet::IpNet;
use memchr::{memchr, memchr_iter};

use super::addresses::{Addresses, AddressesBuilder};
use super::lines::Lines;
use super::names::{Names, Scope};
use super::report::{Form, ListReport};
use super::rpz::Zone;
use crate::addr::Host;

/// A list as it is asked: names, addresses, and what reading them came to.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) names: Names,
    pub(super) addresses: Addresses,
    pub(super) report: std::sync::Arc<ListReport>,
}

/// Reads a text of about `size` bytes to its end. A line that says nothing is skipped and counted. Errors: those of the source.
pub(super) fn parse(source: impl Read, size: u64, form: Option<Form>) -> io::Result<Loaded> {
    let mut lines = Lines::new(source)?;
    let form = form.unwrap_or_else(|| recognise(lines.unread()));
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut entries = Entries::new(form, expected_lines(lines.unread(), size), size);
    let mut zone = Zone::default();
    let mut number = 0;
    while let Some(line) = lines.advance()? {
        number += 1;
        let read = match form {
            _ if line.len() > MAX_LINE => Err("it is longer than 1 KiB"),
            Form::Names | Form::Inline => plain_line(line, &mut entries),
            Form::Hosts => hosts_line(line, &mut entries),
            Form::AdBlock => adblock_line(line, &mut entries),
            Form::Rpz => zone.line(line, &mut entries),
            Form::Cidr => cidr_line(line, &mut entries),
        };
        if let Err(why) = read {
            entries.report.skip(number, why);
        }
    }
    if let Err(why) = zone.end() {
        entries.report.skip(number, why);
    }
    entries.report.bytes = lines.bytes();
    Ok(entries.finish())
}

/// Lines of a text as its beginning promises: room for them is made at once.
fn expected_lines(beginning: &[u8], size: usize) -> usize {
    let lines = memchr_iter(b'\n', beginning).count() + 1;
    if beginning.len() >= size {
        return lines;
    }
    let lines = lines as f64 * size as f64 / beginning.len().max(1) as f64;
    // A little more, as growing costs a pass over all names; not more than a text of empty lines deserves.
    ((lines * 1.05) as usize).min(MAX_EXPECTED)
}

/// Why a line says nothing.
pub(super) type Line = Result<(), &'static str>;

/// What has been read so far.
pub(super) struct Entries {
    names: Names,
    addresses: AddressesBuilder,
    pub(super) report: ListReport,
}

impl Entries {
    /// Nothing yet; `lines` and `bytes` of the text say what room to make.
    pub(super) fn new(form: Form, lines: usize, bytes: usize) -> Self {
        let (lines, bytes) = if form == Form::Cidr {
            (0, 0)
        } else {
            (lines, bytes)
        };
        Self {
            names: Names::with_capacity(lines, bytes, form == Form::Rpz),
            addresses: AddressesBuilder::default(),
            report: ListReport::new(form),
        }
    }

    /// Adds a host in any spelling; an address has no names below it.
    pub(super) fn host(&mut self, text: &[u8], scope: Scope, excepted: bool) -> Line {
        let mut buffer = [0; MAX_NAME];
        if let Some(name) = canonical(text, &mut buffer) {
            return self.name(name, scope, excepted);
        }
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
        match Host::parse_bare(text).map_err(|_| NO_HOST)? {
            Host::Name(name) => self.name(name.as_bytes(), scope, excepted),
            Host::Addr(_) if scope == Scope::BELOW => Err("an address has no names below it"),
            Host::Addr(ip) => {
                self.net(IpNet::from(ip), excepted);
                Ok(())
            }
        }
    }

    fn name(&mut self, name: &[u8], scope: Scope, excepted: bool) -> Line {
        let scope = if excepted { scope.excepted() } else { scope };
        if !self.names.insert(name, scope) {
            return Err("the list is too large");
        }
        self.report.exceptions += usize::from(excepted);
        Ok(())
    }

    /// Adds a network.
    pub(super) fn net(&mut self, net: IpNet, excepted: bool) {
        self.addresses.insert(net, excepted);
        self.report.exceptions += usize::from(excepted);
    }

    /// Adds what a line of plain names holds: `name`, `*.name`, `.name`, an address or a network.
    pub(super) fn plain(&mut self, word: &[u8]) -> Line {
        if matches!(word, b"*" | b"*." | b".") {
            return Err("it covers every host, which a rule says without a list");
        }
        if let Some(name) = word.strip_prefix(b"*.") {
            return self.host(name, Scope::BELOW, false);
        }
        if let Some(name) = word.strip_prefix(b".") {
            return self.host(name, Scope::TREE, false);
        }
        if memchr(b'/', word).is_some() {
            self.net(network(word).ok_or(NO_HOST)?, false);
            return Ok(());
        }
        self.host(word, Scope::EXACT, false)
    }

    /// The list as it is asked.
    pub(super) fn finish(mut self) -> Loaded {
        self.names.shrink();
        self.report.names = self.names.listing();
        self.report.addresses = self.addresses.listing();
        Loaded {
            names: self.names,
            addresses: self.addresses.build(),
            report: std::sync::Arc::new(self.report),
        }
    }
}

fn plain_line(line: &[u8], entries: &mut Entries) -> Line {
    let mut words = words(uncommented(line, b"#"));
    let Some(word) = words.next() else {
        return Ok(());
    };
    if words.next().is_some() {
        return Err("it has more than one word");
    }
    entries.plain(word)
}

fn hosts_line(line: &[u8], entries: &mut Entries) -> Line {
    let mut words = words(uncommented(line, b"#"));
    let Some(address) = words.next() else {
        return Ok(());
    };
    if !is_hosts_address(address) {
        return Err("it does not begin with an address");
    }
    let mut outcome = Err("no name follows the address");
    for (n, name) in words.enumerate() {
        let read = if BOILERPLATE
            .iter()
            .any(|word| word.eq_ignore_ascii_case(name))
        {
            Ok(())
        } else {
            entries.host(name, Scope::EXACT, false)
        };
        // The names that can be read are listed; the line is told of once.
        outcome = if n == 0 { read } else { outcome.and(read) };
    }
    outcome
}

fn adblock_line(line: &[u8], entries: &mut Entries) -> Line {
    let line = line.trim_ascii();
    let comment = line == b"#" || line.starts_with(b"# ");
    if line.is_empty() || comment || matches!(line.first(), Some(b'!' | b'[')) {
        return Ok(());
    }
    let (rule, excepted) = match line.strip_prefix(b"@@") {
        Some(rule) => (rule, true),
        None => (line, false),
    };
    let name = rule
        .strip_prefix(b"||")
        .ok_or("it is not of the form ||name^")?;
    let name = name
        .strip_suffix(b"^")
        .ok_or("it is not a whole name: a path, options or no closing ^")?;
    match name.strip_prefix(b"*.") {
        Some(name) => entries.host(name, Scope::BELOW, excepted),
        None => entries.host(name, Scope::TREE, excepted),
    }
}

fn cidr_line(line: &[u8], entries: &mut Entries) -> Line {
    let mut words = words(uncommented(line, b"#;"));
    let Some(word) = words.next() else {
        return Ok(());
    };
    if words.next().is_some() {
        return Err("it has more than one word");
    }
    let net = network(word).ok_or("it is neither an address nor a network")?;
    entries.net(net, false);
    Ok(())
}

/// The form that most of the first lines are in.
fn recognise(text: &[u8]) -> Form {
    // Where two have as many votes, the plainer one in front wins.
    let mut votes = [
        (Form::Names, 0),
        (Form::AdBlock, 0),
        (Form::Hosts, 0),
        (Form::Rpz, 0),
        (Form::Cidr, 0),
    ];
    let seen = text
        .split(|byte| *byte == b'\n')
        .filter(|line| line.len() <= MAX_LINE)
        .filter_map(looks_like);
    for form in seen.take(SAMPLE) {
        if let Some((_, votes)) = votes.iter_mut().find(|(known, _)| *known == form) {
            *votes += 1;
        }
    }
    let most = votes.iter().map(|(_, votes)| *votes).max().unwrap_or(0);
    let winner = votes.iter().find(|(_, votes)| *votes == most);
    let winner = winner.map_or(Form::Names, |(form, _)| *form);
    // Plain names take networks as well, so that a list of both loses neither.
    let named = votes
        .iter()
        .any(|(f, votes)| *f == Form::Names && *votes > 0);
    match winner {
        Form::Cidr if named => Form::Names,
        Form::Inline | Form::Names | Form::Hosts | Form::AdBlock | Form::Rpz | Form::Cidr => winner,
    }
}

/// The form that a line speaks for, if it speaks for any.
fn looks_like(line: &[u8]) -> Option<Form> {
    let line = line.trim_ascii();
    let adblock = [&b"||"[..], b"@@", b"!", b"[Adblock", b"##", b"/"];
    if adblock.iter().any(|start| line.starts_with(start)) {
        return Some(Form::AdBlock);
    }
    if line.first() == Some(&b'$') {
        return Some(Form::Rpz);
    }
    let mut words = words(uncommented(line, b"#;"));
    let first = words.next()?;
    let Some(second) = words.next() else {
        let form = if network(first).is_some() {
            Form::Cidr
        } else {
            Form::Names
        };
        return Some(form);
    };
    if is_hosts_address(first) {
        return Some(Form::Hosts);
    }
    let record = |word: &[u8]| RECORDS.iter().any(|kind| kind.eq_ignore_ascii_case(word));
    let zone = record(first) || record(second) || words.take(3).any(record);
    zone.then_some(Form::Rpz)
}

/// A name in canonical form, where that takes no more than lower case: the usual case of a long list. Everything else is [`Host`]'s to judge,
/// and what is accepted here, `Host` reads alike.
fn canonical<'b>(text: &[u8], buffer: &'b mut [u8; MAX_NAME]) -> Option<&'b [u8]> {
    let text = text.strip_suffix(b".").unwrap_or(text);
    let name = buffer.get_mut(..text.len())?;
    let mut label_start = 0;
    for (at, (to, byte)) in name.iter_mut().zip(text).enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => *to = *byte,
            b'A'..=b'Z' => *to = byte.to_ascii_lowercase(),
            b'.' => {
                if at == label_start || at - label_start > MAX_LABEL {
                    return None;
                }
                *to = *byte;
                label_start = at + 1;
            }
            _ => return None,
        }
    }
    let name = &*name;
    let last = name.get(label_start..)?;
    // What ends in a number may be an address, and an A-label must be checked.
    let number = last.first()?.is_ascii_digit();
    let ace = || memchr::memmem::find(name, b"xn--").is_some();
    (!number && last.len() <= MAX_LABEL && !ace()).then_some(name)
}

/// A network, or an address as a network of one.
fn network(word: &[u8]) -> Option<IpNet> {
    if !matches!(word.first()?, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':') {
        return None;
    }
    let word = std::str::from_utf8(word).ok()?;
    if word.contains('/') {
        return word.parse().ok();
    }
    word.parse::<IpAddr>().ok().map(IpNet::from)
}

/// An address as it begins a line of a hosts file, which may name an interface (`fe80::1%lo0`).
fn is_hosts_address(word: &[u8]) -> bool {
    let address = word.split(|b| *b == b'%').next().unwrap_or(word);
    std::str::from_utf8(address).is_ok_and(|word| word.parse::<IpAddr>().is_ok())
}

fn uncommented<'a>(line: &'a [u8], signs: &[u8]) -> &'a [u8] {
    let end = signs.iter().filter_map(|sign| memchr(*sign, line)).min();
    end.and_then(|end| line.get(..end)).unwrap_or(line)
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

pub(super) const NO_HOST: &str = "it is neither a host name nor an address";
const MAX_LINE: usize = 1024;
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;
const MAX_EXPECTED: usize = 4_000_000;
/// Lines that are looked at to recognise a form.
const SAMPLE: usize = 1000;
const RECORDS: &[&[u8]] = &[b"CNAME", b"SOA", b"NS", b"A", b"AAAA", b"TXT"];
/// Names of the machine itself, which every hosts file has and no list means.
const BOILERPLATE: &[&[u8]] = &[
    b"localhost",
    b"localhost.localdomain",
    b"local",
    b"broadcasthost",
    b"ip6-localhost",
    b"ip6-loopback",
    b"ip6-localnet",
    b"ip6-mcastprefix",
    b"ip6-allnodes",
    b"ip6-allrouters",
    b"ip6-allhosts",
    b"0.0.0.0",
    b"::1",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_short_way_to_a_canonical_name_is_the_long_one(text in "[a-cA-CxXnN0-9._-]{0,24}|[A-Za-z0-9-]{60,66}(\\.[a-z0-9]{1,3})?\\.?") {
            let mut buffer = [0; MAX_NAME];
            if let Some(name) = canonical(text.as_bytes(), &mut buffer) {
                let name = std::str::from_utf8(name).expect("it is ASCII");
                prop_assert_eq!(Host::parse(&text), Ok(Host::Name(name.into())));
            }
        }
    }
}
