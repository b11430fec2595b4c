//! Sets a credential that the workload does not have: `inject = { header = "Authorization", value = { env = "TOKEN" } }`.
//! An origin that encodes a credential in a way of its own before it repeats it gives it away.
//! Start at [`ENTRY`]; where a credential is hidden from the workload, at [`Credential::hide_in`] and [`Mask`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use http::Method;
use http::header::{ACCEPT_ENCODING, Entry as Field, HeaderMap, HeaderName, HeaderValue};
use memchr::memmem::{Finder, find};

use super::headers::{KEPT, content, field};
use super::mask::Secrets;
use super::{Channel, Entry, Filter, Mask, Variables};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Located, Secret, Table, Value};

pub(super) const ENTRY: Entry = Entry {
    name: NAME,
    summary: "sets a credential that the client does not have, and hides it in what comes back",
    build: |value, faults| Some(Arc::new(Inject::read(value, faults)?)),
};

const NAME: &str = "inject";

/// The credentials of a rule.
#[derive(Debug)]
struct Inject {
    /// The longest secret first: where one is a part of another, the rest of the longer one must not stay behind.
    credentials: Vec<Credential>,
    /// The secrets, as they are hidden in content.
    secrets: Secrets,
}

/// A credential, and the field that it goes into.
struct Credential {
    header: HeaderName,
    /// The prefix and the secret.
    value: HeaderValue,
    /// Finds the secret alone.
    secret: Finder<'static>,
    /// What the client sends in its place; without it the field is always set.
    placeholder: Option<Finder<'static>>,
    /// Whether it may be sent over plain HTTP.
    insecure: bool,
}

impl Filter for Inject {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, channel: &Channel) -> Result<(), &'static str> {
        let open = |credential: &Credential| credential.insecure;
        if !channel.secure && !self.credentials.iter().all(open) {
            return Err("the rule adds a credential, which is sent over TLS only");
        }
        let echoes = |method: &Method| *method == Method::TRACE || method.as_str() == "TRACK";
        if channel.method.as_ref().is_some_and(echoes) {
            // RFC 9110 §9.3.8: the answer's content is the request, with what was added to it.
            return Err("the rule adds a credential, which this method would send back");
        }
        Ok(())
    }

    fn wants_hosts(&self) -> bool {
        true
    }

    fn on_request(&self, headers: &mut HeaderMap, _: &Variables<'_>) {
        for credential in &self.credentials {
            credential.set_in(headers);
        }
        // What comes back is looked at (RFC 9110 §12.5.3).
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }

    fn on_request_trailers(&self, trailers: &mut HeaderMap) {
        for credential in &self.credentials {
            trailers.remove(&credential.header);
        }
    }

    fn on_response(&self, headers: &mut HeaderMap, _: bool, _: &Variables<'_>) {
        self.hide_in(headers);
    }

    fn mask(&self) -> Option<Mask> {
        self.secrets.mask()
    }

    fn on_response_trailers(&self, trailers: &mut HeaderMap) {
        self.hide_in(trailers);
    }
}

impl Inject {
    fn read(value: Value, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let at = value.at.clone();
        let tables = Vec::<Table>::from_value(value, faults)?;
        if tables.is_empty() && faults.len() == before {
            let remedy =
                "add { header = \"Authorization\", value = { env = \"TOKEN\" } }, or leave it out";
            faults.push(Fault::at(&at, "an empty array injects nothing", remedy));
        }
        let mut credentials: Vec<Credential> = Vec::with_capacity(tables.len());
        for table in tables {
            let at = table.at.clone();
            let Some(credential) = Credential::read(table, faults) else {
                continue;
            };
            if credentials.iter().any(|other| other.collides(&credential)) {
                let problem = format!("two credentials go into \"{}\"", credential.header);
                let remedy = "keep one, or give each a placeholder of its own";
                faults.push(Fault::at(&at, problem, remedy));
            }
            credentials.push(credential);
        }
        credentials.sort_by_key(|credential| std::cmp::Reverse(credential.secret.needle().len()));
        let secrets = Secrets::new(credentials.iter().map(|one| one.secret.needle()));
        (faults.len() == before).then_some(Self {
            credentials,
            secrets,
        })
    }

    /// Framing and routing are read, or written, by the proxy: they carry no text of the origin's.
    fn hide_in(&self, headers: &mut HeaderMap) {
        let fields = headers.iter_mut();
        for (_, value) in fields.filter(|(name, _)| !KEPT.contains(name)) {
            for credential in &self.credentials {
                credential.hide_in(value);
            }
        }
        // The name of a field has one case, and nothing can stand in its place.
        for credential in &self.credentials {
            let secret = credential.secret.needle().to_ascii_lowercase();
            let named = |name: &&HeaderName| find(name.as_str().as_bytes(), &secret).is_some();
            let names: Vec<HeaderName> = headers.keys().filter(named).cloned().collect();
            for name in names.iter().filter(|name| !KEPT.contains(name)) {
                headers.remove(name);
            }
        }
    }
}

impl Credential {
    fn read(table: Table, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let remedy = "name the field that carries it: header = \"Authorization\"";
        let header: Option<Located<String>> = table.require("header", remedy, faults);
        let header = header.and_then(|header| field(&header, faults));
        let remedy = "write value = { env = \"NAME\" } or value = { file = \"path\" }";
        let secret: Option<Located<Secret>> = table.require("value", remedy, faults);
        let secret = secret.filter(|secret| is_fit(secret, faults));
        let prefix: Option<Located<String>> = table.take("prefix", faults);
        let prefix = prefix.and_then(|prefix| content(&prefix, faults));
        let placeholder: Option<Located<String>> = table.take("placeholder", faults);
        if let Some(empty) = placeholder.as_ref().filter(|text| text.value.is_empty()) {
            let remedy = "write the text that the client sends, or leave it out";
            faults.push(Fault::at(&empty.at, "the placeholder is empty", remedy));
        }
        let placeholder = placeholder.and_then(|text| content(&text, faults));
        let insecure = table.take_or("insecure", false, faults);
        table.finish(faults);
        let (header, secret) = (header?, secret?.value);
        let prefix = prefix.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        let mut value = HeaderValue::from_bytes(&[prefix, secret.expose()].concat()).ok()?;
        // HPACK must not keep it in a table that later requests are guessed against (RFC 7541 §7.1.3).
        value.set_sensitive(true);
        (faults.len() == before).then(|| Self {
            header,
            value,
            secret: Finder::new(secret.expose()).into_owned(),
            placeholder: placeholder.map(|text| Finder::new(text.as_bytes()).into_owned()),
            insecure,
        })
    }

    /// Whether one of two would undo the other.
    fn collides(&self, other: &Self) -> bool {
        let holds = |one: &Finder<'_>, other: &Finder<'_>| one.find(other.needle()).is_some();
        let apart = match (&self.placeholder, &other.placeholder) {
            (Some(one), Some(other)) => !holds(one, other) && !holds(other, one),
            (_, None) | (None, _) => false,
        };
        self.header == other.header && !apart
    }

    fn set_in(&self, headers: &mut HeaderMap) {
        let Some(placeholder) = &self.placeholder else {
            // Also takes every value of the client's away.
            headers.insert(&self.header, self.value.clone());
            return;
        };
        let Field::Occupied(mut values) = headers.entry(&self.header) else {
            return;
        };
        for value in values.iter_mut() {
            let places = occurrences(placeholder, value.as_bytes());
            let replaced = replace(value.as_bytes(), places, self.value.as_bytes());
            if let Some(Ok(mut replaced)) = replaced.map(|text| HeaderValue::from_bytes(&text)) {
                replaced.set_sensitive(true);
                *value = replaced;
            }
        }
    }

    /// Hides the secret in a field of a response: as it is, percent-encoded as in a Location, and escaped as in a quoted string.
    fn hide_in(&self, value: &mut HeaderValue) {
        let places = occurrences(&self.secret, value.as_bytes());
        let plain = replace(value.as_bytes(), places, HIDDEN);
        let text = plain.as_deref().unwrap_or(value.as_bytes());
        let hidden = if text.iter().any(|byte| ESCAPES.contains(byte)) {
            let (decoded, starts) = decode(text);
            let start = |at: usize| starts.get(at).copied().unwrap_or(text.len());
            let places = occurrences(&self.secret, &decoded);
            let places = places.map(|place| start(place.start)..start(place.end));
            replace(text, places, HIDDEN).or(plain)
        } else {
            plain
        };
        if let Some(hidden) = hidden {
            let whole = |_| HeaderValue::from_static("(hidden)");
            *value = HeaderValue::from_bytes(&hidden).unwrap_or_else(whole);
        }
    }
}

/// Shows nothing of the secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("header", &self.header)
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

/// Whether a secret can be sent in a field and found again in one.
fn is_fit(secret: &Located<Secret>, faults: &Faults) -> bool {
    let bytes = secret.value.expose();
    let refuse = |problem, remedy| {
        faults.push(Fault::at(&secret.at, problem, remedy));
        false
    };
    if bytes.trim_ascii().is_empty() {
        return refuse("the secret is empty", "put it where this points to");
    }
    if HeaderValue::from_bytes(bytes).is_err() || bytes.trim_ascii() != bytes {
        return refuse(
            "the secret is not one line of text",
            "a field carries no control characters, and no space at either end",
        );
    }
    if bytes.len() < SHORTEST {
        return refuse(
            "the secret is too short to be told from other text",
            "use one of at least 4 bytes: it is hidden wherever it appears in a response's fields",
        );
    }
    true
}

/// Where a text is found in another, from left to right and not overlapping.
fn occurrences<'a>(what: &'a Finder<'_>, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> {
    let length = what.needle().len();
    what.find_iter(text).map(move |at| at..at + length)
}

/// The text with something else in these places; `None` where there are none.
fn replace(
    text: &[u8],
    places: impl Iterator<Item = Range<usize>>,
    with: &[u8],
) -> Option<Vec<u8>> {
    let part = |range: Range<usize>| text.get(range).unwrap_or_default();
    let mut replaced = Vec::new();
    let mut done = 0;
    for place in places {
        replaced.extend_from_slice(part(done..place.start));
        replaced.extend_from_slice(with);
        done = place.end;
    }
    // No place is empty, so that the first one moves this on.
    (done > 0).then(|| {
        replaced.extend_from_slice(part(done..text.len()));
        replaced
    })
}

/// The text without percent-encoding (RFC 3986 §2.1) and without backslashes (RFC 9110 §5.6.4; JSON), and where each of its
/// bytes began.
fn decode(text: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let encoded = |at: usize| {
        let byte = digit(at + 1)? * 16 + digit(at + 2)?;
        u8::try_from(byte).ok()
    };
    let (mut decoded, mut starts) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let (byte, width) = match encoded(at).filter(|_| byte == b'%') {
            Some(meant) => (meant, 3),
            None if byte == b'\\' => (text.get(at + 1).copied().unwrap_or(byte), 2),
            None => (byte, 1),
        };
        decoded.push(byte);
        starts.push(at);
        at += width;
    }
    (decoded, starts)
}

/// What begins a byte that is written in another way.
const ESCAPES: &[u8] = b"%\\";

/// What stands where a secret was.
const HIDDEN: &[u8] = b"(hidden)";

/// A shorter secret would be found in fields that have nothing to do with it.
const SHORTEST: usize = 4;
