//! The load balancer of connections and datagrams: bytes go to an endpoint of an upstream as they come. What a connection begins with is
//! looked at only where the choice of the upstream, or policy, goes by it: of some protocols the server speaks first.

mod datagrams;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use super::{Entry, Means, Mode};
use crate::addr::{Authority, Host};
use crate::gate::Seen;
use crate::lifeline::{Lifeline, Tail};
use crate::listener::http::Trouble;
use crate::listener::{Conn, Datagrams, Intake};
use crate::message::{Interim, ProxyError};
use crate::relay::{Balancing, Caller, Refusal, Served, Toward, Unseen};
use crate::report;
use crate::stream::Stream;
use crate::tls::acceptor::ClientTls;

pub(super) const ENTRY: Entry = Entry {
    name: "balanced",
    summary: "connections or datagrams go to an upstream as they come, by name where they begin with TLS",
    gateway: false,
    opaque: true,
    build: |means| Rc::new(Balanced { means }),
};

struct Balanced {
    means: Means,
}

/// What is known of a connection before it is decided about.
struct Known {
    name: Option<Host>,
    alpn: Vec<Box<str>>,
    seen: Seen,
    /// The client's TLS is none of ours: it reads alerts where it waits for a server's hello.
    is_sealed: bool,
}

impl Mode for Balanced {
    fn serve(
        self: Rc<Self>,
        conn: Conn,
        life: Lifeline,
    ) -> Pin<Box<dyn Future<Output = Option<Tail>>>> {
        Box::pin(async move { self.connection(conn, &life).await })
    }

    fn datagrams(
        self: Rc<Self>,
        socket: Datagrams,
        intake: Rc<dyn Fn() -> Arc<Intake>>,
        life: Lifeline,
        stop: Rc<Notify>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(datagrams::serve(self, socket, intake, life, stop))
    }
}

impl Balanced {
    /// Who comes, and where to; `None` where the listener is not one that balances any more.
    fn caller(
        &self,
        (client, local): (SocketAddr, Option<SocketAddr>),
        protocol: report::Protocol,
        tls: Option<Rc<ClientTls>>,
    ) -> Option<(Caller, Arc<Balancing>)> {
        let relay = &self.means.relay;
        let service = relay.service(&self.means.service);
        let balancing = service.balancing.clone()?;
        let caller = Caller {
            service,
            client,
            local,
            protocol,
            interim: Interim::default(),
            within: None,
            hello: Seen::Nothing,
            tls,
        };
        Some((caller, balancing))
    }

    async fn connection(&self, conn: Conn, life: &Lifeline) -> Option<Tail> {
        let relay = &self.means.relay;
        let ends = (conn.client, conn.local);
        let (caller, balancing) = self.caller(ends, report::Protocol::Tcp, conn.tls)?;
        if relay.is_gone(&self.means.service) {
            relay.broken_off(&caller, "its listener is gone");
            return None;
        }
        let mut stream = conn.stream;
        let known = tokio::select! {
            biased;
            known = self.look(&mut stream, &caller, &balancing) => known,
            // Who has said nothing is owed nothing.
            () = life.parting() => return None,
        };
        let Some(known) = known else {
            stream.abort();
            return None;
        };
        let Some(served) = balancing.choose(known.name.as_ref(), &known.alpn) else {
            let (reason, alert) = known.unknown();
            relay.unrouted(&caller, known.seen, reason);
            part(stream, alert).await;
            return None;
        };
        let mut toward = toward(served, &balancing, known.name.clone(), conn.local);
        toward.seen = known.seen.clone();
        toward.alpn = caller.tls.as_ref().and_then(|tls| tls.alpn);
        match relay.open_to(&caller, toward).await {
            Ok(opening) => Some(Box::pin(opening.carry(stream, None))),
            Err(refused) => {
                let alert = known.alert(&refused.refusal);
                refused.record();
                part(stream, alert).await;
                None
            }
        }
    }

    /// What a connection begins with, as far as anybody goes by it. `None` where that can not be known, and is recorded.
    async fn look(
        &self,
        stream: &mut Stream,
        caller: &Caller,
        balancing: &Balancing,
    ) -> Option<Known> {
        if let Some(tls) = &caller.tls {
            return Some(Known::agreed(tls));
        }
        if !balancing.looks() && !caller.service.gate.looks() {
            return Some(Known::of(Seen::Nothing));
        }
        let relay = &self.means.relay;
        match relay.look(stream, &caller.service.limits).await {
            Ok(seen) => Some(Known::of(seen)),
            // Whoever connects to see whether the port is open says nothing and is no news.
            Err(Unseen::Closed) => None,
            Err(Unseen::Silent) => {
                relay.abandoned(caller, &Trouble::Silent);
                None
            }
            Err(unreadable @ Unseen::Unreadable(_)) => {
                relay.broken_off(caller, unreadable.to_string());
                None
            }
        }
    }
}

impl Known {
    /// Of a connection whose TLS has ended here: policy, too, goes by what was agreed on.
    fn agreed(tls: &ClientTls) -> Self {
        Self {
            is_sealed: false,
            ..Self::of(Seen::agreed(tls))
        }
    }

    /// Of a connection that began like this.
    fn of(seen: Seen) -> Self {
        let (name, alpn) = match &seen {
            Seen::Hello(hello) => (hello.server_name.clone(), hello.alpn.clone()),
            Seen::Nothing | Seen::Later => (None, Vec::new()),
        };
        Self {
            name,
            alpn,
            is_sealed: matches!(seen, Seen::Hello(_)),
            seen,
        }
    }

    fn is_hello(&self) -> bool {
        matches!(self.seen, Seen::Hello(_))
    }

    /// Why there is no upstream, and what a client of TLS is told.
    fn unknown(&self) -> (String, Option<Alert>) {
        let alert = |alert| self.is_sealed.then_some(alert);
        match &self.name {
            Some(name) => {
                let reason =
                    format!("no upstream is for {name} with the protocols that are offered");
                (reason, alert(UNRECOGNIZED_NAME))
            }
            None if self.is_hello() => {
                let reason = "the client names no server, and no upstream is for that";
                (reason.to_owned(), alert(UNRECOGNIZED_NAME))
            }
            None => {
                let reason = "no upstream is for what does not begin with TLS";
                (reason.to_owned(), None)
            }
        }
    }

    /// What a client of TLS, which is not ended here, is told of a refusal.
    fn alert(&self, refusal: &Refusal) -> Option<Alert> {
        let denied = matches!(
            refusal.error(),
            ProxyError::RequestDenied | ProxyError::AddressProhibited
        );
        let alert = if denied {
            ACCESS_DENIED
        } else {
            INTERNAL_ERROR
        };
        self.is_sealed.then_some(alert)
    }
}

/// Where a client's bytes go.
fn toward(
    served: &Arc<Served>,
    balancing: &Balancing,
    name: Option<Host>,
    local: Option<SocketAddr>,
) -> Toward {
    let at = local.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
    let host = name.unwrap_or_else(|| Host::from_ip(at.ip()));
    Toward {
        authority: Authority::new(host, at.port()),
        seen: Seen::Nothing,
        served: served.clone(),
        send: balancing.send,
        local,
        alpn: None,
    }
}

/// Ends a connection that goes nowhere: in the terms of TLS where the client speaks that, else by a cut, which is not taken for a
/// server that has nothing to say.
async fn part(mut stream: Stream, alert: Option<Alert>) {
    let Some(alert) = alert else {
        stream.abort();
        return;
    };
    let told = async {
        stream.write_all(&alert).await?;
        stream.shutdown().await
    };
    // A client that does not take it is no reason to wait.
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}

/// A fatal alert (RFC 8446 §6).
type Alert = [u8; 7];

const ACCESS_DENIED: Alert = fatal(49);
const INTERNAL_ERROR: Alert = fatal(80);
/// RFC 6066 §3.
const UNRECOGNIZED_NAME: Alert = fatal(112);

const fn fatal(description: u8) -> Alert {
    [21, 3, 3, 0, 2, 2, description]
}
