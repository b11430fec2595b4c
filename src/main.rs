//! The door: everything is in the library.

use std::process::ExitCode;

/// Measured beside the system's allocator: see the README's figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    egret::cli::run()
}
