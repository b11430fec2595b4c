//! Pins: the public keys of which an origin's chain must hold one (RFC 7469 §2.4 for their form).
//! Verifies nothing: a pinned chain must be valid like any other.
//! Start at [`Pins`].

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Value};

/// SHA-256 digests of public keys (SubjectPublicKeyInfo); none means that no chain is refused for them. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pins(Arc<[[u8; 32]]>);

impl Pins {
    /// Pins of these digests.
    pub fn new(digests: &[[u8; 32]]) -> Self {
        Self(digests.into())
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

/// `"sha256/BASE64"`, or several in an array.
impl FromValue for Pins {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let values = match value.kind {
            Kind::List(values) => values,
            Kind::Text(_) => vec![value],
            Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Datetime(_)
            | Kind::Table(_) => return value.mismatch("a pin, or an array of pins", faults),
        };
        let mut digests = Vec::with_capacity(values.len());
        for value in values {
            let text = Located::<String>::from_value(value, faults)?;
            let Some(digest) = digest(&text.value) else {
                faults.push(Fault::at(
                    &text.at,
                    format!("\"{}\" is not a pin", text.value),
                    REMEDY,
                ));
                return None;
            };
            digests.push(digest);
        }
        Some(Self(digests.into()))
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let digest = STANDARD.decode(text.strip_prefix("sha256/")?).ok()?;
    digest.try_into().ok()
}

const REMEDY: &str = "it is \"sha256/\" and the digest of a public key in base64: openssl x509 -in cert.pem -pubkey -noout | \
                      openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64";
