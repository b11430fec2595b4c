//! Commands to the running process, over its admin socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Flows;
use super::{complain, counted, say};
use crate::config;
use crate::engine;

/// The way to the running process.
pub(super) struct Control {
    /// The socket, or why there is none.
    socket: Result<PathBuf, String>,
}

impl Control {
    /// The socket that is named, or that of the configuration, or the default one.
    pub(super) fn new(config: Option<&Path>, socket: Option<&Path>) -> Self {
        if let Some(socket) = socket {
            return Self {
                socket: Ok(socket.to_owned()),
            };
        }
        let Some(path) = config else {
            let nobody = "there is no default admin socket for this user; say --socket PATH, or -c FILE with [admin] socket";
            return Self {
                socket: engine::default_socket().ok_or_else(|| nobody.to_owned()),
            };
        };
        // A file that can not be read names no process; asking another one could end what nobody meant.
        if let Err(error) = std::fs::metadata(path) {
            return Self {
                socket: Err(format!("cannot read {}: {error}", path.display())),
            };
        }
        // A configuration that is faulty by now must not keep the process from being asked.
        let named = config::admin_socket(path).or_else(engine::default_socket);
        Self {
            socket: named.ok_or_else(|| format!("{} names no [admin] socket", path.display())),
        }
    }

    pub(super) fn reload(&self, ignore_expect: bool) -> ExitCode {
        let Some(answer) =
            self.ask(&json!({ "command": "reload", "ignore_expect": ignore_expect }))
        else {
            return ExitCode::from(2);
        };
        let list = |key: &str| {
            let list = answer.get(key).and_then(Value::as_array);
            list.cloned().unwrap_or_default()
        };
        if answer.get("reloaded") == Some(&Value::Bool(true)) {
            for warning in list("warnings").iter().filter_map(Value::as_str) {
                complain(warning);
            }
            say("reloaded");
            return ExitCode::SUCCESS;
        }
        let faults = list("faults");
        for fault in faults.iter().filter_map(Value::as_str) {
            complain(fault);
        }
        complain(&format!(
            "not reloaded ({}); the running configuration stays in force",
            counted(faults.len())
        ));
        ExitCode::from(2)
    }

    pub(super) fn drain(&self) -> ExitCode {
        let Some(_) = self.ask(&json!({ "command": "drain" })) else {
            return ExitCode::from(2);
        };
        say("draining");
        ExitCode::SUCCESS
    }

    pub(super) fn upgrade(&self) -> ExitCode {
        let Some(answer) = self.ask(&json!({ "command": "upgrade" })) else {
            return ExitCode::from(2);
        };
        let pid = answer.get("pid").and_then(Value::as_u64).unwrap_or(0);
        say(&format!(
            "process {pid} serves; the one before it is draining"
        ));
        ExitCode::SUCCESS
    }

    pub(super) fn status(&self, as_json: bool) -> ExitCode {
        let Some(status) = self.ask(&json!({ "command": "status" })) else {
            return ExitCode::from(2);
        };
        if as_json {
            say(&status.to_string());
        } else {
            print(&status, 0);
        }
        ExitCode::SUCCESS
    }

    pub(super) fn flows(&self, flows: &Flows) -> ExitCode {
        if flows.action.is_some() {
            let Some(answer) = self.ask(&json!({ "command": "kill", "where": flows.filter }))
            else {
                return ExitCode::from(2);
            };
            say(&format!(
                "{} ended",
                answer.get("killed").and_then(Value::as_u64).unwrap_or(0)
            ));
            return ExitCode::SUCCESS;
        }
        let Some(answer) = self.ask(&json!({ "command": "flows", "where": flows.filter })) else {
            return ExitCode::from(2);
        };
        let list = answer
            .get("flows")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if flows.json {
            say(&Value::Array(list).to_string());
            return ExitCode::SUCCESS;
        }
        say(&format!(
            "{:20}  {:8}  {:21}  {:12}  {:32}  {:>10}  {:>10}  {:>8}  RULE",
            "ID", "KIND", "CLIENT", "WHO", "WHERE", "IN", "OUT", "AGE"
        ));
        for flow in &list {
            let text = |key: &str| {
                flow.get(key)
                    .and_then(Value::as_str)
                    .unwrap_or("-")
                    .to_owned()
            };
            let number = |key: &str| flow.get(key).and_then(Value::as_u64).unwrap_or(0);
            say(&format!(
                "{:20}  {:8}  {:21}  {:12}  {:32}  {:>10}  {:>10}  {:>7}s  {}",
                text("id"),
                text("kind"),
                text("client"),
                text("principal"),
                text("authority"),
                number("bytes_in"),
                number("bytes_out"),
                number("age_ms") / 1000,
                text("rule")
            ));
        }
        ExitCode::SUCCESS
    }

    pub(super) fn explain(&self, request: &Value, as_json: bool) -> ExitCode {
        let Some(answer) = self.ask(request) else {
            return ExitCode::from(2);
        };
        if as_json {
            say(&answer
                .get("explanation")
                .unwrap_or(&Value::Null)
                .to_string());
        } else {
            say(answer
                .get("text")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .trim_end());
        }
        ExitCode::SUCCESS
    }

    /// Asks and reads the answer; tells what went wrong and gives `None`.
    pub(super) fn ask(&self, request: &Value) -> Option<Value> {
        let path = match &self.socket {
            Ok(path) => path,
            Err(why) => {
                complain(why);
                return None;
            }
        };
        match exchange(path, request) {
            Ok(answer) => match answer.get("error").and_then(Value::as_str) {
                Some(error) => {
                    complain(error);
                    None
                }
                None => Some(answer),
            },
            Err(error) => {
                complain(&format!(
                    "cannot ask the process at {}: {error}\n   = is it running? --socket PATH or -c FILE says where it listens",
                    path.display()
                ));
                None
            }
        }
    }
}

fn exchange(path: &Path, request: &Value) -> std::io::Result<Value> {
    let mut stream = UnixStream::connect(path)?;
    // A reload of large lists takes its time.
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(|_| std::io::Error::other("it closed without an answer"))
}

/// A JSON object as indented lines.
fn print(value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let Some(object) = value.as_object() else {
        return;
    };
    for (key, value) in object {
        match value {
            Value::Object(_) => {
                say(&format!("{indent}{key}:"));
                print(value, depth + 1);
            }
            Value::Array(items) => {
                say(&format!("{indent}{key}:"));
                for item in items {
                    let words = item.as_object().map(|item| {
                        item.iter()
                            .map(|(k, v)| format!("{k}={}", plain(v)))
                            .collect::<Vec<_>>()
                            .join(" ")
                    });
                    say(&format!(
                        "{indent}  {}",
                        words.unwrap_or_else(|| plain(item))
                    ));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                say(&format!("{indent}{key}: {}", plain(value)))
            }
        }
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
