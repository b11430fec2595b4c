//! Client certificates: whose are trusted, which are revoked, and which of their names is the principal's.
//! Verifies none by itself: webpki does, with what is read here.
//! Start at [`Clients::verifier`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::fault::{Fault, Faults, Location};
use crate::settings::{FromValue, Located, Table, Value, one_of};
use crate::tls::identity::Naming;
use crate::tls::keys::read_public;

/// `client = { roots = ["clients.pem"], required = true, crl = ["revoked.pem"], principal = "spiffe" }`.
#[derive(Debug)]
pub(super) struct Clients {
    at: Location,
    roots: Vec<Located<PathBuf>>,
    crls: Vec<Located<PathBuf>>,
    pub(super) required: bool,
    pub(super) naming: Naming,
}

impl FromValue for Clients {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let table = Table::from_value(value, faults)?;
        let at = table.at.clone();
        let roots = table.require(
            "roots",
            "name the authorities of your clients: roots = [\"clients.pem\"]",
            faults,
        );
        let crls = table.take_or("crl", Vec::new(), faults);
        let required = table.require(
            "required",
            "write required = true, or false to let clients without a certificate in as well",
            faults,
        );
        let naming = table
            .take::<Located<String>>("principal", faults)
            .and_then(|word| one_of(&word, Naming::WORDS, faults));
        table.finish(faults);
        let roots: Vec<_> = roots?;
        if roots.is_empty() {
            faults.push(Fault::at(
                &at,
                "without \"roots\" no client's certificate is trusted",
                "name the authorities of your clients: roots = [\"clients.pem\"]",
            ));
            return None;
        }
        Some(Self {
            at,
            roots,
            crls,
            required: required?,
            naming: naming.unwrap_or_default(),
        })
    }
}

impl Clients {
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().chain(&self.crls).map(|path| &*path.value)
    }

    /// Reads roots and revocation lists. Where there are lists, every certificate of a client's chain below its root must be
    /// covered by one that is up to date: an authority without a list, and a list past its next update, let nobody in.
    pub(super) fn verifier(&self, faults: &Faults) -> Option<Arc<dyn ClientCertVerifier>> {
        let before = faults.len();
        let mut roots = RootCertStore::empty();
        for path in &self.roots {
            add_roots(&mut roots, path, faults);
        }
        let mut crls = Vec::new();
        for path in &self.crls {
            crls.extend(read_crls(path, faults));
        }
        if faults.len() > before {
            return None;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(crls)
            .enforce_revocation_expiration();
        if !self.required {
            builder = builder.allow_unauthenticated();
        }
        match builder.build() {
            Ok(verifier) => Some(verifier),
            Err(error) => {
                faults.push(Fault::at(
                    &self.at,
                    format!("client certificates can not be verified: {error}"),
                    "check the files of \"roots\" and \"crl\"",
                ));
                None
            }
        }
    }
}

fn add_roots(roots: &mut RootCertStore, path: &Located<PathBuf>, faults: &Faults) {
    let shown = path.value.display();
    let tell = |problem: String| {
        let remedy = "give a file of certificates in PEM (\"-----BEGIN CERTIFICATE-----\")";
        faults.push(Fault::at(&path.at, problem, remedy));
    };
    let bytes = match read_public(&path.value) {
        Ok(bytes) => bytes,
        Err(fault) => return faults.push(Fault::at(&path.at, fault.problem, fault.remedy)),
    };
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|der| roots.add(der).map_err(|error| error.to_string()));
        if let Err(error) = added {
            tell(format!(
                "{shown} has a certificate that can not be used: {error}"
            ));
            return;
        }
    }
    if roots.len() == before {
        tell(format!("{shown} holds no certificate"));
    }
}

/// The lists of a file: PEM, or one in DER (RFC 5280 §5).
fn read_crls(
    path: &Located<PathBuf>,
    faults: &Faults,
) -> Vec<CertificateRevocationListDer<'static>> {
    let shown = path.value.display();
    let found = read_public(&path.value).and_then(|bytes| {
        let crls = decode(bytes).map_err(|error| Fault::new(format!("{shown} {error}"), FORM))?;
        for crl in &crls {
            up_to_date(crl)
                .map_err(|(error, remedy)| Fault::new(format!("{shown} {error}"), remedy))?;
        }
        Ok(crls)
    });
    found.unwrap_or_else(|fault| {
        faults.push(Fault::at(&path.at, fault.problem, fault.remedy));
        Vec::new()
    })
}

const FORM: &str = "give revocation lists in PEM (\"-----BEGIN X509 CRL-----\"), or one in DER";

fn decode(bytes: Vec<u8>) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    // 0x30 begins every list in DER, and no PEM.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.into()]);
    }
    let crls = CertificateRevocationListDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("is broken PEM: {error}"))?;
    if crls.is_empty() {
        return Err("holds no revocation list".to_owned());
    }
    Ok(crls)
}

fn up_to_date(crl: &CertificateRevocationListDer<'_>) -> Result<(), (String, &'static str)> {
    let Ok((_, parsed)) = CertificateRevocationList::from_der(crl) else {
        return Err(("holds a broken revocation list".to_owned(), FORM));
    };
    let now = jiff::Timestamp::now().as_second();
    match parsed.next_update() {
        Some(next) if next.timestamp() < now => {
            let problem = format!(
                "holds a revocation list of \"{}\" that is out of date: the next was due at {next}",
                parsed.issuer()
            );
            Err((problem, "fetch the new one from its authority"))
        }
        Some(_) | None => Ok(()),
    }
}
