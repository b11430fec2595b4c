//! Certificate chains: read, put to the test, joined with their key.
//! Verifies no signature and trusts nobody; that is the peer's work.
//! Start at [`read_chain`].

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateParams, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use super::read_public;
use crate::fault::{Fault, Faults, Location};
use crate::settings::Located;

/// More certificates than this are a bundle of roots, and not a chain.
const CHAIN_LIMIT: usize = 10;

/// From when until when a certificate is valid. RFC 5280 §4.1.2.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Timestamp,
    /// The last second.
    pub not_after: Timestamp,
}

impl Validity {
    /// A certificate's. `None` where it cannot be parsed.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let validity = parsed.validity();
        Some(Self {
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        })
    }

    /// Whether a moment is within.
    pub fn covers(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Makes it that of a certificate to be signed. What lies before 1970 becomes 1970.
    pub(in crate::tls) fn put_into(&self, params: &mut CertificateParams) {
        let moment = |at: Timestamp| {
            let seconds = u64::try_from(at.as_second()).unwrap_or_default();
            date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
        };
        params.not_before = moment(self.not_before);
        params.not_after = moment(self.not_after);
    }
}

/// Reads a chain, the own certificate first: PEM, or one certificate in DER. Each certificate must be valid now, and issued
/// by the one after it (told by their names). Blocks on the disk. `None` after a fault.
pub fn read_chain(
    path: &Located<PathBuf>,
    faults: &Faults,
) -> Option<Vec<CertificateDer<'static>>> {
    let shown = path.value.display().to_string();
    let tell = |problem: String, remedy: &str| {
        faults.push(Fault::at(&path.at, problem, remedy));
    };
    let bytes = match read_public(&path.value) {
        Ok(bytes) => bytes,
        Err(fault) => {
            tell(fault.problem, &fault.remedy);
            return None;
        }
    };
    let chain = match decode(&bytes) {
        Ok(chain) if chain.len() <= CHAIN_LIMIT => chain,
        Ok(chain) => {
            tell(
                format!("{shown} holds {} certificates", chain.len()),
                "give the certificate and those of its issuers, at most 10",
            );
            return None;
        }
        Err(problem) => {
            tell(format!("{shown} {problem}"), PEM);
            return None;
        }
    };
    let found = in_order(&chain).and_then(|()| {
        chain
            .iter()
            .try_for_each(|one| valid(one, Timestamp::now()))
    });
    match found {
        Ok(()) => Some(chain),
        Err((problem, remedy)) => {
            tell(format!("{shown}: {problem}"), remedy);
            None
        }
    }
}

const PEM: &str = "give a file of certificates in PEM (\"-----BEGIN CERTIFICATE-----\")";

type Finding = (String, &'static str);

fn decode(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<CertificateDer<'static>> = if bytes.first() == Some(&0x30) {
        vec![CertificateDer::from(bytes.to_vec())]
    } else {
        CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("is broken PEM: {error}"))?
    };
    if chain.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    for (index, certificate) in chain.iter().enumerate() {
        match parse_x509_certificate(certificate) {
            Ok(([], _)) => {}
            Ok(_) => return Err(format!("has bytes after certificate {}", index + 1)),
            Err(_) => return Err(format!("holds a broken certificate, number {}", index + 1)),
        }
    }
    Ok(chain)
}

/// RFC 8446 §4.4.2: the own certificate first, each one certified by the next.
fn in_order(chain: &[CertificateDer<'_>]) -> Result<(), Finding> {
    for (own, next) in chain.iter().zip(chain.iter().skip(1)) {
        let (Ok((_, own)), Ok((_, next))) =
            (parse_x509_certificate(own), parse_x509_certificate(next))
        else {
            continue;
        };
        if own.issuer().as_raw() != next.subject().as_raw() {
            let problem = format!(
                "the certificate of \"{}\" is followed by that of \"{}\", which did not issue it",
                own.subject(),
                next.subject()
            );
            return Err((
                problem,
                "put the own certificate first, then its issuer's, then that one's issuer's",
            ));
        }
    }
    Ok(())
}

fn valid(certificate: &CertificateDer<'_>, now: Timestamp) -> Result<(), Finding> {
    let subject = || {
        parse_x509_certificate(certificate)
            .map(|(_, parsed)| parsed.subject().to_string())
            .unwrap_or_default()
    };
    let Some(validity) = Validity::of(certificate) else {
        return Err((
            "a certificate has a validity that cannot be read".to_owned(),
            PEM,
        ));
    };
    if now > validity.not_after {
        let problem = format!(
            "the certificate of \"{}\" expired at {}",
            subject(),
            validity.not_after
        );
        return Err((problem, "renew it"));
    }
    if now < validity.not_before {
        let problem = format!(
            "the certificate of \"{}\" is not valid before {}",
            subject(),
            validity.not_before
        );
        return Err((problem, "wait, or correct this machine's clock"));
    }
    Ok(())
}

/// Joins a chain with the key of its first certificate, to be shown to a peer. `at` is the place that names the key.
/// `None` after a fault: a key of a kind that TLS does not use here, or not the certificate's.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    at: &Location,
    faults: &Faults,
) -> Option<CertifiedKey> {
    use rustls::{Error, InconsistentKeys};
    let fault = match CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()) {
        Ok(certified) => return Some(certified),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Fault::at(
            at,
            "the private key is not the one of the certificate",
            "name the key that the certificate was requested with; for a chain, the own certificate stands first",
        ),
        Err(Error::InvalidCertificate(why)) => Fault::at(
            at,
            format!("the certificate cannot be used for TLS: {why}"),
            "ask for a certificate of version 3, with the names of the server in it",
        ),
        Err(_) => Fault::at(
            at,
            "the private key cannot be used for TLS",
            "use ECDSA with P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 8192 bits",
        ),
    };
    faults.push(fault);
    None
}
