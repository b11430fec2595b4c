//! What an origin says of how long it keeps a connection: `Keep-Alive: timeout=5, max=100` (RFC 2068 §19.7.1.1; RFC 9112
//! appendix C.2.2 leaves the field to hop-by-hop agreement).
//! Not what it was seen to do, which is `habits`.
//! Start at [`said`].

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::habits::below;

/// What an origin said.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    /// How long an idle connection may be used: less than the origin keeps it.
    pub(super) patience: Option<Duration>,
    /// Whether no further request is taken on this connection.
    pub(super) over: bool,
}

/// Reads the field. What can not be read says nothing.
pub(super) fn said(headers: &HeaderMap) -> Said {
    let mut said = Said::default();
    for value in headers.get_all(KEEP_ALIVE) {
        let parameters = value.as_bytes().split(|byte| *byte == b',');
        for (name, number) in parameters.filter_map(parameter) {
            if name.eq_ignore_ascii_case("timeout") {
                let patience = below(Duration::from_secs(number.into()));
                said.over |= number == 0;
                said.patience = Some(said.patience.map_or(patience, |least| least.min(patience)));
            } else if name.eq_ignore_ascii_case("max") {
                said.over |= number == 0;
            }
        }
    }
    said
}

fn parameter(text: &[u8]) -> Option<(&str, u32)> {
    let (name, value) = std::str::from_utf8(text).ok()?.split_once('=')?;
    let number = value.trim().trim_matches('"').parse().ok()?;
    Some((name.trim(), number))
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_time_counts_and_a_margin_is_kept() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (fields, patience, over) in [
            (&["timeout=5, max=100"][..], ms(3750), false),
            (&["Timeout = \"1\""], ms(750), false),
            (&["timeout=60", "max=3,timeout=4"], ms(3000), false),
            (&["timeout=60"], ms(58_000), false),
            (&["timeout=0"], ms(0), true),
            (&["max=0"], None, true),
            (&["timeout=-1, max=x, ,=, timeout"], None, false),
            (&[], None, false),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(KEEP_ALIVE, field.parse().expect("a value"));
            }
            assert_eq!(said(&headers), Said { patience, over }, "{fields:?}");
        }
    }
}
