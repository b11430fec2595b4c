//! What only endpoints of upstreams need: a connection for a probe, and letting go of an endpoint.
//! Not what carries requests, which is `open`.
//! Start at [`Pool::dial_with`].

use std::net::SocketAddr;
use std::time::Duration;

use super::key::Key;
use super::{Failure, Pool, dial};
use crate::policy::Permit;
use crate::stream::Stream;

/// A connection of its own.
#[derive(Debug)]
pub struct Dialled {
    /// Its bytes; under TLS, the plaintext.
    pub stream: Stream,
    /// The address that it goes to.
    pub peer: SocketAddr,
    /// What the endpoint chose to speak, under TLS.
    pub alpn: Option<Vec<u8>>,
}

impl Pool {
    /// Opens a connection as the key's terms say: TCP, and TLS over it. It is not kept, and takes no place among those that an
    /// endpoint may have. Waits at most `limit` for each of the two.
    ///
    /// Errors: as [`Pool::dial`], TLS failures. Dropping the future abandons every attempt.
    pub async fn dial_with(
        &self,
        permit: &Permit,
        key: &Key,
        limit: Duration,
    ) -> Result<Dialled, Failure> {
        let (tcp, peer) = dial::dial(&self.in_turn(permit), limit).await?;
        let stream = Stream::from_tcp(tcp);
        if !key.secure {
            return Ok(Dialled {
                stream,
                peer,
                alpn: None,
            });
        }
        let secured = self.handshake(stream, peer, key.host(), key, limit).await?;
        Ok(Dialled {
            stream: secured.stream,
            peer,
            alpn: secured.alpn,
        })
    }

    /// Lets go of connections to this address: unused ones are closed, the others when what they carry has ended. Forgets what
    /// was learned of it.
    pub fn forget(&self, address: SocketAddr) {
        self.0.idle.forget(address);
        self.0.shared.forget(address);
        self.0.habits.forget(address);
    }
}
