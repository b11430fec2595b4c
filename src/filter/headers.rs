//! Sets and removes fields: `headers = { request = { set = { x-team = "ci" }, remove = ["x-debug"] }, response = { … } }`.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::field::{content, name};
use super::{Channel, Entry, Filter};
use crate::fault::Faults;
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

    fn on_response(&self, headers: &mut HeaderMap, _channel: Channel) {
        self.response.apply(headers);
    }

    fn on_trailers(&self, headers: &mut HeaderMap) {
        // A trailer must not say what the field may not, nor say anew what was set.
        for name in &self.response.remove {
            headers.remove(name);
        }
        for (name, _) in &self.response.set {
            headers.remove(name);
        }
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
}

fn read(table: &Table, side: &'static str, faults: &Faults) -> Changes {
    let Some(table) = table.take::<Table>(side, faults) else {
        return Changes::default();
    };
    let mut changes = Changes::default();
    for text in table.take_or::<Vec<Located<String>>>("remove", Vec::new(), faults) {
        changes.remove.extend(name(&text, faults));
    }
    if let Some(set) = table.take::<Table>("set", faults) {
        for (key, value) in set.take_rest() {
            let text = Located::<String>::from_value(value, faults);
            if let (Some(field), Some(text)) = (name(&key, faults), text) {
                changes
                    .set
                    .extend(content(&text, faults).map(|value| (field, value)));
            }
        }
    }
    table.finish(faults);
    changes
}
