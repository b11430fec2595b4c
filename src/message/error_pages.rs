//! An operator's own pages in place of the answers that the proxy gives itself: `error-pages = { 404 = "404.html", 5xx = "sorry.html" }`.
//! Not for what an origin answers: that passes as it is.
//! Start at [`ErrorPages::read`], then [`ErrorPages::replace`].

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
};
use http::{HeaderValue, Response, StatusCode};

use super::Body;
use crate::fault::{Fault, Faults, Location};
use crate::settings::{ByteSize, FromValue, Kind, Located, Table, Value};

/// Pages by status, read when the configuration is. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorPages(Arc<BTreeMap<Statuses, Page>>);

/// What a page is for. In the order of preference: a status before its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Statuses {
    /// One status.
    One(u16),
    /// All that begin with this digit.
    Class(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    content: Bytes,
    kind: HeaderValue,
}

impl ErrorPages {
    /// Reads `error-pages`: statuses and classes, each with a file, or with `{ file = "…", type = "text/html" }`. `None` where
    /// something was a fault: a file that can not be read or is larger than 1 MiB, a status that is no error.
    pub fn read(value: Value, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let table = Table::from_value(value, faults)?;
        let mut pages = BTreeMap::new();
        for (key, value) in table.take_rest() {
            let statuses = Statuses::read(&key, faults);
            let page = Page::read(value, faults);
            if let (Some(statuses), Some(page)) = (statuses, page) {
                pages.insert(statuses, page);
            }
        }
        (faults.len() == before).then(|| Self(Arc::new(pages)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the page for its status, where there is one, in place of the content of a response that the proxy made itself. The
    /// status and the other fields stay: challenges, `Retry-After`, `Proxy-Status`, `Cache-Control`.
    pub fn replace(&self, response: Response<Body>) -> Response<Body> {
        let Some(page) = self.find(response.status()) else {
            return response;
        };
        let (mut head, _) = response.into_parts();
        // What described the content that was there. Its Content-Security-Policy would forbid the page its pictures.
        for name in [
            CONTENT_ENCODING,
            CONTENT_LANGUAGE,
            CONTENT_LENGTH,
            CONTENT_SECURITY_POLICY,
            ETAG,
        ] {
            head.headers.remove(name);
        }
        head.headers.insert(CONTENT_TYPE, page.kind.clone());
        Response::from_parts(head, Body::from(page.content.clone()))
    }

    fn find(&self, status: StatusCode) -> Option<&Page> {
        let status = status.as_u16();
        let one = self.0.get(&Statuses::One(status));
        one.or_else(|| self.0.get(&Statuses::Class(status / 100)))
    }
}

impl Statuses {
    fn read(key: &Located<String>, faults: &Faults) -> Option<Self> {
        let text = key.value.to_ascii_lowercase();
        let statuses = match text.as_str() {
            "4xx" => Some(Self::Class(4)),
            "5xx" => Some(Self::Class(5)),
            digits => digits.parse().ok().map(Self::One),
        };
        let error = |statuses: &Self| match statuses {
            Self::One(status) => (400..600).contains(status),
            Self::Class(_) => true,
        };
        let statuses = statuses.filter(error);
        if statuses.is_none() {
            let problem = format!("\"{}\" is not the status of an error", key.value);
            let remedy = "write a status from 400 to 599, or \"4xx\" or \"5xx\" for all of a class";
            faults.push(Fault::at(&key.at, problem, remedy));
        }
        statuses
    }
}

impl Page {
    fn read(value: Value, faults: &Faults) -> Option<Self> {
        let (file, kind) = if let Kind::Table(table) = value.kind {
            let remedy = "name the page: file = \"sorry.html\"";
            let file: Option<Located<PathBuf>> = table.require("file", remedy, faults);
            let kind: Option<Located<String>> = table.take("type", faults);
            table.finish(faults);
            (file?, kind)
        } else {
            (Located::<PathBuf>::from_value(value, faults)?, None)
        };
        let kind = match kind {
            Some(kind) => field(&kind, faults)?,
            None => HeaderValue::from_static(by_name(&file.value)),
        };
        let content = content(&file.value, &file.at, faults)?;
        Some(Self { content, kind })
    }
}

/// Reads a file whole, unless it is too large; never more than that, whatever the file turns out to be.
fn content(path: &Path, at: &Location, faults: &Faults) -> Option<Bytes> {
    let mut content = Vec::new();
    let opened = std::fs::File::open(path);
    let read = opened.and_then(|file| file.take(LARGEST.0 + 1).read_to_end(&mut content));
    if let Err(error) = read {
        let problem = format!("cannot read {}: {error}", path.display());
        let remedy = "check the path and its permissions; it is relative to this file";
        faults.push(Fault::at(at, problem, remedy));
        return None;
    }
    if content.len() as u64 > LARGEST.0 {
        let problem = format!("{} is larger than {LARGEST}", path.display());
        let remedy = "pages are kept in memory: let it name what is large, in place of holding it";
        faults.push(Fault::at(at, problem, remedy));
        return None;
    }
    Some(Bytes::from(content))
}

fn field(kind: &Located<String>, faults: &Faults) -> Option<HeaderValue> {
    let value = HeaderValue::try_from(kind.value.as_str()).ok();
    let value = value.filter(|_| kind.value.contains('/'));
    if value.is_none() {
        let problem = format!("\"{}\" is not a media type", kind.value.escape_debug());
        let remedy = "write one such as \"text/html; charset=utf-8\"";
        faults.push(Fault::at(&kind.at, problem, remedy));
    }
    value
}

fn by_name(path: &Path) -> &'static str {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.unwrap_or_default().to_ascii_lowercase();
    let found = KINDS.iter().find(|(known, _)| *known == ending);
    found.map_or("text/plain; charset=utf-8", |(_, kind)| *kind)
}

const KINDS: &[(&str, &str)] = &[
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("json", "application/json"),
    ("svg", "image/svg+xml"),
    ("xml", "application/xml"),
];

/// The largest page.
const LARGEST: ByteSize = ByteSize::mib(1);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http::header::{CACHE_CONTROL, RETRY_AFTER};

    use super::*;
    use crate::fault::Source;
    use crate::message::{Answer, ProxyError};

    fn read(folder: &Path, text: &str) -> Result<ErrorPages, String> {
        let faults = Faults::new();
        let source = Source::new(folder.join("egret.toml"), format!("error-pages = {text}"));
        let table = Table::parse(&source, &faults);
        let value = table.take_value("error-pages").expect("the key");
        let pages = ErrorPages::read(value, &faults);
        let told: String = faults.into_vec().iter().map(Fault::render).collect();
        pages.ok_or(told)
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in [
            ("404.html", b"<p>gone".to_vec()),
            ("sorry.json", b"{}".to_vec()),
            ("large.html", vec![b'a'; (1 << 20) + 1]),
        ] {
            std::fs::write(folder.path().join(name), content).expect("written");
        }
        folder
    }

    fn text(response: &Response<Body>) -> String {
        match response.body() {
            Body::Full(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Empty | Body::Stream(_) => String::new(),
        }
    }

    #[test]
    fn a_page_stands_in_for_content_and_the_other_fields_stay() {
        let folder = folder();
        let setting = "{ 404 = \"404.html\", 5xx = \"sorry.json\", 502 = { file = \"404.html\", type = \"text/x\" } }";
        let pages = read(folder.path(), setting).expect("valid");
        for (status, content, kind) in [
            (404, "<p>gone", "text/html; charset=utf-8"),
            (503, "{}", "application/json"),
            (502, "<p>gone", "text/x"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let answer = Answer::new(ProxyError::ConnectionLimit, "busy").status(status);
            let response = answer.retry_after(7).into_response("egret", "id", None);
            let response = pages.replace(response);
            assert_eq!(
                (response.status(), text(&response).as_str()),
                (status, content)
            );
            let field = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
            assert_eq!(field(CONTENT_TYPE), Some(kind));
            assert_eq!(field(RETRY_AFTER), Some("7"));
            assert_eq!(field(CACHE_CONTROL), Some("no-store"));
            assert_eq!(field(CONTENT_SECURITY_POLICY), None);
            assert!(response.headers().contains_key("proxy-status"));
        }
        let other = Answer::new(ProxyError::RequestDenied, "no").into_response("egret", "id", None);
        let (before, status) = (text(&other), other.status());
        let same = pages.replace(other);
        assert_eq!((text(&same), same.status()), (before, status));
    }

    #[test]
    fn faults_name_the_key_and_the_file() {
        let folder = folder();
        for (setting, told) in [
            ("{ 200 = \"404.html\" }", "not the status of an error"),
            ("{ 3xx = \"404.html\" }", "not the status of an error"),
            ("{ 404 = \"missing.html\" }", "cannot read"),
            ("{ 404 = \".\" }", "cannot read"),
            ("{ 404 = \"large.html\" }", "is larger than 1MiB"),
            ("{ 404 = { type = \"a/b\" } }", "\"file\" is missing"),
            (
                "{ 404 = { file = \"404.html\", type = \"html\" } }",
                "is not a media type",
            ),
            (
                "{ 404 = { file = \"404.html\", kind = \"a/b\" } }",
                "unknown key",
            ),
            ("{ 404 = 7 }", "expected a string"),
        ] {
            let faults = read(folder.path(), setting).expect_err(setting);
            assert!(faults.contains(told), "{setting}: {faults}");
        }
    }
}
