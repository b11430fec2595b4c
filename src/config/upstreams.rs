//! `[upstream.NAME]`: groups of endpoints, and how they are spoken to.
//! Not what goes there, which listeners and routes say.
//! Start at [`read`].

use std::sync::Arc;

use crate::fault::{Fault, Faults, Location};
use crate::pool::{Origin, Protocol, Terms};
use crate::settings::{FromValue, Table};
use crate::upstream::{Probe, Settings};

/// The upstreams that were read, and the names of all that are declared.
#[derive(Debug, Default)]
pub struct Upstreams {
    /// Those without a fault.
    pub read: Vec<UpstreamConfig>,
    pub(super) declared: Vec<Arc<str>>,
}

/// An upstream that was read.
#[derive(Debug)]
pub struct UpstreamConfig {
    /// Its name.
    pub name: Arc<str>,
    /// Its endpoints, and how one of them is chosen.
    pub settings: Settings,
    /// How they are spoken to.
    pub terms: Terms,
    /// Where it stands.
    pub at: Location,
}

pub(super) fn read(table: Option<Table>, base: &Origin, faults: &Faults) -> Upstreams {
    let mut upstreams = Upstreams::default();
    for (name, value) in table.iter().flat_map(Table::take_rest) {
        let name: Arc<str> = name.value.into();
        upstreams.declared.push(name.clone());
        let Some(table) = Table::from_value(value, faults) else {
            continue;
        };
        let terms = Terms::read(&table, base, faults);
        let settings = Settings::read(&table, faults);
        let at = table.at.clone();
        table.finish(faults);
        if let Some(terms) = terms {
            check_probe(&settings, &terms, &at, faults);
            upstreams.read.push(UpstreamConfig {
                name,
                settings,
                terms,
                at,
            });
        }
    }
    upstreams
}

/// gRPC is spoken over HTTP/2: where that is never spoken, no endpoint would ever be found well.
fn check_probe(settings: &Settings, terms: &Terms, at: &Location, faults: &Faults) {
    let health = settings.health.as_ref();
    let by_grpc = health.is_some_and(|health| matches!(health.probe, Probe::Grpc { .. }));
    let speaks = match terms.protocol() {
        Protocol::Http2 | Protocol::Http2Clear => true,
        Protocol::Auto => terms.is_secure(),
        Protocol::Http1 => false,
    };
    if by_grpc && !speaks {
        let problem = "endpoints are probed by gRPC, but not spoken to in HTTP/2";
        let remedy = "write protocol = \"h2c\", or tls = true with protocol = \"h2\"";
        faults.push(Fault::at(at, problem, remedy));
    }
}
