//! HTTP as an intermediary speaks it: targets, framing, hop-by-hop fields, Via, bodies, answers of the proxy's own.
//! Knows no policy and no pool. Start at [`Target::parse`] for what a request asks, [`http1`] for bytes.

mod answer;
pub mod body;
pub mod buffer;
pub mod compress;
mod cookies;
pub mod date;
pub mod forwarded;
pub mod grpc;
pub mod hop;
pub mod http1;
pub mod http2;
pub mod list;
mod proxy_status;
mod reply;
mod target;
mod via;
pub mod websocket;

pub use answer::Answer;
pub use body::{Body, BodyError};
pub use cookies::cookies;
pub use proxy_status::{ProxyError, proxy_status};
pub use reply::{Interim, Reply, Takeover};
pub use target::{Target, TargetError, default_port, normal_path, other_reading, split_query};
pub use via::Via;
