//! One value with its place, and the types that can be read from it.
//! Knows no key.
//! Start at [`FromValue`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::{ByteSize, Table, parse_duration};
use crate::fault::{Fault, Faults, Location, Source, suggest};

/// A value as the operator wrote it.
#[derive(Debug)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub at: Location,
}

/// The shapes of a TOML value.
#[derive(Debug)]
pub enum Kind {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A date or time, as written.
    Datetime(String),
    /// An array.
    List(Vec<Value>),
    /// A table.
    Table(Table),
}

/// A typed value that remembers its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Location,
}

/// A secret, read from the environment or a file at load time. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The secret's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A type that can be read from a value; what does not fit becomes a fault and `None`.
pub trait FromValue: Sized {
    /// Reads the value.
    fn from_value(value: Value, faults: &Faults) -> Option<Self>;
}

impl Value {
    pub(super) fn convert(
        value: toml::Spanned<toml::de::DeValue<'_>>,
        source: &Arc<Source>,
    ) -> Self {
        use toml::de::DeValue;
        let at = Location {
            source: source.clone(),
            span: value.span(),
        };
        let kind = match value.into_inner() {
            DeValue::String(text) => Kind::Text(text.into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Kind::Float(f64::INFINITY), Kind::Integer),
            DeValue::Float(number) => Kind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Kind::Bool(flag),
            DeValue::Datetime(datetime) => Kind::Datetime(datetime.to_string()),
            DeValue::Array(array) => Kind::List(
                array
                    .into_iter()
                    .map(|item| Self::convert(item, source))
                    .collect(),
            ),
            DeValue::Table(table) => Kind::Table(Table::convert(table, at.clone())),
        };
        Self { kind, at }
    }

    /// What this value is, in words.
    pub fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Text(_) => "a string",
            Kind::Integer(_) => "an integer",
            Kind::Float(_) => "a number",
            Kind::Bool(_) => "a boolean",
            Kind::Datetime(_) => "a date",
            Kind::List(_) => "an array",
            Kind::Table(_) => "a table",
        }
    }

    /// Adds the fault that this value is not what was expected; always `None`.
    pub fn mismatch<T>(&self, expected: &str, faults: &Faults) -> Option<T> {
        faults.push(Fault::at(
            &self.at,
            format!("expected {expected}, found {}", self.describe()),
            String::new(),
        ));
        None
    }

    /// Refuses a value that stands where a reference to a secret should. The line is not shown: it may well hold the secret.
    pub fn withheld<T>(&self, problem: &str, faults: &Faults) -> Option<T> {
        faults.push(Fault::new(
            format!("{}: {problem}", self.at),
            "write a reference: { env = \"NAME\" } or { file = \"path\" }",
        ));
        None
    }
}

/// Reads one word of a fixed set.
pub fn one_of<T: Copy>(
    value: &Located<String>,
    words: &[(&'static str, T)],
    faults: &Faults,
) -> Option<T> {
    let found = words
        .iter()
        .find(|(word, _)| *word == value.value)
        .map(|(_, meaning)| *meaning);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        faults.push(Fault::at(
            &value.at,
            format!("\"{}\" is not known here", value.value),
            suggest(&value.value, &known),
        ));
    }
    found
}

impl FromValue for Value {
    fn from_value(value: Value, _: &Faults) -> Option<Self> {
        Some(value)
    }
}

impl FromValue for String {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let Kind::Text(text) = value.kind else {
            return value.mismatch("a string", faults);
        };
        Some(text)
    }
}

impl FromValue for bool {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let Kind::Bool(flag) = value.kind else {
            return value.mismatch("true or false", faults);
        };
        Some(flag)
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: Value, faults: &Faults) -> Option<Self> {
                let Kind::Integer(number) = value.kind else { return value.mismatch("an integer", faults) };
                let converted = Self::try_from(number);
                if converted.is_err() {
                    let problem = format!("{number} is out of range ({} to {})", Self::MIN, Self::MAX);
                    faults.push(Fault::at(&value.at, problem, String::new()));
                }
                converted.ok()
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, usize);

impl FromValue for Duration {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        from_text(value, "a duration such as \"5s\"", parse_duration, faults)
    }
}

impl FromValue for ByteSize {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        from_text(value, "a size such as \"64KiB\"", Self::parse, faults)
    }
}

impl FromValue for IpNet {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let parse = |text: &str| {
            let net = text
                .parse::<Self>()
                .or_else(|_| text.parse::<std::net::IpAddr>().map(Self::from));
            net.map(|net| net.trunc()).map_err(|_| {
                format!("\"{text}\" is neither an address nor a network such as \"10.0.0.0/8\"")
            })
        };
        from_text(value, "an address or a network", parse, faults)
    }
}

impl FromValue for PathBuf {
    /// A relative path is relative to the file that names it.
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let source = value.at.source.clone();
        String::from_value(value, faults).map(|text| source.relative(Path::new(&text)))
    }
}

impl FromValue for Table {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let Kind::Table(table) = value.kind else {
            return value.mismatch("a table", faults);
        };
        Some(table)
    }
}

/// One value or an array of them: `port = 443`, `port = [80, 443]`.
impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let Kind::List(items) = value.kind else {
            return T::from_value(value, faults).map(|one| vec![one]);
        };
        Some(
            items
                .into_iter()
                .filter_map(|item| T::from_value(item, faults))
                .collect(),
        )
    }
}

impl<T: FromValue> FromValue for Located<T> {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let at = value.at.clone();
        T::from_value(value, faults).map(|value| Self { value, at })
    }
}

/// `{ env = "NAME" }` or `{ file = "path" }`; a trailing newline of a file is not part of the secret.
impl FromValue for Secret {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let at = value.at.clone();
        let Kind::Table(table) = value.kind else {
            return value.withheld("a secret does not stand in a file like this", faults);
        };
        let env: Option<String> = table.take("env", faults);
        let file: Option<PathBuf> = table.take("file", faults);
        table.finish(faults);
        let read = match (env, file) {
            (Some(name), None) => std::env::var(&name).map(String::into_bytes).map_err(|_| {
                let problem = format!("the environment has no \"{name}\"");
                (problem, "set it for the process, or check the name")
            }),
            (None, Some(path)) => std::fs::read(&path).map_err(|error| {
                let problem = format!("cannot read {}: {error}", path.display());
                (problem, "check the path and its permissions")
            }),
            _ => Err((
                "a secret names either env or file".to_owned(),
                "write { env = \"NAME\" } or { file = \"path\" }",
            )),
        };
        match read {
            Ok(mut bytes) => {
                while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
                    bytes.pop();
                }
                Some(Self(bytes))
            }
            Err((problem, remedy)) => {
                faults.push(Fault::at(&at, problem, remedy));
                None
            }
        }
    }
}

fn from_text<T>(
    value: Value,
    expected: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    faults: &Faults,
) -> Option<T> {
    let Kind::Text(text) = &value.kind else {
        return value.mismatch(expected, faults);
    };
    match parse(text) {
        Ok(parsed) => Some(parsed),
        Err(problem) => {
            faults.push(Fault::at(&value.at, problem, format!("write {expected}")));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Source;

    #[test]
    fn a_secret_that_stands_in_the_file_is_refused_and_not_shown() {
        let faults = Faults::new();
        let source = Source::new("egret.toml", "\nvalue = \"s3cret\"");
        let table = Table::parse(&source, &faults);
        assert_eq!(table.take::<Secret>("value", &faults), None);
        let told: String = faults.into_vec().iter().map(Fault::render).collect();
        assert!(
            told.contains("egret.toml:2:9: a secret does not stand"),
            "{told}"
        );
        assert!(!told.contains("s3cret"), "{told}");
    }
}
