//! Files of roots and of revocation lists, as both ends of TLS read them.
//! Verifies nobody and asks no list whether it is out of date: whose certificates are judged by them decides that.
//! Start at [`add_roots`] and [`read_lists`].

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::keys::read_list;
use crate::fault::{Fault, Faults};
use crate::settings::Located;

/// Adds the certificates of a file in PEM. Blocks on the disk. Faults: unreadable, none in it, and each that can be no root.
pub(super) fn add_roots(roots: &mut RootCertStore, path: &Located<PathBuf>, faults: &Faults) {
    let tell = |problem: String| faults.push(Fault::at(&path.at, problem, CERTIFICATES));
    let shown = path.value.display();
    let bytes = match read_list(&path.value) {
        Ok(bytes) => bytes,
        Err(fault) => return faults.push(Fault::at(&path.at, fault.problem, fault.remedy)),
    };
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        found = true;
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|der| roots.add(der).map_err(|error| error.to_string()));
        if let Err(error) = added {
            tell(format!(
                "{shown} has a certificate that can not be used: {error}"
            ));
        }
    }
    if !found {
        tell(format!("{shown} holds no certificate"));
    }
}

/// The lists of a file: PEM, or one in DER (RFC 5280 §5). Blocks on the disk. Faults: unreadable, none in it, and each that
/// webpki can not use.
pub(super) fn read_lists(
    path: &Located<PathBuf>,
    faults: &Faults,
) -> Vec<CertificateRevocationListDer<'static>> {
    let tell = |problem: String| faults.push(Fault::at(&path.at, problem, LISTS));
    let shown = path.value.display();
    let bytes = match read_list(&path.value) {
        Ok(bytes) => bytes,
        Err(fault) => {
            faults.push(Fault::at(&path.at, fault.problem, fault.remedy));
            return Vec::new();
        }
    };
    // 0x30 begins every list in DER, and no PEM.
    let found: Vec<Result<CertificateRevocationListDer<'static>, _>> =
        if bytes.first() == Some(&0x30) {
            vec![Ok(bytes.into())]
        } else {
            CertificateRevocationListDer::pem_slice_iter(&bytes).collect()
        };
    if found.is_empty() {
        tell(format!("{shown} holds no revocation list"));
    }
    let mut lists = Vec::new();
    for list in found {
        let usable = list
            .map_err(|error| error.to_string())
            .and_then(|list| usable(&list).map(|()| lists.push(list)));
        if let Err(error) = usable {
            tell(format!(
                "{shown} has a revocation list that can not be used: {error}"
            ));
        }
    }
    lists
}

/// A list is parsed as it will be when it is used.
fn usable(list: &CertificateRevocationListDer<'static>) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().take(1).cloned());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .with_crls([list.clone()])
        .build()
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// What to give, and what most likely was given instead.
const CERTIFICATES: &str = "give a file of certificates in PEM (\"-----BEGIN CERTIFICATE-----\"); one in DER is converted with: \
                            openssl x509 -inform der -in ca.der -out ca.pem";
const LISTS: &str = "give revocation lists in PEM (\"-----BEGIN X509 CRL-----\"), or one in DER";
