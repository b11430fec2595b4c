//! `[tls]`: whom we believe when we connect to origins. Every root and every revocation list is checked at load.
//! Not the listeners' TLS.
//! Start at [`read`].

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};

use super::noting::Noting;
use super::verifier::Verifier;
use super::{Inner, Trust};
use crate::fault::Faults;
use crate::settings::{Located, Table, one_of};
use crate::tls::anchors::{add_roots, read_lists};

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
            revoked.extend(read_lists(&path, faults));
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
