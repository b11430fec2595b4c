//! Squid's native access log, for the analysers that read it.
//! A failure is told by its status and suffix; the rest of what Squid would say (peers, memory or disk) has no place here.
//! Start at [`write`].

use std::fmt::Write as _;

use super::{escape, method_of, number, padded, path_of, status_of};
use crate::report::{Record, Verdict};

/// Appends `time elapsed client result/status bytes method URL user hierarchy/origin type`, without a newline.
pub(super) fn write(line: &mut String, record: &Record) {
    let millis = u64::try_from(record.time.as_millisecond()).unwrap_or(0);
    number(line, millis / 1000);
    line.push('.');
    padded(line, millis % 1000, 3);
    let elapsed = record.total.map_or(0, |total| total.as_millis());
    write!(line, " {elapsed:6} {} ", record.client.ip())
        .expect("a String takes all that is written");
    result(line, record);
    line.push('/');
    padded(line, u64::from(status_of(record)), 3);
    line.push(' ');
    number(line, record.bytes_out);
    line.push(' ');
    escape::url(line, method_of(record));
    line.push(' ');
    url(line, record);
    line.push(' ');
    field(line, record.principal.as_deref());
    match record.origin {
        Some(origin) => write!(line, " HIER_DIRECT/{} ", origin.ip())
            .expect("a String takes all that is written"),
        None => line.push_str(" HIER_NONE/- "),
    }
    // Parameters of a media type are no part of it in Squid's log either.
    let media_type = record
        .content_type
        .as_deref()
        .and_then(|text| text.split(';').next())
        .map(str::trim);
    field(line, media_type);
}

fn result(line: &mut String, record: &Record) {
    let (word, carried) = match (record.verdict, record.cache) {
        (Verdict::Deny, _) => ("TCP_DENIED", false),
        // Who does not say who it is is denied in Squid's words; what is not even a request has no word of its own.
        (Verdict::None, _) if record.status == Some(407) => ("TCP_DENIED", false),
        (Verdict::None, _) => ("NONE_NONE", false),
        _ if record.is_tunnel() => ("TCP_TUNNEL", true),
        (_, Some("hit")) => ("TCP_HIT", true),
        (_, Some("revalidated")) => ("TCP_REFRESH_UNMODIFIED", true),
        (_, Some("updated")) => ("TCP_REFRESH_MODIFIED", true),
        (_, Some("stale")) => ("TCP_REFRESH_FAIL_OLD", true),
        (_, Some(_) | None) => ("TCP_MISS", true),
    };
    line.push_str(word);
    if carried
        && record
            .error
            .is_some_and(|error| error.ends_with("_timeout"))
    {
        line.push_str("_TIMEDOUT");
    } else if carried && record.aborted {
        line.push_str("_ABORTED");
    }
}

fn url(line: &mut String, record: &Record) {
    let Some(authority) = &record.authority else {
        return line.push_str("error:invalid-request");
    };
    if record.is_tunnel() {
        return write!(line, "{authority}").expect("a String takes all that is written");
    }
    let default = if record.scheme == "https" { 443 } else { 80 };
    write!(
        line,
        "{}://{}",
        record.scheme,
        authority.without_default_port(default)
    )
    .expect("a String takes all that is written");
    escape::url(line, path_of(record).unwrap_or("/"));
    if let Some(query) = record.query.as_deref() {
        line.push('?');
        escape::url(line, query);
    }
}

fn field(line: &mut String, value: Option<&str>) {
    match value.filter(|value| !value.is_empty()) {
        Some(value) => escape::url(line, value),
        None => line.push('-'),
    }
}
