//! What a leaf shall be like: for a host alone, or after the origin's certificate.
//! Signs nothing; the origin's certificate is read on the minting thread, not where a spec is made.
//! Start at [`Spec`].

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::keys::Kind;
use crate::addr::Host;
use crate::tls::authority::Authority;
use crate::tls::keys::Validity;

/// Which leaf: the host that the client asked for, and which certificate of the origin it mirrors, if any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    host: Host,
    origin: Option<[u8; 32]>,
}

impl Key {
    /// A leaf's for a host alone.
    pub fn plain(host: &Host) -> Self {
        Self {
            host: host.clone(),
            origin: None,
        }
    }

    /// A leaf's that mirrors an origin's certificate. Costs one SHA-256 over it.
    pub fn mirror(host: &Host, origin_leaf: &CertificateDer<'_>) -> Self {
        Self {
            host: host.clone(),
            origin: Some(Sha256::digest(origin_leaf).into()),
        }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }
}

/// What a leaf shall be like.
#[derive(Debug, Clone)]
pub struct Spec {
    key: Key,
    origin: Option<CertificateDer<'static>>,
}

impl Spec {
    /// For one name or address and nothing else, with an EC key: where no origin was reached, or its certificate is not to be
    /// mirrored because it failed verification.
    pub fn plain(host: &Host) -> Self {
        Self {
            key: Key::plain(host),
            origin: None,
        }
    }

    /// After the origin's certificate, which must have been verified for this host: its names (at most 100, and 8 KiB; those
    /// that the authority may not sign for are left out), its kind of key (RSA or EC), and its validity within limits.
    pub fn mirror(host: &Host, origin_leaf: &CertificateDer<'_>) -> Self {
        Self {
            key: Key::mirror(host, origin_leaf),
            origin: Some(origin_leaf.clone().into_owned()),
        }
    }

    /// Under which its leaf is kept.
    pub fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn traits(&self, authority: &Authority, now: Timestamp) -> Traits {
        let own = Name::from(&self.key.host);
        let parsed = self
            .origin
            .as_ref()
            .and_then(|origin| parse_x509_certificate(origin).ok());
        let Some((_, parsed)) = parsed else {
            return Traits {
                names: vec![own],
                kind: Kind::Ec,
                window: None,
            };
        };
        let window = self.origin.as_ref().and_then(Validity::of);
        Traits {
            names: bounded(own, names(&parsed, authority)),
            kind: kind(&parsed),
            // One that is not valid now has failed verification; it is not for a mirror to show that it was mirrored.
            window: window.filter(|window| window.covers(now)),
        }
    }
}

/// What is put into a certificate.
pub(super) struct Traits {
    pub(super) names: Vec<Name>,
    pub(super) kind: Kind,
    pub(super) window: Option<Validity>,
}

/// A subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Exact(Arc<str>),
    /// `*.` and this one.
    Wildcard(Arc<str>),
    Address(IpAddr),
}

/// More names than this are not mirrored: a handshake that grows by them costs every client.
const NAMES_LIMIT: usize = 100;
const BYTES_LIMIT: usize = 8 << 10;

impl Name {
    /// RFC 6125 §6.4.3: the wildcard stands for exactly one label.
    fn covers(&self, own: &Self) -> bool {
        match (self, own) {
            (Self::Wildcard(parent), Self::Exact(name)) => name
                .split_once('.')
                .is_some_and(|(_, rest)| rest == &**parent),
            (Self::Exact(_) | Self::Wildcard(_) | Self::Address(_), own) => self == own,
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Exact(name) => name.len(),
            Self::Wildcard(parent) => parent.len() + 2,
            Self::Address(_) => 16,
        }
    }

    fn read(name: &GeneralName<'_>) -> Option<Self> {
        let exact = |text| match Host::parse(text) {
            Ok(Host::Name(name)) => Some(name),
            Ok(Host::Addr(_)) | Err(_) => None,
        };
        match name {
            GeneralName::DNSName(text) => match text.strip_prefix("*.") {
                Some(parent) => exact(parent).map(Self::Wildcard),
                None => exact(text).map(Self::Exact),
            },
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let ip = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                ip.ok().map(Self::Address)
            }
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::URI(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => None,
        }
    }

    fn may_be_signed(&self, authority: &Authority) -> bool {
        match self {
            Self::Exact(name) => authority.may_sign(&Host::Name(name.clone())),
            Self::Wildcard(parent) => authority.may_sign_wildcard(parent),
            Self::Address(ip) => authority.may_sign(&Host::from_ip(*ip)),
        }
    }
}

impl From<&Host> for Name {
    fn from(host: &Host) -> Self {
        match host {
            Host::Name(name) => Self::Exact(name.clone()),
            Host::Addr(ip) => Self::Address(*ip),
        }
    }
}

fn names(parsed: &X509Certificate<'_>, authority: &Authority) -> Vec<Name> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let read = extension.value.general_names.iter().filter_map(Name::read);
    read.filter(|name| name.may_be_signed(authority)).collect()
}

/// The names within the limits, what covers the own name first; it is added where nothing covers it.
fn bounded(own: Name, mut names: Vec<Name>) -> Vec<Name> {
    names.sort_by_key(|name| !name.covers(&own));
    if names.first().is_none_or(|first| !first.covers(&own)) {
        names.insert(0, own);
    }
    let mut kept: Vec<Name> = Vec::new();
    let mut room = BYTES_LIMIT;
    for name in names {
        if kept.len() == NAMES_LIMIT || name.length() > room {
            break;
        }
        if !kept.contains(&name) {
            room -= name.length();
            kept.push(name);
        }
    }
    kept
}

/// RFC 8017 §A.1: rsaEncryption, and id-RSASSA-PSS.
fn kind(parsed: &X509Certificate<'_>) -> Kind {
    let algorithm = parsed.public_key().algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => Kind::Rsa,
        _ => Kind::Ec,
    }
}
