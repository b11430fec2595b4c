//! `path`: a glob over the request's normalised path, without the query.
//! Unknown for tunnels, whose requests are not seen unless they are intercepted.
//! Start at [`ENTRY`].

use std::sync::Arc;

use globset::GlobMatcher;

use super::{Condition, Entry, Facts, Ground, Truth, Waits, glob, quoted};
use crate::settings::{Located, Value};

pub(super) const ENTRY: Entry = Entry {
    name: "path",
    summary: "the path matches one of these: \"/api/*\" (all below), \"/v?/users\", \"/**/raw\"; unknown in a tunnel",
    build,
};

/// As with hosts, `*` stays inside one segment and `**` crosses them, but at the end it means all below: who denies
/// `/admin/*` means `/admin/a/b` too.
#[derive(Debug)]
struct Paths(Vec<GlobMatcher>);

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let items = ground.several::<String>(value)?;
    let paths = ground.each(items, |item| read(&item, ground))?;
    Some(Arc::new(Paths(paths)))
}

fn read(item: &Located<String>, ground: Ground<'_>) -> Option<GlobMatcher> {
    let text = &item.value;
    if !text.starts_with('/') && !text.starts_with('*') {
        let remedy = format!("write \"/{text}\"");
        return ground.refuse(
            item,
            format!("the path \"{text}\" has no slash in front"),
            remedy,
        );
    }
    if text.contains(['?', '#']) && text.contains('=') || text.contains('#') {
        return ground.refuse(
            item,
            "a path is judged without query and fragment",
            "write the path alone",
        );
    }
    let all_below = text == "*" || text.ends_with("/*");
    let pattern = if all_below {
        format!("{text}*")
    } else {
        text.clone()
    };
    match glob(&pattern, true) {
        Ok(matcher) => Some(matcher),
        Err(problem) => ground.refuse(item, problem, "write a glob such as \"/api/*\""),
    }
}

impl Condition for Paths {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        facts.path.map_or(Truth::Unknown, |path| {
            self.0.iter().any(|glob| glob.is_match(path)).into()
        })
    }

    fn waits(&self) -> Waits {
        Waits::REQUEST
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        facts.path.map(str::to_owned)
    }

    fn widened(&self, facts: &Facts<'_>) -> Option<String> {
        facts.path.map(|path| quoted(&globset::escape(path)))
    }
}
