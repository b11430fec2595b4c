//! What kind of place an address is, by the IANA special-purpose registries (RFC 6890 and its updates).
//! Not the decision what a class may: that is the policy's guard.
//! Start at [`AddrClass::of`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The class of an address. Every class but [`AddrClass::Public`] is guarded: no connection is made to it unless a
/// policy rule names the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddrClass {
    /// Globally reachable unicast.
    Public,
    /// This machine (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3).
    Loopback,
    /// Private use (RFC 1918).
    Private,
    /// Link-local (RFC 3927, RFC 4291 §2.5.6), site-local too.
    LinkLocal,
    /// Unique local (RFC 4193).
    UniqueLocal,
    /// A cloud's instance metadata or wire server.
    Metadata,
    /// Carrier-grade NAT (RFC 6598).
    SharedNat,
    /// Multicast.
    Multicast,
    /// Limited broadcast.
    Broadcast,
    /// Documentation (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// Benchmarking (RFC 2544, RFC 5180).
    Benchmarking,
    /// "This network", unspecified.
    Unspecified,
    /// Everything else that is not globally reachable.
    Reserved,
}

impl AddrClass {
    /// The class of an address. One that wraps an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) has the
    /// class of what it wraps where that is guarded: the packet ends there.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => of_v4(ip),
            IpAddr::V6(ip) => of_v6(ip),
        }
    }

    /// The word for this class in a policy.
    pub fn word(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, class)| *class == self)
            .map_or("public", |(name, _)| name)
    }

    /// Every class word, for suggestions.
    pub fn words() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for AddrClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for AddrClass {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        NAMES
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, class)| *class)
            .ok_or(())
    }
}

const NAMES: &[(&str, AddrClass)] = &[
    ("public", AddrClass::Public),
    ("loopback", AddrClass::Loopback),
    ("private", AddrClass::Private),
    ("link-local", AddrClass::LinkLocal),
    ("unique-local", AddrClass::UniqueLocal),
    ("metadata", AddrClass::Metadata),
    ("shared-nat", AddrClass::SharedNat),
    ("multicast", AddrClass::Multicast),
    ("broadcast", AddrClass::Broadcast),
    ("documentation", AddrClass::Documentation),
    ("benchmarking", AddrClass::Benchmarking),
    ("unspecified", AddrClass::Unspecified),
    ("reserved", AddrClass::Reserved),
];

fn of_v4(ip: Ipv4Addr) -> AddrClass {
    match ip.octets() {
        // AWS, GCP, Azure, OpenStack, DigitalOcean; AWS task roles; AWS time; Alibaba; Azure wire server; Oracle.
        [169, 254, 169, 254]
        | [169, 254, 170, 2]
        | [169, 254, 170, 23]
        | [169, 254, 169, 123]
        | [169, 254, 169, 253] => AddrClass::Metadata,
        [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => AddrClass::Metadata,
        [0, ..] => AddrClass::Unspecified,
        [127, ..] => AddrClass::Loopback,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => AddrClass::Private,
        [169, 254, ..] => AddrClass::LinkLocal,
        [100, 64..=127, ..] => AddrClass::SharedNat,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddrClass::Documentation,
        [198, 18..=19, ..] => AddrClass::Benchmarking,
        // 192.0.0.9 and .10 are globally reachable anycast; nobody needs them through a proxy.
        [192, 0, 0, _] | [192, 88, 99, _] => AddrClass::Reserved,
        [224..=239, ..] => AddrClass::Multicast,
        [255, 255, 255, 255] => AddrClass::Broadcast,
        [240..=255, ..] => AddrClass::Reserved,
        _ => AddrClass::Public,
    }
}

fn of_v6(ip: Ipv6Addr) -> AddrClass {
    if METADATA_V6.contains(&ip) {
        return AddrClass::Metadata;
    }
    if let Some(wrapped) = wrapped_v4(ip) {
        let class = of_v4(wrapped);
        if class != AddrClass::Public {
            return class;
        }
    }
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddrClass::Loopback,
        [0, 0, 0, 0, 0, 0, 0, 0] => AddrClass::Unspecified,
        [0xfe80..=0xfebf, ..] | [0xfec0..=0xfeff, ..] => AddrClass::LinkLocal,
        [0xfc00..=0xfdff, ..] => AddrClass::UniqueLocal,
        [0xff00..=0xffff, ..] => AddrClass::Multicast,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddrClass::Documentation,
        [0x2001, 2, 0, ..] => AddrClass::Benchmarking,
        // NAT64 well-known prefix around a public address: the translator reaches it.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => AddrClass::Public,
        // 6to4 and Teredo around a public address. Both relays are history, but the packet goes where it says.
        [0x2002, ..] | [0x2001, 0, ..] => AddrClass::Public,
        // ORCHID, AMT, AS112 and the rest of 2001::/23 are protocol assignments (RFC 2928).
        [0x2001, 1..=0x1ff, ..] => AddrClass::Reserved,
        [0x2000..=0x3fff, ..] => AddrClass::Public,
        // Only 2000::/3 is allocated for global unicast; the local NAT64 prefix 64:ff9b:1::/48 (RFC 8215) falls here.
        _ => AddrClass::Reserved,
    }
}

/// The IPv4 address inside an IPv6 one, where a transition mechanism would take the packet there: mapped, compatible, NAT64,
/// 6to4, Teredo, ISATAP.
pub fn wrapped_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        // Unspecified and loopback are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible (RFC 4291 §2.5.5.1), IPv4-translated (RFC 2765).
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),
        // NAT64, well-known (RFC 6052) and local-use (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x64, 0xff9b, 1, _, _, _, high, low] => Some(v4(high, low)),
        // 6to4 (RFC 3056 §2).
        [0x2002, high, low, ..] => Some(v4(high, low)),
        // Teredo: the client's address is stored inverted (RFC 4380 §4).
        [0x2001, 0, _, _, _, _, high, low] => Some(v4(!high, !low)),
        // ISATAP (RFC 5214 §6.1).
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(v4(high, low)),
        _ => None,
    }
}

/// What of an address is one client's: all of an IPv4 address, and of an IPv6 one the /64, of which a customer has every address.
pub fn client_network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

const METADATA_V6: [Ipv6Addr; 4] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xa9fe, 0xa9fe, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guarded_range_is_known_in_every_wrapping() {
        use AddrClass::{
            Benchmarking, Broadcast, Documentation, LinkLocal, Loopback, Metadata, Multicast,
            Private, Public, Reserved, SharedNat, UniqueLocal, Unspecified,
        };
        for (text, class) in [
            ("8.8.8.8", Public),
            ("127.0.0.1", Loopback),
            ("127.255.0.9", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.32.0.1", Public),
            ("192.168.1.1", Private),
            ("169.254.1.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("100.100.100.200", Metadata),
            ("100.64.0.1", SharedNat),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("198.18.0.1", Benchmarking),
            ("203.0.113.7", Documentation),
            ("224.0.0.1", Multicast),
            ("255.255.255.255", Broadcast),
            ("240.0.0.1", Reserved),
            ("::1", Loopback),
            ("::", Unspecified),
            ("::ffff:127.0.0.1", Loopback),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::a00:1", Private),
            ("64:ff9b::808:808", Public),
            ("64:ff9b:1::a00:1", Private),
            ("64:ff9b:1::808:808", Reserved),
            ("2002:7f00:1::1", Loopback),
            ("2002:808:808::1", Public),
            ("2001:0:0:0:0:0:f5ff:fffe", Private),
            ("2001:db8::1", Documentation),
            ("fe80::1", LinkLocal),
            ("fec0::1", LinkLocal),
            ("fd00::1", UniqueLocal),
            ("fd00:ec2::254", Metadata),
            ("ff02::1", Multicast),
            ("2606:4700::1", Public),
            ("2606:4700::200:5efe:c0a8:1", Private),
            ("100::1", Reserved),
            ("5f00::1", Reserved),
        ] {
            let ip: IpAddr = text.parse().expect("the table holds addresses");
            assert_eq!(AddrClass::of(ip), class, "{text}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for word in AddrClass::words() {
            assert_eq!(word.parse::<AddrClass>().map(AddrClass::word), Ok(word));
        }
    }
}
