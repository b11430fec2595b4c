//! Pins: the public keys of which an origin's chain must hold one (RFC 7469 §2.4 for their form).
//! Verifies nothing: a pinned chain must be valid like any other.
//! Start at [`Pins`].

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::settings::KeyDigest;

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

impl From<Arc<[[u8; 32]]>> for Pins {
    fn from(digests: Arc<[[u8; 32]]>) -> Self {
        Self(digests)
    }
}

impl FromIterator<KeyDigest> for Pins {
    fn from_iter<I: IntoIterator<Item = KeyDigest>>(digests: I) -> Self {
        Self(digests.into_iter().map(|digest| digest.0).collect())
    }
}
