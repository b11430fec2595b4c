//! From a configuration to a running process: workers, reload, drain. Everything is built off the workers.
//! Serves no connection itself (mode).
//! Start at [`run`].

mod admin;
mod aside;
mod cache;
mod certificates;
mod colleagues;
mod desk;
mod doors;
mod handover;
mod listeners;
mod main_loop;
mod reload;
mod renamed;
mod service;
mod snapshot;
mod upgrade;
mod upkeep;
mod upstreams;
mod worker;

pub use desk::default_path as default_socket;
pub use main_loop::{End, Options, run};
