//! Answers that stand in files or in the settings: fixed ones, maintenance, error pages. All are read at the start.
//! Not the answers of the proxy's own (`message::Answer`).
//! Start at [`Page`] and [`ErrorPages::of`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::fault::{Fault, Faults};
use crate::filter::{content, field};
use crate::message::Body;
use crate::settings::{FromValue, Kind, Located, Table, Value};

/// An answer that is the same for everyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, without Content-Length.
    pub headers: HeaderMap,
    /// Its content.
    pub body: Bytes,
}

/// What stands in the place of an error's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// What it is.
    pub content_type: HeaderValue,
    /// Its content.
    pub body: Bytes,
}

/// The error pages of a route, by status: `{ 502 = "down.html", "5xx" = "sorry.html" }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorPages {
    exact: BTreeMap<u16, ErrorPage>,
    /// By the first digit.
    classes: BTreeMap<u16, ErrorPage>,
}

/// Files that were read for these settings, each once.
#[derive(Debug, Default)]
pub(super) struct Files(RefCell<BTreeMap<PathBuf, Option<Bytes>>>);

impl ErrorPages {
    /// The page of a status: its own, or that of its class.
    pub fn of(&self, status: StatusCode) -> Option<&ErrorPage> {
        let code = status.as_u16();
        self.exact
            .get(&code)
            .or_else(|| self.classes.get(&(code / 100)))
    }

    /// Puts the page of its status in place of the content of a response that the proxy made itself. The status and the other
    /// fields stay: challenges, `Retry-After`, `Proxy-Status`, `Cache-Control`.
    pub fn replace(&self, response: Response<Body>) -> Response<Body> {
        let Some(page) = self.of(response.status()) else {
            return response;
        };
        let (mut head, _) = response.into_parts();
        // What described the content that was there. Its Content-Security-Policy would forbid the page its pictures.
        for name in [CONTENT_LENGTH, CONTENT_SECURITY_POLICY] {
            head.headers.remove(name);
        }
        let kind = page.content_type.clone();
        head.headers.insert(CONTENT_TYPE, kind);
        Response::from_parts(head, Body::from(page.body.clone()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.classes.is_empty()
    }

    pub(super) fn read(table: &Table, files: &Files, faults: &Faults) -> Self {
        let mut pages = Self::default();
        for (key, value) in table.take_rest() {
            let (class, code) = match key.value.as_str() {
                "4xx" => (true, 4),
                "5xx" => (true, 5),
                text => match text
                    .parse::<u16>()
                    .ok()
                    .filter(|code| (400..=599).contains(code))
                {
                    Some(code) => (false, code),
                    None => {
                        let problem = format!("\"{text}\" is not the status of an error");
                        let remedy = "write one from 400 to 599, \"4xx\" or \"5xx\"";
                        faults.push(Fault::at(&key.at, problem, remedy));
                        continue;
                    }
                },
            };
            let Some(page) = read_error_page(value, files, faults) else {
                continue;
            };
            let of = if class {
                &mut pages.classes
            } else {
                &mut pages.exact
            };
            of.insert(code, page);
        }
        pages
    }
}

fn read_error_page(value: Value, files: &Files, faults: &Faults) -> Option<ErrorPage> {
    let (file, content_type) = match value.kind {
        Kind::Table(table) => {
            let remedy = "name it: { file = \"down.html\" }";
            let file: Option<Located<PathBuf>> = table.require("file", remedy, faults);
            let content_type = table.take::<Located<String>>("content-type", faults);
            table.finish(faults);
            (file?, content_type)
        }
        Kind::Text(_)
        | Kind::Integer(_)
        | Kind::Float(_)
        | Kind::Bool(_)
        | Kind::Datetime(_)
        | Kind::List(_) => (Located::from_value(value, faults)?, None),
    };
    let guessed = kind_of(&file.value);
    let content_type = match content_type {
        Some(text) => content(&text, faults)?,
        None => HeaderValue::from_static(guessed),
    };
    let body = files.read(&file, faults)?;
    Some(ErrorPage { content_type, body })
}

impl Page {
    /// Reads `respond = { status, body | file, content-type, headers }`.
    pub(super) fn read_fixed(table: Table, files: &Files, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let status: Option<Located<u16>> = table.take("status", faults);
        let code = status.as_ref().map_or(200, |status| status.value);
        let known = StatusCode::from_u16(code).ok();
        let known = known.filter(|status| (200..=599).contains(&status.as_u16()));
        if let (Some(status), None) = (&status, known) {
            let problem = format!("{code} is not the status of an answer");
            faults.push(Fault::at(&status.at, problem, "choose one from 200 to 599"));
        }
        let mut page = Self::read_content(&table, files, faults);
        page.status = known.unwrap_or_default();
        // RFC 9110 §6.4.1: these have no content, whatever else stands in them.
        let empty = matches!(
            page.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        ) || page.status == StatusCode::RESET_CONTENT;
        if let Some(status) = status.filter(|_| empty && !page.body.is_empty()) {
            let problem = format!("an answer with {code} has no content");
            faults.push(Fault::at(
                &status.at,
                problem,
                "leave body and file out, or choose 200",
            ));
        }
        if page.body.is_empty() {
            page.headers.remove(CONTENT_TYPE);
        }
        for (name, value) in table
            .take::<Table>("headers", faults)
            .map(|table| table.take_rest())
            .unwrap_or_default()
        {
            let texts = Vec::<Located<String>>::from_value(value, faults).unwrap_or_default();
            let Some(name) = field(&name, faults) else {
                continue;
            };
            let values: Vec<HeaderValue> = texts
                .iter()
                .filter_map(|text| content(text, faults))
                .collect();
            page.headers.remove(&name);
            for value in values {
                page.headers.append(&name, value);
            }
        }
        table.finish(faults);
        (faults.len() == before).then_some(page)
    }

    /// Takes the keys of a maintenance page: `body | file`, `content-type`, `retry-after`.
    pub(super) fn read_maintenance(table: &Table, files: &Files, faults: &Faults) -> Self {
        let retry_after: Option<Duration> = table.take("retry-after", faults);
        let mut page = Self::read_content(table, files, faults);
        page.status = StatusCode::SERVICE_UNAVAILABLE;
        if page.body.is_empty() {
            page.body = Bytes::from_static(MAINTENANCE);
        }
        if let Some(after) = retry_after {
            // RFC 9110 §10.2.3: whole seconds.
            let seconds = after.as_secs().max(1);
            page.headers.insert(RETRY_AFTER, seconds.into());
        }
        page.headers
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        page
    }

    fn read_content(table: &Table, files: &Files, faults: &Faults) -> Self {
        let body: Option<Located<String>> = table.take("body", faults);
        let file: Option<Located<PathBuf>> = table.take("file", faults);
        let named: Option<Located<String>> = table.take("content-type", faults);
        if let (Some(_), Some(file)) = (&body, &file) {
            faults.push(Fault::at(
                &file.at,
                "an answer has body and file",
                "keep one of them",
            ));
        }
        let guessed = file.as_ref().map_or(PLAIN, |file| kind_of(&file.value));
        let content_type = named.and_then(|text| content(&text, faults));
        let guessed = || HeaderValue::from_static(guessed);
        let content_type = content_type.unwrap_or_else(guessed);
        let body = match (body, file) {
            (Some(body), _) => Bytes::from(body.value),
            (None, Some(file)) => files.read(&file, faults).unwrap_or_default(),
            (None, None) => Bytes::new(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type);
        Self {
            status: StatusCode::OK,
            headers,
            body,
        }
    }
}

impl Files {
    /// Reads a file, at most [`LARGEST`] of it. A fault where that is not possible, for each who names it.
    fn read(&self, file: &Located<PathBuf>, faults: &Faults) -> Option<Bytes> {
        if let Some(Some(read)) = self.0.borrow().get(&file.value) {
            return Some(read.clone());
        }
        let read = read_bounded(&file.value);
        if let Err((problem, remedy)) = &read {
            faults.push(Fault::at(&file.at, problem, remedy.as_str()));
        }
        let read = read.ok();
        self.0.borrow_mut().insert(file.value.clone(), read.clone());
        read
    }
}

fn read_bounded(path: &Path) -> Result<Bytes, (String, String)> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let problem = format!("cannot read {}: {error}", path.display());
            (problem, "check the path and its permissions".to_owned())
        })?;
    if read as u64 > LARGEST {
        let problem = format!("{} is larger than {} KiB", path.display(), LARGEST >> 10);
        let remedy = "pages are kept in memory: serve large ones from an upstream".to_owned();
        return Err((problem, remedy));
    }
    Ok(bytes.into())
}

/// What a file is, by its name.
fn kind_of(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let extension = extension.map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("xml") => "application/xml",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some(_) | None => PLAIN,
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// What maintenance says where the operator says nothing.
const MAINTENANCE: &[u8] = b"This service is down for maintenance. Please come back later.\n";

/// The most that one page may occupy.
const LARGEST: u64 = 1 << 20;
