//! `[log.access]`: what the operator says about the access log.
//! Opens nothing: a file is opened by `AccessLog::start`.
//! Start at [`Settings::read`].

use std::path::{Path, PathBuf};

use super::Wants;
use crate::fault::{Fault, Faults, nearest};
use crate::report::Format;
use crate::settings::{Located, Table, one_of};

/// The settings of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The form of a line.
    pub format: Format,
    /// Where lines go.
    pub to: Destination,
    /// Whether queries of requests are written; they may hold secrets.
    pub query: bool,
    /// How many records may wait for the writer, for each worker.
    pub queue: usize,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    Off,
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
    /// A file, made if there is none, appended to if there is one.
    File(PathBuf),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Json,
            to: Destination::Stdout,
            query: false,
            queue: 8192,
        }
    }
}

impl Settings {
    /// Reads the table `[log.access]`: `format`, `to`, `query`, `queue`.
    pub fn read(table: Table, faults: &Faults) -> Self {
        let default = Self::default();
        let format = table
            .take::<Located<String>>("format", faults)
            .and_then(|word| one_of(&word, Format::WORDS, faults));
        let to = table
            .take::<Located<String>>("to", faults)
            .and_then(|text| Destination::read(&text, faults));
        let query = table.take_or("query", default.query, faults);
        let queue = table
            .take::<Located<usize>>("queue", faults)
            .map_or(default.queue, |queue| check_queue(&queue, faults));
        table.finish(faults);
        Self {
            format: format.unwrap_or(default.format),
            to: to.unwrap_or(default.to),
            query,
            queue,
        }
    }

    pub(super) fn wants(&self) -> Wants {
        let records = self.to != Destination::Off;
        let (user_agent, content_type) = match self.format {
            Format::Json => (true, true),
            Format::Combined => (true, false),
            Format::Squid => (false, true),
        };
        Wants {
            records,
            query: records && self.query,
            user_agent: records && user_agent,
            content_type: records && content_type,
        }
    }
}

impl Destination {
    fn read(text: &Located<String>, faults: &Faults) -> Option<Self> {
        let word = text.value.as_str();
        match word {
            "off" => return Some(Self::Off),
            "stdout" => return Some(Self::Stdout),
            "stderr" => return Some(Self::Stderr),
            _ => {}
        }
        // "stdot" would be a fine name for a file, but nobody means that.
        let near =
            nearest(word, ["off", "stdout", "stderr"]).filter(|_| !word.contains(['/', '.']));
        if word.is_empty() || near.is_some() {
            let remedy = match near {
                Some(near) => {
                    format!("Did you mean \"{near}\"? For a file of this name write \"./{word}\"")
                }
                None => "write \"stdout\", \"stderr\", \"off\", or the path of a file".to_owned(),
            };
            faults.push(Fault::at(
                &text.at,
                format!("\"{word}\" is no place for a log"),
                remedy,
            ));
            return None;
        }
        Some(Self::File(text.at.source.relative(Path::new(word))))
    }
}

fn check_queue(queue: &Located<usize>, faults: &Faults) -> usize {
    if !QUEUE_RANGE.contains(&queue.value) {
        faults.push(Fault::at(
            &queue.at,
            format!("a queue of {} records is out of range", queue.value),
            format!(
                "write a number from {} to {}",
                QUEUE_RANGE.start(),
                QUEUE_RANGE.end()
            ),
        ));
    }
    queue.value
}

const QUEUE_RANGE: std::ops::RangeInclusive<usize> = 16..=1_048_576;
