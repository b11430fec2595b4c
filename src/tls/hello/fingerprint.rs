//! JA4: one short text for what a client's TLS library offers, the same whatever name it asks for.
//! Says which library speaks, not who: a client can imitate any other.
//! Start at [`Offer::fingerprint`].

use sha2::{Digest, Sha256};

use super::extensions::{ALPN, SERVER_NAME};

/// What the fingerprint is taken of. Reserved values (GREASE, RFC 8701) may stand in all of it and are ignored.
#[derive(Debug)]
pub(super) struct Offer<'a> {
    /// The highest of supported_versions; without that extension the legacy version.
    pub(super) version: u16,
    /// Sorted.
    pub(super) ciphers: &'a [u16],
    /// Types, sorted.
    pub(super) extensions: &'a [u16],
    pub(super) alpn: &'a [Box<[u8]>],
    /// In the client's order.
    pub(super) signatures: &'a [u16],
}

impl Offer<'_> {
    /// JA4 over TCP as FoxIO's "JA4: TLS Client Fingerprinting" defines it: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    pub(super) fn fingerprint(&self) -> Box<str> {
        let ciphers: Vec<u16> = offered(self.ciphers).collect();
        let extensions: Vec<u16> = offered(self.extensions).collect();
        let signatures: Vec<u16> = offered(self.signatures).collect();
        let named = if extensions.contains(&SERVER_NAME) {
            'd'
        } else {
            'i'
        };
        let [first, last] = self.protocol();
        let version = version(self.version);
        let (many, more) = (ciphers.len().min(99), extensions.len().min(99));

        // Both stand in the readable part; without them the hash is the same for every destination.
        let mut others = extensions;
        others.retain(|kind| ![SERVER_NAME, ALPN].contains(kind));
        let ciphers = hash(&[&ciphers]);
        let others = match (others.as_slice(), signatures.as_slice()) {
            (others, []) => hash(&[others]),
            (others, signatures) => hash(&[others, signatures]),
        };
        format!("t{version}{named}{many:02}{more:02}{first}{last}_{ciphers}_{others}").into()
    }

    /// First and last character of the first protocol; of its hexadecimal form where one of them is no letter or digit.
    fn protocol(&self) -> [char; 2] {
        let reserved = |name: &[u8]| {
            <[u8; 2]>::try_from(name).is_ok_and(|n| is_reserved(u16::from_be_bytes(n)))
        };
        let mut names = self.alpn.iter().filter(|name| !reserved(name));
        let Some([first, .., last] | [first @ last]) = names.next().map(|name| &**name) else {
            return ['0', '0'];
        };
        if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
            [char::from(*first), char::from(*last)]
        } else {
            [digit(first >> 4), digit(last & 0xf)]
        }
    }
}

/// Whether a cipher suite, extension or version is one of those that mean nothing and keep servers tolerant
/// (RFC 8701 §2: both bytes alike, each ending in `a`).
pub(super) fn is_reserved(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0xf == 0xa
}

fn offered(values: &[u16]) -> impl Iterator<Item = u16> {
    values.iter().copied().filter(|value| !is_reserved(*value))
}

/// The datagram versions are in the definition too; over TCP nothing but a wrong or joking client offers them.
fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// Twelve hexadecimal digits of the SHA-256 of lists: `_` between lists, `,` between values, four digits a value. If
/// the first list is empty, twelve zeros instead.
fn hash(lists: &[&[u16]]) -> String {
    if lists.first().is_none_or(|first| first.is_empty()) {
        return "0".repeat(12);
    }
    let mut sha = Sha256::new();
    for (nth, list) in lists.iter().enumerate() {
        for (at, value) in list.iter().enumerate() {
            sha.update(match (nth, at) {
                (0, 0) => "",
                (_, 0) => "_",
                (_, _) => ",",
            });
            sha.update(hex(*value));
        }
    }
    let digits = sha.finalize();
    let first = digits.iter().take(6);
    first
        .flat_map(|b| [digit(b >> 4), digit(b & 0xf)])
        .collect()
}

fn hex(value: u16) -> [u8; 4] {
    [12, 8, 4, 0].map(|shift| {
        let nibble = (value >> shift & 0xf) as u8;
        nibble + if nibble < 10 { b'0' } else { b'a' - 10 }
    })
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}
