//! What the tests stand on: the real process (`egret`), origins, clients, DNS and a certificate authority.
//! Not a copy of anything under test: bytes are written and read here by hand. Start at [`Egret::start`].
#![allow(
    dead_code,
    reason = "a toolbox: not every tool is in use at every moment"
)]

mod config;
mod dns;
mod egret;
mod origin;
mod programs;
mod tls;
mod wire;

pub(crate) use config::Config;
pub(crate) use dns::Dns;
pub(crate) use egret::{Egret, program};
pub(crate) use origin::{Origin, Request, ok};
pub(crate) use programs::{Outcome, python, run};
pub(crate) use tls::Ca;
pub(crate) use wire::{Response, Wire};

use std::time::Duration;

/// How long anything that must happen may take before the test fails; what it waits for is an event, never this time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Whether bytes hold other bytes.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Base64 with padding, for credentials.
pub(crate) fn base64(text: &str) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}

/// Bytes that are not all alike, so that a shift or a hole in them shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at % 251) as u8 ^ (at / 251 % 256) as u8)
        .collect()
}
