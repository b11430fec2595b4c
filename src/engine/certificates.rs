//! What the main thread does about certificates: reads changed files anew, warns of those that end, shows them to operators.
//! Verifies nothing (tls), and does not wait for the next second itself (the main loop).
//! Start at [`refresh`].

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::config::Config;
use crate::tls::certificates::Expiring;

/// Certificates, roots and revocation lists of listeners whose files have changed are read again; the next handshakes follow
/// them. Blocks on the disk. Says whether anything was replaced.
pub(super) fn refresh(config: &Config) -> bool {
    let mut changed = false;
    for listener in &config.listeners {
        match listener.tls.as_ref().and_then(|tls| tls.refresh()) {
            None => {}
            Some(Ok(())) => {
                changed = true;
                tracing::info!(
                    "listener {}: the certificates were read anew",
                    listener.name
                );
            }
            Some(Err(faults)) => {
                for fault in faults {
                    tracing::error!("{}", fault.render());
                }
                tracing::error!(
                    "listener {}: the last good certificates stay in force",
                    listener.name
                );
            }
        }
    }
    changed
}

/// Warns of what ends soon, or has ended.
pub(super) fn warn_of_expiry(config: &Config) {
    let now = Timestamp::now();
    for warning in config.expiring().iter().filter_map(|one| one.warning(now)) {
        tracing::warn!("{warning}");
    }
}

/// All of them for `egret status`, with what keeps newer ones from being taken.
pub(super) fn status(config: &Config) -> Vec<Value> {
    let now = Timestamp::now();
    let of_listeners = config.listeners.iter().flat_map(|listener| {
        let tls = listener.tls.as_ref();
        let fault = tls.and_then(|tls| tls.standing_fault());
        let all = tls.map(|tls| tls.expiring()).unwrap_or_default();
        all.into_iter()
            .map(move |one| shown(&listener.name, &one, fault.as_deref(), now))
    });
    let authority = config
        .intercept
        .as_ref()
        .map(|intercept| shown("intercept", &intercept.authorities.expiring(), None, now));
    of_listeners.chain(authority).collect()
}

fn shown(of: &str, one: &Expiring, fault: Option<&str>, now: Timestamp) -> Value {
    json!({
        "listener": of,
        "names": one.names.join(","),
        "not_after": one.not_after.to_string(),
        "days_left": one.days_left(now),
        "fault": fault,
    })
}
