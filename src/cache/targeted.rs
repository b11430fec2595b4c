//! Fields that carry cache directives for one kind of cache, such as `CDN-Cache-Control` (RFC 9213): dictionaries of structured
//! fields (RFC 9651 §3.2), of which one error anywhere makes all of it void.
//! Start at [`read`].

use http::{HeaderMap, HeaderName};

/// The members that say something, each name once and the last one standing; `None` where the field is not there, empty, or no
/// dictionary.
pub fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<(String, Option<String>)>> {
    let lines: Result<Vec<&str>, _> = headers
        .get_all(name)
        .iter()
        .map(http::HeaderValue::to_str)
        .collect();
    let text = lines.ok()?.join(",");
    let mut input = Input(text.trim_matches(' '));
    let mut members: Vec<(String, Option<String>)> = Vec::new();
    let mut is_there = false;
    while !input.0.is_empty() {
        let key = input.key()?;
        let value = if input.take('=') {
            input.value()?
        } else {
            Value::Flag(true)
        };
        input.parameters()?;
        is_there = true;
        members.retain(|(known, _)| *known != key);
        match value {
            Value::Flag(true) => members.push((key, None)),
            Value::Integer(text) if TIMES.contains(&key.as_str()) => {
                members.push((key, Some(text)));
            }
            Value::String(text) if names_fields(&key) => members.push((key, Some(text))),
            Value::Flag(false) => {}
            // A value of another type than the directive's makes it one that is not there (RFC 9213 §2.1); but who tries to
            // forbid has forbidden.
            Value::Integer(_) | Value::String(_) | Value::Other => {
                if FORBIDDING.contains(&key.as_str()) {
                    members.push((key, None));
                }
            }
        }
        if members.len() > MOST {
            return None;
        }
        input.spaces();
        if input.0.is_empty() {
            break;
        }
        input.take(',').then_some(())?;
        input.spaces();
        // A comma at the end announces a member that is not there.
        (!input.0.is_empty()).then_some(())?;
    }
    is_there.then_some(members)
}

/// Whether its argument is a list of fields, and not a number.
fn names_fields(directive: &str) -> bool {
    directive == "no-cache" || directive == "private"
}

enum Value {
    Flag(bool),
    Integer(String),
    String(String),
    Other,
}

struct Input<'a>(&'a str);

impl Input<'_> {
    fn take(&mut self, character: char) -> bool {
        match self.0.strip_prefix(character) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// The longest beginning of such characters.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> &str {
        let end = self.0.find(|c| !fits(c)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at(end);
        self.0 = rest;
        run
    }

    fn key(&mut self) -> Option<String> {
        let first = self.0.chars().next()?;
        (first.is_ascii_lowercase() || first == '*').then_some(())?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c);
        Some(self.run(fits).to_owned())
    }

    fn value(&mut self) -> Option<Value> {
        if self.0.starts_with('(') {
            return self.inner_list();
        }
        self.bare_item()
    }

    fn inner_list(&mut self) -> Option<Value> {
        self.take('(');
        loop {
            self.0 = self.0.trim_start_matches(' ');
            if self.take(')') {
                return Some(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            (self.0.starts_with(' ') || self.0.starts_with(')')).then_some(())?;
        }
    }

    fn bare_item(&mut self) -> Option<Value> {
        let first = self.0.chars().next()?;
        match first {
            '-' | '0'..='9' => self.number(),
            '"' => self.string(),
            '*' | 'A'..='Z' | 'a'..='z' => {
                let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c);
                self.run(fits);
                Some(Value::Other)
            }
            ':' => {
                self.take(':');
                self.run(|c| c.is_ascii_alphanumeric() || "+/=".contains(c));
                self.take(':').then_some(Value::Other)
            }
            '?' => {
                self.take('?');
                let yes = self.take('1');
                (yes || self.take('0')).then_some(Value::Flag(yes))
            }
            '%' => self.display_string(),
            '@' => {
                self.take('@');
                matches!(self.number()?, Value::Integer(_)).then_some(Value::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Value> {
        let negative = self.take('-');
        let whole = self.run(|c| c.is_ascii_digit()).to_owned();
        if !self.take('.') {
            let fits = !whole.is_empty() && whole.len() <= 15;
            let sign = if negative { "-" } else { "" };
            return fits.then(|| Value::Integer(format!("{sign}{whole}")));
        }
        let part = self.run(|c| c.is_ascii_digit());
        let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&part.len());
        fits.then_some(Value::Other)
    }

    fn string(&mut self) -> Option<Value> {
        self.take('"');
        let mut text = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = self.0.get(at + 1..)?;
                    return Some(Value::String(text));
                }
                '\\' => match characters.next()?.1 {
                    escaped @ ('"' | '\\') => text.push(escaped),
                    _ => return None,
                },
                ' '..='~' => text.push(character),
                _ => return None,
            }
        }
        None
    }

    /// Text in UTF-8, of which all but ASCII is percent-encoded in lower case (RFC 9651 §4.2.10).
    fn display_string(&mut self) -> Option<Value> {
        (self.take('%') && self.take('"')).then_some(())?;
        let mut text = Vec::new();
        let digit = |byte: u8| {
            let digit = char::from(byte).to_digit(16)?;
            (!byte.is_ascii_uppercase()).then(|| u8::try_from(digit).ok())?
        };
        let mut bytes = self.0.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.0 = self.0.get(at + 1..)?;
                    return str::from_utf8(&text).is_ok().then_some(Value::Other);
                }
                b'%' => {
                    let (high, low) = (digit(bytes.next()?.1)?, digit(bytes.next()?.1)?);
                    text.push(high << 4 | low);
                }
                b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
        None
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(';') {
            self.0 = self.0.trim_start_matches(' ');
            self.key()?;
            if self.take('=') {
                self.bare_item()?;
            }
        }
        Some(())
    }
}

/// Directives whose value is a number of seconds.
const TIMES: [&str; 4] = [
    "max-age",
    "s-maxage",
    "stale-if-error",
    "stale-while-revalidate",
];
/// Directives that forbid something.
const FORBIDDING: [&str; 5] = [
    "must-revalidate",
    "no-cache",
    "no-store",
    "private",
    "proxy-revalidate",
];
/// More members are no use of it.
const MOST: usize = 256;

#[cfg(test)]
#[path = "tests/targeted.rs"]
mod tests;
