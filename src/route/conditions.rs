//! What a route asks of a request beside host and path: method, fields, parameters of the query.
//! Start at [`Conditions::read`].

use std::borrow::Cow;
use std::cmp::Reverse;

use globset::GlobMatcher;
use http::{HeaderMap, HeaderName, Method};

use crate::fault::{Fault, Faults};
use crate::policy::condition::{glob, read_method};
use crate::settings::{FromValue, Kind, Located, Table, Value};

/// All must hold.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    methods: Vec<Method>,
    headers: Vec<(HeaderName, Values)>,
    query: Vec<(Box<str>, Values)>,
}

/// How much conditions say: what sorts first is more specific. Conditions that hold wherever others do sort after them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weight {
    named: Reverse<usize>,
    present: usize,
    globs: usize,
    methods: usize,
    values: usize,
}

impl Conditions {
    /// Takes `method`, `header` and `query`.
    pub(super) fn read(table: &Table, faults: &Faults) -> Self {
        let methods: Option<Located<Vec<Located<String>>>> = table.take("method", faults);
        let mut known = Vec::new();
        if let Some(methods) = methods {
            if methods.value.is_empty() {
                let remedy = "name one, or leave the key out";
                faults.push(Fault::at(&methods.at, "no method is named", remedy));
            }
            known.extend(
                methods
                    .value
                    .iter()
                    .filter_map(|item| read_method(item, faults)),
            );
        }
        known.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        known.dedup();
        let field = |name: &Located<String>| {
            let read = name.value.parse::<HeaderName>().ok();
            if read.is_none() {
                let problem = format!("\"{}\" is not a field name", name.value);
                faults.push(Fault::at(&name.at, problem, "letters, digits and hyphens"));
            }
            read
        };
        let parameter = |name: &Located<String>| Some(name.value.as_str().into());
        let mut headers = read_named(table.take_value("header"), field, faults);
        headers.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        Self {
            methods: known,
            headers,
            query: read_named(table.take_value("query"), parameter, faults),
        }
    }

    /// Whether all hold.
    pub(super) fn hold(&self, method: &Method, headers: &HeaderMap, query: Option<&str>) -> bool {
        (self.methods.is_empty() || self.methods.contains(method))
            && self
                .headers
                .iter()
                .all(|(name, values)| values.hold_in(headers, name))
            && self.query.iter().all(|(name, values)| {
                let mut pairs = parameters(query.unwrap_or_default());
                pairs.any(|(key, value)| key == **name && values.admit(&value))
            })
    }

    /// Whether this method is one of those that are named.
    pub(super) fn names(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.headers.is_empty() && self.query.is_empty()
    }

    /// How much they say, with so many other conditions of the route.
    pub(super) fn weight(&self, more: usize) -> Weight {
        let values = || {
            let headers = self.headers.iter().map(|(_, values)| values);
            headers.chain(self.query.iter().map(|(_, values)| values))
        };
        let listed = || values().flat_map(|values| values.0.iter().flatten());
        let methods = usize::from(!self.methods.is_empty());
        Weight {
            named: Reverse(more + methods + self.headers.len() + self.query.len()),
            present: values().filter(|values| values.0.is_none()).count(),
            globs: listed().filter(|text| text.glob.is_some()).count(),
            methods: self.methods.len(),
            values: listed().count(),
        }
    }

    /// The same text for the same conditions.
    pub(super) fn text(&self) -> String {
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let headers = self
            .headers
            .iter()
            .map(|(name, values)| (name.as_str(), values));
        let query = self.query.iter().map(|(name, values)| (&**name, values));
        let written = |(name, values): (&str, &Values)| format!("{name:?}={}", values.text());
        let headers: Vec<String> = headers.map(written).collect();
        let query: Vec<String> = query.map(written).collect();
        format!("{methods:?} {headers:?} {query:?}")
    }
}

/// What a field, a parameter or a cookie must be: there, or one of these.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values(Option<Box<[Text]>>);

/// A text or a glob.
#[derive(Debug, Clone)]
struct Text {
    written: Box<str>,
    glob: Option<GlobMatcher>,
}

impl Values {
    fn read(name: &Located<String>, value: Value, faults: &Faults) -> Option<Self> {
        match value.kind {
            Kind::Bool(true) => return Some(Self(None)),
            Kind::Bool(false) => {
                let problem = format!("\"{}\" can only be asked to be there", name.value);
                let remedy =
                    "write true or a value; requests without it take the route that does not ask";
                faults.push(Fault::at(&value.at, problem, remedy));
                return None;
            }
            Kind::Text(_)
            | Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Datetime(_)
            | Kind::List(_)
            | Kind::Table(_) => {}
        }
        let at = value.at.clone();
        let items = Vec::<Located<String>>::from_value(value, faults)?;
        if items.is_empty() {
            faults.push(Fault::at(
                &at,
                "no value is named",
                "name one, or write true",
            ));
            return None;
        }
        let mut texts = Vec::with_capacity(items.len());
        for item in &items {
            texts.push(Text::read(item, faults)?);
        }
        texts.sort_by(|a, b| a.written.cmp(&b.written));
        texts.dedup();
        Some(Self(Some(texts.into())))
    }

    /// Whether this is one of them.
    pub(super) fn admit(&self, value: &str) -> bool {
        let Some(texts) = &self.0 else { return true };
        texts.iter().any(|text| match &text.glob {
            Some(glob) => glob.is_match(value),
            None => *text.written == *value,
        })
    }

    /// Whether any field of this name is one of them.
    pub(super) fn hold_in(&self, headers: &HeaderMap, name: &HeaderName) -> bool {
        let mut fields = headers.get_all(name).iter();
        fields
            .any(|field| self.0.is_none() || self.admit(&String::from_utf8_lossy(field.as_bytes())))
    }

    fn text(&self) -> String {
        self.0.as_ref().map_or_else(
            || "true".to_owned(),
            |texts| {
                format!(
                    "{:?}",
                    texts.iter().map(|text| &text.written).collect::<Vec<_>>()
                )
            },
        )
    }
}

impl Text {
    fn read(item: &Located<String>, faults: &Faults) -> Option<Self> {
        let written = item.value.as_str().into();
        if !item.value.contains(['*', '?', '[', '{', '\\']) {
            return Some(Self {
                written,
                glob: None,
            });
        }
        match glob(&item.value, false) {
            Ok(matcher) => Some(Self {
                written,
                glob: Some(matcher),
            }),
            Err(problem) => {
                faults.push(Fault::at(&item.at, problem, "write a glob such as \"v2*\""));
                None
            }
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

/// Reads `{ name = "value", other = true }`.
pub(super) fn read_named<T>(
    value: Option<Value>,
    name: impl Fn(&Located<String>) -> Option<T>,
    faults: &Faults,
) -> Vec<(T, Values)> {
    let Some(value) = value else {
        return Vec::new();
    };
    let at = value.at.clone();
    let Some(table) = Table::from_value(value, faults) else {
        return Vec::new();
    };
    let entries = table.take_rest();
    if entries.is_empty() {
        let remedy = "write { x-version = \"2\" }, or leave the key out";
        faults.push(Fault::at(&at, "nothing is named", remedy));
    }
    let read = |(key, value): (Located<String>, Value)| {
        let values = Values::read(&key, value, faults);
        Some((name(&key)?, values?))
    };
    entries.into_iter().filter_map(read).collect()
}

/// The parameters of a query, decoded as those of a form are.
fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let encoded = digit(0).zip(digit(1)).map(|(high, low)| high * 16 + low);
        match (byte, encoded.and_then(|byte| u8::try_from(byte).ok())) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(meant)) => {
                bytes.push(meant);
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, _) => bytes.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}
