//! The client's side.
pub mod http;
mod http1;
mod inbound;
mod settings;
pub use http1::serve as serve_http1;
pub use settings::Limits;
