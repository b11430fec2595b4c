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
use crate::tls::connector::Offered;

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

/// What a connection begins with whose bytes are not ours.
#[derive(Debug, Clone, Copy)]
pub struct Preamble<'a> {
    /// What goes first, before TLS where there is any: a PROXY header.
    pub header: &'a [u8],
    /// What is offered inside of TLS.
    pub alpn: Offered,
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
        let start = Instant::now();
        let (tcp, peer) = dial::dial(&self.in_turn(permit), limit).await?;
        let (stream, connect) = (Stream::from_tcp(tcp), start.elapsed());
        if !key.secure {
            return Ok(Dialled {
                stream,
                peer,
                alpn: None,
                connect,
                tls: None,
            });
        }
        let secured = self.handshake(stream, peer, key.host(), key, limit).await?;
        Ok(Dialled {
            stream: secured.stream,
            peer,
            alpn: secured.alpn,
            connect,
            tls: Some(start.elapsed().saturating_sub(connect)),
        })
    }

    /// Opens a connection for bytes that are not ours, as the key's terms say: TCP, a header, and TLS over it. It is not kept, and
    /// takes no place among those that an endpoint may have. Waits at most the connect limit of the terms for each of the three.
    ///
    /// Errors: as [`Pool::dial`], TLS failures. Dropping the future abandons every attempt.
    pub async fn dial_for(
        &self,
        permit: &Permit,
        key: &Key,
        preamble: Preamble<'_>,
    ) -> Result<Dialled, Failure> {
        let limit = self.limits(key).connect;
        let start = Instant::now();
        let (tcp, peer) = dial::dial(&self.in_turn(permit), limit).await?;
        let (mut stream, connect) = (Stream::from_tcp(tcp), start.elapsed());
        if !preamble.header.is_empty() {
            send_header(&mut stream, peer, preamble.header, limit).await?;
        }
        let trust = key.terms.as_ref().and_then(|terms| terms.trust());
        let Some((trust, pins)) = trust else {
            return Ok(Dialled {
                stream,
                peer,
                alpn: None,
                connect,
                tls: None,
            });
        };
        let host = key.host();
        let secured = trust.secure(stream, host, peer, preamble.alpn, pins, limit);
        let secured = secured.await?;
        // What comes is HTTP/2 from its first byte on.
        if preamble.alpn == Offered::Http2 && secured.alpn.as_deref() != Some(b"h2") {
            return Err(Failure::new(
                ProxyError::TlsProtocol,
                format!("{host} does not choose HTTP/2, which is what is spoken to it"),
            ));
        }
        Ok(Dialled {
            stream: secured.stream,
            peer,
            alpn: secured.alpn,
            connect,
            tls: Some(start.elapsed().saturating_sub(connect)),
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
