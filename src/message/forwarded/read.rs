//! The walk from the peer towards the client, over proxies that are trusted.
//! Not what one entry says, which is `element`.
//! Start at [`Trusted::read`].

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use super::element::{BLANK, Element, address, authority, scheme};
use super::write::{FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use super::{Family, Provenance, Trusted};

impl Trusted {
    /// Where a request comes from that `peer` sent with these fields. Fields of a peer that is not trusted say nothing.
    pub fn read(&self, peer: IpAddr, headers: &HeaderMap) -> Provenance {
        let peer = peer.to_canonical();
        let mut found = Provenance::of(peer);
        if !self.contains(peer) {
            return found;
        }
        match self.family {
            Family::XForwarded => {
                let element = |text: &str| address(text).map(Element::of);
                self.walk(
                    &mut found,
                    entries(headers, X_FORWARDED_FOR, comma),
                    element,
                );
                let last = |name| entries(headers, name, comma).next().flatten();
                found.secure = last(X_FORWARDED_PROTO).and_then(scheme);
                let host = last(X_FORWARDED_HOST);
                found.host = host.and_then(|host| authority(host, found.secure));
                if let Some(client) = found.chain.first_mut() {
                    client.secure = found.secure;
                    client.host.clone_from(&found.host);
                }
            }
            Family::Forwarded => {
                let list = entries(headers, FORWARDED, unquoted_comma);
                self.walk(&mut found, list, Element::forwarded);
                // The outermost proxy that says it: what the client itself did.
                found.secure = found.chain.iter().find_map(|element| element.secure);
                let host = |element: &Element| element.host.clone();
                found.host = found.chain.iter().find_map(host);
            }
        }
        found
    }

    fn walk<'a>(
        &self,
        found: &mut Provenance,
        entries: impl Iterator<Item = Option<&'a str>>,
        read: impl Fn(&str) -> Option<Element>,
    ) {
        for entry in entries {
            let element = entry.and_then(&read);
            let Some(element) = element.filter(|_| found.chain.len() < HOPS) else {
                found.cut = true;
                return;
            };
            (found.client, found.port) = (element.address, element.port);
            found.chain.insert(0, element);
            if !self.contains(found.client) {
                return;
            }
        }
    }
}

impl Provenance {
    /// A request of which nothing is said but who sent it.
    pub(super) fn of(peer: IpAddr) -> Self {
        Self {
            client: peer,
            port: None,
            secure: None,
            host: None,
            cut: false,
            chain: smallvec::SmallVec::new(),
        }
    }
}

/// The entries of a list, the last one of the last line first; `None` where one is not text. An empty one is none
/// (RFC 9110 §5.6.1.2).
fn entries<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
    before: fn(&str) -> Option<usize>,
) -> impl Iterator<Item = Option<&'a str>> {
    let values = headers.get_all(name).iter();
    // A map gives the values of a field one after the other, from the front or from the back.
    let split = move |value: &'a HeaderValue| Backwards {
        rest: Some(value.to_str().ok()),
        before,
    };
    values.rev().flat_map(split)
}

struct Backwards<'a> {
    rest: Option<Option<&'a str>>,
    /// Where the comma stands that the last entry begins after.
    before: fn(&str) -> Option<usize>,
}

impl<'a> Iterator for Backwards<'a> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(text) = self.rest.take()? else {
                return Some(None);
            };
            let entry = match (self.before)(text) {
                Some(at) => {
                    self.rest = text.get(..at).map(Some);
                    text.get(at + 1..).unwrap_or_default()
                }
                None => text,
            };
            let entry = entry.trim_matches(BLANK);
            if !entry.is_empty() {
                return Some(Some(entry));
            }
        }
    }
}

fn comma(text: &str) -> Option<usize> {
    text.rfind(',')
}

/// The last comma that does not stand in a quoted string, looked for from the right: what the client put at the left end, such
/// as a quote that never ends, does not change how the entries are read that proxies wrote after it.
fn unquoted_comma(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate().rev() {
        let backslashes = || {
            let before = bytes.get(..at).unwrap_or_default();
            before.iter().rev().take_while(|b| **b == b'\\').count()
        };
        match byte {
            b'"' if !quoted => quoted = true,
            b'"' if backslashes() % 2 == 0 => quoted = false,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Hops that a walk takes; nobody has so many proxies.
const HOPS: usize = 32;
