//! Tells browsers to come back over TLS only: `hsts = { max-age = "365d", include-subdomains = true, preload = false }` (RFC 6797).
//! Not a redirect from plain HTTP.
//! Start at [`ENTRY`].

use std::sync::Arc;
use std::time::Duration;

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderMap, HeaderValue};

use super::{Channel, Entry, Filter};
use crate::settings::{FromValue, Table};

pub(super) const ENTRY: Entry = Entry {
    name: NAME,
    summary: "sets Strict-Transport-Security on responses over TLS",
    build: |value, faults| {
        let table = Table::from_value(value, faults)?;
        let age: Option<Duration> = table.require("max-age", "write max-age = \"365d\"", faults);
        let below = table.take_or("include-subdomains", false, faults);
        let preload = table.take_or("preload", false, faults);
        table.finish(faults);
        let mut text = format!("max-age={}", age?.as_secs());
        for (said, directive) in [(below, "; includeSubDomains"), (preload, "; preload")] {
            text.push_str(if said { directive } else { "" });
        }
        let value = HeaderValue::try_from(text).ok()?;
        Some(Arc::new(Hsts(value)) as _)
    },
};

const NAME: &str = "hsts";

#[derive(Debug)]
struct Hsts(HeaderValue);

impl Filter for Hsts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_response(&self, headers: &mut HeaderMap, channel: Channel) {
        // RFC 6797 §7.2: it must not be said over plain HTTP, where anybody could have put it.
        if channel.secure {
            headers.insert(STRICT_TRANSPORT_SECURITY, self.0.clone());
        }
    }

    fn on_trailers(&self, headers: &mut HeaderMap) {
        headers.remove(STRICT_TRANSPORT_SECURITY);
    }
}
