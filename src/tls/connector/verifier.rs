//! Verifies an origin's certificate and says in words for people why one is refused.
//! Accepts nothing that webpki refuses, and refuses more: keys of RSA under 2048 bits.
//! Start at [`Verifier::check`].
//!
//! A reason is told while the certificates are at hand and travels inside rustls's own error ([`noted`] takes it out again), so
//! that nothing has to be remembered for each handshake. The origin gets the alert `certificate_unknown` for it.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::pins::Pins;
use super::why::{Why, shorten};
use crate::tls::der::{SEQUENCE, element};

/// The one judge of origins' certificates.
#[derive(Debug)]
pub(super) struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn new(
        inner: Arc<WebPkiServerVerifier>,
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self {
            inner,
            roots,
            provider,
        }
    }

    /// Checks chain, dates, name, revocation and strength. Errors: why it is refused.
    pub(super) fn check(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Why> {
        match self.inner.verify_server_cert(own, others, name, &[], now) {
            // webpki looks at the keys that signed; the origin's own has signed nothing in its chain.
            Ok(_) if is_weak(own) => Err(Why::Weak),
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(error)) => Err(explain(&error, own, others)),
            Err(error) => Err(Why::Unfit(error.to_string())),
        }
    }

    /// Whether a chain that was found valid leads through a pinned key.
    ///
    /// What an origin shows beside its own certificate proves nothing: anyone can show a certificate. A pinned key counts if
    /// the chain is also valid with that key as its only root.
    pub(super) fn holds(
        &self,
        pins: &Pins,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        if key_of(own).is_some_and(|key| pins.pin(&key)) {
            return true;
        }
        let mut pinned = RootCertStore::empty();
        for other in others {
            if key_of(other).is_some_and(|key| pins.pin(&key)) {
                // One that can not be a root can not have signed either.
                let _ = pinned.add(other.clone().into_owned());
            }
        }
        let roots = self.roots.roots.iter();
        pinned.extend(
            roots
                // A trust anchor keeps the content of a SubjectPublicKeyInfo, without the SEQUENCE around it.
                .filter(|root| pins.pin(&element(SEQUENCE, &[&root.subject_public_key_info])))
                .cloned(),
        );
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(pinned), self.provider.clone());
        builder.build().is_ok_and(|verifier| {
            verifier
                .verify_server_cert(own, others, name, &[], now)
                .is_ok()
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, server_name, now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|why| CertificateError::Other(OtherError(Arc::new(why))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The reason that a failed handshake carries.
pub(super) fn noted(error: &CertificateError) -> Why {
    if let CertificateError::Other(OtherError(other)) = error
        && let Some(why) = other.downcast_ref::<Why>()
    {
        return why.clone();
    }
    Why::Unfit(error.to_string())
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is rustls's, grows, and has variants that are deprecated"
)]
fn explain(
    error: &CertificateError,
    own: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Why {
    use CertificateError as E;
    match error {
        E::Expired => Why::Expired(None),
        E::ExpiredContext { not_after, .. } => Why::Expired(Some(*not_after)),
        E::NotValidYet => Why::NotYetValid(None),
        E::NotValidYetContext { not_before, .. } => Why::NotYetValid(Some(*not_before)),
        E::NotValidForName | E::NotValidForNameContext { .. } => Why::WrongName(names_of(own)),
        E::Revoked => Why::Revoked,
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
            Why::Unfit("the revocation list for it has run out".to_owned())
        }
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Why::Weak,
        E::BadSignature if [own].into_iter().chain(others).any(is_weak) => Why::Weak,
        E::UnknownIssuer => stranger(own).unwrap_or(Why::UnknownIssuer(String::new())),
        // A certificate that may sign others and stands for itself is refused by webpki as no origin's.
        other => match stranger(own) {
            Some(own @ (Why::SelfSigned | Why::Authority)) => own,
            Some(_) | None => Why::Unfit(other.to_string()),
        },
    }
}

/// Who issued a certificate that nobody known here has.
fn stranger(own: &CertificateDer<'_>) -> Option<Why> {
    let (_, parsed) = X509Certificate::from_der(own).ok()?;
    if parsed.issuer().as_raw() == parsed.subject().as_raw() {
        return Some(if parsed.is_ca() {
            Why::Authority
        } else {
            Why::SelfSigned
        });
    }
    Some(Why::UnknownIssuer(shorten(&parsed.issuer().to_string())))
}

/// The names that a certificate is for, as far as they fit a line.
fn names_of(own: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(own) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let shown = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(shorten(name)),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            bytes => {
                let bytes: [u8; 16] = bytes.try_into().ok()?;
                Some(std::net::Ipv6Addr::from(bytes).to_string())
            }
        },
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    names.value.general_names.iter().filter_map(shown).collect()
}

/// Whether a certificate's key is of RSA under 2048 bits.
fn is_weak(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => key.key_size() < RSA_BITS,
        Ok(_) | Err(_) => false,
    }
}

/// A certificate's SubjectPublicKeyInfo in DER.
fn key_of(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

const RSA_BITS: usize = 2048;
