//! Adds a credential that the workload never has: `inject = { header = "Authorization", prefix = "Bearer ", value = { env = "TOKEN" } }`.
//! Not the search of bodies: what an origin echoes there reaches the workload.
//! Start at [`ENTRY`].

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use memchr::memmem;

use super::{Channel, Entry, Filter, field};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Located, Secret, Table, Value};

pub(super) const ENTRY: Entry = Entry {
    name: NAME,
    summary: "sets a field to a secret, over verified TLS, and takes it out of what comes back",
    build: |value, faults| {
        let values = match value.kind {
            Kind::List(values) => values,
            Kind::Table(_)
            | Kind::Text(_)
            | Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Datetime(_) => vec![value],
        };
        let wanted = values.len();
        let read = values.into_iter().filter_map(|value| read(value, faults));
        let credentials: Vec<Credential> = read.collect();
        (credentials.len() == wanted).then(|| Arc::new(Inject(credentials)) as _)
    },
};

/// Its key in a rule: such a rule must name its origins.
pub const NAME: &str = "inject";

#[derive(Debug)]
struct Inject(Vec<Credential>);

/// One secret and its place.
struct Credential {
    header: HeaderName,
    /// The whole value of the field.
    value: HeaderValue,
    /// What the workload sends in place of the secret; without it the field is always set.
    placeholder: Option<Bytes>,
    /// What must not come back.
    secret: Bytes,
    insecure: bool,
}

impl std::fmt::Debug for Credential {
    /// Nothing of the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

fn read(value: Value, faults: &Faults) -> Option<Credential> {
    let table = Table::from_value(value, faults)?;
    let header: Option<Located<String>> =
        table.require("header", "write header = \"Authorization\"", faults);
    let header = header.and_then(|text| field::name(&text, faults));
    let remedy = "write value = { env = \"NAME\" } or { file = \"path\" }";
    let secret: Option<Located<Secret>> = table.require("value", remedy, faults);
    let prefix: String = table.take_or("prefix", String::new(), faults);
    let placeholder: Option<Located<String>> = table.take("placeholder", faults);
    if let Some(text) = placeholder.as_ref().filter(|text| text.value.is_empty()) {
        let remedy = "write the text that the workload sends in place of the secret";
        let problem = "an empty placeholder is everywhere";
        faults.push(Fault::at(&text.at, problem, remedy));
        return None;
    }
    let placeholder = placeholder.map(|text| Bytes::from(text.value));
    let insecure = table.take_or("insecure", false, faults);
    table.finish(faults);
    let secret = secret?;
    let bytes = secret.value.expose();
    let value = HeaderValue::try_from([prefix.as_bytes(), bytes].concat());
    let Some(mut value) = value.ok().filter(|_| !bytes.is_empty()) else {
        faults.push(Fault::at(
            &secret.at,
            "the secret is empty, or no field can hold it",
            "a secret is one line of printable characters",
        ));
        return None;
    };
    // Kept out of compression tables and of whatever prints fields.
    value.set_sensitive(true);
    Some(Credential {
        header: header?,
        value,
        placeholder,
        secret: Bytes::copy_from_slice(bytes),
        insecure,
    })
}

impl Filter for Inject {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, channel: Channel, method: &Method) -> Result<(), &'static str> {
        if !channel.secure && self.0.iter().any(|credential| !credential.insecure) {
            return Err("the rule adds a credential, which does not leave over plain HTTP");
        }
        // RFC 9110 §9.3.8: the origin sends back what it got.
        if *method == Method::TRACE {
            return Err("the rule adds a credential, which TRACE would send back");
        }
        Ok(())
    }

    fn on_request(&self, headers: &mut HeaderMap) {
        for credential in &self.0 {
            credential.put_into(headers);
        }
    }

    fn on_response(&self, headers: &mut HeaderMap, _channel: Channel) {
        self.scrub(headers);
    }

    fn on_trailers(&self, headers: &mut HeaderMap) {
        self.scrub(headers);
    }
}

impl Inject {
    fn scrub(&self, headers: &mut HeaderMap) {
        for credential in &self.0 {
            let secret = &credential.secret;
            for value in headers.values_mut() {
                if let Some(clean) = hidden(value.as_bytes(), secret) {
                    *value = HeaderValue::try_from(&clean[..])
                        .unwrap_or(HeaderValue::from_static("(hidden)"));
                }
            }
            // Names of fields have one case (RFC 9110 §5.1).
            let lower = secret.to_ascii_lowercase();
            let names = headers.keys().filter(|name| {
                let name = name.as_str().as_bytes();
                memmem::find(name, &lower).is_some()
            });
            for name in names.cloned().collect::<Vec<_>>() {
                headers.remove(name);
            }
        }
    }
}

/// A text without the secret; `None` where it does not have it.
fn hidden(text: &[u8], secret: &[u8]) -> Option<BytesMut> {
    let mut out = BytesMut::new();
    let (mut from, mut at) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(length) = spelled(rest, secret) else {
            at += 1;
            continue;
        };
        out.extend_from_slice(text.get(from..at).unwrap_or_default());
        out.extend_from_slice(HIDDEN);
        at += length;
        from = at;
    }
    if from == 0 {
        return None;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    Some(out)
}

/// How long the secret is that a text begins with, each of its bytes as it is, percent-encoded (RFC 3986 §2.1: which ones are
/// is up to who writes them), or behind a backslash (RFC 9110 §5.6.4; JSON).
fn spelled(text: &[u8], secret: &[u8]) -> Option<usize> {
    let mut rest = text;
    for byte in secret {
        rest = match rest {
            [b'%', high, low, behind @ ..] if decoded(*high, *low) == Some(*byte) => behind,
            [b'\\', other, behind @ ..] if other == byte => behind,
            [other, behind @ ..] if other == byte => behind,
            _ => return None,
        };
    }
    Some(text.len() - rest.len())
}

fn decoded(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

impl Credential {
    fn put_into(&self, headers: &mut HeaderMap) {
        let Some(placeholder) = &self.placeholder else {
            headers.insert(&self.header, self.value.clone());
            return;
        };
        let Some(sent) = headers.get(&self.header) else {
            return;
        };
        let Some(filled) = replaced(sent.as_bytes(), placeholder, self.value.as_bytes()) else {
            return;
        };
        if let Ok(mut filled) = HeaderValue::try_from(&filled[..]) {
            filled.set_sensitive(true);
            headers.insert(&self.header, filled);
        }
    }
}

/// A text with every occurrence of a part replaced; `None` where there is none.
fn replaced(text: &[u8], part: &[u8], by: &[u8]) -> Option<BytesMut> {
    let mut found = memmem::find_iter(text, part).peekable();
    found.peek()?;
    let mut out = BytesMut::with_capacity(text.len() + by.len());
    let mut from = 0;
    for at in found {
        out.extend_from_slice(text.get(from..at).unwrap_or_default());
        out.extend_from_slice(by);
        from = at + part.len();
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    Some(out)
}

const HIDDEN: &[u8] = b"(hidden)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Source;

    fn inject(more: &str) -> Result<Arc<dyn Filter>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, "s3cret/+\n").expect("written");
        let text = format!(
            "inject = {{ header = \"authorization\", value = {{ file = \"{}\" }}{more} }}",
            file.display()
        );
        let faults = Faults::new();
        let table = Table::parse(&Source::new("p.toml", text), &faults);
        let value = table.take_value("inject").expect("it is there");
        let filter = (ENTRY.build)(value, &faults);
        let told: String = faults.into_vec().iter().map(Fault::render).collect();
        filter.ok_or(told)
    }

    fn sent(filter: &dyn Filter, by_workload: &[&'static str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in by_workload {
            headers.append("authorization", HeaderValue::from_static(value));
        }
        filter.on_request(&mut headers);
        let values = headers.get_all("authorization").iter();
        values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    }

    #[test]
    fn the_credential_takes_the_place_of_what_the_workload_sends() {
        let always = inject(", prefix = \"Bearer \"").expect("no fault");
        assert_eq!(sent(&*always, &[]), ["Bearer s3cret/+"]);
        assert_eq!(sent(&*always, &["a", "b"]), ["Bearer s3cret/+"]);
        let filled = inject(", placeholder = \"TOKEN\"").expect("no fault");
        assert_eq!(sent(&*filled, &["Bearer TOKEN"]), ["Bearer s3cret/+"]);
        assert_eq!(sent(&*filled, &["Bearer other"]), ["Bearer other"]);
        assert_eq!(sent(&*filled, &[]), Vec::<String>::new());
    }

    #[test]
    fn what_comes_back_does_not_have_it_in_any_spelling() {
        let filter = inject(", prefix = \"Bearer \"").expect("no fault");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-echo", "Bearer s3cret/+ and s3cret/+"),
            ("location", "https://a.example/?t=s3cret%2F%2B"),
            ("x-lower", "s3cret%2f%2b"),
            ("x-part", "?t=s3cret/%2B&u=%733cret%2F+"),
            ("x-json", "\"s3cret\\/+\""),
            ("x-other", "nothing"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        filter.on_response(&mut headers, Channel { secure: true });
        assert_eq!(headers["x-echo"], "Bearer (hidden) and (hidden)");
        assert_eq!(headers["location"], "https://a.example/?t=(hidden)");
        assert_eq!(headers["x-lower"], "(hidden)");
        assert_eq!(headers["x-part"], "?t=(hidden)&u=(hidden)");
        assert_eq!(headers["x-json"], "\"(hidden)\"");
        assert_eq!(headers["x-other"], "nothing");
        assert!(!format!("{filter:?}").contains("s3cret"));
    }

    #[test]
    fn a_field_that_is_named_like_the_secret_goes() {
        let plain = Credential {
            header: http::header::AUTHORIZATION,
            value: HeaderValue::from_static("sk-Abc123"),
            placeholder: None,
            secret: Bytes::from_static(b"sk-Abc123"),
            insecure: false,
        };
        let mut headers = HeaderMap::new();
        for name in ["x-sk-abc123", "x-sk"] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        Inject(vec![plain]).scrub(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-sk"]);
    }

    #[test]
    fn it_does_not_leave_over_plain_http_nor_by_trace() {
        let (plain, secure) = (Channel { secure: false }, Channel { secure: true });
        let filter = inject("").expect("no fault");
        assert!(filter.check(plain, &Method::GET).is_err());
        assert!(filter.check(secure, &Method::GET).is_ok());
        assert!(filter.check(secure, &Method::TRACE).is_err());
        let open = inject(", insecure = true").expect("no fault");
        assert!(open.check(plain, &Method::GET).is_ok());
    }

    #[test]
    fn mistakes_are_faults_that_do_not_tell_the_secret() {
        for (more, told) in [
            (", prefix = \"a\\nb\"", "no field can hold it"),
            (", placeholder = \"\"", "empty placeholder"),
        ] {
            let fault = inject(more).err().unwrap_or_default();
            assert!(fault.contains(told), "{more}: {fault}");
            assert!(!fault.contains("s3cret"), "{fault}");
        }
    }
}
