//! The command line: what a person types, what they read, and the exit code.
//! 0: fine. 1: a case of `test` failed, `cache inspect` found nothing, the disk did not note a purge, or a worker broke down.
//! 2: wrong usage, a configuration that is faulty or refused, or a process that can not be asked.
//! Does nothing that a command is about: it asks the modules below, or the running process.
//! Start at [`run`].

mod args;
mod ca;
mod cache;
mod check;
mod control;
mod explain;
mod files;
mod hash;
mod upstream;

pub use args::Cli;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::config::BUILT_IN;
use crate::engine::{self, End, Options};
use crate::fault::{Fault, Location, quoted};
use args::Command;

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let config = cli.config.clone();
    let command = cli.command.unwrap_or(Command::Run(cli.run));
    match command {
        Command::Run(run) => {
            log_to_stderr();
            if config.is_none() {
                hint_at_unused(Path::new("egret.toml"));
            }
            let options = Options {
                config,
                workers: run.workers.map(usize::from),
                socket: cli.socket,
                ignore_expect: run.ignore_expect,
            };
            match engine::run(&options) {
                Ok(End::Asked) => ExitCode::SUCCESS,
                Ok(End::Broken) => ExitCode::FAILURE,
                Err(faults) => tell(&faults.into_iter().map(without_file).collect::<Vec<_>>()),
            }
        }
        Command::Check => check::check(config.as_deref()),
        Command::Test => check::test(config.as_deref()),
        Command::Explain(explain) => {
            explain::explain(config.as_deref(), cli.socket.as_deref(), &explain)
        }
        Command::Hash(hash) => hash::hash(&hash),
        Command::Reload { ignore_expect } => {
            control::Control::new(config.as_deref(), cli.socket.as_deref()).reload(ignore_expect)
        }
        Command::Drain => control::Control::new(config.as_deref(), cli.socket.as_deref()).drain(),
        Command::Upgrade => {
            control::Control::new(config.as_deref(), cli.socket.as_deref()).upgrade()
        }
        Command::Status { json } => {
            control::Control::new(config.as_deref(), cli.socket.as_deref()).status(json)
        }
        Command::Flows(flows) => {
            control::Control::new(config.as_deref(), cli.socket.as_deref()).flows(&flows)
        }
        Command::Cache { action } => {
            let control = control::Control::new(config.as_deref(), cli.socket.as_deref());
            cache::cache(&control, &action)
        }
        Command::Upstream { action } => {
            let control = control::Control::new(config.as_deref(), cli.socket.as_deref());
            upstream::upstream(&control, &action)
        }
        Command::Ca { action } => ca::ca(config.as_deref(), &action),
        Command::Conditions => explain::conditions(),
        Command::Completions { shell } => args::completions(shell),
        Command::Man { command } => args::man(&command),
    }
}

/// Whoever starts it beside a configuration most likely means that one.
fn hint_at_unused(file: &Path) {
    if file.is_file() {
        let name = quoted(&file.display().to_string());
        tracing::info!("{name} in this folder is not used; use it with: egret run -c {name}");
    }
}

/// A fault with a remedy that can be followed where it stands in the built-in configuration, which nobody can change.
fn without_file(mut fault: Fault) -> Fault {
    let built_in = |at: &Location| at.source.path == Path::new(BUILT_IN);
    if fault.at.as_ref().is_some_and(built_in) {
        fault.remedy = format!("{}. {ANOTHER_PORT}", fault.remedy);
    }
    fault
}

/// Prints every fault, and how many there are; exit code 2.
fn tell(faults: &[Fault]) -> ExitCode {
    for fault in faults {
        complain(&fault.render());
    }
    complain(&counted(faults.len()));
    ExitCode::from(2)
}

fn counted(faults: usize) -> String {
    match faults {
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    }
}

/// A line for the person at the terminal; where nobody reads it any more, nothing can be done.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn log_to_stderr() {
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let filter = EnvFilter::try_from_env("EGRET_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .init();
}

/// How to serve as the built-in configuration does, on another port.
const ANOTHER_PORT: &str = "For another port, write these three lines to a file, and run `egret run -c FILE`:
     listener = [{ name = \"egress\", bind = \"127.0.0.1:3129\", mode = \"forward\", policy = \"web\" }]
     policy.web.rule = [{ name = \"the public web\", allow = {}, port = [80, 443] }]
     cache.memory = \"256MiB\"";
