//! The shared cache: which responses are stored, for which requests they are used again, and where they lie (RFC 9111).
//! Not who may have them: policy is asked first (gate, relay). Opens no connection.
//! Start at [`Cache`]; the law stands in `storable`, `reuse` and `validate`, the stores in `memory` and `disk`.
//!
//! The stores are our own. *Memory*: a hit reads one shard of many and changes no order, and the account of bytes has heads and
//! tables in it, so that the bound means what an operator reads. *Disk*: streams both ways, holds its bound while it is written to,
//! survives a kill without a sync for each object, gives out no byte that it has not verified. What foyer, cacache, redb and
//! sled have of that, and what not, is said in [`disk`].

pub mod candidates;
pub mod conditional;
pub mod contents;
pub mod control;
pub mod directives;
pub mod disk;
mod epochs;
pub mod flight;
pub mod freshness;
pub mod front;
mod hop;
pub mod inspect;
pub mod invalidate;
pub mod key;
pub mod memory;
pub mod partition;
pub mod purge;
pub mod range;
pub mod reuse;
pub mod settings;
pub mod stats;
pub mod status;
pub mod status_code;
pub mod storable;
pub mod stored;
pub mod tags;
pub mod targeted;
mod tiers;
mod uses;
pub mod validate;
pub mod validator;
pub mod vary;

pub use candidates::Candidates;
pub use contents::Contents;
pub use control::Control;
pub use epochs::Epoch;
pub use freshness::Freshness;
pub use front::Cache;
pub use inspect::{Inspected, Tier};
pub use key::{Digest, Key, Realm};
pub use purge::{Purge, Purged, Swept};
pub use settings::{PurgeRight, Settings};
pub use stats::Stats;
pub use status::CacheStatus;
pub use stored::Stored;
pub use vary::Vary;
