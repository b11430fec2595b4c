//! TLS towards origins: verified by the platform's roots and the operator's, by name, date and revocation; never "accept any".
//! Not TLS towards clients, opens no connection and speaks no HTTP.
//! Start at [`Trust::secure`].

mod noting;
mod pins;
mod settings;
mod verifier;
mod why;

pub use pins::Pins;
pub use settings::{read, read_over};
pub use why::{ConnectError, Why};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore};
use tokio_rustls::TlsConnector;

use self::noting::Noting;
use self::verifier::Verifier;
use crate::addr::Host;
use crate::stream::Stream;

/// Whom we believe, and how we shake hands. Cheap to clone; workers share one.
///
/// Two are equal if they believe the same, whichever was read first.
#[derive(Debug, Clone)]
pub struct Trust(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    nothing: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    noting: Arc<Noting>,
    /// What it was made of.
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    own: Option<Arc<CertifiedKey>>,
    oldest: ProtocolVersion,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&*self.0, &*other.0);
        // A certificate has one key, so it stands for both.
        let shown = |inner: &'_ Inner| inner.own.as_ref().map(|own| own.cert.clone());
        a.oldest == b.oldest
            && a.revoked == b.revoked
            && a.roots.roots == b.roots.roots
            && shown(a) == shown(b)
    }
}

impl Eq for Trust {}

/// What is offered to be spoken inside (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// HTTP/2, or else HTTP/1.1.
    Any,
    /// HTTP/1.1 alone, for what HTTP/2 can not carry.
    Http1,
    /// HTTP/2 alone.
    Http2,
    /// No word of it: what is inside is not known to be HTTP.
    Nothing,
}

/// A connection under TLS whose other end was verified.
#[derive(Debug)]
pub struct Secured {
    /// Its plaintext side.
    pub stream: Stream,
    /// What the origin chose to speak; `None` where it did not choose.
    pub alpn: Option<Vec<u8>>,
    /// What the origin showed, its own certificate first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Whether the origin asked for a certificate of ours and was shown none.
    pub asked_for_certificate: bool,
}

impl Trust {
    /// Speaks TLS over a connection to `peer`, whose certificate must be valid for `host` and, where there are pins, hold one
    /// of them. Waits at most `limit`.
    ///
    /// Errors: see [`Why`]. Dropping the future closes the connection.
    pub async fn secure(
        &self,
        io: Stream,
        host: &Host,
        peer: SocketAddr,
        offered: Offered,
        pins: &Pins,
        limit: Duration,
    ) -> Result<Secured, ConnectError> {
        let failed = |why| ConnectError::new(host, peer, why);
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.to_string()),
            Host::Addr(ip) => Ok(ServerName::IpAddress((*ip).into())),
        };
        let name = name.map_err(|_| failed(Why::NoName))?;
        let config = match offered {
            Offered::Any => self.0.any.clone(),
            Offered::Http1 => self.0.http1.clone(),
            Offered::Http2 => self.0.http2.clone(),
            Offered::Nothing => self.0.nothing.clone(),
        };
        let handshake = TlsConnector::from(config).connect(name.clone(), io);
        let watched = self.0.noting.watch(&name, handshake);
        let (stream, asked_for_certificate) = match tokio::time::timeout(limit, watched).await {
            Ok((Ok(stream), asked)) => (stream, asked),
            Ok((Err(error), _)) => return Err(failed(why_of(&error))),
            Err(_) => return Err(failed(Why::Timeout(limit))),
        };
        let session = stream.get_ref().1;
        let certificates = self.look_again(session, &name, pins).map_err(failed)?;
        Ok(Secured {
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            certificates,
            asked_for_certificate,
            stream: Stream::boxed(stream),
        })
    }

    /// What the handshake itself does not see to: a resumed session shows no certificate, and the one that it was begun with
    /// may have expired since; pins.
    fn look_again(
        &self,
        session: &ClientConnection,
        name: &ServerName<'_>,
        pins: &Pins,
    ) -> Result<Vec<CertificateDer<'static>>, Why> {
        let certificates: Vec<_> = session
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let Some((own, others)) = certificates.split_first() else {
            return Err(Why::Protocol("the origin shows no certificate".to_owned()));
        };
        let now = UnixTime::now();
        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
            self.0.verifier.check(own, others, name, now)?;
        }
        if !pins.is_empty() && !self.0.verifier.holds(pins, own, others, name, now) {
            return Err(Why::Pinned);
        }
        Ok(certificates)
    }
}

/// Why a handshake failed. No text of the peer's passes but names of protocol elements.
fn why_of(error: &io::Error) -> Why {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(error)) => verifier::noted(error),
        Some(rustls::Error::AlertReceived(alert)) => Why::Alert(*alert),
        Some(other) => Why::Protocol(other.to_string()),
        None => Why::Closed,
    }
}

#[cfg(test)]
mod tests;
