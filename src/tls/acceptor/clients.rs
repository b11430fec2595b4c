//! Client certificates: whose are trusted, which are revoked, and which of their names is the principal's.
//! Verifies none by itself: webpki does, with what is read here.
//! Start at [`Clients::verifier`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::fault::{Fault, Faults, Location};
use crate::settings::{FromValue, Located, Table, Value, one_of};
use crate::tls::anchors::{add_roots, read_lists};
use crate::tls::identity::Naming;

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
            let read = read_lists(path, faults);
            for crl in &read {
                note_if_old(crl, path, faults);
            }
            crls.extend(read);
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

/// An out of date list would let nobody in (see [`Clients::verifier`]), so it is told where it stands.
fn note_if_old(crl: &CertificateRevocationListDer<'_>, path: &Located<PathBuf>, faults: &Faults) {
    let Ok((_, parsed)) = CertificateRevocationList::from_der(crl) else {
        return;
    };
    let now = jiff::Timestamp::now().as_second();
    let Some(next) = parsed.next_update().filter(|next| next.timestamp() < now) else {
        return;
    };
    let problem = format!(
        "{} holds a revocation list of \"{}\" that is out of date: the next was due at {next}",
        path.value.display(),
        parsed.issuer()
    );
    let remedy = "fetch the new one from its authority";
    faults.push(Fault::at(&path.at, problem, remedy));
}
