//! A text with a few named variables of the request: `"{client}"`, `"https://{host}{path}"`.
//! No language: there are names in braces, and nothing else. Other braces stand for themselves; `{{client}}` is the text `{client}`.
//! Start at [`Template::parse`].

use std::fmt::{Display, Write as _};
use std::net::IpAddr;

use http::HeaderValue;

use crate::addr::Host;
use crate::fault::{Fault, Faults, suggest};
use crate::settings::Located;

/// What is known of a request when its fields are changed. What is not known is empty.
#[derive(Clone, Copy, Default)]
pub struct Variables<'a> {
    /// `{client}`: the client's address.
    pub client: Option<IpAddr>,
    /// `{host}`: the host that was asked for, without a port.
    pub host: Option<&'a Host>,
    /// `{path}`: the path without its query.
    pub path: &'a str,
    /// `{query}`: the query with its question mark; in redirects alone.
    pub query: &'a str,
    /// `{scheme}`: `http` or `https`.
    pub scheme: &'a str,
    /// `{method}`.
    pub method: &'a str,
    /// `{id}`: the request's id, as the record has it.
    pub id: Option<&'a dyn Display>,
    /// `{listener}`: the listener's name.
    pub listener: &'a str,
    /// `{principal}`: who the client is.
    pub principal: &'a str,
    /// `{route}`: the name of the route that was taken.
    pub route: &'a str,
}

/// A text with variables. The same for every request where it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Box<[Part]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Variable(Variable),
}

/// One of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    Client,
    Host,
    Id,
    Listener,
    Method,
    Path,
    Principal,
    Query,
    Route,
    Scheme,
}

/// Which variables a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The value of a field.
    Field,
    /// A place to redirect to, which has the query too.
    Location,
}

impl Template {
    /// Reads a text. A name in braces that is no variable is a fault.
    pub fn parse(text: &Located<String>, place: Place, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.value.as_str();
        while let Some((start, after)) = rest.split_once('{') {
            plain.push_str(start);
            let (inner, literal) = match after.strip_prefix('{').and_then(name_before_brace) {
                Some((name, then)) if then.starts_with('}') => ((name, then), true),
                Some(_) | None => match name_before_brace(after) {
                    Some(found) => (found, false),
                    None => {
                        plain.push('{');
                        rest = after;
                        continue;
                    }
                },
            };
            let (name, then) = inner;
            rest = then;
            if literal {
                plain.push('{');
                plain.push_str(name);
                plain.push('}');
                rest = then.strip_prefix('}').unwrap_or(then);
            } else if let Some(variable) = Variable::named(name, place) {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                }
                parts.push(Part::Variable(variable));
            } else {
                let problem = format!("there is no variable \"{{{name}}}\"");
                let remedy = format!(
                    "{}; write {{{{{name}}}}} for the text itself",
                    suggest(name, &Variable::words(place))
                );
                faults.push(Fault::at(&text.at, problem, remedy));
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        (faults.len() == before).then(|| Self(parts.into()))
    }

    /// The value of a field; `None` where a variable in it is empty, or where it can be no value.
    ///
    /// Control characters of a variable's become `_`: nothing of a client's ends a line.
    pub fn field(&self, variables: &Variables<'_>) -> Option<HeaderValue> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(variable) => {
                    let from = out.len();
                    variable.write(variables, &mut out);
                    if out.len() == from {
                        return None;
                    }
                }
            }
        }
        if out.contains(char::is_control) {
            out = out.replace(char::is_control, "_");
        }
        HeaderValue::try_from(out).ok()
    }

    /// A place to redirect to; `None` where it has a host that is not known.
    ///
    /// What a URI does not have is percent-encoded (RFC 3986 §2.1). A path can not make an authority of itself: where the text
    /// begins with it, it begins with one slash (§4.2).
    pub fn location(&self, variables: &Variables<'_>) -> Option<HeaderValue> {
        let mut out = String::new();
        let mut value = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => encode(text, b"", &mut out),
                Part::Variable(variable) => {
                    value.clear();
                    variable.write(variables, &mut value);
                    if *variable == Variable::Host && value.is_empty() {
                        return None;
                    }
                    // A part of a URI already: what delimits in it does so on purpose, unless it becomes a part of a query.
                    let part =
                        matches!(variable, Variable::Host | Variable::Path | Variable::Query);
                    let also = if part && !out.contains('?') {
                        &b""[..]
                    } else {
                        DELIMITERS
                    };
                    encode(&value, also, &mut out);
                }
            }
        }
        if out.starts_with("//") {
            out = format!("/{}", out.trim_start_matches('/'));
        }
        HeaderValue::try_from(out).ok()
    }

    /// The text before the first variable.
    pub fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Variable(_)) | None => "",
        }
    }

    /// Whether the text before the first variable is followed by this one.
    pub fn goes_on_with(&self, word: &str, place: Place) -> bool {
        let at = usize::from(!self.beginning().is_empty());
        let variable = Variable::named(word, place).map(Part::Variable);
        variable.is_some() && self.0.get(at) == variable.as_ref()
    }
}

impl Variable {
    const WORDS: [(&'static str, Self); 10] = [
        ("client", Self::Client),
        ("host", Self::Host),
        ("id", Self::Id),
        ("listener", Self::Listener),
        ("method", Self::Method),
        ("path", Self::Path),
        ("principal", Self::Principal),
        ("query", Self::Query),
        ("route", Self::Route),
        ("scheme", Self::Scheme),
    ];

    fn of(place: Place) -> impl Iterator<Item = (&'static str, Self)> {
        let words = Self::WORDS.into_iter();
        words.filter(move |(_, variable)| *variable != Self::Query || place == Place::Location)
    }

    fn named(name: &str, place: Place) -> Option<Self> {
        let mut words = Self::of(place);
        words.find_map(|(word, variable)| (word == name).then_some(variable))
    }

    fn words(place: Place) -> Vec<&'static str> {
        Self::of(place).map(|(word, _)| word).collect()
    }

    fn write(self, variables: &Variables<'_>, out: &mut String) {
        // Writing to a string does not fail.
        let _ = match self {
            Self::Client => variables.client.map_or(Ok(()), |ip| write!(out, "{ip}")),
            Self::Host => variables.host.map_or(Ok(()), |host| write!(out, "{host}")),
            Self::Id => variables.id.map_or(Ok(()), |id| write!(out, "{id}")),
            Self::Listener => out.write_str(variables.listener),
            Self::Method => out.write_str(variables.method),
            Self::Path => out.write_str(variables.path),
            Self::Principal => out.write_str(variables.principal),
            Self::Query => out.write_str(variables.query),
            Self::Route => out.write_str(variables.route),
            Self::Scheme => out.write_str(variables.scheme),
        };
    }
}

/// `client` and what follows, of `client}…`.
fn name_before_brace(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('}')?;
    let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    named.then_some((name, rest))
}

/// Writes a text as a part of a URI; these characters too are encoded.
fn encode(text: &str, also: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if (0x21..=0x7e).contains(&byte) && !NEVER.contains(&byte) && !also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// What stands in no URI, and what some take for a slash.
const NEVER: &[u8] = b"\"<>\\^`{|}";

/// What means something in a URI (RFC 3986 §2.2), and the percent sign.
const DELIMITERS: &[u8] = b":/?#[]@!$&'()*+,;=%";
