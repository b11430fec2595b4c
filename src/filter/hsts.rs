//! Tells browsers to come back over TLS only (RFC 6797): `hsts = { max-age = "365d", include-subdomains = true }`.
//! Not over plain HTTP, where the field must not be sent (§7.2).
//! Start at [`ENTRY`].

use std::sync::Arc;
use std::time::Duration;

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderMap, HeaderValue};

use super::{Entry, Filter, Variables};
use crate::fault::{Fault, Faults};
use crate::settings::FromValue;
use crate::settings::{Located, Table, Value};

pub(super) const ENTRY: Entry = Entry {
    name: NAME,
    summary: "sets Strict-Transport-Security on responses that come over TLS",
    build: |value, faults| Some(Arc::new(read(value, faults)?)),
};

const NAME: &str = "hsts";

/// The field's value.
#[derive(Debug)]
struct Hsts(HeaderValue);

impl Filter for Hsts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, _: &mut HeaderMap, _: &Variables<'_>) {}

    fn on_request_trailers(&self, _: &mut HeaderMap) {}

    fn on_response(&self, headers: &mut HeaderMap, secure: bool, _: &Variables<'_>) {
        if secure {
            // The origin's own is replaced: of two, a browser reads the first alone (§8.1).
            headers.insert(STRICT_TRANSPORT_SECURITY, self.0.clone());
        } else {
            headers.remove(STRICT_TRANSPORT_SECURITY);
        }
    }

    fn on_response_trailers(&self, trailers: &mut HeaderMap) {
        trailers.remove(STRICT_TRANSPORT_SECURITY);
    }
}

fn read(value: Value, faults: &Faults) -> Option<Hsts> {
    let before = faults.len();
    let table = Table::from_value(value, faults)?;
    let remedy = "say how long browsers keep to it: max-age = \"365d\"";
    let age: Option<Located<Duration>> = table.require("max-age", remedy, faults);
    let subdomains = table.take_or("include-subdomains", false, faults);
    let preload: Option<Located<bool>> = table.take("preload", faults);
    table.finish(faults);
    let age = age?;
    let preload = preload.filter(|preload| preload.value);
    if let Some(preload) = &preload
        && (!subdomains || age.value < YEAR)
    {
        // The browsers' list takes no other, and a domain that is on it is not soon off it.
        faults.push(Fault::at(
            &preload.at,
            "preload asks for a year and for all subdomains",
            "add include-subdomains = true and max-age = \"365d\", or leave preload out",
        ));
    }
    let mut text = format!("max-age={}", age.value.as_secs());
    if subdomains {
        text += "; includeSubDomains";
    }
    if preload.is_some() {
        text += "; preload";
    }
    let value = HeaderValue::try_from(text).ok()?;
    (faults.len() == before).then_some(Hsts(value))
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);
