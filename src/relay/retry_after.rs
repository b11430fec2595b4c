//! `Retry-After` of a response that is no answer: its endpoint asks to be left alone for a while (RFC 9110 §10.2.3).
//! Not for how long it is believed, nor who is asked meanwhile (upstream).
//! Start at [`heed`].

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use crate::message::date;
use crate::upstream::Picked;

/// Leaves an endpoint alone for as long as it asks for. What it says with 429 is said to one client, who sends too much (RFC 6585
/// §4): for others it is as good as before.
pub(super) fn heed(picked: &Picked, status: StatusCode, headers: &HeaderMap) {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return;
    }
    let wanted = headers.get(RETRY_AFTER);
    if let Some(wanted) = wanted.and_then(|value| read(value, Timestamp::now())) {
        picked.rest(wanted);
    }
}

/// Seconds, or a date; what is past is no time.
fn read(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.as_bytes().trim_ascii();
    if !text.is_empty() && text.iter().all(u8::is_ascii_digit) {
        let seconds = str::from_utf8(text).ok()?.parse();
        // More than fits is as long as anybody may believe.
        return Some(Duration::from_secs(seconds.unwrap_or(EVER)));
    }
    let at = date::parse(text, now)?;
    Duration::try_from(at.duration_since(now)).ok()
}

/// Seconds that are more than anybody believes.
const EVER: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-28T04:00:00Z".parse().expect("a time");
        for (text, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999", Some(EVER)),
            ("Sat, 28 Nov 2026 04:00:30 GMT", Some(30)),
            ("Sat, 28 Nov 2026 03:59:59 GMT", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(text);
            let read = read(&value, now).map(|wait| wait.as_secs());
            assert_eq!(read, expected, "{text:?}");
        }
    }
}
