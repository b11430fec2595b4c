//! Rows of requests and answers, run through one Egret with a cache and two origins: a row is data, its clause with it.
//! Not the rows, which stand in the files of the sections. Start at [`run`], then [`Step`].

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::support::{
    Config, Egret, Origin, PATIENCE, Request, Response, Wire, fields, read_request, until,
};

/// What a cache must do, in our own words, and where that is written.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) clause: &'static str,
    pub(crate) steps: Vec<Step>,
}

/// A row; each has a path of its own, so that rows do not mix.
pub(crate) fn row(
    name: impl Into<String>,
    clause: &'static str,
    steps: impl IntoIterator<Item = Step>,
) -> Row {
    Row {
        name: name.into(),
        clause,
        steps: steps.into_iter().collect(),
    }
}

/// Whether a request may reach the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The cache answers alone.
    Never,
    /// The origin is asked, once, before the answer.
    Once,
    /// Both are right.
    Either,
    /// The cache answers, and the origin is asked meanwhile or after.
    Behind,
}

/// A request, what the origin says where it is asked, and what must come of it. Lines are parted by `\n`; `{now-60}` in them
/// is a date, `{path}` the row's path, `{here}` and `{there}` are the two origins.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    method: String,
    lines: String,
    suffix: String,
    content: &'static str,
    there: bool,
    answer: Answer,
    reach: Reach,
    status: Option<u16>,
    statuses: &'static [u16],
    body: Option<String>,
    never: Vec<String>,
    has: Vec<String>,
    lacks: Vec<String>,
    sent: Vec<String>,
    unsent: Vec<String>,
    age: Option<RangeInclusive<u64>>,
    says: Vec<String>,
}

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    lines: String,
    body: Option<String>,
    end: End,
    honest: bool,
    mirrors: Option<&'static str>,
    interim: &'static str,
}

/// How the content ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Length,
    Chunked,
    Closed,
    CutLength,
    CutChunked,
    NoAnswer,
}

pub(crate) fn get() -> Step {
    method("GET")
}

pub(crate) fn head() -> Step {
    method("HEAD")
}

/// A step that expects the cache to answer alone; [`Step::answer`] makes it one that the origin must be asked in.
pub(crate) fn method(method: &str) -> Step {
    Step {
        method: method.to_owned(),
        lines: String::new(),
        suffix: String::new(),
        content: "",
        there: false,
        answer: Answer {
            status: 200,
            lines: "Cache-Control: no-store".to_owned(),
            body: Some("nobody should have asked".to_owned()),
            end: End::Length,
            honest: false,
            mirrors: None,
            interim: "",
        },
        reach: Reach::Never,
        status: None,
        statuses: &[],
        body: None,
        never: Vec::new(),
        has: Vec::new(),
        lacks: Vec::new(),
        sent: Vec::new(),
        unsent: Vec::new(),
        age: None,
        says: Vec::new(),
    }
}

impl Step {
    /// Fields of the request.
    pub(crate) fn with(mut self, lines: impl AsRef<str>) -> Self {
        push_lines(&mut self.lines, lines.as_ref());
        self
    }

    /// Content of the request.
    pub(crate) fn content(mut self, content: &'static str) -> Self {
        self.content = content;
        self
    }

    /// What follows the row's path.
    pub(crate) fn at(mut self, suffix: &str) -> Self {
        suffix.clone_into(&mut self.suffix);
        self
    }

    /// Asks for the same path at the second origin.
    pub(crate) fn there(mut self) -> Self {
        self.there = true;
        self
    }

    /// The origin must be asked and says this; the body is of this step alone where [`Self::carrying`] does not say it.
    pub(crate) fn answer(mut self, status: u16, lines: impl AsRef<str>) -> Self {
        self.answer.status = status;
        lines.as_ref().clone_into(&mut self.answer.lines);
        self.answer.body = None;
        self.reach = Reach::Once;
        self
    }

    /// The content of the origin's answer.
    pub(crate) fn carrying(mut self, body: &str) -> Self {
        self.answer.body = Some(body.to_owned());
        self
    }

    /// The origin answers 304 where the request's condition matches its validators.
    pub(crate) fn honest(mut self) -> Self {
        self.answer.honest = true;
        self
    }

    /// The origin puts the value of this request field into its content.
    pub(crate) fn mirroring(mut self, field: &'static str) -> Self {
        self.answer.mirrors = Some(field);
        self
    }

    /// Interim responses that the origin sends first.
    pub(crate) fn after_interim(mut self, heads: &'static str) -> Self {
        self.answer.interim = heads;
        self
    }

    /// The origin's content is chunked.
    pub(crate) fn chunked(mut self) -> Self {
        self.answer.end = End::Chunked;
        self
    }

    /// The origin's content ends with the connection.
    pub(crate) fn closed(mut self) -> Self {
        self.answer.end = End::Closed;
        self
    }

    /// The origin sends half of its content, then the connection ends.
    pub(crate) fn cut(mut self) -> Self {
        self.answer.end = match self.answer.end {
            End::Chunked | End::CutChunked => End::CutChunked,
            End::Length | End::Closed | End::CutLength | End::NoAnswer => End::CutLength,
        };
        self
    }

    /// The origin closes each connection without a word.
    pub(crate) fn unanswered(mut self) -> Self {
        self.reach = Reach::Either;
        self.answer.end = End::NoAnswer;
        self
    }

    /// The origin may be asked or not.
    pub(crate) fn maybe(mut self) -> Self {
        self.reach = Reach::Either;
        self
    }

    /// The client is served at once, and the origin is asked behind it.
    pub(crate) fn behind(mut self) -> Self {
        self.reach = Reach::Behind;
        self
    }

    /// The status that the client must get; else the origin's, or 200 from the cache.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// One of these.
    pub(crate) fn status_in(mut self, statuses: &'static [u16]) -> Self {
        self.statuses = statuses;
        self
    }

    /// The content that the client must get.
    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// What must not stand in the answer, neither head nor content.
    pub(crate) fn never(mut self, text: &str) -> Self {
        self.never.push(text.to_owned());
        self
    }

    /// Fields that the client must get: `Name: value` for the exact list of values, `Name` for any.
    pub(crate) fn has(mut self, lines: &str) -> Self {
        self.has.extend(lines.lines().map(str::to_owned));
        self
    }

    /// Fields that the client must not get.
    pub(crate) fn lacks(mut self, lines: &str) -> Self {
        self.lacks.extend(lines.lines().map(str::to_owned));
        self
    }

    /// Fields that the origin must get, as [`Self::has`].
    pub(crate) fn sent(mut self, lines: &str) -> Self {
        self.sent.extend(lines.lines().map(str::to_owned));
        self
    }

    /// Fields that the origin must not get.
    pub(crate) fn unsent(mut self, lines: &str) -> Self {
        self.unsent.extend(lines.lines().map(str::to_owned));
        self
    }

    /// `Age` of the client's answer.
    pub(crate) fn age(mut self, seconds: RangeInclusive<u64>) -> Self {
        self.age = Some(seconds);
        self
    }

    /// What the last member of `Cache-Status` must say: `hit`, `fwd=miss`, `!hit` for what it must not.
    pub(crate) fn says(mut self, parameters: &str) -> Self {
        let parameters = parameters.split_whitespace().map(str::to_owned);
        self.says.extend(parameters);
        self
    }
}

/// The configuration of most rows: everything at loopback is permitted, and the cache is on.
pub(crate) fn caching() -> Config {
    Config::loopback().cache()
}

/// Runs rows; all that fail are named at the end.
pub(crate) fn run(rows: Vec<Row>) {
    run_with(&caching(), rows);
}

/// Runs rows under another configuration.
pub(crate) fn run_with(config: &Config, rows: Vec<Row>) {
    let stage = Stage::new(config);
    let all = rows.len();
    let mut failed = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        let path = format!("/row/{index}");
        if let Err(why) = stage.play(&path, &row) {
            failed.push(format!("{} [{}]\n      {why}", row.name, row.clause));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {all} rows failed:\n  {}",
        failed.len(),
        failed.join("\n  ")
    );
}

/// One Egret and two origins that say what the step at hand says.
struct Stage {
    egret: Egret,
    here: Origin,
    there: Origin,
    script: Script,
}

type Script = Arc<Mutex<HashMap<String, Played>>>;

/// Of one path: what is said next, and what was asked so far.
struct Played {
    answer: Answer,
    seen: Vec<Request>,
}

impl Stage {
    fn new(config: &Config) -> Self {
        let script = Script::default();
        let origin = || {
            let script = script.clone();
            Origin::scripted(move |wire| speak(wire, &script))
        };
        let (here, there) = (origin(), origin());
        let egret = Egret::start(config);
        Self {
            egret,
            here,
            there,
            script,
        }
    }

    fn play(&self, path: &str, row: &Row) -> Result<(), String> {
        let (mut all, mut recorded) = (0, 0);
        for (index, step) in row.steps.iter().enumerate() {
            let answer = self.answer(path, index, step);
            self.set(path, answer.clone());
            let (head, response) = self.ask(path, step, answer.end);
            let expected = all + usize::from(step.reach == Reach::Behind);
            let seen = self.seen(path, expected);
            let fresh = seen.get(all..).unwrap_or_default();
            all = seen.len();
            recorded += 1 + usize::from(step.reach == Reach::Behind);
            if step.reach == Reach::Behind {
                // Asked is not yet answered: what comes of it is in its own record.
                until("the record of what was asked behind", || {
                    self.recorded(path) >= recorded
                });
            }
            judge(step, &answer, &response, fresh).map_err(|why| {
                let asked: Vec<_> = fresh.iter().map(|request| &request.head).collect();
                format!(
                    "step {}: {why}\n      asked {head:?}\n      got {:?} {:?}\n      the origin saw {asked:?}",
                    index + 1,
                    response.head,
                    response.text(),
                )
            })?;
        }
        Ok(())
    }

    /// What the origin says in this step, with its names and dates in place.
    fn answer(&self, path: &str, index: usize, step: &Step) -> Answer {
        let mut answer = step.answer.clone();
        answer.lines = self.fill(path, &answer.lines);
        let body = answer.body.take();
        let own = || format!("content of step {} at {path}", index + 1);
        answer.body = Some(body.unwrap_or_else(own));
        answer
    }

    fn set(&self, path: &str, answer: Answer) {
        let mut script = self.script.lock().unwrap();
        let played = script.entry(path.to_owned()).or_insert_with(|| Played {
            answer: answer.clone(),
            seen: Vec::new(),
        });
        played.answer = answer;
    }

    /// What the origins saw of this row, at least so much of it.
    fn seen(&self, path: &str, expected: usize) -> Vec<Request> {
        let began = Instant::now();
        loop {
            let seen = self.script.lock().unwrap()[path].seen.clone();
            if seen.len() >= expected || began.elapsed() > PATIENCE {
                return seen;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
    }

    /// How many exchanges about a path have ended.
    fn recorded(&self, path: &str) -> usize {
        let records = self.egret.records();
        records
            .iter()
            .filter(|record| record["path"] == path)
            .count()
    }

    fn ask(&self, path: &str, step: &Step, end: End) -> (String, Response) {
        let origin = if step.there { &self.there } else { &self.here };
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            step.method,
            origin.url(&format!("{path}{}", step.suffix)),
            origin.address
        );
        for line in self.fill(path, &step.lines).lines() {
            head.push_str(line);
            head.push_str("\r\n");
        }
        if !step.content.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", step.content.len()));
        }
        head.push_str("\r\n");
        let mut wire = self.egret.connect();
        wire.send(head.as_bytes());
        wire.send(step.content.as_bytes());
        let response = match end {
            End::CutLength | End::CutChunked => what_came(&mut wire),
            End::Length | End::Chunked | End::Closed | End::NoAnswer => {
                final_response(&mut wire, &step.method)
            }
        };
        (head, response)
    }

    fn fill(&self, path: &str, text: &str) -> String {
        let text = text
            .replace("{path}", path)
            .replace("{here}", &self.here.address.to_string())
            .replace("{there}", &self.there.address.to_string());
        with_dates(&text)
    }
}

/// The answer after the interim ones.
fn final_response(wire: &mut Wire, method: &str) -> Response {
    loop {
        let response = wire.response(method);
        if response.status >= 200 {
            return response;
        }
    }
}

/// An answer that is expected to break off: its head, and whatever came of its content.
fn what_came(wire: &mut Wire) -> Response {
    let mut response = Wire::response(wire, "HEAD");
    wire.half_close_quietly();
    response.body = wire.read_to_any_end();
    response
}

/// An origin's side of a connection.
fn speak(wire: &mut Wire, script: &Script) {
    while let Ok(request) = read_request(wire, 0) {
        let answer = {
            let mut script = script.lock().unwrap();
            let known = script
                .iter_mut()
                .find(|(path, _)| is_under(&request, path))
                .map(|(_, played)| played);
            let Some(played) = known else { return };
            played.seen.push(request.clone());
            played.answer.clone()
        };
        if answer.end == End::NoAnswer {
            return;
        }
        let sent = wire.try_send(&bytes_of(&answer, &request));
        let ends = !matches!(answer.end, End::Length | End::Chunked);
        if sent.is_err() || ends {
            return;
        }
    }
}

/// Whether a request is for the row's path, or for something below it.
fn is_under(request: &Request, path: &str) -> bool {
    let rest = request.target.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '/']))
}

fn bytes_of(answer: &Answer, request: &Request) -> Vec<u8> {
    let matches = answer.honest && condition_matches(answer, request);
    let status = if matches { 304 } else { answer.status };
    let mut body = answer.body.clone().unwrap_or_default();
    if let Some(field) = answer.mirrors {
        body.push_str(&joined(&request.headers, field).unwrap_or_default());
    }
    let mut head = answer.interim.to_owned();
    head.push_str(&format!("HTTP/1.1 {status} Said\r\n"));
    for line in answer.lines.lines() {
        head.push_str(line);
        head.push_str("\r\n");
    }
    let length = body.len();
    let own_length = answer
        .lines
        .to_ascii_lowercase()
        .contains("content-length:");
    if status == 304 || status == 204 || status == 205 {
        if status == 205 {
            head.push_str("Content-Length: 0\r\n");
        }
        return format!("{head}\r\n").into_bytes();
    }
    match answer.end {
        End::Length | End::CutLength if own_length => head.push_str("\r\n"),
        End::Length | End::CutLength => {
            head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        }
        End::Chunked | End::CutChunked => {
            head.push_str(&format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n"));
        }
        End::Closed | End::NoAnswer => head.push_str("Connection: close\r\n\r\n"),
    }
    if request.method == "HEAD" {
        let (head, _) = head.split_once("\r\n\r\n").unwrap();
        return format!("{head}\r\n\r\n").into_bytes();
    }
    match answer.end {
        End::Length | End::Closed | End::NoAnswer => head.push_str(&body),
        End::Chunked => head.push_str(&format!("{body}\r\n0\r\n\r\n")),
        End::CutLength | End::CutChunked => head.push_str(&body[..length / 2]),
    }
    head.into_bytes()
}

/// As an origin would see it: weak comparison of tags, dates by their text.
fn condition_matches(answer: &Answer, request: &Request) -> bool {
    let said = fields(&format!("\r\n{}", answer.lines.replace('\n', "\r\n")));
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if let Some(tags) = joined(&request.headers, "if-none-match") {
        let tag = joined(&said, "etag").map(|tag| bare(&tag));
        return tags.split(',').any(|one| Some(bare(one)) == tag);
    }
    let since = joined(&request.headers, "if-modified-since");
    since.is_some() && since == joined(&said, "last-modified")
}

fn judge(
    step: &Step,
    answer: &Answer,
    response: &Response,
    asked: &[Request],
) -> Result<(), String> {
    let right = match step.reach {
        Reach::Never => asked.is_empty(),
        Reach::Once | Reach::Behind => asked.len() == 1,
        Reach::Either => true,
    };
    ensure(right, || {
        format!(
            "the origin was asked {} times, must be {:?}",
            asked.len(),
            step.reach
        )
    })?;
    judge_status(step, answer, response)?;
    judge_body(step, response)?;
    judge_fields(step, response, asked.last())?;
    if let Some(range) = &step.age {
        let age = joined(&response.headers, "age").and_then(|age| age.parse().ok());
        ensure(age.is_some_and(|age| range.contains(&age)), || {
            format!("Age is {age:?}, must be {range:?}")
        })?;
    }
    judge_cache_status(step, response)
}

fn judge_status(step: &Step, answer: &Answer, response: &Response) -> Result<(), String> {
    let own = match step.reach {
        Reach::Once if answer.end != End::NoAnswer => Some(answer.status),
        Reach::Never | Reach::Behind => Some(200),
        Reach::Once | Reach::Either => None,
    };
    let expected = if step.statuses.is_empty() {
        step.status.or(own)
    } else {
        None
    };
    let listed = step.statuses.is_empty() || step.statuses.contains(&response.status);
    ensure(
        listed && expected.is_none_or(|status| status == response.status),
        || format!("the status is {}", response.status),
    )
}

fn judge_body(step: &Step, response: &Response) -> Result<(), String> {
    if let Some(body) = &step.body {
        ensure(response.text() == *body, || {
            format!("the content must be {body:?}")
        })?;
    }
    for text in &step.never {
        let there = response.head.contains(text) || response.text().contains(text);
        ensure(!there, || format!("{text:?} stands in the answer"))?;
    }
    Ok(())
}

fn judge_fields(step: &Step, response: &Response, asked: Option<&Request>) -> Result<(), String> {
    for line in &step.has {
        has(&response.headers, line).map_err(|why| format!("the client got {why}"))?;
    }
    for name in &step.lacks {
        let value = joined(&response.headers, name);
        ensure(value.is_none(), || format!("the client got {name}"))?;
    }
    let none = Vec::new();
    let sent = asked.map_or(&none, |request| &request.headers);
    for line in &step.sent {
        has(sent, line).map_err(|why| format!("the origin got {why}"))?;
    }
    for name in &step.unsent {
        let value = joined(sent, name);
        ensure(value.is_none(), || format!("the origin got {name}"))?;
    }
    Ok(())
}

fn judge_cache_status(step: &Step, response: &Response) -> Result<(), String> {
    if step.says.is_empty() {
        return Ok(());
    }
    let all = joined(&response.headers, "cache-status").unwrap_or_default();
    let member = all.rsplit(',').next().unwrap_or_default();
    let said: Vec<_> = member.split(';').skip(1).map(str::trim).collect();
    for wanted in &step.says {
        let right = match wanted.strip_prefix('!') {
            Some(not) => !said.iter().any(|one| is_parameter(one, not)),
            None => said.iter().any(|one| is_parameter(one, wanted)),
        };
        ensure(right, || {
            format!("Cache-Status is {all:?}, must say {wanted}")
        })?;
    }
    Ok(())
}

/// Whether a parameter is this one; without a value, whether it has this name.
fn is_parameter(parameter: &str, wanted: &str) -> bool {
    parameter == wanted || parameter.split('=').next() == Some(wanted)
}

/// Whether a line's field is there, with its value where the line has one.
fn has(fields: &[(String, String)], line: &str) -> Result<(), String> {
    let (name, wanted) = match line.split_once(':') {
        Some((name, value)) => (name, Some(with_dates(value.trim()))),
        None => (line, None),
    };
    let value = joined(fields, name);
    let right = value.is_some() && (wanted.is_none() || value == wanted);
    ensure(right, || format!("{name}: {value:?}, must be {line:?}"))
}

/// All the values of a field, as one list.
pub(crate) fn joined(fields: &[(String, String)], name: &str) -> Option<String> {
    let named = |(n, v): &(String, String)| n.eq_ignore_ascii_case(name).then(|| v.clone());
    let values: Vec<_> = fields.iter().filter_map(named).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

fn push_lines(lines: &mut String, more: &str) {
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines.push_str(more);
}

/// `{now}`, `{now-60}` and `{now+60}` as dates of HTTP (RFC 9110 §5.6.7). The moment is the process's first use, so that the
/// same words are the same date in each step.
fn with_dates(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{now") {
        let (offset, after) = after.split_once('}').unwrap();
        let offset = if offset.is_empty() { "0" } else { offset };
        out.push_str(before);
        out.push_str(&date(offset.parse().unwrap(), "%a, %d %b %Y %H:%M:%S GMT"));
        rest = after;
    }
    out + rest
}

/// A date so many seconds from now, in this form.
pub(crate) fn date(offset: i64, form: &str) -> String {
    static NOW: std::sync::LazyLock<Timestamp> = std::sync::LazyLock::new(Timestamp::now);
    let then = *NOW + SignedDuration::from_secs(offset);
    then.to_zoned(TimeZone::UTC).strftime(form).to_string()
}
