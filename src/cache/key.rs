//! What a stored response is found by: the effective URI, and what a rule adds to it (RFC 9111 §2).
//! Not the fields that `Vary` names, which depend on the response (vary).
//! Start at [`Key`].

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// The primary key. Cheap to clone. The method is not part of it: what is stored answers GET and HEAD.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    uri: Arc<str>,
    /// Nothing is kept of what most keys do not have.
    extras: Option<Arc<str>>,
}

/// Whose word a URI is taken for: what an upstream of a gateway says of it is not what its origin on the network would say. A
/// change in one of them changes nothing in the other, or whoever may send a POST to a gateway could empty the proxy's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Realm {
    /// Origins on the network, which clients of a proxy name.
    Network,
    /// Upstreams of a gateway. It is one for all of them: a route may send the reads of a URI to one upstream and its writes to
    /// another, and these must be seen there (RFC 9111 §4.4).
    Gateway,
}

/// A short name of a key or of some values, the same in every process. Never made of a secret that could be guessed.
pub type Digest = [u8; 16];

impl Key {
    /// A key of an absolute URI; `extras` is what a rule or a partition adds, empty for most.
    pub fn new(uri: impl Into<Arc<str>>, extras: impl AsRef<str>) -> Self {
        let extras = Some(extras.as_ref()).filter(|extras| !extras.is_empty());
        Self {
            uri: uri.into(),
            extras: extras.map(Arc::from),
        }
    }

    /// The absolute URI, as it is purged and inspected by.
    pub fn uri(&self) -> &Arc<str> {
        &self.uri
    }

    /// What was added to it.
    pub fn extras(&self) -> &str {
        self.extras.as_deref().unwrap_or_default()
    }

    /// What the extras of a key of a gateway begin with, and no other's: what a rule adds begins with a name and `=`, or with `;`.
    pub const GATEWAY: &str = "gateway;";

    /// Whose word it is.
    pub fn realm(&self) -> Realm {
        if self.extras().starts_with(Self::GATEWAY) {
            Realm::Gateway
        } else {
            Realm::Network
        }
    }

    /// The name of the URI alone: all that is stored of it stands together, so that it is purged together.
    pub fn digest(&self) -> Digest {
        digest(&[self.uri.as_bytes()])
    }
}

/// A digest of parts, each with its length, so that no two lists of parts look alike.
pub fn digest(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut short = Digest::default();
    for (short, byte) in short.iter_mut().zip(hash.finalize()) {
        *short = byte;
    }
    short
}
