//! Names and values of fields in settings.
//! Start at [`name`] and [`content`].

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue};

use crate::fault::{Fault, Faults};
use crate::settings::Located;

/// A field that may be changed.
pub(super) fn name(text: &Located<String>, faults: &Faults) -> Option<HeaderName> {
    match HeaderName::try_from(text.value.as_str()) {
        Ok(name) if KEPT.contains(&name) => {
            let problem = format!("the field \"{name}\" belongs to framing or routing");
            faults.push(Fault::at(
                &text.at,
                problem,
                "the proxy writes it itself; leave it out",
            ));
            None
        }
        Ok(name) => Some(name),
        Err(_) => {
            faults.push(Fault::at(
                &text.at,
                format!("\"{}\" is not a field name", text.value),
                "letters, digits and hyphens are",
            ));
            None
        }
    }
}

/// What a field may hold.
pub(super) fn content(text: &Located<String>, faults: &Faults) -> Option<HeaderValue> {
    let value = HeaderValue::try_from(text.value.as_str());
    if value.is_err() {
        faults.push(Fault::at(
            &text.at,
            "a field value has no control characters",
            "write it on one line",
        ));
    }
    value.ok()
}

/// Fields that have an owner: changing one here would contradict what is sent.
const KEPT: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];
