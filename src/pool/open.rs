//! How a request comes to its connection: one that is there, else a new one, by itself or after another request that is
//! opening one.
//! Dials nothing by itself (`dial`) and verifies nothing by itself (`tls`).
//! Start at [`Pool::lease`].

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::http1::Http1;
use super::http2::Line;
use super::key::Key;
use super::shared::{Protocol, Turn};
use super::{Failure, Lease, Pool, dial};
use crate::addr::Host;
use crate::message::ProxyError;
use crate::policy::Permit;
use crate::stream::Stream;
use crate::tls::connector::Secured;

/// What a handshake with an origin showed.
#[derive(Debug)]
pub struct Handshake {
    /// The origin's certificates, its own first; verified.
    pub certificates: Vec<rustls::pki_types::CertificateDer<'static>>,
    /// What it chose to speak inside.
    pub alpn: Option<Vec<u8>>,
    /// Whether it asked for a certificate of ours. None was shown.
    pub asked_for_certificate: bool,
    /// How long it took.
    pub took: Duration,
}

impl Pool {
    /// A connection that may carry a request: one to a permitted address that is there and younger than `fresh`, else a new
    /// one. With HTTP/2, a place on a connection that others use too.
    ///
    /// Errors: as [`Pool::dial`], TLS failures, and no place on any of the connections that an origin may have. Dropping the
    /// future abandons every attempt.
    pub async fn lease(
        &self,
        permit: &Permit,
        key: &Key,
        fresh: Option<Duration>,
    ) -> Result<Lease, Failure> {
        let settings = self.settings();
        let reuse = || self.reuse(permit, key, fresh?.min(settings.idle));
        if let Some(lease) = reuse() {
            return Ok(lease);
        }
        if !key.may_share() {
            let (lease, _) = self.open(permit, key, settings.connect).await?;
            return Ok(lease);
        }
        let group = self.0.shared.group(key);
        let (deadline, failures) = (Instant::now() + settings.connect, group.failures());
        loop {
            let impatient = group.failures() != failures;
            let full = self.0.shared.count(key) >= settings.idle_per_origin.max(1);
            if let Turn::Open(opening) = group.turn(full, impatient) {
                // Who waited in vain for one that failed has only the rest of the time.
                let limit = if impatient {
                    deadline.saturating_duration_since(Instant::now())
                } else {
                    settings.connect
                };
                return match self.open(permit, key, limit).await {
                    Ok((lease, protocol)) => {
                        opening.done(protocol);
                        Ok(lease)
                    }
                    Err(failure) => {
                        opening.failed();
                        Err(failure)
                    }
                };
            }
            if timeout_at(deadline, group.changed()).await.is_err() {
                return Err(no_place(key, full, settings.connect));
            }
            if let Some(lease) = reuse() {
                return Ok(lease);
            }
        }
    }

    /// Whether a lease with this key would find a connection.
    pub fn has_idle(&self, key: &Key, permitted: &[SocketAddr]) -> bool {
        let since = Instant::now().checked_sub(self.settings().idle);
        since.is_some_and(|since| {
            self.0.shared.has(key, permitted, since) || self.0.idle.has(key, permitted, since)
        })
    }

    /// Does the handshake with an origin over a connection that was dialled before, and keeps what comes of it for the next
    /// lease with this key. Its certificate must be valid for `host`. Waits at most the connect limit.
    ///
    /// Errors: TLS failures. Dropping the future closes the connection.
    pub async fn secure(
        &self,
        stream: Stream,
        peer: SocketAddr,
        host: &Host,
        key: &Key,
    ) -> Result<Handshake, Failure> {
        let start = Instant::now();
        let generation = self.0.generation.get();
        let limit = self.settings().connect;
        let mut secured = self.handshake(stream, peer, host, key, limit).await?;
        let took = start.elapsed();
        let (alpn, certificates) = (
            secured.alpn.clone(),
            std::mem::take(&mut secured.certificates),
        );
        let asked_for_certificate = secured.asked_for_certificate;
        let protocol = protocol(&secured);
        if protocol == Protocol::Http2 {
            self.open_line(secured.stream, peer, key, generation, limit)
                .await?;
        } else {
            let connection = Http1::new(secured.stream, peer, generation);
            self.give_back(key.clone(), connection);
        }
        Ok(Handshake {
            certificates,
            alpn,
            asked_for_certificate,
            took,
        })
    }

    fn reuse(&self, permit: &Permit, key: &Key, fresh: Duration) -> Option<Lease> {
        let now = Instant::now();
        let permitted = permit.addresses();
        // A request in HTTP/2 that came too late is told apart from one that was begun (RFC 9113 §6.8): no need for a
        // connection that was just in use.
        let shared = || {
            let since = now.checked_sub(self.settings().idle)?;
            let slot = self.0.shared.take(key, permitted, since)?;
            Some(Connection::http2(slot))
        };
        let idle = || {
            let since = now.checked_sub(fresh)?;
            let connection = self.0.idle.take(key, permitted, since)?;
            Some(Connection::http1(connection))
        };
        let connection = if key.may_share() {
            shared().or_else(idle)?
        } else {
            idle()?
        };
        Some(Lease {
            connection,
            reused: true,
            connect: None,
            tls: None,
        })
    }

    async fn open(
        &self,
        permit: &Permit,
        key: &Key,
        limit: Duration,
    ) -> Result<(Lease, Protocol), Failure> {
        let start = Instant::now();
        let generation = self.0.generation.get();
        let (tcp, peer) = dial::dial(&self.in_turn(permit), limit).await?;
        let connect = start.elapsed();
        let lease = |connection, tls| Lease {
            connection,
            reused: false,
            connect: Some(connect),
            tls,
        };
        let stream = Stream::from_tcp(tcp);
        if !key.secure {
            let connection = Connection::http1(Http1::new(stream, peer, generation));
            return Ok((lease(connection, None), Protocol::Http1));
        }
        let host = &key.authority.host;
        let secured = self.handshake(stream, peer, host, key, limit).await?;
        let tls = Some(start.elapsed().saturating_sub(connect));
        let protocol = protocol(&secured);
        let connection = match protocol {
            Protocol::Http1 => Connection::http1(Http1::new(secured.stream, peer, generation)),
            Protocol::Http2 => {
                let line = self
                    .open_line(secured.stream, peer, key, generation, limit)
                    .await?;
                let slot = line.slot().ok_or_else(|| no_place(key, true, limit))?;
                Connection::http2(slot)
            }
        };
        Ok((lease(connection, tls), protocol))
    }

    async fn handshake(
        &self,
        stream: Stream,
        peer: SocketAddr,
        host: &Host,
        key: &Key,
        limit: Duration,
    ) -> Result<Secured, Failure> {
        let trust = self.0.origin.borrow().trust.clone();
        let secured = trust.secure(stream, host, peer, key.offered(), &key.pins, limit);
        Ok(secured.await?)
    }

    /// Begins HTTP/2 and keeps the connection for others, unless it was made under a trust that is not in force any more.
    async fn open_line(
        &self,
        stream: Stream,
        peer: SocketAddr,
        key: &Key,
        generation: u64,
        limit: Duration,
    ) -> Result<std::rc::Rc<Line>, Failure> {
        let group = self.0.shared.group(key);
        let line = Line::open(stream, peer, group, self.life(), limit).await?;
        if generation == self.0.generation.get() && self.idle() < self.settings().idle_total {
            self.0.shared.put(key, line.clone());
        }
        Ok(line)
    }
}

fn protocol(secured: &Secured) -> Protocol {
    if secured.alpn.as_deref() == Some(b"h2") {
        Protocol::Http2
    } else {
        Protocol::Http1
    }
}

fn no_place(key: &Key, full: bool, limit: Duration) -> Failure {
    let host = &key.authority.host;
    if full {
        let detail = format!("all connections to {host} are full");
        return Failure::new(ProxyError::ConnectionLimit, detail);
    }
    Failure::new(
        ProxyError::ConnectionTimeout,
        format!("{host} did not answer within {limit:?}"),
    )
}
