//! Whether a chain may certify servers, and whether clients will believe what it certifies.
//! Expiry and order are read_chain's work.
//! Start at [`chain`].

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;

/// A problem and its remedy.
pub(super) type Finding = (String, String);

/// Checks every certificate of a chain, the signing one first.
pub(super) fn chain(chain: &[CertificateDer<'_>]) -> Result<(), Finding> {
    if chain.is_empty() {
        return Err(broken());
    }
    for (depth, certificate) in chain.iter().enumerate() {
        let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| broken())?;
        may_certify(&parsed, depth)?;
        strong(&parsed)?;
    }
    Ok(())
}

/// The key must be the first certificate's.
pub(super) fn own_key(parsed: &X509Certificate<'_>, key: &KeyPair) -> Result<(), Finding> {
    if parsed.public_key().subject_public_key.data.as_ref() == key.der_bytes() {
        return Ok(());
    }
    Err((
        "the private key is not the one of the certificate".to_owned(),
        "name the key that the certificate was made with; for a chain, the signing certificate stands first".to_owned(),
    ))
}

/// The subject key identifier, which leaves refer to. RFC 5280 §4.2.1.2.
pub(super) fn key_id(parsed: &X509Certificate<'_>) -> Option<Vec<u8>> {
    parsed
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
}

pub(super) fn broken() -> Finding {
    (
        "the certificate cannot be read".to_owned(),
        "make one with: egret ca init".to_owned(),
    )
}

pub(super) fn unusable_key() -> Finding {
    (
        "the private key cannot sign certificates here".to_owned(),
        "use ECDSA with P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 8192 bits".to_owned(),
    )
}

/// RFC 5280 §4.2.1.3, §4.2.1.9 and, for the extended usage of an authority, what verifiers make of it: it narrows down
/// what its leaves may be used for.
fn may_certify(parsed: &X509Certificate<'_>, depth: usize) -> Result<(), Finding> {
    let found = |problem: &str| {
        Err((
            format!("the certificate of \"{}\" {problem}", parsed.subject()),
            "make an authority with: egret ca init, or ask your company's for an intermediate (CA:TRUE, keyCertSign, serverAuth)".to_owned(),
        ))
    };
    let Ok(Some(basic)) = parsed.basic_constraints() else {
        return found("is not an authority's (no basicConstraints)");
    };
    if !basic.value.ca {
        return found("is not an authority's (CA:FALSE)");
    }
    let length = basic.value.path_len_constraint;
    if length.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length < depth)) {
        return found("allows fewer intermediates below it than there are (pathlen)");
    }
    match parsed.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => {
            return found("may not sign certificates (keyUsage without keyCertSign)");
        }
        Ok(_) => {}
        Err(_) => return found("has a keyUsage that cannot be read"),
    }
    match parsed.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.any && !usage.value.server_auth => {
            found("may not sign for servers (extendedKeyUsage without serverAuth)")
        }
        Ok(_) => Ok(()),
        Err(_) => found("has an extendedKeyUsage that cannot be read"),
    }
}

/// What clients refuse as too weak.
fn strong(parsed: &X509Certificate<'_>) -> Result<(), Finding> {
    let weak = match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < 2048 => Some("an RSA key below 2048 bits"),
        Ok(PublicKey::EC(point)) if point.key_size() < 256 => {
            Some("a key on a curve below 256 bits")
        }
        Ok(PublicKey::DSA(_)) => Some("a DSA key"),
        Ok(_) | Err(_) => None,
    };
    // A root is trusted for its key; its own signature says nothing.
    let own = parsed.subject().as_raw() == parsed.issuer().as_raw();
    let algorithm = parsed.signature_algorithm.algorithm.to_id_string();
    let signed = WEAK_SIGNATURES
        .iter()
        .find(|(id, _)| !own && *id == algorithm);
    match weak.or(signed.map(|(_, name)| *name)) {
        None => Ok(()),
        Some(what) => Err((
            format!(
                "the certificate of \"{}\" has {what}, which clients refuse",
                parsed.subject()
            ),
            "use ECDSA with P-256 or RSA of 2048 bits and more, signed with SHA-256".to_owned(),
        )),
    }
}

const WEAK_SIGNATURES: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.2", "a signature with MD2"),
    ("1.2.840.113549.1.1.4", "a signature with MD5"),
    ("1.2.840.113549.1.1.5", "a signature with SHA-1"),
    ("1.2.840.10040.4.3", "a signature with SHA-1"),
    ("1.2.840.10045.4.1", "a signature with SHA-1"),
];
