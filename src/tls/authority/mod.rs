//! The authority that signs what interception shows to clients, and those that clients shall trust beside it.
//! Mints no leaf and keeps none (mint).
//! Start at [`Authorities`]; one of them is an [`Authority`].

mod check;
mod constraints;
mod create;
mod issue;
mod shown;
#[cfg(test)]
mod tests;

pub use create::{Created, New, Permitted};
pub(super) use issue::serial;
pub use shown::{fingerprint, pem};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::parse_x509_certificate;

use self::constraints::Constraints;
use super::certificates::Expiring;
use super::keys::{Access, KeySource, Validity, read_chain};
use crate::addr::Host;
use crate::fault::{Fault, Faults, Location, quoted};
use crate::settings::{FromValue, Kind, Located, Table, Value};

/// What `[intercept] authority` names: one table, or an array of them where old and new stand side by side in a rotation.
#[derive(Debug, Clone)]
pub struct Authorities {
    /// The one that signs: the first.
    pub signing: Arc<Authority>,
    /// What clients shall trust, the signing one's first: of each chain its self-signed root, or else its first certificate.
    pub offered: Vec<CertificateDer<'static>>,
}

/// A certificate that may certify others, with its key.
pub struct Authority {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    validity: Validity,
    constraints: Constraints,
}

impl Authority {
    /// From a chain, the signing certificate first, and its key. Errors: a fault without a place: not a certificate for an
    /// authority, not allowed to sign servers' certificates, a weak key, another's key.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<Self, Fault> {
        let told = |(problem, remedy): check::Finding| Fault::new(problem, remedy);
        check::chain(&chain).map_err(told)?;
        let key = KeyPair::try_from(key)
            .map_err(|_| check::unusable_key())
            .map_err(told)?;
        let constraints = Constraints::of(&chain).map_err(told)?;
        let first = chain.first().ok_or_else(|| told(check::broken()))?;
        let validity = Validity::of(first).ok_or_else(|| told(check::broken()))?;
        let (_, parsed) = parse_x509_certificate(first).map_err(|_| told(check::broken()))?;
        check::own_key(&parsed, &key).map_err(told)?;
        let subject = parsed.subject().as_raw().to_vec();
        let key_id = check::key_id(&parsed);
        Ok(Self {
            chain,
            key,
            subject,
            key_id,
            validity,
            constraints,
        })
    }

    /// Whether a leaf for this host is within the name constraints of the whole chain. RFC 5280 §4.2.1.10.
    pub fn may_sign(&self, host: &Host) -> bool {
        match host {
            Host::Name(name) => self.constraints.allow_name(name),
            Host::Addr(ip) => self.constraints.allow_address(*ip),
        }
    }

    /// Whether a leaf for all names one label below this one (`*.example.com`) is within the name constraints.
    pub(super) fn may_sign_wildcard(&self, parent: &str) -> bool {
        self.constraints.allow_wildcard(parent)
    }

    /// Whether a leaf may have a subject; where directory names are constrained, it has none, and its names stand in the
    /// alternative names alone.
    pub(super) fn may_name_subject(&self) -> bool {
        !self.constraints.on_directory_names()
    }

    /// From when until when it can sign.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The certificate that signs.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.chain
            .first()
            .expect("Authority::new takes no empty chain")
    }

    /// What a server sends after a leaf: the chain without a self-signed root, which a client has or does not trust.
    pub fn below_root(&self) -> &[CertificateDer<'static>] {
        match self.chain.split_last() {
            Some((last, below)) if is_self_signed(last) => below,
            Some(_) | None => &self.chain,
        }
    }

    /// What a client shall trust: the chain's self-signed root, or else its first certificate.
    pub fn anchor(&self) -> &CertificateDer<'static> {
        anchor(&self.chain).expect("Authority::new takes no empty chain")
    }
}

impl std::fmt::Debug for Authority {
    /// Nothing of the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("subject", &subject_of(self.certificate()))
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

impl Authorities {
    /// One authority and nothing beside it.
    pub fn only(authority: Authority) -> Self {
        Self {
            offered: vec![authority.anchor().clone()],
            signing: Arc::new(authority),
        }
    }

    /// When the authority that signs ends.
    pub fn expiring(&self) -> Expiring {
        Expiring {
            what: "the authority of [intercept]".to_owned(),
            names: vec![subject_of(self.signing.certificate())],
            not_after: self.signing.validity().not_after,
        }
    }

    /// What clients shall trust, without keys: for who exports it. Reads no key. `None` after a fault.
    pub fn offered(value: Value, faults: &Faults) -> Option<Vec<CertificateDer<'static>>> {
        let entries = entries(value, faults)?;
        let chains: Vec<_> = entries
            .iter()
            .filter_map(|entry| read_chain(&entry.cert, faults))
            .collect();
        if chains.len() < entries.len() {
            return None;
        }
        let anchors = chains.iter().filter_map(|chain| anchor(chain));
        Some(anchors.cloned().collect())
    }
}

/// `{ cert = "ca.pem", key = {…} }`, or an array of such tables; a `key` is needed in the first alone. Reads all files.
impl FromValue for Authorities {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let at = value.at.clone();
        let entries = entries(value, faults)?;
        let mut offered = Vec::new();
        let mut signing = None;
        let before = faults.len();
        for (index, entry) in entries.into_iter().enumerate() {
            if let Some(fault) = entry.missing(index == 0) {
                faults.push(fault);
                continue;
            }
            let Some(chain) = read_chain(&entry.cert, faults) else {
                continue;
            };
            offered.extend(anchor(&chain).cloned());
            if index == 0 {
                signing = sign_with(chain, &entry, faults);
            }
        }
        if faults.len() > before {
            return None;
        }
        let Some(signing) = signing else {
            faults.push(Fault::at(&at, "no authority is named", MAKE_ONE));
            return None;
        };
        Some(Self {
            signing: Arc::new(signing),
            offered,
        })
    }
}

struct Entry {
    at: Location,
    cert: Located<PathBuf>,
    key: Option<KeySource>,
}

impl Entry {
    /// The fault where a file is not there, with the command that makes both; of one that does not sign, only the certificate is
    /// needed.
    fn missing(&self, signs: bool) -> Option<Fault> {
        let cert = self.cert.value.as_path();
        let source = self.key.as_ref().filter(|_| signs);
        let key = source.and_then(KeySource::path);
        let is_missing = |path: &Path| matches!(path.try_exists(), Ok(false));
        let (no_cert, no_key) = (is_missing(cert), key.is_some_and(is_missing));
        let (gone, at) = match (no_cert, no_key) {
            (false, false) => return None,
            (true, _) => (cert, &self.cert.at),
            (false, true) => (key?, source?.at()),
        };
        let named = |option: &str, path: &Path| {
            format!(" --{option} {}", quoted(&path.display().to_string()))
        };
        let (cert, key) = (named("cert", cert), key.map(|key| named("key", key)));
        let make = format!("egret ca init{cert}{}", key.unwrap_or_default());
        let remedy = if no_cert && (no_key || source.is_none()) {
            format!("make the authority with: {make}")
        } else {
            // What is there is not written over unasked: it may be what clients trust.
            format!("name the right files, or make both anew with: {make} --force")
        };
        let problem = format!("there is no {}", gone.display());
        Some(Fault::at(at, problem, remedy))
    }
}

fn entries(value: Value, faults: &Faults) -> Option<Vec<Entry>> {
    let items = match value.kind {
        Kind::List(items) => items,
        Kind::Table(table) => vec![Value {
            at: value.at,
            kind: Kind::Table(table),
        }],
        Kind::Text(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Bool(_) | Kind::Datetime(_) => {
            return value.mismatch("{ cert = \"ca.pem\", key = { file = \"ca.key\" } }", faults);
        }
    };
    let count = items.len();
    let entries: Vec<Entry> = items
        .into_iter()
        .filter_map(|item| entry(item, faults))
        .collect();
    (entries.len() == count).then_some(entries)
}

fn entry(value: Value, faults: &Faults) -> Option<Entry> {
    let at = value.at.clone();
    let table = Table::from_value(value, faults)?;
    let before = faults.len();
    let cert = table.require("cert", MAKE_ONE, faults);
    let key = table.take("key", faults);
    table.finish(faults);
    if faults.len() > before {
        return None;
    }
    Some(Entry {
        at,
        cert: cert?,
        key,
    })
}

fn sign_with(
    chain: Vec<CertificateDer<'static>>,
    entry: &Entry,
    faults: &Faults,
) -> Option<Authority> {
    let Some(key) = &entry.key else {
        faults.push(Fault::at(
            &entry.at,
            "the authority that signs needs its key",
            "add to it: key = { file = \"ca.key\" }",
        ));
        return None;
    };
    let read = key.read(Access::Owner, faults)?;
    match Authority::new(chain, &read) {
        Ok(authority) => Some(authority),
        Err(fault) => {
            let shown = entry.cert.value.display();
            faults.push(Fault::at(
                &entry.cert.at,
                format!("{shown}: {}", fault.problem),
                fault.remedy,
            ));
            None
        }
    }
}

/// What a client shall trust of a chain: its self-signed root, or else its first certificate; `None` of an empty one.
pub fn anchor<'a, 'c>(chain: &'a [CertificateDer<'c>]) -> Option<&'a CertificateDer<'c>> {
    chain
        .last()
        .filter(|last| is_self_signed(last))
        .or_else(|| chain.first())
}

/// Told by its names; who forges that deceives nobody but themselves.
fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    parse_x509_certificate(certificate)
        .is_ok_and(|(_, parsed)| parsed.subject().as_raw() == parsed.issuer().as_raw())
}

fn subject_of(certificate: &CertificateDer<'_>) -> String {
    parse_x509_certificate(certificate)
        .map(|(_, parsed)| parsed.subject().to_string())
        .unwrap_or_default()
}

const MAKE_ONE: &str = "make one with: egret ca init";
