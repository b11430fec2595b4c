//! Waits for a tunnel's first bytes, to see whether they are a ClientHello. They stay in the stream.
//! Not the reading of a hello (tls) and not the judging of it (gate).
//! Start at [`look`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Relay;
use crate::gate::Seen;
use crate::listener::Limits;
use crate::policy::Hello;
use crate::stream::Stream;
use crate::tls::hello::ClientHello;
use crate::tls::peek::{self, Looked};

/// What a tunnel began with.
#[derive(Debug)]
pub(super) enum First {
    /// A ClientHello, or something else.
    Seen(Seen),
    /// The beginning of a ClientHello that can not be read.
    Unreadable(String),
}

/// Looks at what the client says first, or finds that the origin spoke first: then it is not TLS. Waits as long as both are
/// silent; a hello that has begun must be whole within `limit`. Cancel-safe.
pub(super) async fn look(client: &mut Stream, origin: &Stream, limit: Duration) -> First {
    let spoke_first = tokio::select! {
        biased;
        looked = peek::look(client, limit) => return first(looked),
        () = speaks(origin) => client.unread_len() == 0,
    };
    if spoke_first {
        return First::Seen(Seen::Nothing);
    }
    // A client that has begun a hello goes on with it, whatever the origin says meanwhile.
    first(peek::look(client, limit).await)
}

/// Why it is not known what a client says first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unseen {
    /// It closed the connection, or that broke.
    #[error("the client closed without a word")]
    Closed,
    /// It says nothing.
    #[error("the client did not say in time what it wants")]
    Silent,
    /// It begins like TLS and goes on otherwise.
    #[error("the TLS handshake can not be read: {0}")]
    Unreadable(Box<str>),
}

impl Relay {
    /// Looks at what a client says first, where that has to be known before anybody is asked; it stays in the stream. Waits for
    /// its first byte as long as for that of any connection. Cancel-safe.
    pub async fn look(&self, client: &mut Stream, limits: &Limits) -> Result<Seen, Unseen> {
        let looking = peek::look(client, limits.header_time);
        let looked = tokio::time::timeout(limits.first_byte, looking).await;
        match looked.map_err(|_| Unseen::Silent)? {
            Ok(Looked::Closed) | Err(_) => Err(Unseen::Closed),
            looked => match first(looked) {
                First::Seen(seen) => Ok(seen),
                First::Unreadable(why) => Err(Unseen::Unreadable(why.into())),
            },
        }
    }
}

fn first(looked: io::Result<Looked>) -> First {
    match looked {
        Ok(Looked::Hello(hello)) => First::Seen(Seen::Hello(Arc::new(facts(*hello)))),
        Ok(Looked::Bad(problem)) => First::Unreadable(problem.to_string()),
        // A connection that breaks here ends the tunnel when it is carried.
        Ok(Looked::NotTls | Looked::Closed) | Err(_) => First::Seen(Seen::Nothing),
    }
}

/// Waits until the origin has said something, or has gone.
async fn speaks(origin: &Stream) {
    match origin.as_tcp() {
        // An error is news as well.
        Some(tcp) => drop(tcp.readable().await),
        None => std::future::pending().await,
    }
}

fn facts(hello: ClientHello) -> Hello {
    Hello {
        alpn: hello
            .alpn
            .iter()
            .map(|protocol| String::from_utf8_lossy(protocol).into())
            .collect(),
        server_name: hello.server_name,
        version: hello.version.word(),
        ech: hello.ech,
        fingerprint: hello.fingerprint,
    }
}
