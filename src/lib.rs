//! Egret: a forward proxy and secure egress gateway.

pub mod addr;
pub mod auth;
pub mod cli;
pub mod config;
pub mod engine;
pub mod fault;
pub mod filter;
pub mod gate;
pub mod lifeline;
pub mod listener;
pub mod message;
pub mod mode;
pub mod policy;
pub mod pool;
pub mod proxy_protocol;
pub mod question;
pub mod relay;
pub mod report;
pub mod resolve;
pub mod settings;
pub mod socks;
pub mod stream;
pub mod upstream;
