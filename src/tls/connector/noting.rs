//! Notes whether an origin asks for a certificate, and keeps sessions for resumption, but not those of such origins.
//! Shows a certificate of ours where there is one, to whoever asks: what it is for was decided when it was read.
//! Start at [`Noting::watch`].
//!
//! rustls resumes a session only under the same resolver, so there is one for all handshakes. It is called inside a poll of the
//! handshake that it is about, on this thread: a flag of the thread, put in place for each poll, tells which one that is.

use std::cell::Cell;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{NamedGroup, SignatureScheme};

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Sessions, and who asks for certificates.
///
/// An origin does not ask again when a session is resumed (RFC 8446 §4.3.2), and then nobody could tell that it asks:
/// so the sessions of those that do are not kept.
#[derive(Debug)]
pub(super) struct Noting {
    own: Option<Arc<CertifiedKey>>,
    sessions: ClientSessionMemoryCache,
    asking: Mutex<LruCache<ServerName<'static>, ()>>,
}

impl Noting {
    pub(super) fn new(own: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            own,
            sessions: ClientSessionMemoryCache::new(SESSIONS.get()),
            asking: Mutex::new(LruCache::new(SESSIONS)),
        }
    }

    /// Runs a handshake with this name. Also says whether the origin asked for a certificate in vain.
    pub(super) async fn watch<T>(
        &self,
        name: &ServerName<'static>,
        handshake: impl Future<Output = T>,
    ) -> (T, bool) {
        let mut handshake = pin!(handshake);
        let mut asked = false;
        let done = std::future::poll_fn(|cx| {
            ASKED.set(asked);
            let polled = handshake.as_mut().poll(cx);
            asked = ASKED.replace(false);
            polled
        })
        .await;
        if asked {
            self.asking().put(name.clone(), ());
        }
        (done, asked)
    }

    fn may_keep(&self, name: &ServerName<'static>) -> bool {
        !ASKED.get() && !self.asking().contains(name)
    }

    fn asking(&self) -> MutexGuard<'_, LruCache<ServerName<'static>, ()>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesClientCert for Noting {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        if self.own.is_none() {
            ASKED.set(true);
        }
        self.own.clone()
    }

    fn has_certs(&self) -> bool {
        self.own.is_some()
    }
}

impl ClientSessionStore for Noting {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.sessions.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if self.may_keep(&server_name) {
            self.sessions.set_tls12_session(server_name, value);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.sessions.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.sessions.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        if self.may_keep(&server_name) {
            self.sessions.insert_tls13_ticket(server_name, value);
        }
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.sessions.take_tls13_ticket(server_name)
    }
}

/// Names of which sessions are kept.
const SESSIONS: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not 0");
