//! What happened: one record per exchange or tunnel, the flows that live now, counters, the last decisions.
//! Takes plain strings and numbers: it knows no policy, no HTTP message, no socket, and never sees a credential.
//! Start at [`Record`], then [`AccessLog`], which writes records off the workers; [`Flows`] is what lives now.

mod access_log;
mod counters;
mod flows;
mod format;
mod id;
mod recent;
mod record;

pub use access_log::{AccessLog, Destination, LogStats, Reporter, Settings, Wants};
pub use counters::{Count, Counters, Open, Totals, Words};
pub use flows::{Filter, Flow, FlowFacts, FlowGuard, FlowKind, FlowView, Flows, Killed};
pub use format::Format;
pub use id::{IdError, RequestId, RequestIds};
pub use recent::Recent;
pub use record::{Protocol, Record, Verdict, text_of};
