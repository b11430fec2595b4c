//! What a route says of paths: exact, a prefix by segments, a glob, a regular expression.
//! Not which of them comes first (the module's docs, and `index`).
//! Start at [`PathPattern::read`].

use std::sync::Arc;

use globset::GlobMatcher;
use http::Method;
use regex::{Regex, RegexBuilder};

use crate::fault::{Fault, Faults};
use crate::message::{Target, normal_path};
use crate::policy::condition::glob;
use crate::settings::{FromValue, Kind, Located, Table, Value};

/// Paths in normal form that a route is for.
#[derive(Debug)]
pub(super) enum PathPattern {
    /// Every path.
    Any,
    /// This one.
    Exact(Box<str>),
    /// This one, and all that has it and a slash in front. Ends with no slash.
    Below(Box<str>),
    /// What a glob matches.
    Glob(Arc<Glob>),
    /// What a regular expression matches as a whole.
    Regex(Box<str>, Arc<Regex>),
}

/// A glob over paths; `*` stays inside a segment, `**` crosses them, `/*` at the end means all below.
#[derive(Debug)]
pub(super) struct Glob {
    /// As written.
    pub(super) text: Box<str>,
    /// The whole segments before its first wildcard: `/a` of `/a/b*/c`.
    pub(super) beginning: Box<str>,
    /// How many characters of it stand for themselves.
    pub(super) literals: usize,
    pub(super) matcher: GlobMatcher,
}

impl PathPattern {
    /// Reads `"/x"`, `"/x/*"`, a glob, or `{ regex = "…" }`.
    pub(super) fn read(value: Value, faults: &Faults) -> Option<Self> {
        let at = value.at.clone();
        match value.kind {
            Kind::Text(text) => Self::read_text(&Located { value: text, at }, faults),
            Kind::Table(table) => read_regex_table(table, faults),
            Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Bool(_)
            | Kind::Datetime(_)
            | Kind::List(_) => {
                value.mismatch("a path such as \"/api/*\" or { regex = \"…\" }", faults)
            }
        }
    }

    fn read_text(item: &Located<String>, faults: &Faults) -> Option<Self> {
        let text = item.value.as_str();
        let refuse = |problem: String, remedy: String| {
            faults.push(Fault::at(&item.at, problem, remedy));
            None
        };
        if matches!(text, "*" | "/*" | "/**") {
            return Some(Self::Any);
        }
        if !text.starts_with('/') {
            let problem = format!("the path \"{text}\" has no slash in front");
            return refuse(problem, format!("write \"/{text}\""));
        }
        if text.contains('#') || text.contains('?') && text.contains('=') {
            let remedy = "write the path alone; the key \"query\" is for the rest".to_owned();
            return refuse(
                "a path is matched without query and fragment".to_owned(),
                remedy,
            );
        }
        let below = text.strip_suffix("/**").or_else(|| text.strip_suffix("/*"));
        let base = below.unwrap_or(text);
        if base.contains(WILD) {
            return Self::read_glob(item, base, below.is_some(), faults);
        }
        if let Err(error) = Target::parse(&Method::GET, base) {
            let remedy = "write it as a client sends it: \"/a/b\", with %20 for a space".to_owned();
            return refuse(error.to_string(), remedy);
        }
        let normal = normal_path(base);
        match below {
            Some(_) if normal.ends_with('/') => {
                let remedy = format!("write \"{}/*\"", normal.trim_end_matches('/'));
                refuse(format!("\"{text}\" has an empty segment"), remedy)
            }
            Some(_) => Some(Self::Below(normal.into())),
            None => Some(Self::Exact(normal.into())),
        }
    }

    fn read_glob(item: &Located<String>, base: &str, below: bool, faults: &Faults) -> Option<Self> {
        let pattern = if below {
            format!("{{{base},{base}/**}}")
        } else {
            base.to_owned()
        };
        let matcher = match glob(&pattern, true) {
            Ok(matcher) => matcher,
            Err(problem) => {
                let remedy = "write a glob such as \"/api/*/raw\"";
                faults.push(Fault::at(&item.at, problem, remedy));
                return None;
            }
        };
        let wild = base.find(WILD).unwrap_or(base.len());
        let beginning = base.get(..wild).unwrap_or_default();
        let beginning = beginning.rsplit_once('/').map_or("", |(before, _)| before);
        let literals = base.chars().filter(|c| !WILD.contains(c)).count();
        Some(Self::Glob(Arc::new(Glob {
            text: item.value.as_str().into(),
            beginning: beginning.into(),
            literals,
            matcher,
        })))
    }

    /// As the operator wrote it, and the same for two that are written alike.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Any => "/*".to_owned(),
            Self::Exact(path) => path.to_string(),
            Self::Below(base) => format!("{base}/*"),
            Self::Glob(glob) => glob.text.to_string(),
            Self::Regex(text, _) => format!("{{ regex = \"{text}\" }}"),
        }
    }
}

fn read_regex_table(table: Table, faults: &Faults) -> Option<PathPattern> {
    let remedy = "write path = { regex = \"/user/[0-9]+\" }";
    let text: Option<Located<String>> = table.require("regex", remedy, faults);
    table.finish(faults);
    let text = text?;
    let regex = whole_regex(&text, faults)?;
    Some(PathPattern::Regex(text.value.into(), Arc::new(regex)))
}

/// A regular expression over the whole of a path. It takes time in proportion to the path, whatever it is.
pub(super) fn whole_regex(text: &Located<String>, faults: &Faults) -> Option<Regex> {
    let regex = RegexBuilder::new(&format!("^(?:{})$", text.value))
        .size_limit(REGEX_SIZE)
        .build();
    regex
        .map_err(|error| {
            let told = error.to_string();
            let reason = told.lines().last().unwrap_or_default();
            let reason = reason.trim_start_matches("error: ");
            faults.push(Fault::at(
                &text.at,
                format!("it is not a regular expression: {reason}"),
                "see https://docs.rs/regex for the syntax; it has no look-around and no references",
            ));
        })
        .ok()
}

impl FromValue for PathPattern {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        Self::read(value, faults)
    }
}

/// What makes a glob of a path.
const WILD: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// What one compiled expression may occupy.
const REGEX_SIZE: usize = 1 << 20;
