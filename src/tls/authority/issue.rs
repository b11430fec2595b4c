//! Signing: a certificate in the authority's name.
//! Says nothing of what is in it (mint).
//! Start at [`Authority::issue`].

use rcgen::{
    CertificateParams, DistinguishedName, Issuer, KeyIdMethod, KeyPair, PublicKeyData,
    SerialNumber, SignatureAlgorithm, SigningKey,
};
use rustls::pki_types::CertificateDer;

use super::Authority;
use crate::tls::der::{BIT_STRING, SEQUENCE, element, first};

impl Authority {
    /// Signs what stands in `params` for a public key. Costs one signature.
    ///
    /// The issuer's name is put in byte for byte as it stands in the authority's certificate: verifiers compare it so,
    /// and a name taken apart and put together again may lose what a company's authority has in it, such as several
    /// domain components.
    pub(in crate::tls) fn issue(
        &self,
        mut params: CertificateParams,
        public: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        params.use_authority_key_identifier_extension = self.key_id.is_some();
        let mut nameless = CertificateParams::default();
        nameless.distinguished_name = DistinguishedName::new();
        nameless.key_identifier_method =
            KeyIdMethod::PreSpecified(self.key_id.clone().unwrap_or_default());
        let issuer = Issuer::new(nameless, Unsigned(&self.key));
        let draft = params.signed_by(public, &issuer)?;
        let (tbs, algorithm) =
            named(draft.der(), &self.subject).ok_or(rcgen::Error::CouldNotParseCertificate)?;
        let signature = self.key.sign(&tbs)?;
        let signature = element(BIT_STRING, &[&[0], &signature]);
        let whole = element(SEQUENCE, &[&tbs, algorithm, &signature]);
        Ok(CertificateDer::from(whole))
    }
}

/// 16 random bytes, positive and without leading zeros. RFC 5280 §4.1.2.2.
pub(in crate::tls) fn serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

/// The authority's key, of which only the algorithm is asked.
struct Unsigned<'a>(&'a KeyPair);

impl PublicKeyData for Unsigned<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(self.0)
    }
}

impl SigningKey for Unsigned<'_> {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// The part to be signed of a draft, with its issuer's name replaced, and the signature algorithm. RFC 5280 §4.1: version,
/// serial number, algorithm, issuer, and the rest.
fn named<'a>(draft: &'a [u8], issuer: &[u8]) -> Option<(Vec<u8>, &'a [u8])> {
    let (_, outer, _) = first(draft)?;
    let (_, tbs, after) = first(outer)?;
    let (algorithm, _, _) = first(after)?;
    let (version, _, rest) = first(tbs)?;
    let (serial, _, rest) = first(rest)?;
    let (inner, _, rest) = first(rest)?;
    let (_, _, rest) = first(rest)?;
    let tbs = element(SEQUENCE, &[version, serial, inner, issuer, rest]);
    Some((tbs, algorithm))
}
