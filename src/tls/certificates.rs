//! The certificates that a listener shows: read with their keys, chosen by the name that the client asks for.
//! Verifies no peer and makes no connection (acceptor), and reads no key itself (keys).
//! Start at [`Certificates::load`].

mod expiring;
mod staple;
#[cfg(test)]
mod tests;

pub use expiring::{Expiring, SOON};

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::keys::{self, Access, KeySource, Validity};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Located, Table, Value};

/// Where one certificate stands: `{ cert = "proxy.pem", key = { file = "proxy.key" }, ocsp = "proxy.ocsp" }`. It remembers the
/// places, so that all can be read again when files have changed.
#[derive(Debug, Clone)]
pub struct Source {
    chain: Located<PathBuf>,
    key: KeySource,
    staple: Option<Located<PathBuf>>,
}

impl FromValue for Source {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let table = Table::from_value(value, faults)?;
        let chain = table.require(
            "cert",
            "name the file: cert = \"proxy.pem\", the own certificate first, then its issuers'",
            faults,
        );
        let key = table.require("key", "write key = { file = \"proxy.key\" }", faults);
        let staple = table.take("ocsp", faults);
        table.finish(faults);
        Some(Self {
            chain: chain?,
            key: key?,
            staple,
        })
    }
}

impl Source {
    /// The files that it is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let staple = self.staple.iter().map(|staple| &*staple.value);
        std::iter::once(&*self.chain.value)
            .chain(self.key.files())
            .chain(staple)
    }

    /// Reads all of it. Blocks on the disk. `None` after a fault.
    pub(super) fn load(&self, faults: &Faults) -> Option<CertifiedKey> {
        // Each is read whatever becomes of the others, so that all faults are told.
        let chain = keys::read_chain(&self.chain, faults);
        let key = self.key.read(Access::Group, faults);
        let staple = match &self.staple {
            Some(path) => staple::read(path, faults).map(Some),
            None => Some(None),
        };
        let mut certified = keys::certified(chain?, key?, self.key.at(), faults)?;
        certified.ocsp = staple?;
        Some(certified)
    }
}

/// The certificates of one listener, by name. A name that is asked for is looked up as it is, then with its first label
/// replaced by `*` (RFC 9525 §6.3: a wildcard stands for one whole label); a client that asks for none, or for an unknown
/// one, is shown the first certificate.
#[derive(Debug)]
pub struct Certificates {
    first: Arc<CertifiedKey>,
    by_name: HashMap<Box<str>, Arc<CertifiedKey>>,
    expiring: Vec<Expiring>,
}

impl Certificates {
    /// Reads them all; at least one. Blocks on the disk. `None` after a fault: what a file has wrong, a name that two
    /// certificates have, a certificate that no name leads to.
    pub fn load(sources: &[Source], listener: &str, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let mut first = None;
        let mut by_name: HashMap<Box<str>, Arc<CertifiedKey>> = HashMap::new();
        let mut expiring = Vec::new();
        for source in sources {
            let Some(certified) = source.load(faults).map(Arc::new) else {
                continue;
            };
            let names = certified.cert.first().map(names).unwrap_or_default();
            let shown = source.chain.value.display();
            if first.is_some() && names.is_empty() {
                faults.push(Fault::at(
                    &source.chain.at,
                    format!("{shown} names no host, so that nobody can ask for it"),
                    "put it first, or give it a subject alternative name",
                ));
            }
            for name in &names {
                let name = name.as_str().into();
                if let Some(twice) = by_name.insert(name, certified.clone())
                    && !Arc::ptr_eq(&twice, &certified)
                {
                    faults.push(Fault::at(
                        &source.chain.at,
                        format!(
                            "{shown} is the second certificate for \"{}\"",
                            names.join("\", \"")
                        ),
                        "give each name one certificate",
                    ));
                    break;
                }
            }
            let ends = certified.cert.iter().filter_map(Validity::of);
            if let Some(not_after) = ends.map(|validity| validity.not_after).min() {
                expiring.push(Expiring {
                    what: format!("listener \"{listener}\": {shown}"),
                    names,
                    not_after,
                });
            }
            first.get_or_insert(certified);
        }
        let first = first.filter(|_| faults.len() == before)?;
        Some(Self {
            first,
            by_name,
            expiring,
        })
    }

    /// Until when they are valid.
    pub fn expiring(&self) -> &[Expiring] {
        &self.expiring
    }

    /// The certificate for a name in lower case.
    fn find(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let named = name.and_then(|name| self.by_name.get(name).or_else(|| self.wildcard(name)));
        named.unwrap_or(&self.first)
    }

    fn wildcard(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let (label, parent) = name.split_once('.')?;
        let wildcard = format!("*.{parent}");
        (!label.is_empty()).then(|| self.by_name.get(&*wildcard))?
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A name in TLS is any mix of cases; here it comes in lower case.
        Some(self.find(hello.server_name()).clone())
    }
}

/// The hosts that a certificate names, in lower case; the common name is none of them (RFC 9525 §2).
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let host = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) = name {
            Some(name.to_ascii_lowercase())
        } else {
            None
        }
    };
    let mut names: Vec<String> = alternatives
        .value
        .general_names
        .iter()
        .filter_map(host)
        .collect();
    names.dedup();
    names
}
