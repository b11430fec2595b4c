//! The media types that are worth compressing.
//! Start at [`Kinds::hold`].

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::fault::{Fault, Faults};
use crate::settings::Located;

/// A list of media types.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kinds(Vec<Pattern>);

#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    /// `application/json`.
    Exact(String),
    /// `text/*`, kept as `text/`.
    Type(String),
    /// `*+json`, kept as `+json` (RFC 6839).
    Suffix(String),
}

impl Kinds {
    pub(super) fn read(list: &[Located<String>], faults: &Faults) -> Self {
        let read = |kind: &Located<String>| {
            let pattern = Pattern::parse(&kind.value);
            if pattern.is_none() {
                let problem = format!("\"{}\" is not a media type", kind.value.escape_debug());
                let remedy = "write one such as \"text/html\", \"text/*\" or \"*+json\"";
                faults.push(Fault::at(&kind.at, problem, remedy));
            }
            pattern
        };
        Self(list.iter().filter_map(read).collect())
    }

    /// Whether a `Content-Type` names one of them; its parameters do not count.
    pub(super) fn hold(&self, content_type: &str) -> bool {
        let kind = essence(content_type);
        self.0.iter().any(|pattern| pattern.holds(kind))
    }
}

impl Default for Kinds {
    fn default() -> Self {
        let patterns = DEFAULT.iter().filter_map(|text| Pattern::parse(text));
        Self(patterns.collect())
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let token = |part: &str| {
            let known = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            !part.is_empty() && part.bytes().all(known)
        };
        if let Some(suffix) = text.strip_prefix("*+") {
            return token(suffix).then(|| Self::Suffix(format!("+{suffix}")));
        }
        let (kind, subtype) = text.split_once('/')?;
        match subtype {
            _ if !token(kind) => None,
            "*" => Some(Self::Type(format!("{kind}/"))),
            subtype => token(subtype).then_some(Self::Exact(text)),
        }
    }

    fn holds(&self, kind: &str) -> bool {
        let same = |part: Option<&str>, known: &str| {
            part.is_some_and(|part| part.eq_ignore_ascii_case(known))
        };
        match self {
            Self::Exact(known) => same(Some(kind), known),
            Self::Type(known) => same(kind.get(..known.len()), known),
            Self::Suffix(known) => {
                let start = kind.len().checked_sub(known.len());
                same(start.and_then(|start| kind.get(start..)), known)
            }
        }
    }
}

/// Whether a response is a stream of events, each of which is to arrive at once.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| essence(kind).eq_ignore_ascii_case("text/event-stream"))
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Text, and what is as loose as text. What is compressed by itself, such as pictures and films, is not there.
const DEFAULT: &[&str] = &[
    "text/*",
    "*+json",
    "*+xml",
    "application/javascript",
    "application/json",
    "application/manifest+json",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/x-icon",
];
