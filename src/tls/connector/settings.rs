//! `[tls]`: whom we believe when we connect to origins, and what one upstream's `tls` says otherwise. Every root and every
//! revocation list is checked at load.
//! Not the listeners' TLS.
//! Start at [`read`], then [`read_over`].

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};

use super::noting::Noting;
use super::verifier::Verifier;
use super::{Inner, Trust};
use crate::fault::{Fault, Faults};
use crate::settings::{Located, Table, one_of};
use crate::tls::anchors::{add_roots, read_lists};
use crate::tls::certificates::Source;

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
        revoked.extend(take_lists(&table, faults));
        versions = take_versions(&table, faults).unwrap_or(BOTH);
        table.finish(faults);
    }
    build(roots, revoked, versions, None)
}

/// Takes `roots`, `crl`, `min-version` and `client = { cert = "own.pem", key = { file = "own.key" } }`, and leaves the other
/// keys. Roots that are named here are the only ones: who runs an authority for a service wants no other to speak for it.
/// All else that is not said is as in `base`. Blocks on the disk.
///
/// `None` after a fault.
pub fn read_over(base: &Trust, table: &Table, faults: &Faults) -> Option<Trust> {
    let before = faults.len();
    let named: Option<Located<Vec<Located<PathBuf>>>> = table.take("roots", faults);
    let roots = named.map(|named| {
        let mut roots = RootCertStore::empty();
        for path in &named.value {
            add_roots(&mut roots, path, faults);
        }
        if named.value.is_empty() {
            faults.push(Fault::at(
                &named.at,
                "without roots no certificate is trusted",
                "name the authorities, or leave \"roots\" out for those of [tls] and of the system",
            ));
        }
        roots
    });
    let lists = take_lists(table, faults);
    let versions = take_versions(table, faults);
    let own: Option<Source> = table.take("client", faults);
    let own = own.and_then(|own| own.load(faults)).map(Arc::new);
    if faults.len() > before {
        return None;
    }
    if roots.is_none() && lists.is_empty() && versions.is_none() && own.is_none() {
        return Some(base.clone());
    }
    let base = &*base.0;
    let mut revoked = base.revoked.clone();
    revoked.extend(lists);
    let inherited = if base.oldest == ProtocolVersion::TLSv1_3 {
        LATEST
    } else {
        BOTH
    };
    let roots = roots.unwrap_or_else(|| RootCertStore::clone(&base.roots));
    Some(build(roots, revoked, versions.unwrap_or(inherited), own))
}

fn take_lists(table: &Table, faults: &Faults) -> Vec<CertificateRevocationListDer<'static>> {
    let paths: Vec<Located<PathBuf>> = table.take_or("crl", Vec::new(), faults);
    let lists = paths.iter().map(|path| read_lists(path, faults));
    lists.flatten().collect()
}

fn take_versions(table: &Table, faults: &Faults) -> Option<Versions> {
    let word: Located<String> = table.take("min-version", faults)?;
    one_of(&word, &[("1.2", BOTH), ("1.3", LATEST)], faults)
}

type Versions = &'static [&'static SupportedProtocolVersion];
const BOTH: Versions = &[&version::TLS13, &version::TLS12];
const LATEST: Versions = &[&version::TLS13];

fn build(
    roots: RootCertStore,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    versions: Versions,
    own: Option<Arc<CertifiedKey>>,
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
    let noting = Arc::new(Noting::new(own.clone()));
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
        http2: config(&[b"h2"]),
        nothing: config(&[]),
        verifier,
        noting,
        roots,
        revoked,
        own,
        oldest: versions
            .last()
            .map_or(ProtocolVersion::TLSv1_3, |oldest| oldest.version),
    }))
}
