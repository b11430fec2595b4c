//! From a configuration to a running process: workers, reload, drain. Everything is built off the workers.
//! Serves no connection itself (mode).
//! Start at [`run`].

mod admin;
mod listeners;
mod main_loop;
mod snapshot;
mod worker;

pub use main_loop::{Options, run};
