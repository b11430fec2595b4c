//! `fingerprint`: how a ClientHello is put together, which tells the TLS library and often the program (JA4).
//! Not proof of a program: who wants to can imitate another.
//! Start at [`ENTRY`].

use std::sync::Arc;

use globset::GlobMatcher;

use super::{Condition, Entry, Facts, Ground, Truth, Waits, glob, quoted};
use crate::settings::Value;

pub(super) const ENTRY: Entry = Entry {
    name: "fingerprint",
    summary: "the JA4 fingerprint of the ClientHello is one of these; globs, as \"t13d*\"",
    build,
};

#[derive(Debug)]
struct Fingerprints(Vec<GlobMatcher>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let items = ground.several::<String>(value)?;
    let globs = ground.each(items, |item| match glob(&item.value, false) {
        Ok(glob) => Some(glob),
        Err(problem) => ground.refuse(&item, problem, "write \"t13d1516h2_*\""),
    })?;
    Some(Arc::new(Fingerprints(globs)))
}

impl Condition for Fingerprints {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        known(facts).map_or(Truth::Unknown, |fingerprint| {
            let mut globs = self.0.iter();
            globs.any(|glob| glob.is_match(fingerprint)).into()
        })
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        known(facts).map(str::to_owned)
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        known(facts).map(quoted)
    }

    fn waits(&self) -> Waits {
        Waits::HELLO
    }
}

fn known<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    let hello = facts.hello.hello()?;
    Some(&*hello.fingerprint).filter(|fingerprint| !fingerprint.is_empty())
}
