//! Response policy zones: which names and addresses a zone file's records speak of (draft-vixie-dnsop-dns-rpz; zone files: RFC 1035 §5).
//! Not a DNS server: records that answer with other data than "no" are skipped, as a list only says whether a name is on it.
//! Start at [`Zone::line`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::names::Scope;
use super::parse::{Entries, Line};

/// A zone file being read, line by line.
#[derive(Debug, Default)]
pub(super) struct Zone {
    /// What relative names are relative to; empty where the file does not say.
    origin: String,
    /// The zone's own name: its SOA's owner, or the first `$ORIGIN` until then.
    apex: String,
    apex_known: bool,
    /// The owner of the last record, which a line that begins with a space continues.
    owner: String,
    /// Parentheses that are open, and for how many lines.
    depth: usize,
    continued: usize,
}

/// What a record does with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Block,
    Pass,
}

impl Zone {
    /// Reads a line.
    pub(super) fn line(&mut self, line: &[u8], entries: &mut Entries) -> Line {
        let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
        let (line, opened, closed) = uncommented(line);
        let continues = self.depth > 0;
        self.depth = (self.depth + opened).saturating_sub(closed);
        self.continued = if self.depth > 0 {
            self.continued + 1
        } else {
            0
        };
        // One stray parenthesis must not swallow the rest of a list.
        if self.continued > MAX_CONTINUED {
            (self.depth, self.continued) = (0, 0);
            return Err(UNCLOSED);
        }
        if continues {
            return Ok(());
        }
        let mut words = line
            .split(|c: char| c.is_ascii_whitespace() || c == '(' || c == ')')
            .filter(|word| !word.is_empty());
        if !line.starts_with([' ', '\t']) {
            let Some(first) = words.next() else {
                return Ok(());
            };
            if first.starts_with('$') {
                return self.directive(first, words.next());
            }
            self.owner.clear();
            self.owner.push_str(first);
        }
        self.record(words, entries)
    }

    /// The end of the file.
    pub(super) fn end(&self) -> Line {
        if self.depth > 0 {
            Err(UNCLOSED)
        } else {
            Ok(())
        }
    }

    fn directive(&mut self, word: &str, value: Option<&str>) -> Line {
        if word.eq_ignore_ascii_case("$TTL") {
            return Ok(());
        }
        if !word.eq_ignore_ascii_case("$ORIGIN") {
            return Err("it is a directive other than $TTL and $ORIGIN");
        }
        let value = value.ok_or("$ORIGIN names nothing")?;
        self.origin = self.absolute(value);
        if !self.apex_known && self.apex.is_empty() {
            self.apex.clone_from(&self.origin);
        }
        Ok(())
    }

    fn record<'a>(&mut self, words: impl Iterator<Item = &'a str>, entries: &mut Entries) -> Line {
        let mut words = words.skip_while(|word| is_ttl_or_class(word));
        let Some(kind) = words.next() else {
            return Ok(());
        };
        if kind.eq_ignore_ascii_case("SOA") {
            if !self.apex_known {
                self.apex = self.absolute(&self.owner);
                self.apex_known = true;
            }
            return Ok(());
        }
        if kind.eq_ignore_ascii_case("NS") {
            return Ok(());
        }
        let data = words.next().ok_or("the record has no data")?;
        let action = self.action(kind, data)?;
        self.trigger(action, entries)
    }

    fn action(&self, kind: &str, data: &str) -> Result<Action, &'static str> {
        if kind.eq_ignore_ascii_case("CNAME") {
            let is = |target: &str| data.eq_ignore_ascii_case(target);
            // A name that stands for itself is the old spelling of "pass".
            let own = data.trim_end_matches('.').eq_ignore_ascii_case(&self.owner);
            return match data {
                _ if is(".") || is("*.") || is("rpz-drop.") => Ok(Action::Block),
                _ if is("rpz-passthru.") || own => Ok(Action::Pass),
                _ => Err("it answers with another name or by TCP only, which a list does not"),
            };
        }
        let is_address = kind.eq_ignore_ascii_case("A") || kind.eq_ignore_ascii_case("AAAA");
        let address = data.parse::<IpAddr>().ok().filter(|_| is_address);
        if address.is_some_and(|ip| ip.is_unspecified() || ip.is_loopback()) {
            return Ok(Action::Block);
        }
        Err("it answers with other data, which a list does not")
    }

    fn trigger(&self, action: Action, entries: &mut Entries) -> Line {
        let absolute;
        let name = if !self.owner.ends_with('.') && self.owner != "@" && self.origin == self.apex {
            self.owner.as_str()
        } else {
            absolute = self.absolute(&self.owner);
            self.within(&absolute)?
        };
        let excepted = action == Action::Pass;
        if let Some(net) = strip_suffix(name, ".rpz-ip") {
            let net = network(net).ok_or("it is not a network of the form 24.0.2.0.192.rpz-ip")?;
            entries.net(net, excepted);
            return Ok(());
        }
        let others = [".rpz-client-ip", ".rpz-nsdname", ".rpz-nsip"];
        if others.iter().any(|end| strip_suffix(name, end).is_some()) {
            return Err("its trigger is neither a name nor rpz-ip");
        }
        match name.strip_prefix("*.") {
            Some(name) => entries.host(name.as_bytes(), Scope::BELOW, excepted),
            None if name == "*" => Err("it covers every name, which a rule says without a list"),
            None => entries.host(name.as_bytes(), Scope::EXACT, excepted),
        }
    }

    /// A name without its final dot, completed by the origin where it is relative.
    fn absolute(&self, name: &str) -> String {
        if name == "@" {
            return self.origin.clone();
        }
        match name.strip_suffix('.') {
            Some(name) => name.to_owned(),
            None if self.origin.is_empty() => name.to_owned(),
            None => format!("{name}.{}", self.origin),
        }
    }

    /// The part of an absolute name that stands before the zone's own.
    fn within<'n>(&self, name: &'n str) -> Result<&'n str, &'static str> {
        if self.apex.is_empty() {
            return Err("it is absolute, and neither $ORIGIN nor SOA says what the zone is");
        }
        strip_suffix(name, &self.apex)
            .and_then(|name| name.strip_suffix('.'))
            .ok_or("it is not a name below the zone's own")
    }
}

/// A line up to its comment, and how many parentheses it opens and closes; none of that counts within quotes.
fn uncommented(line: &str) -> (&str, usize, usize) {
    let (mut quoted, mut opened, mut closed) = (false, 0, 0);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b';' if !quoted => return (line.get(..at).unwrap_or(line), opened, closed),
            b'(' if !quoted => opened += 1,
            b')' if !quoted => closed += 1,
            _ => {}
        }
    }
    (line, opened, closed)
}

fn is_ttl_or_class(word: &str) -> bool {
    let ttl = word.starts_with(|c: char| c.is_ascii_digit());
    ttl || ["IN", "CH", "HS"]
        .iter()
        .any(|class| class.eq_ignore_ascii_case(word))
}

fn strip_suffix<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let (head, tail) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix).then_some(head)
}

/// `24.0.2.0.192` is 192.0.2.0/24; `48.zz.1.db8.2001` is 2001:db8:1::/48, where `zz` stands for `::`.
fn network(text: &str) -> Option<IpNet> {
    let mut parts = text.split('.');
    let prefix = parts.next()?.parse().ok()?;
    let parts: Vec<&str> = parts.rev().collect();
    let plain = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() == 4 && parts.iter().all(plain) {
        let ip: Ipv4Addr = parts.join(".").parse().ok()?;
        return IpNet::new(ip.into(), prefix).ok();
    }
    let words: Vec<&str> = parts
        .iter()
        .map(|part| {
            if part.eq_ignore_ascii_case("zz") {
                ""
            } else {
                part
            }
        })
        .collect();
    let mut text = words.join(":");
    // `zz` at an end leaves one colon where two are meant.
    if words.first().is_some_and(|word| word.is_empty()) {
        text.insert(0, ':');
    }
    if words.last().is_some_and(|word| word.is_empty()) {
        text.push(':');
    }
    let ip: Ipv6Addr = text.parse().ok()?;
    IpNet::new(ip.into(), prefix).ok()
}

const UNCLOSED: &str = "a parenthesis before it is never closed";
/// An SOA record has seven fields, and at most a comment between them.
const MAX_CONTINUED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversed_networks_are_read() {
        for (text, net) in [
            ("24.0.2.0.192", Some("192.0.2.0/24")),
            ("32.1.2.0.192", Some("192.0.2.1/32")),
            ("48.zz.1.db8.2001", Some("2001:db8:1::/48")),
            ("128.57.zz.2.2001", Some("2001:2::57/128")),
            ("128.1.zz", Some("::1/128")),
            ("33.1.2.0.192", None),
            ("24.0.2.192", None),
            ("x", None),
            ("", None),
        ] {
            let expected = net.map(|net| net.parse().expect("the table holds networks"));
            assert_eq!(network(text), expected, "{text}");
        }
    }
}
