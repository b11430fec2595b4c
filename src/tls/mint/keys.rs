//! Keys made ahead, so that nobody waits for them; each for one leaf.
//! Signs nothing.
//! Start at [`Keys::take`].

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};

use super::MintError;

/// What kind of key a leaf has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// ECDSA with P-256.
    Ec,
    /// RSA of 2048 bits.
    Rsa,
}

/// Keys of both kinds. Those of RSA are made from when the first is asked for: they cost a thousand times as much.
pub(super) struct Keys {
    ec: Receiver<KeyPair>,
    rsa: Option<Receiver<KeyPair>>,
}

const EC_READY: usize = 32;
const RSA_READY: usize = 4;

/// About what one RSA key takes to make. Whoever waits longer had better be shown another kind of key.
const RSA_WAIT: Duration = Duration::from_millis(150);

impl Keys {
    pub(super) fn new() -> Result<Self, MintError> {
        let ec = ahead("mint-ec", &PKCS_ECDSA_P256_SHA256, EC_READY)
            .map_err(|error| MintError::Failed(error.to_string().into()))?;
        Ok(Self { ec, rsa: None })
    }

    /// A key, and whether it is of the kind asked for: where no RSA key is ready soon (at once, if others wait), it is EC.
    pub(super) fn take(
        &mut self,
        kind: Kind,
        others_wait: bool,
    ) -> Result<(KeyPair, bool), MintError> {
        if kind == Kind::Rsa {
            if let Some(key) = self.rsa(others_wait) {
                return Ok((key, true));
            }
        }
        let key = match self.ec.try_recv() {
            Ok(key) => key,
            Err(_) => {
                KeyPair::generate().map_err(|error| MintError::Failed(error.to_string().into()))?
            }
        };
        Ok((key, kind == Kind::Ec))
    }

    fn rsa(&mut self, others_wait: bool) -> Option<KeyPair> {
        if self.rsa.is_none() {
            self.rsa = ahead("mint-rsa", &PKCS_RSA_SHA256, RSA_READY).ok();
        }
        let ready = self.rsa.as_ref()?;
        if others_wait {
            ready.try_recv().ok()
        } else {
            ready.recv_timeout(RSA_WAIT).ok()
        }
    }
}

/// A thread that keeps so many keys ready, until nobody takes them any more.
fn ahead(
    name: &str,
    algorithm: &'static SignatureAlgorithm,
    ready: usize,
) -> std::io::Result<Receiver<KeyPair>> {
    let (sender, receiver) = mpsc::sync_channel(ready);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            while let Ok(key) = KeyPair::generate_for(algorithm) {
                if sender.send(key).is_err() {
                    return;
                }
            }
        })?;
    Ok(receiver)
}
