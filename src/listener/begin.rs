//! From an accepted connection to one whose client and protocol are known: counted in, PROXY header, TLS, first bytes.
//! Answers nobody and records nothing: what came of it is told to who accepts.
//! Start at [`begin`].

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::time::{Instant, timeout, timeout_at};

use super::http::Trouble;
use super::intake::Intake;
use super::preface::{self, Ends, Opening, PrefaceError};
use super::{Admitted, Conn, Protocol};
use crate::stream::Stream;
use crate::tls::acceptor::{Alpn, ClientTls, HandshakeError, Server};

/// Why a connection does not begin.
pub(super) enum Turned {
    /// It is not let in. The stream, where it can be answered in HTTP/1.1.
    Away(SocketAddr, Trouble, Option<Box<Stream>>),
    /// It did not say what it is.
    Broken(SocketAddr, PrefaceError),
    /// It did not come through the TLS handshake.
    Tls(SocketAddr, HandshakeError),
}

impl Turned {
    fn away(stream: Stream, client: SocketAddr, trouble: Trouble, answered: bool) -> Self {
        Self::Away(client, trouble, answered.then(|| Box::new(stream)))
    }
}

/// Counts the connection in and reads what it begins with. Every wait is bounded by the listener's limits.
pub(super) async fn begin(
    mut stream: Stream,
    peer: SocketAddr,
    intake: &Intake,
) -> Result<(Admitted, Conn), Turned> {
    let limits = &intake.limits;
    // Who expects TLS reads no plain answer.
    let plain = intake.tls.is_none() && !intake.opaque;
    let full = Trouble::Connections;
    let admitted = intake.admission.admit(limits).and_then(|admitted| {
        // Behind a balancer all connections come from one address: there the client is known from the PROXY header only.
        if intake.proxy_headers.trusts(peer.ip()) {
            Some(admitted)
        } else {
            admitted.of_client(peer.ip(), limits)
        }
    });
    let Some(mut admitted) = admitted else {
        return Err(Turned::away(stream, peer, full, plain));
    };
    let mut until = Instant::now() + limits.first_byte;
    let own = stream.as_tcp().and_then(|tcp| tcp.local_addr().ok());
    let reading = preface::client(&mut stream, peer, &intake.proxy_headers);
    let Ends { client, local } = match timeout_at(until, reading).await {
        Ok(Ok(ends)) => ends,
        Ok(Err(error)) => return Err(Turned::Broken(peer, error)),
        Err(_) => return Err(Turned::away(stream, peer, Trouble::Silent, plain)),
    };
    let mut tls = None;
    if let Some(server) = &intake.tls {
        // A handshake is work: nobody gets more of it than connections.
        admitted = admitted
            .of_client(client.ip(), limits)
            .ok_or(Turned::Away(client, full, None))?;
        let (inside, found) = enter(server, stream, client, (until, intake)).await?;
        (stream, tls) = (inside, Some(found));
        until = Instant::now() + limits.first_byte;
    }
    let (stream, protocol) = spoken(stream, client, intake, until).await?;
    let http1 = protocol == Protocol::Http1;
    let Some(admitted) = admitted.of_client(client.ip(), limits) else {
        return Err(Turned::away(stream, client, full, http1));
    };
    let agreed = tls.as_ref().and_then(|tls| tls.alpn);
    if let Some(alpn) = agreed.filter(|alpn| !is_of(*alpn, protocol)) {
        return Err(Turned::Broken(client, PrefaceError::Alpn(alpn.id())));
    }
    if !intake.accepted.takes(protocol) {
        let trouble = Trouble::Protocol(intake.accepted);
        return Err(Turned::away(stream, client, trouble, http1));
    }
    let conn = Conn {
        stream,
        client,
        local: local.or(own),
        listener: intake.listener.clone(),
        protocol,
        tls: tls.map(Rc::new),
    };
    Ok((admitted, conn))
}

/// What is spoken, by its first bytes. Nothing is waited for where the listener does not go by that.
async fn spoken(
    mut stream: Stream,
    client: SocketAddr,
    intake: &Intake,
    until: Instant,
) -> Result<(Stream, Protocol), Turned> {
    if intake.opaque {
        return Ok((stream, Protocol::Opaque));
    }
    match timeout_at(until, preface::protocol(&mut stream)).await {
        Ok(Ok(protocol)) => Ok((stream, protocol)),
        Ok(Err(error)) => Err(Turned::Broken(client, error)),
        Err(_) => Err(Turned::away(stream, client, Trouble::Silent, true)),
    }
}

/// Looks whether the client speaks TLS, and does the handshake.
async fn enter(
    server: &Server,
    mut stream: Stream,
    client: SocketAddr,
    (until, intake): (Instant, &Intake),
) -> Result<(Stream, ClientTls), Turned> {
    match timeout_at(until, preface::opening(&mut stream)).await {
        Ok(Ok(Opening::Tls)) => {}
        Ok(Ok(Opening::Text)) => {
            return Err(Turned::away(
                stream,
                client,
                Trouble::PlainText,
                !intake.opaque,
            ));
        }
        Ok(Err(error)) => return Err(Turned::Broken(client, error)),
        Err(_) => return Err(Turned::Away(client, Trouble::Silent, None)),
    }
    // Boxed: a connection without TLS does not make room for it.
    match timeout(intake.limits.header_time, Box::pin(server.accept(stream))).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Turned::Tls(client, error)),
        Err(_) => Err(Turned::Tls(client, HandshakeError::Slow)),
    }
}

/// RFC 7301 §3.2: what was agreed on is what is spoken. SOCKS has no name there: who speaks it agrees on nothing.
fn is_of(alpn: Alpn, protocol: Protocol) -> bool {
    match (alpn, protocol) {
        (Alpn::Http2, Protocol::Http2) | (Alpn::Http1, Protocol::Http1) => true,
        // Nobody looks: it is between the client and the origin.
        (_, Protocol::Opaque) => true,
        (Alpn::Http2 | Alpn::Http1, _) => false,
    }
}
