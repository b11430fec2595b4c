//! The client's side of a decrypted tunnel: its handshake, then requests until it ends.
//! Not the origin's side, and not what becomes of a request.
//! Start at [`accept`], then [`serve`].

use std::io;
use std::rc::Rc;

use tokio_rustls::TlsAcceptor;

use super::inside::Inside;
use super::rejected;
use crate::lifeline::Tail;
use crate::listener::{serve_http1, serve_http2};
use crate::relay::tunnel::{Tunnel, ended};
use crate::stream::Stream;
use crate::tls::mint::Leaf;

/// A client that has finished its handshake.
pub(super) struct Accepted {
    stream: Stream,
    http2: bool,
}

/// A client that has not.
pub(super) struct Unaccepted {
    /// It did not accept our certificate.
    pub(super) rejected: bool,
    why: String,
}

impl Unaccepted {
    /// Ends the tunnel's record with what happened.
    pub(super) fn record(self, tunnel: Tunnel) {
        tunnel.recording.cut(self.why);
    }
}

/// The client's handshake, within the time of a header section.
pub(super) async fn accept(
    tunnel: &Tunnel,
    client: Stream,
    leaf: &Leaf,
) -> Result<Accepted, Unaccepted> {
    let limit = tunnel.service.limits.header_time;
    let handshake = TlsAcceptor::from(leaf.config.clone()).accept(client);
    match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(stream)) => Ok(Accepted {
            http2: stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            stream: Stream::boxed(stream),
        }),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err(Unaccepted {
            rejected: false,
            why: "the client did not finish the TLS handshake in time".to_owned(),
        }),
    }
}

fn explain(error: &io::Error) -> Unaccepted {
    let alert = rejected::alert(error);
    let why = match alert {
        Some(alert) => format!(
            "the client rejected our certificate ({alert:?}): it pins the origin's, or does not trust the authority \
             (see `egret ca export`)"
        ),
        None => format!("the TLS handshake with the client failed: {error}"),
    };
    Unaccepted {
        rejected: alert.is_some(),
        why,
    }
}

/// Requests until the client leaves, an operator ends the tunnel, or policy permits it no longer.
pub(super) async fn serve(mut tunnel: Tunnel, client: Accepted, inside: Inside) {
    tunnel.recording.edit(|record| record.intercepted = true);
    if let Some(flow) = tunnel.recording.flow() {
        flow.state.set("intercepting");
    }
    let limits = tunnel.service.limits.clone();
    let life = tunnel.parts.life.clone();
    let inside = Rc::new(inside);
    let serving = async {
        if client.http2 {
            serve_http2(client.stream, inside, &limits, &life).await;
            return None;
        }
        serve_http1(client.stream, &*inside, &limits, &life).await
    };
    let tail: Option<Tail> = tokio::select! {
        biased;
        // Whatever is under way inside ends with the connection, each with a record of its own.
        reason = ended(&tunnel) => return tunnel.recording.cut(reason),
        tail = serving => tail,
    };
    tunnel.recording.finish();
    if let Some(tail) = tail {
        // A WebSocket has a record and a flow of its own.
        tail.await;
    }
}
