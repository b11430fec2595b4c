//! `[tls]`: whom we believe when we connect to origins. Every root and every revocation list is checked at load.
//! Not the listeners' TLS.
//! Start at [`read`].

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};

use super::noting::Noting;
use super::verifier::Verifier;
use super::{Inner, Trust};
use crate::fault::{Fault, Faults, Location};
use crate::settings::{Located, Table, one_of};

/// Reads `[tls]`: `roots = ["extra.pem"]`, `crl = ["revoked.pem"]`, `min-version = "1.2"`. Blocks on the disk.
///
/// A certificate that no list speaks of is taken as not revoked; a list that has run out fails those that it speaks of.
pub fn read(table: Option<Table>, faults: &Faults) -> Trust {
    let mut roots = RootCertStore::empty();
    // What the platform can not parse is its own business; a machine without any store falls back to the webpki roots.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let mut revoked = Vec::new();
    let mut versions = BOTH;
    if let Some(table) = table {
        for path in table.take_or::<Vec<Located<PathBuf>>>("roots", Vec::new(), faults) {
            add_roots(&mut roots, &path, faults);
        }
        for path in table.take_or::<Vec<Located<PathBuf>>>("crl", Vec::new(), faults) {
            add_revoked(&mut revoked, &path, faults);
        }
        if let Some(word) = table.take::<Located<String>>("min-version", faults) {
            versions = one_of(&word, &[("1.2", BOTH), ("1.3", LATEST)], faults).unwrap_or(BOTH);
        }
        table.finish(faults);
    }
    build(roots, revoked, versions)
}

type Versions = &'static [&'static SupportedProtocolVersion];
const BOTH: Versions = &[&version::TLS13, &version::TLS12];
const LATEST: Versions = &[&version::TLS13];

fn build(
    roots: RootCertStore,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    versions: Versions,
) -> Trust {
    let roots = Arc::new(roots);
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
        .with_crls(revoked.iter().cloned())
        .allow_unknown_revocation_status()
        .enforce_revocation_expiration()
        .build()
        .expect("there is a root, and each list was parsed before");
    let verifier = Arc::new(Verifier::new(verifier, roots.clone(), provider.clone()));
    let noting = Arc::new(Noting::new());
    let config = |alpn: &[&[u8]]| {
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .expect("the provider has suites for both versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(noting.clone());
        config.resumption = Resumption::store(noting.clone());
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    };
    Trust(Arc::new(Inner {
        any: config(&[b"h2", b"http/1.1"]),
        http1: config(&[b"http/1.1"]),
        verifier,
        noting,
        roots,
        revoked,
        oldest: versions
            .last()
            .map_or(ProtocolVersion::TLSv1_3, |oldest| oldest.version),
    }))
}

fn add_roots(roots: &mut RootCertStore, path: &Located<PathBuf>, faults: &Faults) {
    let before = roots.len();
    let place = Place::new(path, "certificate", CERTIFICATES, faults);
    for certificate in place.open(CertificateDer::pem_file_iter(&path.value)) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|der| roots.add(der).map_err(|error| error.to_string()));
        place.note(added);
    }
    place.note_empty(roots.len() == before);
}

fn add_revoked(
    revoked: &mut Vec<CertificateRevocationListDer<'static>>,
    path: &Located<PathBuf>,
    faults: &Faults,
) {
    let before = revoked.len();
    let place = Place::new(path, "revocation list", LISTS, faults);
    for list in place.open(CertificateRevocationListDer::pem_file_iter(&path.value)) {
        let added = list
            .map_err(|error| error.to_string())
            .and_then(|list| check_list(&list).map(|()| revoked.push(list)));
        place.note(added);
    }
    place.note_empty(revoked.len() == before);
}

/// A list is parsed as it will be when it is used.
fn check_list(list: &CertificateRevocationListDer<'static>) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().take(1).cloned());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .with_crls([list.clone()])
        .build()
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// A file that is being read, for its faults.
struct Place<'a> {
    at: &'a Location,
    shown: String,
    what: &'static str,
    remedy: &'static str,
    faults: &'a Faults,
    before: usize,
}

impl<'a> Place<'a> {
    fn new(
        path: &'a Located<PathBuf>,
        what: &'static str,
        remedy: &'static str,
        faults: &'a Faults,
    ) -> Self {
        Self {
            at: &path.at,
            shown: path.value.display().to_string(),
            what,
            remedy,
            faults,
            before: faults.len(),
        }
    }

    fn open<I: Iterator>(&self, opened: Result<I, pem::Error>) -> impl Iterator<Item = I::Item> {
        let opened = opened.map_err(|error| {
            let problem = format!("cannot read {}: {error}", self.shown);
            let remedy = "check the path and its permissions";
            self.faults.push(Fault::at(self.at, problem, remedy));
        });
        opened.into_iter().flatten()
    }

    fn note(&self, added: Result<(), String>) {
        if let Err(error) = added {
            let (shown, what) = (&self.shown, self.what);
            let problem = format!("{shown} has a {what} that can not be used: {error}");
            self.faults.push(Fault::at(self.at, problem, self.remedy));
        }
    }

    fn note_empty(&self, empty: bool) {
        if empty && self.faults.len() == self.before {
            let problem = format!("{} holds no {}", self.shown, self.what);
            self.faults.push(Fault::at(self.at, problem, self.remedy));
        }
    }
}

/// What to give, and what most likely was given instead.
const CERTIFICATES: &str = "give a file of certificates in PEM (\"-----BEGIN CERTIFICATE-----\"); one in DER is converted with: \
                            openssl x509 -inform der -in ca.der -out ca.pem";
const LISTS: &str = "give a file of revocation lists in PEM (\"-----BEGIN X509 CRL-----\"); one in DER is converted with: \
                     openssl crl -inform der -in ca.crl -out crl.pem";
