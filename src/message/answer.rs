//! Answers that the proxy gives itself, for people and programs: text, JSON or HTML, as `Accept` asks.
//! Not the decision to answer so.
//! Start at [`Answer::into_response`].

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::body::Body;
use super::grpc;
use super::proxy_status::{ProxyError, proxy_status};

/// An answer in the making.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// One line that says what happened.
    pub title: String,
    /// Why, for the client to read; empty if the title says it.
    pub detail: String,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
    /// What to do about it, in the operator's or our words.
    pub remedy: Option<String>,
    /// The kind of trouble for `Proxy-Status`.
    pub error: ProxyError,
    /// Further fields: challenges, `Retry-After`.
    pub headers: HeaderMap,
}

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Html,
}

impl Answer {
    /// An answer to a kind of trouble, with that kind's status.
    pub fn new(error: ProxyError, title: impl Into<String>) -> Self {
        Self {
            status: error.status(),
            title: title.into(),
            detail: String::new(),
            rule: None,
            remedy: None,
            error,
            headers: HeaderMap::new(),
        }
    }

    /// With another status.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With a reason.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Asks the client to come back later.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    /// Sends the client elsewhere.
    pub fn location(mut self, to: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(to) {
            self.headers.insert(LOCATION, value);
        }
        self
    }

    /// What of a request's fields decides on the form of an answer.
    pub fn asked(headers: &HeaderMap) -> HeaderMap {
        let mut asked = HeaderMap::new();
        for name in [ACCEPT, CONTENT_TYPE] {
            if let Some(value) = headers.get(&name) {
                asked.insert(name, value.clone());
            }
        }
        asked
    }

    /// The response. `id` is the request's id in the log, `name` the proxy's; `asked` are the request's fields.
    pub fn into_response(self, name: &str, id: &str, asked: Option<&HeaderMap>) -> Response<Body> {
        let form = asked.map_or(Form::Text, preferred_form);
        if asked.is_some_and(grpc::is_call) {
            return grpc::refuse(&self, name, id);
        }
        let (kind, text) = match form {
            Form::Text => ("text/plain; charset=utf-8", self.text(id)),
            Form::Json => (json_kind(asked), self.json(id)),
            Form::Html => ("text/html; charset=utf-8", self.html(id)),
        };
        let mut response = Response::new(Body::from(Bytes::from(text)));
        *response.status_mut() = self.status;
        let details = if self.detail.is_empty() {
            &self.title
        } else {
            &self.detail
        };
        let status = proxy_status(name, self.error, details);
        let headers = response.headers_mut();
        *headers = self.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
        );
        headers.insert(NO_SNIFF.0, HeaderValue::from_static(NO_SNIFF.1));
        if let Some(status) = status {
            headers.insert(PROXY_STATUS, status);
        }
        insert_id(headers, id);
        response
    }

    fn lines<'a>(&'a self, id: &'a str) -> Vec<(&'static str, &'a str)> {
        let mut lines = Vec::new();
        if !self.detail.is_empty() {
            lines.push(("Reason", self.detail.as_str()));
        }
        lines.extend(self.rule.as_deref().map(|rule| ("Rule", rule)));
        lines.extend(self.remedy.as_deref().map(|remedy| ("What to do", remedy)));
        if !id.is_empty() {
            lines.push(("Request id", id));
        }
        lines
    }

    fn text(&self, id: &str) -> String {
        let mut text = format!("{}\n", one_line(&self.title));
        for (label, value) in self.lines(id) {
            text += &format!("{label}: {}\n", one_line(value));
        }
        text
    }

    /// Problem details (RFC 9457).
    fn json(&self, id: &str) -> String {
        serde_json::json!({
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "error": self.error.token(),
            "rule": self.rule,
            "remedy": self.remedy,
            "id": id,
        })
        .to_string()
    }

    fn html(&self, id: &str) -> String {
        let mut rows = String::new();
        for (label, value) in self.lines(id) {
            rows += &format!("<dt>{label}</dt><dd>{}</dd>", escape(value));
        }
        format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{status} {title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1><dl>{rows}</dl></main></body></html>\n",
            status = self.status.as_u16(),
            title = escape(&self.title),
        )
    }
}

/// The id as a field: a page of the operator's, or the answer to HEAD, has none in its content.
pub(super) fn insert_id(headers: &mut HeaderMap, id: &str) {
    if let Some(id) = HeaderValue::try_from(id).ok().filter(|id| !id.is_empty()) {
        headers.insert(REQUEST_ID, id);
    }
}

/// HTML for browsers, JSON for programs that say so, text for everyone else.
fn preferred_form(asked: &HeaderMap) -> Form {
    let accept = asked
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let quality = |kinds: &[&str]| {
        let of_range = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let q = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            kinds.contains(&kind.as_str()).then_some(q)
        };
        accept
            .split(',')
            .filter_map(of_range)
            .fold(0.0_f32, f32::max)
    };
    let html = quality(&["text/html", "application/xhtml+xml"]);
    let json = quality(&["application/json", "application/problem+json"]);
    let text = quality(&["text/plain"]);
    match (html, json) {
        _ if text >= html && text >= json => Form::Text,
        (html, json) if html >= json => Form::Html,
        _ => Form::Json,
    }
}

/// A client that asks for plain JSON gets that; the members are those of problem details either way.
fn json_kind(asked: Option<&HeaderMap>) -> &'static str {
    let accept = asked
        .and_then(|asked| asked.get(ACCEPT)?.to_str().ok())
        .unwrap_or_default();
    if accept.contains("application/problem+json") {
        "application/problem+json"
    } else {
        "application/json"
    }
}

/// A value that may hold a peer's text, on one line and without control characters.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const NO_SNIFF: (HeaderName, &str) = (HeaderName::from_static("x-content-type-options"), "nosniff");
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:10vh auto;max-width:42rem;padding:0 1rem;color:#222}\
h1{font-size:1.4rem}dt{font-weight:600;margin-top:.8rem}dd{margin:0;overflow-wrap:anywhere}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_accept_and_everything_is_escaped() {
        for (accept, kind) in [
            (
                "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
                "text/html; charset=utf-8",
            ),
            ("application/json", "application/json"),
            ("application/problem+json", "application/problem+json"),
            ("text/html;q=0.1, application/json", "application/json"),
            ("*/*", "text/plain; charset=utf-8"),
            ("", "text/plain; charset=utf-8"),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(ACCEPT, HeaderValue::from_static(accept));
            let answer = Answer::new(ProxyError::RequestDenied, "<script>alert(1)</script>")
                .detail("a\r\nb\"");
            assert!(
                !answer.html("<id>").contains("<script>alert")
                    && !answer.html("<id>").contains("<id>")
            );
            assert!(answer.text("id").contains("Reason: a  b\"\n"));
            let response = answer.into_response("egret", "id", Some(&asked));
            assert_eq!(
                response
                    .headers()
                    .get(CONTENT_TYPE)
                    .and_then(|v| v.to_str().ok()),
                Some(kind),
                "{accept}"
            );
            let status = response
                .headers()
                .get("proxy-status")
                .and_then(|v| v.to_str().ok());
            assert_eq!(
                status,
                Some("egret; error=http_request_denied; details=\"a??b\\\"\"")
            );
        }
    }
}
