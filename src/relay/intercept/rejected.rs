//! Clients that did not accept our certificate for a name, of late: they pin the origin's, or do not trust the authority.
//! Not what becomes of them, which the rule says.
//! Start at [`Rejected::note`].

use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;
use rustls::AlertDescription;
use tokio::time::Instant;

use crate::addr::Host;

/// Which client rejected which name, and until when that counts. Shared by the workers; asked once for each tunnel.
#[derive(Debug)]
pub(super) struct Rejected(Mutex<LruCache<Who, Instant>>);

/// A client and a name. What one program does at an address says nothing of another, so the fingerprint of its hello counts,
/// and who it is where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Who {
    pub(super) client: IpAddr,
    pub(super) principal: Option<Arc<str>>,
    pub(super) fingerprint: Box<str>,
    pub(super) host: Host,
}

impl Default for Rejected {
    fn default() -> Self {
        let most = NonZeroUsize::new(MOST).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl Rejected {
    /// A client has rejected our certificate for a name. Where it is spliced from now on, that lasts longer than where it is
    /// only told why: it may begin to trust the authority at any time.
    pub(super) fn note(&self, who: Who, splice: bool) {
        let lasts = if splice { SPLICED } else { TOLD };
        self.lock().put(who, Instant::now() + lasts);
    }

    /// Whether this client has rejected our certificate for a name of late.
    pub(super) fn is_known(&self, who: &Who) -> bool {
        let until = self.lock().get(who).copied();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<Who, Instant>> {
        // Whoever panicked inside has left the map whole: it is changed by single calls.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The alert by which a client rejected our certificate; `None` where the handshake failed for another reason.
pub(super) fn alert(error: &io::Error) -> Option<AlertDescription> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::AlertReceived(alert) = tls else {
        return None;
    };
    REJECTING.contains(alert).then_some(*alert)
}

/// Alerts that are about a certificate (RFC 8446 §6.2).
const REJECTING: [AlertDescription; 7] = [
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
];

/// How long a client that pins is relayed untouched.
const SPLICED: Duration = Duration::from_secs(600);
/// How long a client is refused before it may try again.
const TOLD: Duration = Duration::from_secs(30);
/// Pairs that are remembered.
const MOST: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rejection_counts_for_its_client_and_name_and_for_a_time() {
        let who = |client: &str, fingerprint: &str, host: &str| Who {
            client: client.parse().expect("an address"),
            principal: None,
            fingerprint: fingerprint.into(),
            host: Host::parse_bare(host).expect("a host"),
        };
        let one = who("192.0.2.1", "t13d", "a.test");
        let others = [
            who("192.0.2.2", "t13d", "a.test"),
            who("192.0.2.1", "t12d", "a.test"),
            who("192.0.2.1", "t13d", "b.test"),
        ];
        for (splice, lasts) in [(true, SPLICED), (false, TOLD)] {
            let rejected = Rejected::default();
            rejected.note(one.clone(), splice);
            assert!(rejected.is_known(&one));
            assert!(others.iter().all(|other| !rejected.is_known(other)));
            let moment = Duration::from_secs(1);
            tokio::time::advance(lasts.saturating_sub(moment)).await;
            assert!(rejected.is_known(&one), "{splice}");
            tokio::time::advance(moment).await;
            assert!(!rejected.is_known(&one), "{splice}");
        }
    }
}
