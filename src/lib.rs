//! Egret: a forward proxy and secure egress gateway.

pub mod addr;
pub mod auth;
pub mod fault;
pub mod policy;
pub mod proxy_protocol;
pub mod settings;
pub mod socks;
pub mod stream;
