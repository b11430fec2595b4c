//! Apache's combined log format, as analysers and people know it.
//! What it has no place for (rule, verdict, reason, times) is left out: JSON has it.
//! Start at [`write`].

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{escape, method_of, number, padded, path_of, status_of};
use crate::report::Record;

/// Appends `client - user [time] "request" status bytes "-" "user agent"`, without a newline. Times are in UTC.
pub(super) fn write(line: &mut String, record: &Record) {
    write!(line, "{} - ", record.client.ip()).expect("a String takes all that is written");
    match record.principal.as_deref() {
        Some(user) if !user.is_empty() => escape::apache(line, user, true),
        _ => line.push('-'),
    }
    line.push_str(" [");
    time(line, record.time);
    line.push_str("] \"");
    request(line, record);
    line.push_str("\" ");
    match status_of(record) {
        0 => line.push('-'),
        status => number(line, u64::from(status)),
    }
    line.push(' ');
    // Apache's %b: no bytes are a hyphen.
    match record.bytes_out {
        0 => line.push('-'),
        bytes => number(line, bytes),
    }
    line.push_str(" \"-\" \"");
    match record.user_agent.as_deref() {
        Some(agent) => escape::apache(line, agent, false),
        None => line.push('-'),
    }
    line.push('"');
}

fn request(line: &mut String, record: &Record) {
    let Some(authority) = &record.authority else {
        // As Apache for a request line that could not be read.
        return line.push('-');
    };
    escape::apache(line, method_of(record), true);
    line.push(' ');
    if record.is_tunnel() {
        write!(line, "{authority}").expect("a String takes all that is written");
    } else {
        let default = if record.scheme == "https" { 443 } else { 80 };
        write!(
            line,
            "{}://{}",
            record.scheme,
            authority.without_default_port(default)
        )
        .expect("a String takes all that is written");
        escape::apache(line, path_of(record).unwrap_or("/"), true);
        if let Some(query) = record.query.as_deref() {
            line.push('?');
            escape::apache(line, query, true);
        }
    }
    line.push(' ');
    line.push_str(record.protocol.version());
}

fn time(line: &mut String, time: Timestamp) {
    let time = TimeZone::UTC.to_datetime(time);
    let unsigned = |number: i8| number.unsigned_abs().into();
    padded(line, unsigned(time.day()), 2);
    let month = usize::from(time.month().unsigned_abs()).saturating_sub(1);
    write!(
        line,
        "/{}/{}",
        MONTHS.get(month).unwrap_or(&"-"),
        time.year()
    )
    .expect("a String takes all that is written");
    for part in [time.hour(), time.minute(), time.second()] {
        line.push(':');
        padded(line, unsigned(part), 2);
    }
    line.push_str(" +0000");
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
