//! An operator's mistake: where it stands, what it is, and the remedy. Faults are collected, so that all are told at once.
//! Not for denials (policy said no) nor failures (the network did not do it).
//! Start at [`Fault`]; [`Faults`] collects them.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A text that an operator wrote, and where it came from.
#[derive(Debug)]
pub struct Source {
    /// The file as the operator named it; `<built-in>` for the embedded default.
    pub path: PathBuf,
    /// Its whole text.
    pub text: String,
}

impl Source {
    /// A source of a file that was read.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            path: path.into(),
            text: text.into(),
        })
    }

    /// A path in this file, relative to the folder that the file stands in.
    pub fn relative(&self, path: &Path) -> PathBuf {
        self.path
            .parent()
            .map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

/// A span of bytes in a source.
#[derive(Clone)]
pub struct Location {
    /// The text that the span is in.
    pub source: Arc<Source>,
    /// Bytes from the start of the text.
    pub span: Range<usize>,
}

impl Location {
    /// Line and column, both from 1, the column in characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (
            before.matches('\n').count() + 1,
            before.get(line_start..).unwrap_or_default().chars().count() + 1,
        )
    }

    fn line(&self) -> &str {
        self.source
            .text
            .lines()
            .nth(self.line_column().0 - 1)
            .unwrap_or_default()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.path.display())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        self.span == other.span && self.source.path == other.source.path
    }
}

impl Eq for Location {}

/// One mistake of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands, if it stands in a text.
    pub at: Option<Location>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it; may be empty where the problem says it.
    pub remedy: String,
}

impl Fault {
    /// A fault in a text.
    pub fn at(at: &Location, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            at: Some(at.clone()),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// A fault that stands in no text.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            at: None,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// The fault over several lines: place and problem, the source line, a caret below it, the remedy.
    pub fn render(&self) -> String {
        let mut text = self.to_string();
        if let Some(at) = &self.at {
            let (line, column) = at.line_column();
            let shown = at.line().replace('\t', " ");
            let room = shown.chars().count().saturating_sub(column - 1).max(1);
            let width = at
                .source
                .text
                .get(at.span.clone())
                .map_or(1, |s| s.chars().count())
                .clamp(1, room);
            let gutter = " ".repeat(line.to_string().len());
            text += &format!(
                "\n {line} | {shown}\n {gutter} | {}{}",
                " ".repeat(column - 1),
                "^".repeat(width)
            );
            if !self.remedy.is_empty() {
                text += &format!("\n {gutter} = {}", self.remedy);
            }
        } else if !self.remedy.is_empty() {
            text += &format!("\n   = {}", self.remedy);
        }
        text
    }
}

impl fmt::Display for Fault {
    /// Place and problem on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

/// Collects faults while settings are read; shared by reference, as reading goes on after each.
#[derive(Debug, Default)]
pub struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&self, fault: Fault) {
        self.0.borrow_mut().push(fault);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// All of them, in the order of their files and places.
    pub fn into_vec(self) -> Vec<Fault> {
        let mut faults = self.0.into_inner();
        faults.sort_by_key(|fault| {
            fault
                .at
                .as_ref()
                .map(|at| (at.source.path.clone(), at.span.start))
        });
        faults
    }
}

/// The known word nearest to a mistyped one, if any is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= limit || candidate.starts_with(word) && word.len() > 2
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "Did you mean …?" for a mistyped word, or the list of what is known.
pub fn suggest(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("Did you mean \"{near}\"? (known: {})", known.join(", ")),
        None => format!("known: {}", known.join(", ")),
    }
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let cell = |rows: &[Vec<usize>], i: usize, j: usize| {
        rows.get(i)
            .and_then(|row| row.get(j))
            .copied()
            .unwrap_or(usize::MAX / 2)
    };
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replace = cell(&rows, i, j) + usize::from(x != y);
            let delete = cell(&rows, i, j + 1) + 1;
            let insert = row.last().copied().unwrap_or(0) + 1;
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            let swap = if swapped {
                cell(&rows, i - 1, j - 1) + 1
            } else {
                usize::MAX
            };
            row.push(replace.min(delete).min(insert).min(swap));
        }
        rows.push(row);
    }
    cell(&rows, a.len(), b.len())
}

/// A path in a command that a remedy names, as a POSIX shell and PowerShell read it alike; but for a quote in it, which is POSIX.
pub fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%\\".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_line_and_a_caret_under_the_word() {
        let source = Source::new("egret.toml", "a = 1\nlisten = \"x\"\n");
        let fault = Fault::at(
            &Location {
                source,
                span: 6..12,
            },
            "unknown key \"listen\"",
            "Did you mean \"listener\"?",
        );
        assert_eq!(
            fault.render(),
            "egret.toml:2:1: unknown key \"listen\"\n 2 | listen = \"x\"\n   | ^^^^^^\n   = Did you mean \"listener\"?"
        );
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let known = ["host", "port", "method", "client"];
        assert_eq!(nearest("hosts", known), Some("host"));
        assert_eq!(nearest("mehtod", known), Some("method"));
        assert_eq!(nearest("zebra", known), None);
    }
}
