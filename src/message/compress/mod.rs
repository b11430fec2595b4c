//! Content of responses, compressed for clients that take it (RFC 9110 §8.4, §12.5.3):
//! `compress = { codings = ["zstd", "br", "gzip"], types = ["text/*"], min-size = "1KiB" }`, or `compress = true`.
//! Nothing is decompressed, and what the origin coded passes as it is. Start at [`Compress::plan`].
//!
//! Off unless it is asked for: where a page holds a secret and repeats what an attacker put into the request, the length of its
//! compressed form tells of the secret (BREACH). A request that a browser says comes from another site, and that carries a cookie
//! or a credential, is therefore answered without compression.
//!
//! It is to be the last thing that is done to a response: behind the cache, which keeps what the origin sent.

mod accept;
mod body;
mod coding;
mod kinds;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, COOKIE, ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;

use self::body::Compressed;
pub use self::coding::Coding;
use self::kinds::Kinds;
use crate::fault::{Fault, Faults};
use crate::message::Body;
use crate::settings::{ByteSize, Kind, Located, Table, Value, one_of};

/// Which responses are compressed, and how. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compress(Arc<Settings>);

#[derive(Debug, PartialEq, Eq)]
struct Settings {
    /// The preferred first: among codings that a client likes equally, this decides.
    codings: Vec<Coding>,
    kinds: Kinds,
    /// Declared sizes below it are not worth it.
    min_size: u64,
}

/// What may be done to the response to one request.
#[derive(Debug, Clone)]
pub struct Plan {
    settings: Arc<Settings>,
    coding: Option<Coding>,
    head: bool,
    /// The request makes compression unsafe or unwanted; another one for the same resource may not.
    withheld: bool,
}

impl Compress {
    /// Reads `compress`. `None` for `false`, and where something was a fault.
    pub fn read(value: Value, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let settings = match value.kind {
            Kind::Bool(on) => on.then(Settings::default)?,
            Kind::Table(table) => Settings::read(table, faults),
            Kind::Text(_)
            | Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Datetime(_)
            | Kind::List(_) => return value.mismatch("true, false, or a table", faults),
        };
        (faults.len() == before).then(|| Self(Arc::new(settings)))
    }

    /// What may be done to the response to a request with these fields, as the client sent them.
    pub fn plan(&self, method: &Method, request: &HeaderMap) -> Plan {
        Plan {
            settings: self.0.clone(),
            coding: accept::choose(request, &self.0.codings),
            head: *method == Method::HEAD,
            // A client may ask for no transformation too (RFC 9111 §5.2.1.6).
            withheld: has_no_transform(request) || is_from_elsewhere(request),
        }
    }
}

impl Settings {
    fn read(table: Table, faults: &Faults) -> Self {
        let default = Self::default();
        let mut codings = default.codings;
        if let Some(words) = table.take::<Located<Vec<Located<String>>>>("codings", faults) {
            let known = Coding::ALL.map(|coding| (coding.token(), coding));
            let read = |word: &Located<String>| one_of(word, &known, faults);
            codings = words.value.iter().filter_map(read).collect();
            if words.value.is_empty() {
                let remedy = "name \"zstd\", \"br\" or \"gzip\", or write compress = false";
                faults.push(Fault::at(&words.at, "no coding is left", remedy));
            }
        }
        let kinds: Option<Vec<Located<String>>> = table.take("types", faults);
        let settings = Self {
            codings,
            kinds: kinds.map_or(default.kinds, |kinds| Kinds::read(&kinds, faults)),
            min_size: table
                .take_or("min-size", ByteSize(default.min_size), faults)
                .0,
        };
        table.finish(faults);
        settings
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            codings: Coding::ALL.to_vec(),
            kinds: Kinds::default(),
            min_size: 1 << 10,
        }
    }
}

impl Plan {
    /// Compresses a response where that is allowed and worth it. One that would have been compressed for another client says
    /// so in `Vary`, so that no cache gives this client's to that one.
    pub fn apply(self, response: Response<Body>) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        if head.status == StatusCode::NOT_MODIFIED {
            // It speaks of a response that may have been compressed, and whose ETag was then weakened: a strong one would
            // not select it (RFC 9111 §4.3.4). What its type was is not known here.
            add_vary(&mut head.headers);
            weaken(&mut head.headers);
            return Response::from_parts(head, body);
        }
        if !self.is_for(head.status, &head.headers, &body) {
            return Response::from_parts(head, body);
        }
        add_vary(&mut head.headers);
        let Some(coding) = self.coding.filter(|_| !self.withheld) else {
            return Response::from_parts(head, body);
        };
        head.headers
            .insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
        head.headers.remove(CONTENT_LENGTH);
        // Ranges are of the coded content now, and nobody can give a part of it (RFC 9110 §14.3).
        head.headers.remove(ACCEPT_RANGES);
        weaken(&mut head.headers);
        let each = kinds::is_event_stream(&head.headers);
        let body = match body {
            // The fields are those of the response to a GET (RFC 9110 §9.3.2), and there is no content.
            body if self.head => body,
            body => Body::stream(Compressed::new(body, coding, each)),
        };
        Response::from_parts(head, body)
    }

    /// Whether a response is one to compress, for some client.
    fn is_for(&self, status: StatusCode, headers: &HeaderMap, body: &Body) -> bool {
        let content = status.is_success() || status.is_client_error() || status.is_server_error();
        let without = [
            StatusCode::NO_CONTENT,
            StatusCode::RESET_CONTENT,
            StatusCode::PARTIAL_CONTENT,
        ];
        if !content
            || without.contains(&status)
            || AS_IT_IS.iter().any(|name| headers.contains_key(name))
        {
            return false;
        }
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        kind.is_some_and(|kind| self.settings.kinds.hold(kind))
            && self.is_large(headers, body)
            && !has_no_transform(headers)
    }

    /// Whether it is worth it, as far as its size is known.
    fn is_large(&self, headers: &HeaderMap, body: &Body) -> bool {
        let declared =
            || -> Option<u64> { headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok() };
        let size = if self.head {
            declared()
        } else {
            body.size_hint().exact()
        };
        size.is_none_or(|size| size > 0 && size >= self.settings.min_size)
    }
}

/// Whether a message asks to be passed on as it is (RFC 9110 §7.7, RFC 9111 §5.2.2.6).
fn has_no_transform(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CACHE_CONTROL).iter();
    values.any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.split(',')
            .any(|part| part.trim().eq_ignore_ascii_case("no-transform"))
    })
}

/// Whether a page of another site made a browser send this, in its user's name. What can not be read counts as if it did.
fn is_from_elsewhere(request: &HeaderMap) -> bool {
    let authenticated = request.contains_key(COOKIE) || request.contains_key(AUTHORIZATION);
    let ours = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
    authenticated && !request.get_all(SEC_FETCH_SITE).iter().all(ours)
}

fn add_vary(headers: &mut HeaderMap) {
    let mut values = headers.get_all(VARY).iter();
    let says = values.any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.split(',')
            .map(str::trim)
            .any(|name| name == "*" || name.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str()))
    });
    if !says {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Makes an ETag weak: the bytes are not those that it was made for (RFC 9110 §8.8.1).
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers
        .get(ETAG)
        .filter(|tag| tag.as_bytes().starts_with(b"\""))
    else {
        return;
    };
    match HeaderValue::from_bytes(&[&b"W/"[..], tag.as_bytes()].concat()) {
        Ok(weak) => headers.insert(ETAG, weak),
        Err(_) => headers.remove(ETAG),
    };
}

/// Fields of a response that is left as it is: it is coded already, it is a part, or a digest or signature covers its bytes
/// (RFC 9530).
const AS_IT_IS: [HeaderName; 6] = [
    CONTENT_ENCODING,
    CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
