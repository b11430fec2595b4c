//! The permits of what this process asks by itself: they come through the same gate as those of clients, so that nothing is
//! dialled that was not judged. The endpoints were named by the operator: nothing of them is guarded, and no rule is asked.
//! Start at [`Guard::permit`].

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;

use crate::addr::Authority;
use crate::gate::{Gate, Intent, Judged, Seen};
use crate::policy::{NamedBy, Permit, Policy, Scheme};

/// The gate of this process's own requests to upstreams.
#[derive(Debug)]
pub(super) struct Guard {
    gate: Gate,
    name: Arc<str>,
}

impl Guard {
    pub(super) fn new() -> Self {
        let policy = Policy::open(NAME);
        let own = Arc::default();
        Self {
            gate: Gate::new(policy.into(), None, own, Arc::default(), None, true),
            name: NAME.into(),
        }
    }

    /// A permit to dial an endpoint. Errors: what forbids it, in words.
    pub(super) fn permit(
        &self,
        authority: &Authority,
        endpoint: SocketAddr,
    ) -> Result<Permit, String> {
        let intent = Intent {
            listener: self.name.clone(),
            client: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            principal: None,
            authority: authority.clone(),
            scheme: Scheme::Tunnel,
            method: None,
            path: None,
            other_path: None,
            hello: Seen::Nothing,
            now: Timestamp::now(),
            named_by: NamedBy::Operator,
            judged: Judged::default(),
        };
        let permit = self.gate.admit(&intent, None).and_then(|grant| {
            let endpoints = [endpoint];
            self.gate.vet_endpoint(&grant, &intent, None, &endpoints)
        });
        permit.map_err(|denial| format!("rule \"{}\" denies it", denial.rule.name))
    }
}

const NAME: &str = "upstreams";
