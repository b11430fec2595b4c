//! What happens to upstreams beside requests: their endpoints are probed, their names are looked up and their files read again
//! and again. What comes of it is told to [`upstream`](crate::upstream), which draws the conclusions.
//!
//! Chooses no endpoint and carries no request. Runs on a thread of its own, so that no busy worker delays a probe.
//! Start at [`Keeper::follow`]; `health` says when an endpoint is probed, `check` how, `discovery` where endpoints come from.

mod check;
mod discovery;
mod endpoints_file;
mod grpc;
mod guard;
mod health;
mod http;
mod keeper;
mod means;
mod names;

pub use keeper::{Keeper, Plan, Watched};
