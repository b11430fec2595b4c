//! `egret check` and `egret test`.

use std::path::Path;
use std::process::ExitCode;

use super::{complain, say, tell};
use crate::config;

/// Tells every fault; exit code 2 if there is one.
pub(super) fn check(path: Option<&Path>) -> ExitCode {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(faults) => return tell(&faults),
    };
    for list in config.lists() {
        say(&format!("list {}: {}", list.name(), list.report()));
    }
    let now = jiff::Timestamp::now();
    for warning in config.expiring().iter().filter_map(|one| one.warning(now)) {
        complain(&format!("warning: {warning}"));
    }
    for warning in config.warnings() {
        complain(&format!("warning: {}", warning.render()));
    }
    let failed = config.failed_expectations();
    if !failed.is_empty() {
        return tell(&failed);
    }
    let cases = config.outcomes().len();
    let (listeners, policies) = (config.listeners.len(), config.policies.len());
    say(&format!(
        "{}: fine (listeners: {listeners}, policies: {policies}, expectations: {cases})",
        config.path.display(),
    ));
    ExitCode::SUCCESS
}

/// Runs the cases, one line each; exit code 1 if one fails.
pub(super) fn test(path: Option<&Path>) -> ExitCode {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(faults) => return tell(&faults),
    };
    let outcomes = config.outcomes();
    let failed = outcomes
        .iter()
        .filter(|(_, result)| result.is_err())
        .count();
    for (case, result) in &outcomes {
        match result {
            Ok(()) => say(&format!("ok      {case}")),
            Err(fault) => {
                say(&format!("FAILED  {case}"));
                complain(&fault.render());
            }
        }
    }
    say(&format!(
        "{} passed, {failed} failed",
        outcomes.len() - failed
    ));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}
