//! `egret explain` and `egret conditions`.
//! Judges nothing: it asks a configuration, or the running process.
//! Start at [`explain`].

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::args::Explain;
use super::control::Control;
use super::{complain, say, tell};
use crate::config;
use crate::policy::condition::CONDITIONS;
use crate::question::Question;
use crate::report::RequestId;

pub(super) fn explain(config: Option<&Path>, socket: Option<&Path>, asked: &Explain) -> ExitCode {
    let question = Question {
        url: asked.what.clone(),
        listener: asked.listener.clone(),
        from: asked.from,
        user: asked.user.clone(),
        groups: asked.group.clone(),
        method: asked.method.clone(),
        at: asked.at,
        headers: asked.header.clone(),
        addresses: asked.address.clone(),
    };
    if asked.what.parse::<RequestId>().is_ok() {
        return Control::new(config, socket).explain(
            &json!({ "command": "explain", "id": asked.what }),
            asked.json,
        );
    }
    if asked.live {
        return Control::new(config, socket).explain(
            &json!({ "command": "explain", "question": question }),
            asked.json,
        );
    }
    offline(config, &question, asked.json)
}

/// Asks the configuration's own policy, without a process and without the network.
fn offline(path: Option<&Path>, question: &Question, as_json: bool) -> ExitCode {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(faults) => return tell(&faults),
    };
    let asked = match question.read() {
        Ok(asked) => asked,
        Err(problem) => {
            complain(&format!("{:?}: {problem}", question.url));
            return ExitCode::from(2);
        }
    };
    let explanation = match config.explain(&asked, None, &config.own_listeners()) {
        Ok(explanation) => explanation,
        Err(fault) => {
            complain(&fault.render());
            return ExitCode::from(2);
        }
    };
    if as_json {
        say(&serde_json::to_string_pretty(&explanation).unwrap_or_default());
    } else {
        say(explanation.to_string().trim_end());
        if config.goes_by_addresses(&asked) && asked.unresolved().is_some() {
            say(
                "The name was not resolved; --address IP asks about an address, --live asks the running process.",
            );
        }
    }
    ExitCode::SUCCESS
}

pub(super) fn conditions() -> ExitCode {
    let width = CONDITIONS
        .iter()
        .map(|entry| entry.name.len())
        .max()
        .unwrap_or(0);
    for entry in CONDITIONS {
        say(&format!("{:width$}  {}", entry.name, entry.summary));
    }
    ExitCode::SUCCESS
}
