//! Records as lines of text, in one of three forms. Whatever a peer sent is escaped: one record is one line, always.
//! Knows nothing of queues, threads or files.
//! Start at [`Format::write`].

mod combined;
mod escape;
mod json;
mod squid;
#[cfg(test)]
mod tests;

use super::{Record, Verdict};

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object; keys in a fixed order, absent facts left out.
    Json,
    /// Apache's combined log format.
    Combined,
    /// Squid's native format.
    Squid,
}

impl Format {
    /// Every form with its word in the settings.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("json", Self::Json),
        ("combined", Self::Combined),
        ("squid", Self::Squid),
    ];

    /// Appends the record and a newline.
    pub fn write(self, line: &mut String, record: &Record) {
        match self {
            Self::Json => json::write(line, record),
            Self::Combined => combined::write(line, record),
            Self::Squid => squid::write(line, record),
        }
        line.push('\n');
    }
}

/// The path without a query, should one have stayed in it.
fn path_of(record: &Record) -> Option<&str> {
    let path = record.path.as_deref()?;
    Some(path.split(['?', '#']).next().unwrap_or(path))
}

/// The status that was sent, or the one that says the same where the protocol has none.
fn status_of(record: &Record) -> u16 {
    let said = match (record.verdict, record.error) {
        (Verdict::Deny, _) => 403,
        (_, Some(error)) if error.ends_with("_timeout") => 504,
        (_, Some(_)) => 502,
        (Verdict::Allow | Verdict::WouldDeny, None) => 200,
        (Verdict::None, None) => 0,
    };
    record.status.unwrap_or(said)
}

fn method_of(record: &Record) -> &str {
    match &record.method {
        Some(method) => method.as_str(),
        None if record.is_tunnel() => "CONNECT",
        None => "-",
    }
}

fn number(line: &mut String, value: u64) {
    line.push_str(itoa::Buffer::new().format(value));
}

/// A number with zeros before it, up to `width` digits.
fn padded(line: &mut String, value: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    for _ in digits.len()..width {
        line.push('0');
    }
    line.push_str(digits);
}
