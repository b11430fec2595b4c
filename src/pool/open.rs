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
use super::places::Place;
use super::shared::{Group, Spoken, Turn};
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
        if key.http1_only && key.demands_http2() {
            return Err(Failure::new(
                ProxyError::ProtocolError,
                "the request can only be sent over HTTP/1.1, and this upstream is spoken to in HTTP/2",
            ));
        }
        if let Some(fresh) = fresh
            && let Some(lease) = self.reuse(permit, key, fresh, self.limits(key).idle)
        {
            return Ok(lease);
        }
        // In a box: few requests need it, and each one's future would be as large as a handshake.
        Box::pin(self.lease_anew(permit, key, fresh)).await
    }

    /// The same, where none is there yet.
    async fn lease_anew(
        &self,
        permit: &Permit,
        key: &Key,
        fresh: Option<Duration>,
    ) -> Result<Lease, Failure> {
        let limits = self.limits(key);
        let reuse = || self.reuse(permit, key, fresh?, limits.idle);
        let deadline = Instant::now() + limits.connect;
        if !key.may_share() {
            return match self.room(key, deadline, limits.connect, reuse).await? {
                Room::There(lease) => Ok(lease),
                Room::New(place) => {
                    let opened = self.open(permit, key, limits.connect, place).await?;
                    Ok(opened.0)
                }
            };
        }
        let group = self.0.shared.group(key);
        let failures = group.failures();
        loop {
            let impatient = group.failures() != failures;
            let full =
                self.0.shared.count(key) >= limits.idle_per_origin.max(1) || !self.makes_room(key);
            if let Turn::Open(opening) = group.turn(full, impatient)
                && let Some(place) = self.0.places.take(key)
            {
                // Who waited in vain for one that failed has only the rest of the time.
                let limit = if impatient {
                    deadline.saturating_duration_since(Instant::now())
                } else {
                    limits.connect
                };
                return match self.open(permit, key, limit, place).await {
                    Ok((lease, spoken)) => {
                        opening.done(spoken);
                        Ok(lease)
                    }
                    Err(failure) => {
                        opening.failed();
                        Err(failure)
                    }
                };
            }
            let changed = self.changed(key, &group);
            if timeout_at(deadline, changed).await.is_err() {
                return Err(no_place(key, full, limits.connect));
            }
            if let Some(lease) = reuse() {
                return Ok(lease);
            }
        }
    }

    /// A place for a new connection, or a connection that came free, whichever is first.
    async fn room(
        &self,
        key: &Key,
        deadline: Instant,
        limit: Duration,
        reuse: impl Fn() -> Option<Lease>,
    ) -> Result<Room, Failure> {
        loop {
            if self.makes_room(key)
                && let Some(place) = self.0.places.take(key)
            {
                return Ok(Room::New(place));
            }
            let changed = self.0.places.changed(key);
            if timeout_at(deadline, changed).await.is_err() {
                return Err(no_place(key, true, limit));
            }
            if let Some(lease) = reuse() {
                return Ok(Room::There(lease));
            }
        }
    }

    /// Whether there is a place for a new connection, if need be that of one which waits for other requests.
    fn makes_room(&self, key: &Key) -> bool {
        let evict = |key: &Key| self.0.idle.evict(key) || self.0.shared.evict(key);
        while self.0.places.is_full(key) {
            if !evict(key) && !evict(&key.twin()) {
                return false;
            }
        }
        true
    }

    /// Waits until a place on a connection or for one became free, or one has been opened. Cancel-safe.
    async fn changed(&self, key: &Key, group: &Group) {
        tokio::select! {
            () = group.changed() => {}
            () = self.0.places.changed(key) => {}
        }
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
        let limit = self.limits(key).connect;
        let mut secured = self.handshake(stream, peer, host, key, limit).await?;
        let took = start.elapsed();
        let (alpn, certificates) = (
            secured.alpn.clone(),
            std::mem::take(&mut secured.certificates),
        );
        let asked_for_certificate = secured.asked_for_certificate;
        let place = Place::default();
        if spoken(&secured) == Spoken::Http2 {
            self.open_line((secured.stream, place), peer, key, generation, limit)
                .await?;
        } else {
            let connection = Http1::new(secured.stream, peer, generation, place);
            self.give_back(key.clone(), connection);
        }
        Ok(Handshake {
            certificates,
            alpn,
            asked_for_certificate,
            took,
        })
    }

    fn reuse(&self, permit: &Permit, key: &Key, fresh: Duration, limit: Duration) -> Option<Lease> {
        let (permitted, habits) = (permit.addresses(), self.habits());
        // A request in HTTP/2 that came too late is told apart from one that was begun (RFC 9113 §6.8): no need for a
        // connection that was just in use.
        let shared = || {
            let slot = self.0.shared.take(key, permitted, limit, habits)?;
            Some(Connection::http2(slot))
        };
        let idle = || {
            let fresh = fresh.min(limit);
            let connection = self.0.idle.take(key, permitted, fresh, habits)?;
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
        place: Place,
    ) -> Result<(Lease, Spoken), Failure> {
        let start = Instant::now();
        let generation = self.0.generation.get();
        let (tcp, peer) = dial::dial(&self.in_turn(permit), limit).await?;
        let connect = start.elapsed();
        let (stream, spoken, tls) = if key.secure {
            let stream = Stream::from_tcp(tcp);
            let secured = self.handshake(stream, peer, key.host(), key, limit).await?;
            let spoken = spoken(&secured);
            let tls = start.elapsed().saturating_sub(connect);
            (secured.stream, spoken, Some(tls))
        } else if key.is_http2_clear() {
            (Stream::from_tcp(tcp), Spoken::Http2, None)
        } else {
            (Stream::from_tcp(tcp), Spoken::Http1, None)
        };
        let connection = match spoken {
            Spoken::Http1 => Connection::http1(Http1::new(stream, peer, generation, place)),
            Spoken::Http2 => {
                let line = self
                    .open_line((stream, place), peer, key, generation, limit)
                    .await?;
                let slot = line.slot().ok_or_else(|| no_place(key, true, limit))?;
                Connection::http2(slot)
            }
        };
        let lease = Lease {
            connection,
            reused: false,
            connect: Some(connect),
            tls,
        };
        Ok((lease, spoken))
    }

    /// Speaks TLS as the key's terms say, else as `[tls]` says.
    pub(super) async fn handshake(
        &self,
        stream: Stream,
        peer: SocketAddr,
        host: &Host,
        key: &Key,
        limit: Duration,
    ) -> Result<Secured, Failure> {
        let own = key.terms.as_ref().and_then(|terms| terms.trust());
        let trust = match own {
            Some((trust, _)) => trust.clone(),
            None => self.0.origin.borrow().trust.clone(),
        };
        let secured = trust
            .secure(stream, host, peer, key.offered(), &key.pins, limit)
            .await?;
        if key.demands_http2() && spoken(&secured) != Spoken::Http2 {
            return Err(Failure::new(
                ProxyError::TlsProtocol,
                format!("{host} does not choose HTTP/2, and nothing else is spoken to it"),
            ));
        }
        Ok(secured)
    }

    /// Begins HTTP/2 and keeps the connection for others, unless it was made under a trust that is not in force any more.
    async fn open_line(
        &self,
        (stream, place): (Stream, Place),
        peer: SocketAddr,
        key: &Key,
        generation: u64,
        limit: Duration,
    ) -> Result<std::rc::Rc<Line>, Failure> {
        let group = self.0.shared.group(key);
        let line = Line::open(stream, peer, (group, place), self, limit).await?;
        if !self.is_outdated(key, generation) && self.idle() < self.settings().idle_total {
            self.0.shared.put(key, line.clone());
        }
        Ok(line)
    }
}

fn spoken(secured: &Secured) -> Spoken {
    if secured.alpn.as_deref() == Some(b"h2") {
        Spoken::Http2
    } else {
        Spoken::Http1
    }
}

/// What a request that found no connection got.
enum Room {
    There(Lease),
    New(Place),
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
