//! One JSON object a line. Keys never change their order; new ones are added at the end.
//! Not serde: the order, the escapes and the numbers are the interface, and stand here to be read.
//! Start at [`write`].

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::{escape, number, padded, path_of};
use crate::report::Record;

/// Appends the object, without a newline.
pub(super) fn write(line: &mut String, record: &Record) {
    write!(
        line,
        "{{\"time\":\"{:.3}\",\"id\":\"{}\"",
        record.time, record.id
    )
    .expect("a String takes all that is written");
    text(line, "listener", Some(&*record.listener));
    count(line, "worker", Some(u64::from(record.worker)));
    shown(line, "client", Some(record.client));
    text(line, "principal", record.principal.as_deref());
    text(line, "protocol", Some(record.protocol.word()));
    text(line, "scheme", Some(record.scheme));
    text(
        line,
        "method",
        record.method.as_ref().map(http::Method::as_str),
    );
    shown(line, "authority", record.authority.as_ref());
    text(line, "path", path_of(record));
    text(line, "query", record.query.as_deref());
    count(line, "status", record.status.map(u64::from));
    text(line, "verdict", record.verdict.word());
    text(line, "rule", record.rule.as_deref());
    text(line, "reason", record.reason.as_deref());
    text(line, "error", record.error);
    if record.aborted {
        line.push_str(",\"aborted\":true");
    }
    text(line, "cache", record.cache);
    count(line, "bytes_in", Some(record.bytes_in));
    count(line, "bytes_out", Some(record.bytes_out));
    if let Some(origin) = record.origin {
        shown(line, "origin", Some(origin));
        line.push_str(if record.reused {
            ",\"reused\":true"
        } else {
            ",\"reused\":false"
        });
    }
    millis(line, "dns_ms", record.dns);
    millis(line, "connect_ms", record.connect);
    millis(line, "tls_ms", record.tls);
    millis(line, "first_byte_ms", record.first_byte);
    millis(line, "total_ms", record.total);
    text(line, "user_agent", record.user_agent.as_deref());
    text(line, "content_type", record.content_type.as_deref());
    text(line, "sni", record.sni.as_deref());
    text(line, "fingerprint", record.fingerprint.as_deref());
    if record.intercepted {
        line.push_str(",\"intercepted\":true");
    }
    shown(line, "tunnel", record.tunnel);
    text(line, "route", record.route.as_deref());
    text(line, "upstream", record.upstream.as_deref());
    count(
        line,
        "tries",
        Some(u64::from(record.tries)).filter(|tries| *tries > 1),
    );
    line.push('}');
}

fn key(line: &mut String, key: &str) {
    line.push_str(",\"");
    line.push_str(key);
    line.push_str("\":");
}

fn text(line: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        key(line, name);
        escape::json(line, value);
    }
}

/// A value whose text can hold nothing to escape: an address, a canonical authority.
fn shown(line: &mut String, name: &str, value: Option<impl Display>) {
    if let Some(value) = value {
        key(line, name);
        write!(line, "\"{value}\"").expect("a String takes all that is written");
    }
}

fn count(line: &mut String, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        key(line, name);
        number(line, value);
    }
}

fn millis(line: &mut String, name: &str, value: Option<Duration>) {
    if let Some(value) = value {
        key(line, name);
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        number(line, micros / 1000);
        line.push('.');
        padded(line, micros % 1000, 3);
    }
}
