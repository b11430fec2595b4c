//! Sets, adds and removes fields: `headers = { request = { set = { x-client = "{client}" }, remove = ["x-debug"] }, response = { … } }`.
//! Values may have variables ([`Template`]); a field with an empty one is not set, and then the client's own is gone too.

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};

use super::{Entry, Filter, Place, Template, Variables};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Located, Table};

pub(super) const ENTRY: Entry = Entry {
    name: NAME,
    summary: "sets, adds and removes fields of requests and responses",
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
    set: Vec<(HeaderName, Content)>,
    add: Vec<(HeaderName, Content)>,
}

/// What a field is set to.
#[derive(Debug)]
enum Content {
    /// The same for every request.
    Fixed(HeaderValue),
    Made(Template),
}

impl Filter for Headers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, headers: &mut HeaderMap, variables: &Variables<'_>) {
        self.request.take_out_alike(headers);
        self.request.apply(headers, variables);
    }

    fn on_request_trailers(&self, trailers: &mut HeaderMap) {
        self.request.take_out_alike(trailers);
        self.request.take_out(trailers);
    }

    fn on_response(&self, headers: &mut HeaderMap, _: bool, variables: &Variables<'_>) {
        self.response.apply(headers, variables);
    }

    fn on_response_trailers(&self, trailers: &mut HeaderMap) {
        self.response.take_out(trailers);
    }
}

impl Changes {
    fn apply(&self, headers: &mut HeaderMap, variables: &Variables<'_>) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, content) in &self.set {
            match content.value(variables) {
                Some(value) => {
                    headers.insert(name, value);
                }
                // Who reads it believes that we wrote it: what the client wrote must not stand in its place.
                None => {
                    headers.remove(name);
                }
            }
        }
        for (name, content) in &self.add {
            if let Some(value) = content.value(variables) {
                headers.append(name, value);
            }
        }
    }

    /// What is set or removed must not come under another name: to CGI and what came after it, `X_User` is `X-User`.
    fn take_out_alike(&self, headers: &mut HeaderMap) {
        let own = || {
            let set = self.set.iter().map(|(name, _)| name);
            set.chain(&self.remove)
        };
        let alike = |found: &&HeaderName| own().any(|name| name != *found && is_alike(name, found));
        let alike: Vec<HeaderName> = headers.keys().filter(alike).cloned().collect();
        for name in alike {
            headers.remove(name);
        }
    }

    /// A trailer must not say what a field may not, nor contradict one that was set.
    fn take_out(&self, trailers: &mut HeaderMap) {
        let written = self.set.iter().chain(&self.add).map(|(name, _)| name);
        for name in self.remove.iter().chain(written) {
            trailers.remove(name);
        }
    }
}

/// Whether two names differ by nothing but hyphens that are underscores.
fn is_alike(one: &HeaderName, other: &HeaderName) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let same = |(a, b): (u8, u8)| a == b || matches!((a, b), (b'_', b'-') | (b'-', b'_'));
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(same)
}

impl Content {
    fn value(&self, variables: &Variables<'_>) -> Option<HeaderValue> {
        match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Made(template) => template.field(variables),
        }
    }

    fn read(text: &Located<String>, faults: &Faults) -> Option<Self> {
        // Checked as it stands: whatever the variables are, the rest of it can be sent.
        let written = content(text, faults)?;
        let template = Template::parse(text, Place::Field, faults)?;
        if !text.value.contains('{') {
            return Some(Self::Fixed(written));
        }
        Some(Self::Made(template))
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
    changes.set = read_contents(&table, "set", faults);
    changes.add = read_contents(&table, "add", faults);
    table.finish(faults);
    changes
}

/// `{ x-team = "ci", x-tag = ["a", "b"] }`; of several values only `add` makes several fields.
fn read_contents(table: &Table, key: &'static str, faults: &Faults) -> Vec<(HeaderName, Content)> {
    let mut contents = Vec::new();
    for (name, value) in table
        .take::<Table>(key, faults)
        .map(|table| table.take_rest())
        .unwrap_or_default()
    {
        let texts = match key {
            "add" => Vec::<Located<String>>::from_value(value, faults).unwrap_or_default(),
            _ => Vec::from_iter(Located::<String>::from_value(value, faults)),
        };
        let Some(name) = field(&name, faults) else {
            continue;
        };
        let read = texts.iter().filter_map(|text| Content::read(text, faults));
        contents.extend(read.map(|content| (name.clone(), content)));
    }
    contents
}

/// Reads the name of a field that may be changed.
pub(crate) fn field(text: &Located<String>, faults: &Faults) -> Option<HeaderName> {
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

/// Reads the value of a field.
pub(crate) fn content(text: &Located<String>, faults: &Faults) -> Option<HeaderValue> {
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
