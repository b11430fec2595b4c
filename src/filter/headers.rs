//! Sets and removes fields: `headers = { request = { set = { x-team = "ci" }, remove = ["x-debug"] }, response = { … } }`.

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};

use super::{Entry, Filter};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Located, Table};

pub(super) const ENTRY: Entry = Entry {
    name: NAME,
    summary: "sets and removes fields of requests and responses",
    build: |value, faults| {
        let table = Table::from_value(value, faults)?;
        let before = faults.len();
        let headers = Headers {
            request: read(&table, "request", faults),
            response: read(&table, "response", faults),
        };
        table.finish(faults);
        (faults.len() == before).then(|| Arc::new(headers) as _)
    },
};

const NAME: &str = "headers";

#[derive(Debug)]
struct Headers {
    request: Changes,
    response: Changes,
}

#[derive(Debug, Default)]
struct Changes {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
}

impl Filter for Headers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, headers: &mut HeaderMap) {
        self.request.apply(headers);
    }

    fn on_request_trailers(&self, trailers: &mut HeaderMap) {
        self.request.take_out(trailers);
    }

    fn on_response(&self, headers: &mut HeaderMap, _: bool) {
        self.response.apply(headers);
    }

    fn on_response_trailers(&self, trailers: &mut HeaderMap) {
        self.response.take_out(trailers);
    }
}

impl Changes {
    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }

    /// A trailer must not say what a field may not, nor contradict one that was set.
    fn take_out(&self, trailers: &mut HeaderMap) {
        for name in self
            .remove
            .iter()
            .chain(self.set.iter().map(|(name, _)| name))
        {
            trailers.remove(name);
        }
    }
}

fn read(table: &Table, side: &'static str, faults: &Faults) -> Changes {
    let Some(table) = table.take::<Table>(side, faults) else {
        return Changes::default();
    };
    let mut changes = Changes::default();
    for text in table.take_or::<Vec<Located<String>>>("remove", Vec::new(), faults) {
        changes.remove.extend(field(&text, faults));
    }
    if let Some(set) = table.take::<Table>("set", faults) {
        for (key, value) in set.take_rest() {
            let text = Located::<String>::from_value(value, faults);
            if let (Some(name), Some(text)) = (field(&key, faults), text) {
                changes
                    .set
                    .extend(content(&text, faults).map(|value| (name, value)));
            }
        }
    }
    table.finish(faults);
    changes
}

pub(super) fn field(text: &Located<String>, faults: &Faults) -> Option<HeaderName> {
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
pub(super) const KEPT: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];
