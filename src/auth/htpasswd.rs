//! The htpasswd file: `user:hash` on each line.
//! Does not verify passwords (hash does), nor decide when to (verifier does).
//! Start at [`Users::read`].

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::credentials::USER_LIMIT;
use super::hash::Hash;
use super::{Groups, Principal};
use crate::fault::{Fault, Faults, Location, Source, quoted};
use crate::settings::Located;

/// The users of one file.
#[derive(Debug, Default)]
pub(super) struct Users {
    of: HashMap<Box<str>, User>,
    /// The hash that unknown users are verified against.
    decoy: Option<Arc<Hash>>,
}

/// One user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) hash: Arc<Hash>,
    pub(super) principal: Principal,
}

impl Users {
    /// Reads the file. What is wrong becomes faults, and what could be read is returned.
    pub(super) fn read(file: &Located<PathBuf>, groups: &Groups, faults: &Faults) -> Self {
        let name = quoted(&file.value.display().to_string());
        let make = format!("make it with: egret hash USER >> {name}");
        read_file(file, ("the password file", &make), faults)
            .map_or_else(Self::default, |source| Self::parse(&source, groups, faults))
    }

    pub(super) fn parse(source: &Arc<Source>, groups: &Groups, faults: &Faults) -> Self {
        let mut users: HashMap<Box<str>, User> = HashMap::new();
        let mut costs: HashMap<String, (usize, Arc<Hash>)> = HashMap::new();
        let shown = without_hashes(source);
        for ((line, _), (_, at)) in lines(source).zip(lines(&shown)) {
            let (name, hash) = match parse_line(line) {
                Ok(parsed) => parsed,
                Err((problem, remedy)) => {
                    faults.push(Fault::at(&at, problem, remedy));
                    continue;
                }
            };
            if users.contains_key(name) {
                faults.push(Fault::at(
                    &at,
                    format!("the user \"{name}\" has a line already"),
                    "keep one line for each user",
                ));
                continue;
            }
            let hash = Arc::new(hash);
            costs
                .entry(hash.cost())
                .or_insert_with(|| (0, hash.clone()))
                .0 += 1;
            let principal = groups.principal(name, &[], super::basic::NAME);
            users.insert(name.into(), User { hash, principal });
        }
        let most_used = costs
            .into_values()
            .max_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.text().cmp(y.text())));
        Self {
            of: users,
            decoy: most_used.map(|(_, hash)| hash),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&User> {
        self.of.get(name)
    }

    /// What an unknown user's password is verified against, so that the time taken does not tell that the user is
    /// unknown: the kind of hash that most users have. `None` where there are no users.
    pub(super) fn decoy(&self) -> Option<&Arc<Hash>> {
        self.decoy.as_ref()
    }
}

/// Reads `user:hash`; some tools add a comment after a second colon, which no hash has.
fn parse_line(line: &str) -> Result<(&str, Hash), (String, &'static str)> {
    let form = "write \"user:hash\"; `egret hash` makes such a line";
    let Some((name, rest)) = line.split_once(':') else {
        return Err(("this line has no colon".to_owned(), form));
    };
    if name.is_empty() || name.len() > USER_LIMIT || name.contains(char::is_control) {
        let problem =
            format!("a user's name has 1 to {USER_LIMIT} bytes and no control characters");
        return Err((problem, form));
    }
    let hash = rest.split_once(':').map_or(rest, |(hash, _)| hash);
    Hash::parse(hash.trim()).map(|hash| (name, hash))
}

/// The same lines without what follows the name: a fault shows its line, and a hash or a password is not for the log.
fn without_hashes(source: &Source) -> Arc<Source> {
    let mut shown = String::new();
    for line in source.text.lines() {
        let line = line.trim_end();
        match line.split_once(':') {
            Some((name, _)) => shown.extend([name, ":…"]),
            // Possibly a password alone; its column is kept.
            None if !line.trim_start().starts_with('#') => {
                let text = line.trim_start();
                shown.push_str(line.get(..line.len() - text.len()).unwrap_or_default());
                shown.push_str(if text.is_empty() { "" } else { "…" });
            }
            None => shown.push_str(line),
        }
        shown.push('\n');
    }
    Source::new(&source.path, shown)
}

/// Lines that say something, without blanks at their ends, each with its place.
pub(super) fn lines(source: &Arc<Source>) -> impl Iterator<Item = (&str, Location)> {
    let mut start = 0;
    source.text.split_inclusive('\n').filter_map(move |whole| {
        let line = whole.trim();
        let from = start + (whole.len() - whole.trim_start().len());
        start += whole.len();
        let at = Location {
            source: source.clone(),
            span: from..from + line.len(),
        };
        (!line.is_empty() && !line.starts_with('#')).then_some((line, at))
    })
}

/// Reads a whole file as text, or says why that failed, where the configuration names it, and how it is made where it is missing.
pub(super) fn read_file(
    file: &Located<PathBuf>,
    (what, make): (&str, &str),
    faults: &Faults,
) -> Option<Arc<Source>> {
    match std::fs::read_to_string(&file.value) {
        Ok(text) => Some(Source::new(&file.value, text)),
        Err(error) => {
            let remedy = if error.kind() == ErrorKind::NotFound {
                make
            } else {
                "it must be a text file in UTF-8 that this process may read"
            };
            let problem = format!("cannot read {what} {}: {error}", file.value.display());
            faults.push(Fault::at(&file.at, problem, remedy));
            None
        }
    }
}
