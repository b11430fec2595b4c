//! Both ends of TLS: reading a ClientHello, keys and certificates, the authority that mints, accepting and connecting.
//! Knows no HTTP, opens no connection and judges nothing: policy says what is intercepted.
//! Start at [`ClientHello`](hello::ClientHello) for what a client says first.

pub mod acceptor;
mod anchors;
pub mod authority;
pub mod certificates;
pub mod connector;
mod der;
pub mod hello;
pub mod identity;
pub mod keys;
pub mod mint;
pub mod peek;
pub mod trust;
