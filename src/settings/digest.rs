//! The hash of a public key, as an operator writes it.
//! Hashes nothing.
//! Start at [`KeyDigest`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{FromValue, Value};
use crate::fault::{Fault, Faults};

/// SHA-256 of a public key (SubjectPublicKeyInfo): `sha256/` and Base64, the form of RFC 7469 §2.1.1 and of curl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest(pub [u8; 32]);

impl FromValue for KeyDigest {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let at = value.at.clone();
        let text = String::from_value(value, faults)?;
        let parse = || {
            let digits = text.strip_prefix("sha256/")?.trim_start_matches('/');
            STANDARD.decode(digits).ok()?.try_into().ok()
        };
        let digest = parse().map(Self);
        if digest.is_none() {
            faults.push(Fault::at(
                &at,
                format!("\"{text}\" is not the hash of a public key"),
                "it is \"sha256/\" and the digest of a public key in base64: openssl x509 -in cert.pem -pubkey -noout | \
                 openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64",
            ));
        }
        digest
    }
}
