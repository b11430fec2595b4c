//! A new authority: a root of its own, or the request to be certified by another's.
//! Writes no file.
//! Start at [`New`].

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree,
    IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::pki_types::CertificateDer;

use super::issue::serial;
use crate::tls::keys::Validity;

/// What an authority shall be like. Its key is ECDSA with P-256; no authority can be below it (pathlen 0).
#[derive(Debug, Clone)]
pub struct New {
    /// Its common name.
    pub name: String,
    /// Days that it is valid, from now.
    pub days: u32,
    /// What it may sign for; everything if empty.
    pub permitted: Vec<Permitted>,
}

/// What an authority may sign for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permitted {
    /// A name and all below it; with a leading dot only those below.
    Name(String),
    /// The addresses of a network.
    Network(IpNet),
}

/// An authority that was made.
pub struct Created {
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    /// The same in PEM.
    pub pem: String,
    /// Its key.
    pub key: KeyPair,
    /// From when until when it can sign.
    pub validity: Validity,
}

impl New {
    /// Makes the key and a root with it. Errors: no randomness, or a name that no certificate can have.
    pub fn root(&self) -> Result<Created, rcgen::Error> {
        let key = KeyPair::generate()?;
        let now = Timestamp::now();
        let hours = |days: i64| SignedDuration::from_hours(24 * days);
        let validity = Validity {
            // For clients whose clocks are slow.
            not_before: now.saturating_sub(hours(1)).unwrap_or(now),
            not_after: now
                .saturating_add(hours(i64::from(self.days)))
                .unwrap_or(Timestamp::MAX),
        };
        let mut params = self.params();
        params.serial_number = Some(serial()?);
        validity.put_into(&mut params);
        if !self.permitted.is_empty() {
            params.name_constraints = Some(self.constraints());
        }
        let certificate = params.self_signed(&key)?;
        Ok(Created {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
            validity,
        })
    }

    /// Makes the key and a request (PKCS#10, in PEM) for another authority to certify it as an intermediate. How long it is
    /// valid and what it may sign for is what that authority says. RFC 2986.
    pub fn request(&self) -> Result<(String, KeyPair), rcgen::Error> {
        let key = KeyPair::generate()?;
        let request = self.params().serialize_request(&key)?;
        Ok((request.pem()?, key))
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, self.name.as_str());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// A kind of name that is not mentioned is not constrained (RFC 5280 §4.2.1.10), so where only names are permitted all
    /// addresses are excluded, and where only networks are, all names.
    fn constraints(&self) -> NameConstraints {
        let subtree = |permitted: &Permitted| match permitted {
            Permitted::Name(name) => GeneralSubtree::DnsName(name.clone()),
            Permitted::Network(net) => network(net),
        };
        let permitted: Vec<_> = self.permitted.iter().map(subtree).collect();
        let is_name = |permitted: &Permitted| matches!(permitted, Permitted::Name(_));
        let mut excluded = Vec::new();
        if self.permitted.iter().all(is_name) {
            let all = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            let nothing = |ip| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, 0));
            excluded.extend(all.map(nothing));
        }
        if !self.permitted.iter().any(is_name) {
            excluded.push(GeneralSubtree::DnsName(String::new()));
        }
        NameConstraints {
            permitted_subtrees: permitted,
            excluded_subtrees: excluded,
        }
    }
}

fn network(net: &IpNet) -> GeneralSubtree {
    GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(net.addr(), net.prefix_len()))
}
