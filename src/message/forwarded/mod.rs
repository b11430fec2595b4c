//! Who a request comes from where proxies stand in front of this one, and what the next hop is told of it:
//! `X-Forwarded-For`, `-Proto`, `-Host`, and `Forwarded` (RFC 7239).
//! Not the PROXY protocol, which speaks of a connection. Nobody is believed by default.
//! Start at [`Trusted::read`], then [`Writing::apply`].
//!
//! # What is believed
//!
//! A field says what some hop wrote, and a client can write it too. So the list is read from its right end, where the peer
//! wrote: its last entry is whom the peer was spoken to by. If that is a trusted proxy again, the entry before it is what that
//! one wrote, and so on. The first address that is not trusted is the client, and what stands to the left of it is hearsay.
//! An entry that can not be read, or hides the address (`unknown`, `_hidden`; RFC 7239 §6.2, §6.3), ends the walk too: the
//! client is then the last proxy that could be told, and [`Provenance::cut`] says so.
//!
//! One family of fields is believed, the one that the operator says the proxies write, and the other is not looked at. To
//! guess would be to believe the client: a proxy that writes only one of them passes on the other as the client sent it.

mod element;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use smallvec::SmallVec;

use self::element::Element;
pub(in crate::message) use self::write::is_believed;
pub use self::write::{Writing, names_client};
use crate::addr::Authority;
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Table, Value, one_of};

/// The networks whose proxies are believed, and the fields that they write; by default nobody. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    networks: Arc<[IpNet]>,
    family: Family,
}

/// The fields that say where a request comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Family {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Where a request comes from, as far as trusted proxies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The client: the first address from the right that is not a trusted proxy's, or the last good hop.
    pub client: IpAddr,
    /// The client's port, where it was said.
    pub port: Option<u16>,
    /// Whether the client spoke TLS, as a trusted proxy says. Of `X-Forwarded-Proto` the last value counts; of `Forwarded`
    /// the entry of the proxy nearest to the client that says it.
    pub secure: Option<bool>,
    /// The host that the client asked for, as a trusted proxy says; chosen as `secure` is.
    pub host: Option<Authority>,
    /// The walk met an entry that can not be read or that hides its address; `client` is then a trusted proxy.
    pub cut: bool,
    /// The entries that trusted proxies vouch for, the client's first; without the peer.
    chain: SmallVec<[Element; 2]>,
}

impl Trusted {
    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether an address is a trusted proxy's.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mapped = match address {
            IpAddr::V4(v4) => Some(IpAddr::V6(v4.to_ipv6_mapped())),
            IpAddr::V6(_) => None,
        };
        let holds = |net: &IpNet| {
            net.contains(&address) || mapped.is_some_and(|mapped| net.contains(&mapped))
        };
        self.networks.iter().any(holds)
    }
}

/// `trusted-proxies = ["10.0.0.0/8"]`, or `{ networks = ["10.0.0.0/8"], fields = "forwarded" }`.
impl FromValue for Trusted {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let (networks, family) = if let Kind::Table(table) = value.kind {
            let remedy = "name the networks of your proxies: networks = [\"10.0.0.0/8\"]";
            let networks = table.require("networks", remedy, faults);
            let family = read_family(&table, faults);
            table.finish(faults);
            (networks.unwrap_or_default(), family)
        } else {
            let networks = Vec::<Located<IpNet>>::from_value(value, faults);
            (networks.unwrap_or_default(), Family::default())
        };
        for net in networks.iter().filter(|net| net.value.prefix_len() == 0) {
            let problem = format!("{} trusts everyone, clients among them", net.value);
            let remedy = "name the networks of your proxies, such as \"10.0.0.0/8\"";
            faults.push(Fault::at(&net.at, problem, remedy));
        }
        let networks = networks.into_iter().map(|net| net.value).collect();
        (faults.len() == before).then_some(Self { networks, family })
    }
}

fn read_family(table: &Table, faults: &Faults) -> Family {
    let words = [
        ("x-forwarded", Family::XForwarded),
        ("forwarded", Family::Forwarded),
    ];
    let word: Option<Located<String>> = table.take("fields", faults);
    word.and_then(|word| one_of(&word, &words, faults))
        .unwrap_or_default()
}
