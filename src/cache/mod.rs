//! The shared cache: which responses are stored, for which requests they are used again, and where they lie (RFC 9111).
//! Not who may have them: policy is asked first (gate, relay). Opens no connection.
//! Start at [`Cache`]; the law stands in `storable`, `reuse` and `validate`, the stores in `memory` and `disk`.

pub mod contents;
pub mod control;
pub mod disk;
pub mod flight;
pub mod freshness;
pub mod key;
pub mod memory;
pub mod stored;
pub mod vary;

pub use contents::Contents;
pub use control::Control;
pub use freshness::Freshness;
pub use key::{Digest, Key};
pub use stored::Stored;
pub use vary::Vary;
