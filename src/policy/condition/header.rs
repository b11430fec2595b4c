//! `header`: fields that the request must have, by presence or by a glob over the value (case-sensitive, any one line).
//! Unknown for SOCKS. Values of credential fields are never shown, neither the request's nor the policy's.
//! Start at [`ENTRY`].

use std::fmt;
use std::sync::Arc;

use globset::GlobMatcher;
use http::{HeaderName, HeaderValue};

use super::{Condition, Entry, Facts, Ground, Truth, Waits, glob, quoted};
use crate::settings::{FromValue, Kind, Located, Table, Value};

pub(super) const ENTRY: Entry = Entry {
    name: NAME,
    summary: "the request has these fields: { user-agent = \"pip/*\", x-build = true }",
    build,
};

/// Its key.
pub(in crate::policy) const NAME: &str = "header";

/// Fields whose values are secrets.
const HIDDEN: [&str; 4] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
];

#[derive(Debug)]
struct Headers(Vec<Field>);

struct Field {
    name: HeaderName,
    /// Any of them; `None` asks for presence only.
    globs: Option<Vec<(String, GlobMatcher)>>,
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written())
    }
}

fn build(value: Value, ground: Ground<'_>) -> Option<Arc<dyn Condition>> {
    let at = value.at.clone();
    let table = Table::from_value(value, ground.faults)?;
    let entries = table.take_rest();
    if entries.is_empty() {
        let item = Located { value: (), at };
        return ground.refuse(
            &item,
            "no field is named",
            "write { user-agent = \"pip/*\" }",
        );
    }
    let wanted = entries.len();
    let fields: Vec<Field> = entries
        .into_iter()
        .filter_map(|(name, value)| read(&name, value, ground))
        .collect();
    (fields.len() == wanted).then(|| Arc::new(Headers(fields)) as Arc<dyn Condition>)
}

fn read(name: &Located<String>, value: Value, ground: Ground<'_>) -> Option<Field> {
    let Ok(field) = name.value.parse::<HeaderName>() else {
        let problem = format!("\"{}\" is not a field name", name.value);
        return ground.refuse(name, problem, "letters, digits and hyphens");
    };
    if let Kind::Bool(present) = value.kind {
        if !present {
            let remedy = format!("write not = {{ header = {{ {field} = true }} }}");
            return ground.refuse(name, "a field can only be asked to be there", remedy);
        }
        return Some(Field {
            name: field,
            globs: None,
        });
    }
    let items = ground.several::<String>(value)?;
    let globs = ground.each(items, |item| match glob(&item.value, false) {
        Ok(matcher) => Some((item.value, matcher)),
        Err(problem) => ground.refuse(&item, problem, "write a glob such as \"pip/*\""),
    })?;
    Some(Field {
        name: field,
        globs: Some(globs),
    })
}

impl Field {
    fn is_hidden(&self) -> bool {
        HIDDEN.contains(&self.name.as_str())
    }

    fn matches(&self, value: &HeaderValue) -> bool {
        let text = String::from_utf8_lossy(value.as_bytes());
        self.globs.as_ref().is_none_or(|globs| {
            globs
                .iter()
                .any(|(_, matcher)| matcher.is_match(text.as_ref()))
        })
    }

    fn written(&self) -> String {
        let value = match &self.globs {
            None => "true".to_owned(),
            Some(_) if self.is_hidden() => quoted("(hidden)"),
            Some(globs) => {
                let globs: Vec<String> = globs.iter().map(|(text, _)| quoted(text)).collect();
                match globs.as_slice() {
                    [one] => one.clone(),
                    several => format!("[{}]", several.join(", ")),
                }
            }
        };
        format!("{} = {value}", self.name)
    }

    fn shown(&self, value: &HeaderValue) -> String {
        if self.is_hidden() || value.is_sensitive() {
            return "(hidden)".to_owned();
        }
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    }
}

impl Condition for Headers {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        let Some(headers) = facts.headers else {
            return Truth::Unknown;
        };
        let all = self.0.iter().all(|field| {
            let mut values = headers.get_all(&field.name).iter();
            values.any(|value| field.matches(value))
        });
        all.into()
    }

    fn waits(&self) -> Waits {
        Waits::REQUEST
    }

    fn saw(&self, facts: &Facts<'_>) -> Option<String> {
        let headers = facts.headers?;
        let seen = self.0.iter().map(|field| {
            let values = headers.get_all(&field.name).iter();
            let values: Vec<String> = values.map(|value| field.shown(value)).collect();
            match values.is_empty() {
                true => format!("no {}", field.name),
                false => format!("{}: {}", field.name, values.join(", ")),
            }
        });
        Some(seen.collect::<Vec<_>>().join("; "))
    }

    fn written(&self) -> Option<String> {
        let fields: Vec<String> = self.0.iter().map(Field::written).collect();
        Some(format!("{{ {} }}", fields.join(", ")))
    }
}
