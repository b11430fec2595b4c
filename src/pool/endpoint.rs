//! What only endpoints of upstreams need: a connection for a probe, or for bytes that are not ours, and letting go of an endpoint.
//! Not what carries requests, which is `open`.
//! Start at [`Pool::dial_with`].

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::key::Key;
use super::{Failure, Pool, dial};
use crate::message::ProxyError;
use crate::policy::Permit;
use crate::stream::Stream;
use crate::tls::connector::{Offered, Secured};

/// A connection of its own.
#[derive(Debug)]
pub struct Dialled {
    /// Its bytes; under TLS, the plaintext.
    pub stream: Stream,
    /// The address that it goes to.
    pub peer: SocketAddr,
    /// What the endpoint chose to speak, under TLS.
    pub alpn: Option<Vec<u8>>,
    /// How long dialling took.
    pub connect: Duration,
    /// How long the TLS handshake took, where there was one.
    pub tls: Option<Duration>,
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
        let dialled = self.dial_tcp(permit, limit).await?;
        if !key.secure {
            return Ok(dialled);
        }
        let handshake =
            async |stream, peer| self.handshake(stream, peer, key.host(), key, limit).await;
        dialled.secured(handshake).await
    }

    /// Opens a connection for bytes that are not ours, as the key's terms say: TCP, a PROXY header (an empty one is none), and TLS
    /// over it, in which `alpn` is offered. It is not kept, and takes no place among those that an endpoint may have. Waits at
    /// most the connect limit of the terms for each of the three.
    ///
    /// Errors: as [`Pool::dial`], TLS failures. Dropping the future abandons every attempt.
    pub async fn dial_for(
        &self,
        permit: &Permit,
        key: &Key,
        header: &[u8],
        alpn: Offered,
    ) -> Result<Dialled, Failure> {
        let limit = self.limits(key).connect;
        let mut dialled = self.dial_tcp(permit, limit).await?;
        if !header.is_empty() {
            send_header(&mut dialled.stream, dialled.peer, header, limit).await?;
        }
        let trust = key.terms.as_ref().and_then(|terms| terms.trust());
        let Some((trust, pins)) = trust else {
            return Ok(dialled);
        };
        let host = key.host();
        let handshake =
            async |stream, peer| trust.secure(stream, host, peer, alpn, pins, limit).await;
        let dialled = dialled.secured(handshake).await?;
        // What comes is HTTP/2 from its first byte on.
        if alpn == Offered::Http2 && dialled.alpn.as_deref() != Some(b"h2") {
            return Err(Failure::new(
                ProxyError::TlsProtocol,
                format!("{host} does not choose HTTP/2, which is what is spoken to it"),
            ));
        }
        Ok(dialled)
    }

    async fn dial_tcp(&self, permit: &Permit, limit: Duration) -> Result<Dialled, Failure> {
        let start = Instant::now();
        let (tcp, peer) = dial::dial(&self.in_turn(permit), limit).await?;
        Ok(Dialled {
            stream: Stream::from_tcp(tcp),
            peer,
            alpn: None,
            connect: start.elapsed(),
            tls: None,
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

impl Dialled {
    /// The same, under TLS.
    async fn secured<E: Into<Failure>>(
        self,
        handshake: impl AsyncFnOnce(Stream, SocketAddr) -> Result<Secured, E>,
    ) -> Result<Self, Failure> {
        let start = Instant::now();
        let secured = handshake(self.stream, self.peer).await;
        let secured = secured.map_err(Into::into)?;
        Ok(Self {
            stream: secured.stream,
            alpn: secured.alpn,
            tls: Some(start.elapsed()),
            ..self
        })
    }
}

async fn send_header(
    stream: &mut Stream,
    peer: SocketAddr,
    header: &[u8],
    limit: Duration,
) -> Result<(), Failure> {
    match timeout(limit, stream.write_all(header)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Failure::new(
            ProxyError::ConnectionTerminated,
            format!("{peer} did not take the PROXY header"),
        )),
    }
}
