//! The door: everything is in the library.
//!
//! The allocator is mimalloc: an exchange makes some forty small allocations, and the system's allocator takes more than a tenth
//! of the proxy's own instructions for them.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    egret::cli::run()
}
