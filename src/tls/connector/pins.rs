//! Pins: the public keys of which an origin's chain must hold one (RFC 7469 §2.4 for their form).
//! Verifies nothing: a pinned chain must be valid like any other.
//! Start at [`Pins`].

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Located, Table};

/// SHA-256 digests of public keys (SubjectPublicKeyInfo); none means that no chain is refused for them. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pins(Arc<[[u8; 32]]>);

impl Pins {
    /// Pins of these digests.
    pub fn new(digests: &[[u8; 32]]) -> Self {
        Self(digests.into())
    }

    /// Takes `pins`: hashes of public keys, as `sha256/` and Base64: the form of RFC 7469 §2.1.1 and of curl.
    pub fn take(table: &Table, faults: &Faults) -> Self {
        let Some(value) = table.take_value("pins") else {
            return Self::default();
        };
        let texts = Vec::<Located<String>>::from_value(value, faults).unwrap_or_default();
        let parse = |text: &Located<String>| {
            let digits = text.value.strip_prefix("sha256/")?.trim_start_matches('/');
            STANDARD.decode(digits).ok()?.try_into().ok()
        };
        let read = |text: &Located<String>| {
            let pin: Option<[u8; 32]> = parse(text);
            if pin.is_none() {
                faults.push(Fault::at(
                    &text.at,
                    format!("\"{}\" is not the hash of a public key", text.value),
                    "it is \"sha256/\" and the digest of a public key in base64: openssl x509 -in cert.pem -pubkey -noout | \
                     openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64",
                ));
            }
            pin
        };
        Self(texts.iter().filter_map(read).collect())
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key, by its SubjectPublicKeyInfo in DER, is pinned.
    pub fn pin(&self, key: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(key).into();
        self.0.contains(&digest)
    }
}

impl From<Arc<[[u8; 32]]>> for Pins {
    fn from(digests: Arc<[[u8; 32]]>) -> Self {
        Self(digests)
    }
}

impl From<Pins> for Arc<[[u8; 32]]> {
    fn from(pins: Pins) -> Self {
        pins.0
    }
}
